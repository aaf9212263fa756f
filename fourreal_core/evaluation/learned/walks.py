"""Walks through a grid, as videos for networks that judge videos: 16 frames each, in a stated order.

Shape suffixes: F frames of a walk, H W pixels, C = 3 colour channels.
"""

from __future__ import annotations

from torch import Tensor

from ...grid import FrameGrid

FRAMES = 16
ORDERS = {
    "snake": "along time at one view, a step to the next view, back along time, and so on; one walk from each cell that it can start in",
    "views": "along views at one time, back, and so on; one walk per time",
    "times": "along time at one view, back, and so on; one walk per view",
}
Cell = tuple[int, int]


def walks(views: int, times: int, order: str = "snake", frames: int = FRAMES) -> list[list[Cell]]:
    """Cells (view, time) of each walk, `frames` each. Every step goes to a neighbour.

    order: a key of ORDERS. "snake" goes there and back along the whole snake where that is shorter than a walk, and starts half a walk apart. Raises ValueError for
    another order, or a grid of one cell.
    """
    if order not in ORDERS:
        raise ValueError(f"expected the order of walks to be one of {', '.join(ORDERS)}, got {order!r}.")
    if views * times < 2:
        raise ValueError("expected a grid of at least two cells to walk through, got one.")
    if order == "times":
        return [_bounced([(view, time) for time in range(times)], frames) for view in range(views)]
    if order == "views":
        return [_bounced([(view, time) for view in range(views)], frames) for time in range(times)]
    snake = [(view, time if view % 2 == 0 else times - 1 - time) for view in range(views) for time in range(times)]
    if len(snake) < frames:
        return [_bounced(snake, frames)]
    starts = range(0, len(snake) - frames + 1, frames // 2)
    return [snake[start : start + frames] for start in starts]


def _bounced(line: list[Cell], frames: int) -> list[Cell]:
    """Forth and back along a line until there are enough; a line of one cell stays there."""
    if len(line) == 1:
        return line * frames
    loop = line + line[-2:0:-1]
    return [loop[step % len(loop)] for step in range(frames)]


def walk_frames(grid: FrameGrid, cells: list[Cell]) -> Tensor:
    """float32 [F, H, W, C] in 0..1."""
    views, times = zip(*cells)
    return grid.frames[list(views), list(times)]
