"""Pseudo-4D grids: the first view is the video, later views are known transforms of it, and what lies outside is reported."""

import pytest
import torch

from fourreal_core.data import pseudo4d
from fourreal_core.data.pseudo4d import homography, pseudo_grid, random_homographies, warp

V, T, H, W = 3, 5, 18, 32


def video(height: int = H, width: int = W) -> torch.Tensor:
    return torch.rand(T, height, width, 3, generator=torch.Generator().manual_seed(0))


def test_first_view_is_the_cropped_video_and_fully_valid(monkeypatch):
    monkeypatch.setattr(pseudo4d, "SMALLEST_CROP", 1.0)
    grid, valid = pseudo_grid(video(), V, torch.Generator().manual_seed(1))
    assert grid.frames.shape == (V, T, H, W, 3) and grid.known.all() and valid.shape == (V, T, H, W)
    assert torch.allclose(grid.frames[0], video(), atol=1e-5)
    assert valid[0].all()
    assert not torch.allclose(grid.frames[-1], video(), atol=0.05)


def test_crop_takes_the_target_size_and_keeps_the_shape_of_things():
    ramp = torch.linspace(0, 1, 48)[None, None, :, None].expand(T, 40, 48, 3)
    grid, _ = pseudo_grid(ramp, V, torch.Generator().manual_seed(2), height=9, width=16)
    assert grid.frames.shape == (V, T, 9, 16, 3)
    steps = grid.frames[0, 0, 4, :, 0].diff()[2:-2]
    assert torch.allclose(steps, steps.mean().expand_as(steps), atol=1e-3) and 0.6 / 16 < steps.mean() < 1.03 / 16


def test_translation_by_whole_pixels_shifts_and_invalidates_exactly():
    pixels = 3
    shift = homography(torch.tensor([2 * pixels / H, 0, 0, 0, 0, 0, 0, 0, 0.0]), W / H)
    frames_TCHW = video().permute(0, 3, 1, 2)
    moved, valid = warp(frames_TCHW, shift)
    assert torch.allclose(moved[..., pixels:], frames_TCHW[..., :-pixels], atol=1e-4)
    assert not valid[:, :pixels].any() and valid[:, pixels:].all()


def test_views_are_linear_steps_from_the_identity():
    matrices = random_homographies(5, W / H, torch.Generator().manual_seed(3))
    assert torch.equal(matrices[0], torch.eye(3, dtype=torch.float64))
    assert torch.allclose(matrices[2, :2, 2], matrices[4, :2, 2] / 2)


def test_parts_of_the_homography_are_in_the_paper_s_order():
    aspect = 2.0
    only_project = homography(torch.tensor([0, 0, 0, 0, 0, 0, 0, 0.4, 0.1]), aspect)
    assert torch.allclose(only_project[2], torch.tensor([0.2, 0.1, 1.0]).double())
    moved_last = homography(torch.tensor([0.5, -0.25, 0.3, 0.2, 0.1, 0, 0, 0, 0]), aspect)
    assert torch.allclose(moved_last @ torch.tensor([0, 0, 1.0]).double(), torch.tensor([0.5, -0.25, 1.0]).double())


def test_same_generator_same_grid_and_input_untouched():
    frames = (video() * 255).to(torch.uint8)
    before = frames.clone()
    one, _ = pseudo_grid(frames, V, torch.Generator().manual_seed(4))
    two, _ = pseudo_grid(frames, V, torch.Generator().manual_seed(4))
    assert torch.equal(one.frames, two.frames) and torch.equal(frames, before)


@pytest.mark.parametrize("shape", [(0, H, W, 3), (T, H, W, 4), (H, W, 3)])
def test_other_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"expected a video \[T, H, W, 3\]"):
        pseudo_grid(torch.zeros(shape), V, torch.Generator())
