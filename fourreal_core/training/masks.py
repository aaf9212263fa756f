"""Which cells a training example gives away, and how noisy the rest is.

Source: 4Real's random masks (arXiv 2406.07472; PAPER "Base video model"); the shares are [ours], set for the task at
hand, where a sequence usually starts with a known frame.

Legend: N sequences, F frames.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

FIRST_KNOWN, BERNOULLI, BOTH_ENDS, NOTHING = 0.55, 0.25, 0.1, 0.1  # shares of the kinds of sequence masks


def sequence_known(count: int, frames: int, generator: Generator) -> Tensor:
    """Known mask `[count, frames]` for base training: the first frame, some at random, both ends, or none."""
    kind = torch.multinomial(
        torch.tensor([FIRST_KNOWN, BERNOULLI, BOTH_ENDS, NOTHING]), count, replacement=True, generator=generator
    )
    known = torch.zeros(count, frames, dtype=torch.bool)
    known[kind == 0, 0] = True
    known[kind == 1] = torch.rand(int((kind == 1).sum()), frames, generator=generator) < 0.25
    known[kind == 2, 0] = known[kind == 2, -1] = True
    return known


def sample_sigma(count: int, generator: Generator) -> Tensor:
    """Noise levels `[count]`: half of them pure noise, where sampling starts and most is decided, half uniform.

    A logit-normal draw starves the noisy end (measured in trials).
    """
    uniform = torch.rand(count, generator=generator).clamp_min(0.02)
    pure = torch.rand(count, generator=generator) < 0.5
    return torch.where(pure, torch.ones(count), uniform)
