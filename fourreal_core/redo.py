"""Some cells of a filled grid made again while all others are held: what to sample, and what the result says about itself.

Between `redo_task` and `after_redo` any sampler fills the unknown cells, as it does for every grid. Cells are marked in a mask or, by hand in
the player, in a text.

Shape suffixes: V views, T times, N masks, H W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .grid import FrameGrid

MOST_TEXT = 2**20  # characters of marks
MARKED = 0.5  # a pixel of a mask above this marks its cell


def redo_task(grid: FrameGrid, redo_VT: Tensor) -> FrameGrid:
    """The grid to sample: cells in `redo_VT` (bool) unknown, all other cells known, except those that were never filled.

    Pixels are shared, not changed. Raises ValueError when no cell is left to hold on to.
    """
    task = with_marks_unknown(grid, redo_VT)
    if not task.known.any():
        raise ValueError(
            "the mask marks every filled cell, so there is nothing to start from: unmark at least one, or "
            "sample the grid without a mask."
        )
    return task


def after_redo(grid: FrameGrid, sampled: FrameGrid, facts: Mapping[str, Any]) -> FrameGrid:
    """`sampled`, a filled `redo_task` of `grid`, that tells which cells are input and which were made again.

    Known are the known cells of `grid` that were not sampled; a sampled one is no input any more. The provenance of `grid` stays, and its
    list "redone" gets one entry {"cells": [[view, time], ...], **facts}.
    """
    sampled_VT = ~sampled.known
    earlier = grid.provenance.get("redone")
    redone = [*(earlier if isinstance(earlier, list) else []), {**facts, "cells": sampled_VT.nonzero().tolist()}]
    return sampled.replace(known=grid.known & ~sampled_VT, provenance={**grid.provenance, "redone": redone})


def cells_from_mask(mask: Tensor, grid_shape: tuple[int, int]) -> Tensor:
    """Bool [V, T]: the cells that a mask marks. grid_shape: (V, T).

    mask: V T masks [N, H, W] of any size, all times of view 0 first, where one pixel above 0.5 marks the cell; or one mask [1, V, T] or
    [V, T] with a pixel per cell, views downwards and times rightwards. Raises ValueError on any other shape.
    """
    views, times = grid_shape
    mask_NHW = mask[None] if mask.ndim == 2 else mask
    if mask_NHW.ndim == 3 and mask_NHW.numel() > 0:
        if len(mask_NHW) == views * times:
            return (mask_NHW > MARKED).flatten(1).any(dim=1).view(views, times).cpu()
        if tuple(mask_NHW.shape) == (1, views, times):
            return (mask_NHW[0] > MARKED).cpu()
    raise ValueError(
        f"expected a mask of {times}x{views} pixels, one per cell of this grid of {views} views and {times} "
        f"times, or {views * times} masks, got shape {list(mask.shape)}: connect marked of a 4Real Grid "
        "Player that shows this grid."
    )


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


def with_marks_unknown(grid: FrameGrid, marked_VT: Tensor) -> FrameGrid:
    """The same pixels, with the marked cells unknown and all others known.

    Unknown cells that are still black were never filled and stay unknown.
    """
    return grid.replace(known=filled_cells(grid) & ~marked_VT)


def most_doubtful(confidence_VTHWC: Tensor, among_VT: Tensor) -> list[list[int]]:
    """The cells in `among_VT` (bool) as [view, time], the least certain first; with equal means, by view and time.

    confidence_VTHWC: 0 doubtful to 1 certain, of any size per cell, such as a fill's confidence or a heat map's `as_confidence`.
    """
    means_VT = torch.where(among_VT, confidence_VTHWC.float().flatten(2).mean(2).cpu(), torch.inf)
    order = means_VT.flatten().argsort(stable=True)[: int(among_VT.sum())]
    return [list(divmod(place, among_VT.shape[1])) for place in order.tolist()]


def filled_cells(grid: FrameGrid) -> Tensor:
    """Bool [V, T]: the cells that hold a picture, known or made; an unknown cell that is all black was never filled."""
    return grid.known | grid.frames.flatten(2).any(dim=2)


def _cells(text: str) -> list[tuple[int, int]]:
    problem = "expected marked cells to be a JSON list of [view, time], for example [[2, 5]]"
    if not text.strip():
        return []
    if len(text) > MOST_TEXT:
        raise ValueError(f"{problem}, got {len(text)} characters of them: clear the marks in the player.")
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{problem}, got text that is not valid JSON ({str(error)[:80]}): clear the marks in the player."
        ) from error
    if not isinstance(cells, list):
        raise ValueError(f"{problem}, got {type(cells).__name__}: clear the marks in the player.")
    for cell in cells:
        if not isinstance(cell, list) or len(cell) != 2 or any(type(index) is not int or index < 0 for index in cell):
            raise ValueError(f"{problem}, got {str(cell)[:60]} in it: clear the marks in the player.")
    return [(view, time) for view, time in cells]
