"""What tunes the two ways with one stream that the papers compare two streams to: sequential, and fused (4Real-Video-V2).

There is nothing to bring together; these layers tune how the one stream is processed. `streams.py` runs them. Source: arXiv 2412.04462
and 2506.18839; what is trained here is [ours].

Legend: B grids, V views, T times, S tokens per frame, L = V * T * S, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .sync import modulated, zero

Attend = Callable[[Tensor], Tensor]  # queries, keys and values [B, L, 3 D] -> what was attended to [B, L, D]


def unchanged(x: Tensor, sigma_B: Tensor) -> Tensor:
    """The sequential baseline without trained layers."""
    return x


class SequentialTuning(nn.Module):
    """x <- x + g(sigma) * (W ((1 + s(sigma)) * x + h(sigma)) + b) after each pair of passes over one stream [ours].

    The light layer that soft synchronization has, for one stream, so that the two can be compared trained. g is one
    number and starts at 1, s and h one per channel; W and b start at 0, so that it starts as `unchanged`.
    """

    def __init__(self, width: int, sigma_width: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.width = width
        self.delta = operations.Linear(width, width, **factory)
        self.modulation = operations.Linear(sigma_width, 2 * width + 1, **factory)

    def forward(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        scale, shift, gate = modulated(self.modulation, sigma_B, x).split([self.width, self.width, 1], dim=-1)
        return x + (1 + gate) * self.delta(x * (1 + scale) + shift)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        zero(self.delta)
        zero(self.modulation)


def untuned(block: Any, attend: Attend, x_BLD: Tensor) -> Tensor:
    """Fused self-attention with the weights of the base alone: the method adds no parameters (4Real-Video-V2)."""
    return block.attention_out(attend(block.qkv(x_BLD)))


class FusedTuning(nn.Module):
    """Fused self-attention, tuned: a difference to each of the block's two attention matrices, starting at zero.

    4Real-Video-V2 tunes the self-attention itself; differences leave the base alone, which other kinds share [ours].
    """

    def __init__(self, width: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.qkv = operations.Linear(width, 3 * width, **factory)
        self.attention_out = operations.Linear(width, width, **factory)

    def forward(self, block: Any, attend: Attend, x_BLD: Tensor) -> Tensor:
        attended = attend(block.qkv(x_BLD) + self.qkv(x_BLD))
        return block.attention_out(attended) + self.attention_out(attended)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        zero(self.qkv)
        zero(self.attention_out)
