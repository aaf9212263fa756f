"""How large a training step is, for every training of this package."""

from __future__ import annotations


def rate(step: int, steps: int, warmup: int) -> float:
    """Share of the full learning rate at a step, counted from 0: it grows over `warmup` steps (0: none) and falls linearly to a
    twentieth over the last half of `steps`."""
    return min(1.0, (step + 1) / max(1, warmup), max(0.05, 2 * (1 - step / steps)))
