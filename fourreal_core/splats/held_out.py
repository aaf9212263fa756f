"""Which cells a fit is not shown, so that they can score it: between others, far from each other. Next to read: report.py.

Shape suffixes: V views, T times.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SHARE = 1 / 8  # of the cells
MOST = 24


def rest_time(weight_VT: Tensor) -> int:
    """The time at which the scene is fitted first: the one with the best cells; among equals the middle one."""
    sums_T = weight_VT.sum(0)
    best = (sums_T >= sums_T.max() - 1e-6).nonzero()[:, 0]
    return int(best[(best - (len(sums_T) - 1) / 2).abs().argmin()])


def held_out_cells(weight_VT: Tensor, rest: int) -> Tensor:
    """Bool [V, T]: about one in eight of the cells with weight, each with neighbours on both sides along view and time, or, where no cell has
    them, along one of the two. Cells at the time of rest are kept unless there is no other time. None where no cell lies between others."""
    used = weight_VT > 0
    padded = functional.pad(used, (1, 1, 1, 1))
    between_times = used & padded[1:-1, :-2] & padded[1:-1, 2:]
    between_views = used & padded[:-2, 1:-1] & padded[2:, 1:-1]
    candidates = between_times & between_views
    if used.shape[1] > 1:
        candidates[:, rest] = between_views[:, rest] = False
    if not bool(candidates.any()):
        candidates = between_times | between_views
        candidates[:, rest] &= used.shape[1] == 1
    places = candidates.nonzero()
    wanted = min(round(float(used.sum()) * SHARE), MOST, len(places)) if used.sum() > 8 else min(1, len(places))
    held = torch.zeros_like(used)
    if wanted == 0:
        return held
    middle = (torch.tensor(used.shape) - 1) / 2
    chosen = int((places - middle).norm(dim=1).argmin())
    nearest = torch.full((len(places),), torch.inf)
    for _ in range(wanted):
        held[tuple(places[chosen])] = True
        nearest = torch.minimum(nearest, (places - places[chosen]).float().norm(dim=1))
        chosen = int(nearest.argmax())
    return held


def cells_beside(held_VT: Tensor, used_VT: Tensor) -> Tensor:
    """Bool [V, T]: the used cells next to those held out, along view or time. They are as hard to show as these, which a mean over all cells is not."""
    padded = functional.pad(held_VT, (1, 1, 1, 1))
    near = padded[1:-1, :-2] | padded[1:-1, 2:] | padded[:-2, 1:-1] | padded[2:, 1:-1]
    return near & used_VT & ~held_VT
