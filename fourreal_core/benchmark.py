"""Measuring how well and how fast a grid is filled: hide what the task does not give, fill, compare."""

from __future__ import annotations

import time
from typing import Callable

import torch

from .conditioning import task_known
from .grid import FrameGrid
from .metrics import grid_psnr


def hide(truth: FrameGrid) -> FrameGrid:
    """The task made from a whole grid: view 0 and time 0 stay, all other cells become black and unknown."""
    known = task_known(truth.views, truth.times)
    return truth.replace(frames=truth.frames * known[..., None, None, None], known=known)


def measure(fill: Callable[[FrameGrid], FrameGrid], truth: FrameGrid) -> dict[str, float]:
    """PSNR in dB over unknown cells ("all", "moving") and "seconds" of one fill."""
    task = hide(truth)
    start = time.perf_counter()
    filled = fill(task)
    seconds = time.perf_counter() - start
    return {**grid_psnr(filled.replace(known=task.known), truth), "seconds": seconds}


def matrix_peak(dtype: torch.dtype, size: int = 2048, repeats: int = 5) -> float:
    """This machine's best rate of one large matrix product, in FLOP/s."""
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
