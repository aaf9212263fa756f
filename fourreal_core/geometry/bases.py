"""Which known cells a fill starts from: one view known at all times and one time known from all views, or several of them.

Each base gives a whole fill of its own. Where there are several, each pixel is taken from one of them, never mixed: from the one whose
error is expected to be smaller, and rather from the nearer one. [ours] Next to read: fill.py.
Shape suffixes: V views, T times, N bases, H W pixels.
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
    bases: Sequence[tuple[int, int]], frames: Sequence[Tensor], sure: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Frames [V, T, H, W, 3] and confidences [V, T, H, W], each pixel from one base's fill: frames and confidences of each base alike."""
    views, times, height, width = sure[0].shape
    reach = 2 * (max(height, width) // (2 * AROUND)) + 1
    least_VTHW, taken, trusted = None, frames[0].clone(), sure[0].clone()
    for (view, time), cells, sure_VTHW in zip(bases, frames, sure):
        error = (1 / sure_VTHW.clamp(1e-4, 1) - 1).clamp_min(1e-6).sqrt()
        around = functional.avg_pool2d(error.flatten(0, 1)[:, None], reach, 1, reach // 2, count_include_pad=False)
        expected = around.view_as(error) * _away((views, times), (view, time))[..., None, None]
        nearer = torch.ones_like(error, dtype=torch.bool) if least_VTHW is None else expected < least_VTHW
        least_VTHW = expected if least_VTHW is None else torch.where(nearer, expected, least_VTHW)
        taken, trusted = torch.where(nearer[..., None], cells, taken), torch.where(nearer, sure_VTHW, trusted)
    return taken, trusted


def _away(shape: tuple[int, int], base: tuple[int, int]) -> Tensor:
    """[V, T]: how much an error counts in each cell for this base."""
    views, times = (
        (torch.arange(count) - place).abs() / max(count - 1, 1) + REACH for count, place in zip(shape, base)
    )
    return views[:, None] * times
