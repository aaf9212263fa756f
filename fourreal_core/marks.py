"""Cells that someone marked as bad, and the grid in which just those are unknown, so that a sampler makes them again.

Shape suffixes: V views, T times.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor

from .grid import FrameGrid


def parse_marks(text: str, grid_shape: tuple[int, int]) -> tuple[Tensor, int]:
    """JSON list of [view, time] -> (bool [V, T], how many marks lie outside of the grid). An empty text marks nothing.

    Marks outside belong to an earlier, larger grid and are counted, not refused. Raises ValueError on anything that is no such list.
    """
    views, times = grid_shape
    marked_VT, outside = torch.zeros(views, times, dtype=torch.bool), 0
    for view, time in _cells(text):
        if view < views and time < times:
            marked_VT[view, time] = True
        else:
            outside += 1
    return marked_VT, outside


def _cells(text: str) -> list[tuple[int, int]]:
    problem = "expected marked cells as a JSON list of [view, time], for example [[2, 5]]"
    if not text.strip():
        return []
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{problem}, got text that is no JSON ({str(error)[:80]}): clear the marks in the player."
        ) from error
    if not isinstance(cells, list):
        raise ValueError(f"{problem}, got {type(cells).__name__}: clear the marks in the player.")
    for cell in cells:
        if not isinstance(cell, list) or len(cell) != 2 or any(type(index) is not int or index < 0 for index in cell):
            raise ValueError(f"{problem}, got {str(cell)[:60]} in it: clear the marks in the player.")
    return [(view, time) for view, time in cells]


def with_marks_unknown(grid: FrameGrid, marked_VT: Tensor) -> FrameGrid:
    """The same pixels, with the marked cells unknown and all others known.

    Unknown cells that are still black were never filled and stay unknown.
    """
    return grid.replace(known=filled_cells(grid) & ~marked_VT)


def filled_cells(grid: FrameGrid) -> Tensor:
    """Bool [V, T]: the cells that hold a picture, known or made; an unknown cell that is all black was never filled."""
    return grid.known | grid.frames.flatten(2).any(dim=2)
