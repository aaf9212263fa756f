"""Measuring how well and how fast a grid is filled: hide what the task does not give, fill, compare."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from .conditioning import grid_condition
from .grid import FrameGrid, task_known
from .metrics import grid_psnr
from .model.two_stream import GridModel


@dataclass(frozen=True)
class Score:
    """PSNR in dB over unknown cells, all pixels and moving ones, and the seconds that one fill took."""

    all: float
    moving: float
    seconds: float

    @classmethod
    def mean(cls, scores: Sequence["Score"]) -> "Score":
        """Mean of each number, leaving NaN out; NaN when there is none."""
        numbers = torch.tensor([[score.all, score.moving, score.seconds] for score in scores]).view(-1, 3)
        return cls(*numbers.nanmean(0).tolist())


def hide(truth: FrameGrid) -> FrameGrid:
    """The task made from a whole grid: view 0 and time 0 stay, all other cells become black and unknown."""
    known = task_known(truth.views, truth.times)
    return truth.replace(frames=truth.frames * known[..., None, None, None], known=known)


def measure(fill: Callable[[FrameGrid], FrameGrid], truth: FrameGrid) -> Score:
    """Hide, fill, compare; the fill sees known cells only."""
    task = hide(truth)
    start = time.perf_counter()
    filled = fill(task)
    seconds = time.perf_counter() - start
    return Score(**grid_psnr(filled.replace(known=task.known), truth), seconds=seconds)


@torch.no_grad()
def model_flops(model: GridModel, grid: FrameGrid, repeats: int = 3) -> tuple[float, float]:
    """(floating point operations, best seconds) of one model evaluation on this grid with the model's best sync."""
    device = next(model.parameters()).device
    condition = grid_condition(hide(grid), model.config)[None].to(device)
    x, sigma = torch.randn_like(condition[:, :, :3]), torch.full((1,), 0.5, device=device)
    with FlopCounterMode(display=False) as counter:
        model(x, sigma, condition, sync=model.best_sync)
    return counter.get_total_flops(), _best_seconds(lambda: model(x, sigma, condition, sync=model.best_sync), repeats)


def matrix_peak(dtype: torch.dtype, size: int = 2048, repeats: int = 5) -> float:
    """This machine's best rate in one large matrix product, in FLOP/s."""
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    a @ b
    return 2 * size**3 / _best_seconds(lambda: a @ b, repeats)


def _best_seconds(run: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
