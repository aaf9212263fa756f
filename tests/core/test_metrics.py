"""PSNR on hand-made inputs, and which pixels and cells it counts."""

import math

import pytest
import torch

from fourreal_core.grid import FrameGrid
from fourreal_core.metrics import grid_psnr, moving_pixels, psnr

V, T, H, W = 3, 5, 8, 16


def pair(error, moving=None):
    """A still grey truth, `moving` pixels of which jump to white after the first time, and a prediction that is `error` too dark."""
    truth = torch.full((V, T, H, W, 3), 0.5)
    if moving is not None:
        truth[:, 1:, moving] = 1.0
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    predicted = torch.where(known[:, :, None, None, None], torch.zeros(()), truth - error)
    return FrameGrid(predicted, known), FrameGrid(truth, torch.ones(V, T, dtype=torch.bool))


def test_psnr_of_a_constant_error():
    truth = torch.rand(V, T, H, W, 3)
    assert psnr(truth - 0.1, truth) == pytest.approx(20, abs=1e-4)
    assert psnr(truth + 0.01, truth) == pytest.approx(40, abs=1e-2)
    assert psnr(truth, truth) == math.inf


def test_masks_select_cells_or_pixels():
    truth, prediction = torch.zeros(V, T, H, W, 3), torch.zeros(V, T, H, W, 3)
    prediction[1, 2] = 0.1
    prediction[1, 2, 3, 4] = 1.0
    cells = torch.zeros(V, T, dtype=torch.bool)
    cells[1, 2] = True
    pixels = torch.zeros(V, T, H, W, dtype=torch.bool)
    pixels[1, 2, 5], pixels[0, 0] = True, False
    assert psnr(prediction, truth, pixels) == pytest.approx(20, abs=1e-4)
    assert psnr(prediction, truth, cells) == pytest.approx(-10 * math.log10((0.01 * 127 + 1) / 128), abs=1e-4)
    with pytest.raises(ValueError, match="selects nothing"):
        psnr(prediction, truth, torch.zeros(V, T, dtype=torch.bool))
    with pytest.raises(ValueError, match="leading axes"):
        psnr(prediction, truth, torch.ones(T, V, dtype=torch.bool))
    with pytest.raises(ValueError, match="truth's shape"):
        psnr(prediction[:, :4], truth)


def test_moving_pixels_changed_since_the_first_time_in_any_channel():
    truth = torch.full((V, T, H, W, 3), 0.5)
    truth[1, 2, 3, 4, 2] += 0.06
    truth[2, 1, 0, 0] -= 0.04
    truth[0, :, 7, 7] = torch.rand(3)
    assert moving_pixels(truth).nonzero().tolist() == [[1, 2, 3, 4]]
    assert moving_pixels(truth, 0.03).sum() == 2


def test_only_unknown_cells_count_and_moving_ones_apart():
    moving = torch.zeros(H, W, dtype=torch.bool)
    moving[2:4] = True
    error = torch.full((H, W, 1), 0.01)
    error[moving] = 0.1
    scores = grid_psnr(*pair(error, moving))
    assert scores["moving"] == pytest.approx(20, abs=1e-3)
    assert scores["all"] == pytest.approx(-10 * math.log10(0.25 * 0.01 + 0.75 * 0.0001), abs=1e-3)


def test_several_grids_give_the_mean_of_their_scores_and_still_grids_have_no_moving_one():
    everything = torch.ones(H, W, dtype=torch.bool)
    (coarse, truth), (still, still_truth) = pair(0.1, everything), pair(0.01)
    scores = grid_psnr([coarse, still], [truth, still_truth])
    assert scores["all"] == pytest.approx(30, abs=1e-3) and scores["moving"] == pytest.approx(20, abs=1e-3)
    assert math.isnan(grid_psnr(still, still_truth)["moving"])


def test_cells_without_truth_do_not_count():
    prediction, truth = pair(0.1)
    frames, known = truth.frames.clone(), truth.known.clone()
    frames[2, 4], known[2, 4] = 0, False
    assert grid_psnr(prediction, truth.replace(frames=frames, known=known))["all"] == pytest.approx(20, abs=1e-3)


def test_grids_that_cannot_be_compared_are_refused():
    prediction, truth = pair(0.1)
    with pytest.raises(ValueError, match="nothing to compare"):
        grid_psnr(truth, truth)
    with pytest.raises(ValueError, match="truth's shape"):
        grid_psnr(prediction.swapped(), truth)
    with pytest.raises(ValueError, match="one true grid per predicted grid"):
        grid_psnr([prediction], [truth, truth])
