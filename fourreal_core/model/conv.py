"""Pixels to tokens and back: a small convolutional stem and head around the transformer.

[ours] A linear 8 x 8 patch embedding leaves visible seams and learns slowly (measured in trials); convolutions at
1/2 and 1/4 resolution with skips keep fine detail at pixel level. Both see one frame at a time.

Legend: M frames, C channels, H W pixels (multiples of 8), D token width, E embedding width.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig


class ResidualConv(nn.Module):
    """x + conv(silu(conv(silu(x)) * (1 + scale) + shift)); scale and shift come from the sigma embedding."""

    def __init__(self, channels: int, embedding_width: int, *, operations: Any, **factory: Any):
        super().__init__()
        self.first = operations.Conv2d(channels, channels, 3, padding=1, **factory)
        self.second = operations.Conv2d(channels, channels, 3, padding=1, **factory)
        self.modulation = operations.Linear(embedding_width, 2 * channels, **factory)

    def forward(self, x_MCHW: Tensor, embedding_ME: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding_ME)[:, :, None, None].chunk(2, dim=1)
        hidden = self.first(F.silu(x_MCHW)) * (1 + scale) + shift
        return x_MCHW + self.second(F.silu(hidden))


class Stem(nn.Module):
    """Frames `[M, C, H, W]` -> tokens `[M, D, H/8, W/8]` and the two feature maps that the head takes back in."""

    def __init__(self, channels: int, config: ModelConfig, *, operations: Any, **factory: Any):
        super().__init__()
        fine, middle, width = config.fine_width, config.middle_width, config.width
        self.fine_in = operations.Conv2d(4 * channels, fine, 3, padding=1, **factory)
        self.fine = ResidualConv(fine, width, operations=operations, **factory)
        self.middle_in = operations.Conv2d(fine, middle, 3, stride=2, padding=1, **factory)
        self.middle = ResidualConv(middle, width, operations=operations, **factory)
        self.tokens = operations.Conv2d(middle, width, 3, stride=2, padding=1, **factory)

    def forward(self, x_MCHW: Tensor, embedding_ME: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        fine = self.fine(self.fine_in(F.pixel_unshuffle(x_MCHW, 2)), embedding_ME)
        middle = self.middle(self.middle_in(fine), embedding_ME)
        return self.tokens(middle), (fine, middle)


class Head(nn.Module):
    """Tokens `[M, D, H/8, W/8]` and the stem's feature maps -> `[M, out, H, W]`; outputs zeros at init."""

    def __init__(self, out_channels: int, config: ModelConfig, *, operations: Any, **factory: Any):
        super().__init__()
        fine, middle, width = config.fine_width, config.middle_width, config.width
        self.to_middle = operations.Conv2d(width, 4 * middle, 1, **factory)
        self.middle = ResidualConv(middle, width, operations=operations, **factory)
        self.to_fine = operations.Conv2d(middle, 4 * fine, 1, **factory)
        self.fine = ResidualConv(fine, width, operations=operations, **factory)
        self.out = operations.Conv2d(fine, 4 * out_channels, 3, padding=1, **factory)

    def forward(self, tokens_MDhw: Tensor, skips: tuple[Tensor, Tensor], embedding_ME: Tensor) -> Tensor:
        fine, middle = skips
        middle = self.middle(F.pixel_shuffle(self.to_middle(tokens_MDhw), 2) + middle, embedding_ME)
        fine = self.fine(F.pixel_shuffle(self.to_fine(middle), 2) + fine, embedding_ME)
        return F.pixel_shuffle(self.out(F.silu(fine)), 2)
