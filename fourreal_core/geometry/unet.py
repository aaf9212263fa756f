"""The one shape of network in this folder: a small convolutional U-Net that keeps the size of its picture. Shape suffixes: B batch, C channels, H W pixels."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


def silence(layer: nn.Module) -> None:
    """The layer says 0 until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Block(nn.Module):
    """Two 3x3 convolutions with a short cut."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.around = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.around(x_BCHW) + self.second(functional.silu(self.first(functional.silu(x_BCHW))))


class TimeMix(nn.Module):
    """Each frame of a sequence looks at the one before and the one after; starts as the identity. The batch is the sequence."""

    def __init__(self, channels: int):
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        silence(self.mix)

    def forward(self, x_TCHW: Tensor) -> Tensor:
        around = torch.cat([x_TCHW[:1], x_TCHW, x_TCHW[-1:]])
        return x_TCHW + self.mix(functional.silu(torch.cat([around[:-2], around[2:]], dim=1)))


class UNet(nn.Module):
    """[B, channels_in, H, W] -> [B, channels_out, H, W]; any H and W. `widths` are the channels at each halving of the size.

    mixes_times: the batch is a sequence of frames, which see their neighbours at every size. The last layer starts at zero: an
    untrained network says 0 everywhere.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        widths: tuple[int, ...] = (32, 48, 64, 96),
        *,
        mixes_times: bool = False,
    ):
        super().__init__()
        self.stem = nn.Conv2d(channels_in, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Block(a, b) for a, b in zip((widths[0], *widths[:-1]), widths))
        self.up = nn.ModuleList(Block(a + b, a) for a, b in itertools.pairwise(widths))
        self.times = nn.ModuleList(TimeMix(width) if mixes_times else nn.Identity() for width in widths)
        self.head = nn.Conv2d(widths[0], channels_out, 3, padding=1)
        silence(self.head)

    @property
    def head_bias(self) -> Tensor:
        """[channels_out]: what the network says where it sees nothing."""
        assert self.head.bias is not None
        return self.head.bias

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = self.stem(x_BCHW.contiguous(memory_format=torch.channels_last))  # a quarter faster on CPUs
        kept = []
        for level, block in enumerate(self.down):
            x = self.times[level](block(functional.avg_pool2d(x, 2, ceil_mode=True) if level else x))
            kept.append(x)
        for block, beside in zip(reversed(self.up), reversed(kept[:-1])):
            x = functional.interpolate(x, size=beside.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([beside, x], dim=1))
        return self.head(functional.silu(x))
