"""Model-free fills: known answers on scenes where they are right, known cells untouched, inputs unchanged."""

import pytest
import torch
from exchanging import exchanged

from fourreal_core.evaluation.baselines import additive_fill, copy_fill, copy_time_fill
from fourreal_core.grid import FrameGrid

V, T, H, W = 3, 5, 8, 16


def inputs_of(truth_VTHWC):
    return FrameGrid.from_videos(truth_VTHWC[0], truth_VTHWC[:, 0])


def random_truth():
    return torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))


def test_fills_are_right_on_the_scenes_they_assume():
    still = random_truth()[:, :1].expand(V, T, H, W, 3)
    assert torch.equal(copy_fill(inputs_of(still)).frames, still)
    fixed_camera = random_truth()[:1].expand(V, T, H, W, 3)
    assert torch.equal(copy_time_fill(inputs_of(fixed_camera)).frames, fixed_camera)
    additive = 0.25 + random_truth()[:, :1] * 0.25 + random_truth()[:1] * 0.25
    assert torch.allclose(additive_fill(inputs_of(additive)).frames, additive, atol=1e-6)


@pytest.mark.parametrize("fill", [copy_fill, copy_time_fill, additive_fill])
def test_known_cells_stay_and_the_input_is_unchanged(fill):
    grid = inputs_of(random_truth())
    grid = grid.replace(
        frames=grid.frames.index_put((torch.tensor(2), torch.tensor(3)), torch.tensor(0.5)), provenance={"seed": 3}
    )
    grid.known[2, 3] = True
    before = grid.frames.clone()
    filled = fill(grid)
    assert torch.equal(filled.frames[grid.known], before[grid.known]) and torch.equal(grid.frames, before)
    assert torch.equal(filled.known, grid.known) and filled.provenance["seed"] == 3 and "fill" in filled.provenance
    assert 0 <= filled.frames.min() and filled.frames.max() <= 1
    filled.frames.zero_()
    assert torch.equal(grid.frames, before)


def test_swapping_view_and_time_swaps_the_two_copies():
    grid = inputs_of(random_truth())
    assert torch.equal(copy_fill(exchanged(grid)).frames, exchanged(copy_time_fill(grid)).frames)
    assert torch.allclose(additive_fill(exchanged(grid)).frames, exchanged(additive_fill(grid)).frames, atol=1e-6)


def test_a_grid_without_its_two_videos_is_refused():
    grid = inputs_of(random_truth())
    with pytest.raises(ValueError, match="got 5 of 5 and 1 of 3"):
        copy_fill(grid.replace(known=torch.arange(V)[:, None].expand(V, T) == 0))
