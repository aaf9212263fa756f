"""Some cells of a filled grid made again while all others are held: what to sample, and what the result says about itself.

Between the two functions any sampler fills the unknown cells, as it does for every grid. Cells marked by hand: marks.py.

Shape suffixes: V views, T times, N masks, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .grid import FrameGrid
from .marks import with_marks_unknown

MARKED = 0.5  # a pixel of a mask above this marks its cell


def redo_task(grid: FrameGrid, redo_VT: Tensor) -> FrameGrid:
    """The grid to sample: cells in `redo_VT` (bool) unknown, all other cells known, except those that were never filled.

    Pixels are shared, not changed. Raises ValueError when no cell is left to hold on to.
    """
    task = with_marks_unknown(grid, redo_VT)
    if not task.known.any():
        raise ValueError(
            "expected some cells to hold, got a mask that marks every filled cell: unmark at least one, or sample the grid "
            "without a mask."
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
        f"expected {views * times} masks, one per cell of this grid of {views} views and {times} times, or one mask of {times}x{views} "
        f"pixels, one per cell, got shape {list(mask.shape)}: connect marked of a 4Real Grid Player that shows this grid."
    )
