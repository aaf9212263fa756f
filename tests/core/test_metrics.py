"""PSNR and SSIM on hand-made inputs, and which pixels and cells they count."""

import math

import numpy as np
import pytest
import torch
from exchanging import exchanged

from fourreal_core.evaluation import image
from fourreal_core.evaluation.image import grid_psnr, grid_ssim, moving_pixels, psnr, ssim
from fourreal_core.grid import FrameGrid
from fourreal_core.side_by_side import asking

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
        grid_psnr(exchanged(prediction), truth)
    with pytest.raises(ValueError, match="one true grid per predicted grid"):
        grid_psnr([prediction], [truth, truth])


def direct_ssim(a, b):
    """Wang et al. 2004, window by window: weighted moments of 11 x 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03."""
    y, x = np.mgrid[-5:6, -5:6]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for top in range(a.shape[0] - 10):
        for left in range(a.shape[1] - 10):
            p, q = (picture[top : top + 11, left : left + 11] for picture in (a, b))
            mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
            var_p, var_q = (weights * (p - mean_p) ** 2).sum(), (weights * (q - mean_q) ** 2).sum()
            both = (weights * (p - mean_p) * (q - mean_q)).sum()
            luminance = (2 * mean_p * mean_q + 1e-4) / (mean_p**2 + mean_q**2 + 1e-4)
            values.append(luminance * (2 * both + 9e-4) / (var_p + var_q + 9e-4))
    return np.mean(values)


def test_ssim_is_the_published_definition_on_luma():
    truth = torch.rand(2, 13, 17, 3, generator=torch.Generator().manual_seed(0))
    prediction = (truth * 0.6 + 0.4 * torch.rand(2, 13, 17, 3, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    lumas = [frames.double().numpy() @ [0.299, 0.587, 0.114] for frames in (prediction, truth)]
    assert ssim(prediction, truth) == pytest.approx(np.mean([direct_ssim(*pair) for pair in zip(*lumas)]), abs=1e-6)
    assert ssim(truth, truth) == pytest.approx(1) and 0.3 < ssim(prediction, truth) < 0.95


def test_ssim_of_large_frames_is_taken_line_by_line(monkeypatch):
    truth = torch.rand(1, 31, 17, 3, generator=torch.Generator().manual_seed(0))
    prediction, asked = (truth + 0.2 * torch.rand(truth.shape)).clamp(0, 1), []
    whole = ssim(prediction, truth)
    monkeypatch.setattr(image, "BAND", 17 * 4)
    with asking(lambda: asked.append(1)):
        assert ssim(prediction, truth) == pytest.approx(whole, abs=1e-12)
    assert len(asked) == 6  # 21 lines of windows


def test_ssim_forgives_brightness_more_than_lost_structure():
    stripes = (torch.arange(16) % 4 < 2).float().view(1, 1, 16, 1).expand(1, 12, 16, 3) * 0.5 + 0.25
    brighter, flat = stripes + 0.1, torch.full_like(stripes, 0.5)
    assert ssim(brighter, stripes) > 0.9 and ssim(flat, stripes) < 0.1


def test_grid_ssim_counts_unknown_cells_only():
    truth = FrameGrid(torch.rand(V, T, 12, W, 3), torch.ones(V, T, dtype=torch.bool))
    known = torch.ones(V, T, dtype=torch.bool)
    known[2, 3] = False
    frames = 1 - truth.frames
    frames[2, 3] = truth.frames[2, 3]
    assert grid_ssim(FrameGrid(frames, known), truth) == pytest.approx(1)
    with pytest.raises(ValueError, match="nothing to compare"):
        grid_ssim(truth, truth)
    with pytest.raises(ValueError, match="at least 11 pixels per side"):
        ssim(truth.frames[0, :, :8], truth.frames[0, :, :8])
    with pytest.raises(ValueError, match="truth's shape"):
        ssim(truth.frames[0, :2], truth.frames[0])
