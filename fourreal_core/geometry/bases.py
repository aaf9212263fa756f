"""Which known cells a fill starts from: one view known at all times and one time known from all views, or several of them.

Each base gives a fill of its own. Where there are several, each pixel is taken from one of them, never mixed: from the one whose
error is expected to be smaller, and rather from the nearer one. [ours] Next to read: fill.py.
Shape suffixes: V views, T times, N bases or known cells, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import FrameGrid
from .scene import SceneUnknown

SMALLEST = 12  # pixels of the shorter side
MOST = 3  # bases: each costs as much as the first
WORTH = 0.1  # share of the distance to all unknown cells that one more base takes off at least
REACH = 0.5  # of the grid: a base so much farther away counts as twice as wrong
AROUND = 14  # times that an error is averaged over pixels so far apart as fit into a frame: single pixels say little


def base_cell(grid: FrameGrid) -> tuple[int, int]:
    """(view, time) whose view is known at all times and whose time is known from all views; the first of several.

    Raises SceneUnknown when there is none, or nothing to be learned from one view or one time.
    """
    return base_cells(grid)[0]


def base_cells(grid: FrameGrid) -> list[tuple[int, int]]:
    """The first, then always the one that brings the unknown cells nearest to a base, as long as that is worth it. Raises as `base_cell`."""
    if grid.views < 2:
        raise SceneUnknown("a single view has no parallax: add a freeze-time video.")
    if min(grid.height, grid.width) < SMALLEST:
        raise SceneUnknown(f"frames of less than {SMALLEST} pixels per side show too little.")
    views, times = grid.known.all(1).nonzero(), grid.known.all(0).nonzero()
    if not len(views) or not len(times):
        raise SceneUnknown("it needs one view known at all times and one time known from all views.")
    cells = [(int(view), int(time)) for view in views for time in times]
    unknown = ~grid.known
    away_NU = torch.stack([_away((grid.views, grid.times), cell)[unknown] for cell in cells])
    chosen = [0]
    while len(chosen) < min(MOST, len(cells)) and bool(unknown.any()):
        now_U = away_NU[chosen].amin(0)
        gains_N = (now_U - torch.minimum(now_U, away_NU)).sum(1)
        if float(gains_N.max()) < WORTH * float(now_U.sum()):
            break
        chosen.append(int(gains_N.argmax()))
    return [cells[number] for number in chosen]


def chosen_from(
    bases: Sequence[tuple[int, int]],
    shape: tuple[int, int],
    at: tuple[int, int],
    filled: Sequence[tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """One cell [H, W, 3] and its confidence [H, W], each pixel from one base's fill of it: `filled` has both of each base.

    shape: views and times of the grid; at: the cell's.
    """
    if len(bases) == 1:
        return filled[0]
    frames_NHW3, sure_NHW = (torch.stack(parts) for parts in zip(*filled))
    reach = 2 * (max(sure_NHW.shape[1:]) // (2 * AROUND)) + 1
    error = (1 / sure_NHW.clamp(1e-4, 1) - 1).clamp_min(1e-6).sqrt()
    around = functional.avg_pool2d(error[:, None], reach, 1, reach // 2, count_include_pad=False)[:, 0]
    away_N = torch.stack([_away(shape, base)[at] for base in bases])
    chosen_1HW = (around * away_N[:, None, None]).argmin(0, keepdim=True)
    frame_HW3 = frames_NHW3.gather(0, chosen_1HW[..., None].expand(-1, -1, -1, 3))[0]
    return frame_HW3, sure_NHW.gather(0, chosen_1HW)[0]


def _away(shape: tuple[int, int], base: tuple[int, int]) -> Tensor:
    """[V, T]: how much an error counts in each cell for this base."""
    views, times = (
        (torch.arange(count) - place).abs() / max(count - 1, 1) + REACH for count, place in zip(shape, base)
    )
    return views[:, None] * times
