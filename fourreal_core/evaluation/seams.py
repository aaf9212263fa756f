"""Whether the tiles of a grid can be seen: how much neighbouring cells differ across a seam, against how much they differ beside it.

Shape suffixes: V views, T times.
"""

from __future__ import annotations

import math

from torch import Tensor

from ..grid import FrameGrid
from ..sampling.tiles import spans


def seam_jumps(grid: FrameGrid, known_VT: Tensor, tile: tuple[int, int]) -> tuple[float, float]:
    """(along views, along times): the mean difference of neighbouring cells on the two sides of a seam over that one step before and after it; 1
    where a seam is like the places beside it, whatever moves there.

    known: bool [V, T], cells that were not filled; differences between two of them do not count. NaN along an axis with no seam, or where
    nothing beside it differs. [ours]
    """
    found = []
    for axis, longest in enumerate(tile):
        steps = _steps(grid, ~known_VT, axis)
        seams = [
            span.stop - 1 for span in spans(grid.known.shape[axis], longest)[:-1]
        ]  # shared cells are the earlier tile's
        beside = [place + side for place in seams for side in (-1, 1) if place + side < len(steps)]
        mean = sum(steps[place] for place in beside) / len(beside) if beside else 0.0
        found.append(sum(steps[place] for place in seams) / len(seams) / mean if mean else math.nan)
    return found[0], found[1]


def movement_in_later_tiles(grid: FrameGrid, known_VT: Tensor, tile: tuple[int, int]) -> float:
    """The mean difference of neighbouring times in all but the first tiles of times, over that of known cells there; less than 1 where movement is lost.

    known: as above, with one view at all times. NaN without a second tile, and where known cells do not change. [ours]
    """
    start = spans(grid.times, tile[1])[0].stop - 1
    made, given = (
        sum(_steps(grid, cells_VT, 1)[start:]) for cells_VT in (~known_VT, known_VT.all(1)[:, None].expand_as(known_VT))
    )
    return made / given if given else math.nan


def _steps(grid: FrameGrid, counted_VT: Tensor, axis: int) -> list[float]:
    """The mean difference of each place along an axis and the next, over pairs of cells of which one counts; 0 where none does."""
    count, found = grid.known.shape[axis] - 1, []
    counts = counted_VT.narrow(axis, 0, count) | counted_VT.narrow(axis, 1, count)
    for place in range(count):
        at = counts.select(axis, place)
        before, after = (grid.frames.select(axis, place + step)[at] for step in (0, 1))
        found.append(float((after - before).abs().mean()) if bool(at.any()) else 0.0)
    return found
