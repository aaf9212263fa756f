"""Cells made again: what a mask means, what is held, and what the result says about itself."""

import pytest
import torch

from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.redo import after_redo, cells_from_mask, redo_task
from fourreal_core.sampling.sample import sample_grid

V, T, H, W = 3, 5, 8, 16


def filled(known=None, **changes) -> FrameGrid:
    frames_VTHWC = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    return FrameGrid(frames_VTHWC, task_known(V, T) if known is None else known, **changes)


def marks(*cells) -> torch.Tensor:
    marked_VT = torch.zeros(V, T, dtype=torch.bool)
    for cell in cells:
        marked_VT[cell] = True
    return marked_VT


def test_one_mask_per_cell_is_view_major_and_any_pixel_counts():
    mask_NHW = torch.zeros(V * T, H, W)
    mask_NHW[1 * T + 2, 3, 4], mask_NHW[2 * T + 4] = 0.6, 1.0
    mask_NHW[8] = 0.5  # not above
    assert torch.equal(cells_from_mask(mask_NHW, (V, T)), marks((1, 2), (2, 4)))


@pytest.mark.parametrize("shape", [(1, V, T), (V, T)])
def test_one_mask_with_a_pixel_per_cell(shape):
    assert torch.equal(cells_from_mask(marks((2, 1)).float().view(shape), (V, T)), marks((2, 1)))


@pytest.mark.parametrize("shape", [(V * T - 1, H, W), (1, T, V), (2, V, T), (V * T, 0, W), (V, T, H, W), (V * T,)])
def test_other_shapes_get_one_clear_sentence(shape):
    with pytest.raises(
        ValueError,
        match="expected a mask of 5x3 pixels, one per cell of this grid of 3 views and 5 times, or 15 masks",
    ):
        cells_from_mask(torch.ones(shape), (V, T))


def test_all_cells_are_held_but_the_marked_ones_and_those_never_filled():
    grid = filled()
    grid.frames[1, 1] = 0
    task = redo_task(grid, marks((1, 2), (0, 3)))
    assert torch.equal(~task.known, marks((1, 2), (0, 3), (1, 1)))
    assert torch.equal(task.frames, grid.frames)


def test_marking_everything_gets_one_clear_sentence():
    with pytest.raises(ValueError, match="marks every filled cell, .*: unmark at least one"):
        redo_task(filled(), torch.ones(V, T, dtype=torch.bool))


@pytest.mark.parametrize(
    "known", [task_known(V, T), torch.ones(V, T, dtype=torch.bool)], ids=["sampled grid", "whole grid"]
)
def test_sampling_again_changes_just_the_marked_cells_and_known_stays_true(known):
    model = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0))
    grid, redo_VT = filled(known, provenance={"seed": 1}), marks((0, 3), (1, 2), (2, 4))
    frames_before = grid.frames.clone()
    result = after_redo(grid, sample_grid(model, redo_task(grid, redo_VT), "hard", steps=2, seed=7), {"seed": 7})
    assert torch.equal(result.frames[~redo_VT], grid.frames[~redo_VT])
    assert ((result.frames != grid.frames).flatten(2).any(2) == redo_VT).all()
    assert torch.equal(result.known, known & ~redo_VT)  # the known cell (0, 3) was made again and is no input any more
    assert torch.equal(grid.frames, frames_before) and torch.equal(grid.known, known)


def test_the_provenance_keeps_how_the_grid_was_made_and_lists_each_redo():
    grid = filled(provenance={"seed": 1, "sync": "soft"})
    once = after_redo(grid, redo_task(grid, marks((1, 2))), {"seed": 7})
    twice = after_redo(once, redo_task(once, marks((2, 4))), {"seed": 8})
    assert twice.provenance == {
        "seed": 1,
        "sync": "soft",
        "redone": [{"seed": 7, "cells": [[1, 2]]}, {"seed": 8, "cells": [[2, 4]]}],
    }
    foreign = filled(provenance={"redone": "yes"})
    assert after_redo(foreign, redo_task(foreign, marks((1, 1))), {}).provenance["redone"] == [{"cells": [[1, 1]]}]
