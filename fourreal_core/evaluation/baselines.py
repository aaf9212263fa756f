"""Grids filled without any model: what every trained model has to beat. All keep known cells bit-exact and never write into their input.

Shape suffixes: V views, T times, H W pixels, C = 3 colour channels. `x[v, t]` is the frame of view v at time t.
"""

from __future__ import annotations

from torch import Tensor

from ..grid import FrameGrid


def copy_fill(grid: FrameGrid) -> FrameGrid:
    """Unknown x[v, t] = x[v, 0]: the camera moves and nothing else does."""
    return _filled(grid, grid.frames[:, :1].expand_as(grid.frames), "copy")


def copy_time_fill(grid: FrameGrid) -> FrameGrid:
    """Unknown x[v, t] = x[0, t]: everything moves and the camera does not."""
    return _filled(grid, grid.frames[:1].expand_as(grid.frames), "copy_time")


def additive_fill(grid: FrameGrid) -> FrameGrid:
    """Unknown x[v, t] = x[v, 0] + x[0, t] - x[0, 0], clamped to 0..1: right wherever only one of camera and scene changes a pixel."""
    x = grid.frames
    return _filled(grid, (x[:, :1] + x[:1] - x[:1, :1]).clamp(0, 1), "additive")


def _filled(grid: FrameGrid, guess_VTHWC: Tensor, name: str) -> FrameGrid:
    if not (grid.known[0].all() and grid.known[:, 0].all()):
        raise ValueError(
            "expected the cells of the first view and of the first time to be known, got "
            f"{int(grid.known[0].sum())} of {grid.times} and {int(grid.known[:, 0].sum())} of {grid.views}: "
            "this fill needs a fixed-view and a freeze-time video."
        )
    return grid.filled(guess_VTHWC).replace(provenance={**grid.provenance, "fill": name})
