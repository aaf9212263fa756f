"""How many training steps there are and how large each is, for every training of this package."""

from __future__ import annotations

import math


def rate(step: int, steps: int, warmup: int) -> float:
    """Share of the full learning rate at a step, counted from 0: it grows over `warmup` steps (0: none) and falls linearly to a
    twentieth over the last half of `steps`."""
    return min(1.0, (step + 1) / max(1, warmup), max(0.05, 2 * (1 - step / steps)))


def check_plan(learning_rate: float, **counts: int) -> None:
    """Raises ValueError for a learning rate that is not a number above 0, and for counts (of steps, of examples) below 1."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"expected {name} to be at least 1, got {value}")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"expected a learning rate above 0, got {learning_rate}")
