"""A small filled grid brought to full size: the small one says what is shown, the candidates give the detail."""

import pytest
import torch
from planes import plane_scene
from torch.nn import functional

from fourreal_core.evaluation.image import psnr, sharpness
from fourreal_core.geometry.agreeing import agreed
from fourreal_core.geometry.fill import detail_grid, find_sources
from fourreal_core.grid import task_known

V, T, H, W, h, w = 2, 3, 36, 60, 9, 15


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def shrunk(picture_3HW: torch.Tensor) -> torch.Tensor:
    small = functional.interpolate(picture_3HW[None], size=(h, w), mode="bilinear", antialias=True)
    return small[0].movedim(0, -1)


def test_the_candidate_that_the_small_picture_shows_is_taken():
    candidates = noise(3, 3, H, W)
    cell, error = agreed(candidates, shrunk(candidates[1]))
    assert torch.allclose(cell.movedim(-1, 0), candidates[1], atol=0.01) and cell.shape == (H, W, 3)
    assert error.max() < 0.01


def test_each_half_is_taken_from_the_candidate_that_agrees_there():
    one, other = noise(3, H, W), noise(3, H, W, seed=1)
    wanted = torch.cat([one[..., : W // 2], other[..., W // 2 :]], -1)
    cell, _ = agreed(torch.stack([one, other]), shrunk(wanted))
    away = torch.ones(W, dtype=torch.bool)
    away[W // 2 - 10 : W // 2 + 10] = False
    assert torch.allclose(cell[:, away], wanted.movedim(0, -1)[:, away], atol=0.02)


def test_where_no_candidate_agrees_the_small_picture_is_enlarged_and_said_to_be_unsure():
    small = shrunk(noise(3, H, W, seed=2))
    cell, error = agreed(torch.zeros(2, 3, H, W), small)
    enlarged = functional.interpolate(small.movedim(-1, 0)[None], size=(H, W), mode="bicubic")[0].clamp(0, 1)
    assert psnr(cell, enlarged.movedim(0, -1)) > 30 and error.min() > 0.04


def test_shrunk_again_the_cell_is_the_small_picture():
    small = shrunk(functional.avg_pool2d(noise(3, H, W, seed=3), 9, 1, 4))
    cell, _ = agreed(functional.avg_pool2d(noise(4, 3, H, W, seed=4), 9, 1, 4), small)
    assert psnr(shrunk(cell.movedim(-1, 0)), small) > 35


@pytest.mark.parametrize("method", [pytest.param("scene", marks=pytest.mark.slow), "transport"])
def test_a_small_true_grid_comes_back_sharp(method):
    scene = plane_scene(V, T, H, W)
    task, truth = scene.grid(), scene.grid().replace(frames=scene.frames_VTHW3)
    small = truth.resized(h, w, fit="stretch")
    filled = find_sources(task, method=method).detailed(small.frames)
    unknown = ~task_known(V, T)
    assert filled.method == method and torch.equal(filled.grid.frames[task.known], task.frames[task.known])
    assert (filled.confidence[task.known] == 1).all() and filled.confidence[unknown].max() <= 1
    enlarged = small.resized(H, W, fit="stretch").frames[unknown]
    made, true = filled.grid.frames[unknown], truth.frames[unknown]
    everywhere = torch.ones(true.shape[:3], dtype=torch.bool)
    assert psnr(made, true) > psnr(enlarged, true) + 1
    assert sharpness(made, true, everywhere) > sharpness(enlarged, true, everywhere) + 0.1
    if method == "scene":
        assert torch.equal(detail_grid(task, small).grid.frames, filled.grid.frames)


@pytest.mark.parametrize("size, said", [((3, 3, h, w), "2 views and 3 times"), ((V, T, H, W), "smaller cells"), ((V, T, h, 40), "cells of one shape")])  # fmt: skip
def test_a_grid_that_is_no_smaller_copy_gets_a_sentence(size, said):
    task = plane_scene(V, T, H, W).grid()
    other = task.replace(frames=torch.zeros(*size, 3), known=torch.ones(size[:2], dtype=torch.bool), cameras=None)
    with pytest.raises(ValueError, match=said):
        detail_grid(task, other)
