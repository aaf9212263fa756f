"""The sound of a video along a path: that of the fixed-view video, where time runs forward at its speed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..files.sound import Sound
from ..grid import FrameGrid

EVEN = 0.01  # of a step in time: how far one may be from the grid's own speed


def sound_along(grid: FrameGrid, path: Sequence[tuple[float, float]], fps: float) -> Sound | None:
    """What is heard along (view, time) positions, one per frame, at `fps` frames per second.

    None where the grid has no sound, and where time does not run forward at the grid's own speed all along: a moment that is frozen, slow
    motion, or the way back. How views change does not matter. A video of one frame has no speed, and no sound.
    """
    if grid.sound is None or len(path) < 2:
        return None
    step = grid.fps / fps
    if any(abs(after[1] - before[1] - step) > EVEN * step for before, after in itertools.pairwise(path)):
        return None
    return grid.sound.cut(path[0][1] / grid.fps, len(path) / fps)
