"""Marked cells become the unknown ones."""

import pytest
import torch

from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.redo import most_doubtful, parse_marks, with_marks_unknown

V, T = 3, 5


def filled(known=None) -> FrameGrid:
    frames_VTHWC = torch.rand(V, T, 4, 6, 3, generator=torch.Generator().manual_seed(0))
    return FrameGrid(frames_VTHWC, task_known(V, T) if known is None else known)


def test_marks_are_cells_and_those_outside_are_counted():
    marked_VT, outside = parse_marks("[[1, 4], [2, 0], [3, 0], [0, 5]]", (V, T))
    assert marked_VT.nonzero().tolist() == [[1, 4], [2, 0]] and outside == 2


@pytest.mark.parametrize("text", ["", "  ", "[]"])
def test_nothing_marks_nothing(text):
    assert not parse_marks(text, (V, T))[0].any()


@pytest.mark.parametrize(
    "text",
    ["{", "{}", "[1]", "[[1]]", "[[1, -1]]", "[[1, 2.0]]", "[[true, 1]]", '[["1", 2]]', "[" * 100_000, "9" * 5000],
)
def test_what_is_no_list_of_cells_is_refused(text):
    with pytest.raises(ValueError, match="expected marked cells to be a JSON list"):
        parse_marks(text, (V, T))


def test_just_the_marked_cells_are_unknown_and_no_pixel_changes():
    grid = filled()
    marked_VT, _ = parse_marks("[[0, 0], [2, 3]]", (V, T))
    redo = with_marks_unknown(grid, marked_VT)
    assert torch.equal(redo.known, ~marked_VT) and torch.equal(redo.frames, grid.frames)
    assert torch.equal(grid.known, task_known(V, T))


def test_a_cell_that_was_never_filled_stays_unknown():
    grid = filled()
    frames = grid.frames.clone()
    frames[1, 1] = 0  # unknown and black
    frames[0, 1] = 0  # known, and really black
    redo = with_marks_unknown(grid.replace(frames=frames), torch.zeros(V, T, dtype=torch.bool))
    assert (~redo.known).nonzero().tolist() == [[1, 1]]


def test_the_most_doubtful_cells_come_first_and_given_ones_never():
    confidence_VTHWC = torch.ones(V, T, 2, 3, 3)
    confidence_VTHWC[0, 1], confidence_VTHWC[2, 3], confidence_VTHWC[1, 4, 0] = 0, 0.2, 0
    order = most_doubtful(confidence_VTHWC, ~task_known(V, T))
    assert order[:3] == [[2, 3], [1, 4], [1, 1]]
    assert len(order) == (V - 1) * (T - 1)
    assert most_doubtful(confidence_VTHWC, torch.zeros(V, T, dtype=torch.bool)) == []
