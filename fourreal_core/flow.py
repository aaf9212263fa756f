"""Rectified flow: the one place that fixes what noise, sigma and velocity mean.

    x_sigma = (1 - sigma) * x0 + sigma * noise        sigma = 0: clean, sigma = 1: pure noise
    velocity = noise - x0 = (x_sigma - x0) / sigma    dx/dsigma, so sampling walks sigma from 1 to 0

(rectified flow as in PAPER: 4Real-Video-V2, arXiv 2506.18839). Pixels live in -1..1 inside the model and in 0..1
everywhere else; `to_model` / `from_model` are the only converters. Read `sampling/sample.py` next.

Legend: V views, T times, C channels (3), H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_SIGMA = 1e-3  # velocity divides by sigma; samplers never ask below this


def to_model(frames_VTHWC: Tensor) -> Tensor:
    """Pixels 0..1 `[..., V, T, H, W, 3]` -> model pixels -1..1 `[..., V, 3, T, H, W]`."""
    return frames_VTHWC.movedim(-1, -4) * 2 - 1


def from_model(x_VCTHW: Tensor) -> Tensor:
    """Model pixels -1..1 `[..., V, 3, T, H, W]` -> pixels 0..1 `[..., V, T, H, W, 3]`, clamped."""
    return ((x_VCTHW + 1) / 2).clamp(0, 1).movedim(-4, -1).contiguous()


def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Point on the straight line from `x0` (sigma 0) to `noise` (sigma 1); `sigma` broadcasts."""
    return (1 - sigma) * x0 + sigma * noise


def velocity_from_x0(x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma at `x` when its clean end is `x0`; `sigma` is broadcastable to `x`."""
    return (x - x0) / sigma.clamp_min(SMALLEST_SIGMA)


def x0_from_velocity(x: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Clean end of the straight line through `x` with this velocity."""
    return x - sigma * velocity


def cell_noise(seed: int, views: int, times: int, height: int, width: int) -> Tensor:
    """Standard normal noise `[V, 3, T, H, W]`, float32 on the CPU, one generator per cell.

    A cell's noise depends on (seed, view, time, height, width) alone, so adding a view or a time to a grid leaves
    the noise of all other cells as it was.
    """
    noise = torch.empty(views, 3, times, height, width)
    for view in range(views):
        for time in range(times):
            generator = torch.Generator().manual_seed(_cell_seed(seed, view, time))
            noise[view, :, time] = torch.randn(3, height, width, generator=generator)
    return noise


def _cell_seed(seed: int, view: int, time: int) -> int:
    """A 63-bit seed per cell: two rounds of splitmix64, so that neighbouring cells are unrelated."""
    state = seed & (2**64 - 1)
    for part in (view + 1, time + 1):
        state = (state + part * 0x9E3779B97F4A7C15) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1
