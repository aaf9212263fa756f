"""The benchmark shows a method only what the task gives, and scores it on the rest."""

import math

import pytest
import torch

from fourreal_core.evaluation.image import grid_ssim
from fourreal_core.evaluation.measure import Score, hide, matrix_peak, measure, model_flops
from fourreal_core.grid import FrameGrid
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model

V, T, H, W = 3, 4, 16, 24


@pytest.fixture
def truth():
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
    return FrameGrid(frames=frames, known=torch.ones(V, T, dtype=torch.bool))


def test_hidden_cells_are_black_and_the_inputs_stay(truth):
    task = hide(truth)
    assert task.known.sum() == V + T - 1
    assert torch.equal(task.frames[task.known], truth.frames[task.known]) and not task.frames[~task.known].any()


def test_a_constant_error_has_its_psnr(truth):
    score = measure(lambda task: task.replace(frames=(truth.frames * 0.9)), truth)
    error = (truth.frames * 0.1)[1:, 1:].square().mean().item()
    assert score.all == pytest.approx(-10 * math.log10(error), abs=1e-3) and score.seconds > 0
    assert score.ssim == pytest.approx(grid_ssim(hide(truth).replace(frames=truth.frames * 0.9), truth))


def test_other_known_cells_can_be_asked_for(truth):
    known = torch.zeros(V, T, dtype=torch.bool)
    known[2, 3] = True
    seen = []
    score = measure(lambda task: seen.append(task) or task.replace(frames=truth.frames), truth, known)
    assert score.all == math.inf and torch.equal(seen[0].known, known) and not seen[0].frames[~known].any()


def test_mean_leaves_grids_without_motion_out():
    mean = Score.mean([Score(20, float("nan"), 0.5, 1), Score(30, 10, 1.0, 3)])
    assert (mean.all, mean.moving, mean.ssim, mean.seconds) == (25, 10, 0.75, 2)
    assert math.isnan(Score.mean([]).all)


def test_flops_count_both_streams(truth):
    model = initialize_grid_model(GridModel(tiny()))
    flops, seconds = model_flops(model, truth, repeats=1)
    tokens, width = V * T * (H // 8) * (W // 8), model.config.width
    in_blocks = 2 * model.config.depth * tokens * 2 * (4 * width**2 + 2 * width * model.config.mlp_width)
    assert flops > in_blocks and seconds > 0
    assert matrix_peak(torch.float32, size=64, repeats=1) > 0
