"""Measuring how well and how fast a grid is filled: hide what the task does not give, fill, compare. Many ways at once: compare.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..grid import FrameGrid, task_known
from ..model.condition import grid_condition
from ..model.two_stream import GridModel
from .image import grid_psnr, grid_ssim

Filled = TypeVar("Filled")


@dataclass(frozen=True)
class Score:
    """Over unknown cells: PSNR in dB of all pixels and of moving ones, and SSIM; and the seconds that one fill took."""

    all: float
    moving: float
    ssim: float
    seconds: float

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """Mean of each number, leaving NaN out; NaN when there is none."""
        numbers = torch.tensor([astuple(score) for score in scores]).view(-1, 4)
        return cls(*numbers.nanmean(0).tolist())


def hide(truth: FrameGrid, known: Tensor | None = None) -> FrameGrid:
    """The task made from a whole grid: view 0 and time 0, or the cells in `known` [V, T], stay; all others become black and unknown."""
    known = task_known(truth.views, truth.times) if known is None else known
    return truth.replace(frames=truth.frames * known[..., None, None, None], known=known)


def measure(fill: Callable[[FrameGrid], FrameGrid], truth: FrameGrid, known: Tensor | None = None) -> Score:
    """Hide, fill, compare; the fill sees known cells only."""
    task = hide(truth, known)
    filled, seconds = timed(fill, task)
    return score(filled, task, truth, seconds)


def timed(fill: Callable[[FrameGrid], Filled], task: FrameGrid) -> tuple[Filled, float]:
    """(what the fill gives, seconds)."""
    start = time.perf_counter()
    return fill(task), time.perf_counter() - start


def score(filled: FrameGrid, task: FrameGrid, truth: FrameGrid, seconds: float) -> Score:
    """Compares the cells that the task does not give."""
    filled = filled.replace(known=task.known)
    return Score(**grid_psnr(filled, truth), ssim=grid_ssim(filled, truth), seconds=seconds)


@torch.no_grad()
def model_flops(model: GridModel, grid: FrameGrid, sync: str | None = None, repeats: int = 3) -> tuple[float, float]:
    """(floating point operations, best seconds) of one model evaluation on this grid, with the model's best sync if none is named."""
    device = next(model.parameters()).device
    condition = grid_condition(hide(grid), model.config)[None].to(device)
    x, sigma = torch.randn_like(condition[:, :, :3]), torch.full((1,), 0.5, device=device)
    evaluate = partial(model, x, sigma, condition, sync=sync or model.best_sync)
    with FlopCounterMode(display=False) as counter:
        evaluate()
    return counter.get_total_flops(), _best_seconds(evaluate, repeats)


def matrix_peak(dtype: torch.dtype, size: int = 2048, repeats: int = 5) -> float:
    """This machine's best rate in one large matrix product, in FLOP/s."""
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    _ = a @ b
    return 2 * size**3 / _best_seconds(lambda: a @ b, repeats)


def _best_seconds(run: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
