"""Whether the tiles of a grid can be seen: how much neighbouring cells differ across a seam, against how much they differ inside a tile.

Shape suffixes: V views, T times.
"""

from __future__ import annotations

import math

from torch import Tensor

from ..grid import FrameGrid
from ..sampling.tiles import spans


def seam_jumps(grid: FrameGrid, known_VT: Tensor, tile: tuple[int, int]) -> tuple[float, float]:
    """(along views, along times): the mean difference of neighbouring cells on the two sides of a seam over that inside tiles; 1 where seams are like any place.

    known: bool [V, T], cells that were not filled; differences between two of them do not count. NaN along an axis with no seam, or where
    nothing inside a tile differs.
    """
    found = []
    for axis, longest in enumerate(tile):
        count = grid.known.shape[axis] - 1
        before, after = grid.frames.narrow(axis, 0, count), grid.frames.narrow(axis, 1, count)
        made = ~(known_VT.narrow(axis, 0, count) & known_VT.narrow(axis, 1, count))
        seams = {span.stop - 1 for span in spans(count + 1, longest)[:-1]}  # shared cells are the earlier tile's
        across, inside = [], []
        for place in range(count):
            at = made.select(axis, place)
            jumps = (after.select(axis, place)[at] - before.select(axis, place)[at]).abs().mean((1, 2, 3))
            (across if place in seams else inside).extend(jumps.tolist())
        mean = sum(inside) / len(inside) if inside else 0.0
        found.append(sum(across) / len(across) / mean if across and mean else math.nan)
    return found[0], found[1]
