"""Which number format this machine multiplies fastest: measured, not guessed."""

from __future__ import annotations

import time
from functools import lru_cache

import torch


@lru_cache
def fast_dtype(device: str = "cpu") -> torch.dtype:
    """bfloat16 where matrix products in it are at least 1.5 times as fast as in float32, else float32."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if torch.device(device).type != "cpu":
        return torch.float32
    return torch.bfloat16 if _seconds(torch.float32) > 1.5 * _seconds(torch.bfloat16) else torch.float32


def _seconds(dtype: torch.dtype) -> float:
    """Best of three products at the size of the bundled model's MLP."""
    a, b = torch.ones(4096, 192, dtype=dtype), torch.ones(192, 768, dtype=dtype)
    _ = a @ b
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        _ = a @ b
        best = min(best, time.perf_counter() - start)
    return best
