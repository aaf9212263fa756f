"""Grids damaged on purpose, one fault each: what metrics of agreement are calibrated on (calibration.py). Deterministic.

Shape suffixes: V views, T times, H W pixels, C = 3 colour channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from ..grid import FrameGrid

WAVES = 3  # of a smooth random warp, along each axis, at most
SEED = 7


def _made(grid: FrameGrid, frames: Tensor) -> FrameGrid:
    return grid.replace(frames=frames.clamp(0, 1).contiguous())


def _warp_field(rng: np.random.Generator, height: int, width: int, percent: float) -> np.ndarray:
    """[H, W, 2] displacements in pixels: smooth, random, `percent` of the width in root mean square."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    field = np.zeros((height, width, 2))
    for down in range(WAVES + 1):
        for right in range(WAVES + 1):
            phase, weight = rng.uniform(0, 2 * math.pi, 2), rng.normal(size=2) / (1 + down + right)
            field += weight * np.cos(2 * math.pi * (down * y + right * x)[..., None] / 2 + phase)
    field *= percent / 100 * width / math.sqrt((field**2).sum(-1).mean())
    return field.astype(np.float32)


def _warped(frame_HWC: np.ndarray, field_HW2: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: frame_HWC.shape[0], : frame_HWC.shape[1]].astype(np.float32)
    return cv2.remap(
        frame_HWC, x + field_HW2[..., 0], y + field_HW2[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def warp(grid: FrameGrid, percent: float, per: str = "cell") -> FrameGrid:
    """A smooth random warp of `percent` of the width in root mean square. per: "cell", "view" (the same at all times), "time"."""
    rng, frames, fields = np.random.default_rng(SEED), grid.frames.numpy(), {}
    warped = np.empty_like(frames)
    for view in range(grid.views):
        for time in range(grid.times):
            key = {"cell": (view, time), "view": view, "time": time}[per]
            if key not in fields:
                fields[key] = _warp_field(rng, grid.height, grid.width, percent)
            warped[view, time] = _warped(frames[view, time], fields[key])
    return _made(grid, torch.from_numpy(warped))


def jitter(grid: FrameGrid, percent: float) -> FrameGrid:
    """Each cell is shifted and turned a little: a hand-held camera. `percent` of the width in root mean square."""
    rng, frames = np.random.default_rng(SEED), grid.frames.numpy()
    shaken = np.empty_like(frames)
    y, x = np.mgrid[: grid.height, : grid.width].astype(np.float32)
    for place in np.ndindex(grid.views, grid.times):
        shift = rng.normal(size=2) * percent / 100 * grid.width / math.sqrt(2)
        angle = rng.normal() * percent / 100
        dx, dy = x - grid.width / 2, y - grid.height / 2
        field = np.stack([shift[0] - angle * dy, shift[1] + angle * dx], -1).astype(np.float32)
        shaken[place] = _warped(frames[place], field)
    return _made(grid, torch.from_numpy(shaken))


def shuffle(grid: FrameGrid, axis: str) -> FrameGrid:
    """Times in another order in each view (axis "time"), or views in another order at each time ("view")."""
    rng, frames = torch.Generator().manual_seed(SEED), grid.frames.clone()
    if axis == "time":
        for view in range(grid.views):
            frames[view] = grid.frames[view, torch.randperm(grid.times, generator=rng)]
    else:
        for time in range(grid.times):
            frames[:, time] = grid.frames[torch.randperm(grid.views, generator=rng), time]
    return _made(grid, frames)


def desynchronize(grid: FrameGrid, steps: int) -> FrameGrid:
    """Every other view runs `steps` times late, and starts by standing still."""
    late = (torch.arange(grid.times) - steps).clamp(min=0)
    frames = grid.frames.clone()
    frames[1::2] = grid.frames[1::2][:, late]
    return _made(grid, frames)


def colour_shift(grid: FrameGrid, amount: float) -> FrameGrid:
    """Each cell's colour channels are multiplied by numbers around 1, `amount` off in root mean square."""
    rng = torch.Generator().manual_seed(SEED)
    factors = 1 + amount * torch.randn(grid.views, grid.times, 1, 1, 3, generator=rng)
    return _made(grid, grid.frames * factors)


def noise(grid: FrameGrid, amount: float) -> FrameGrid:
    """Gaussian noise of `amount` (of the range) on every pixel."""
    rng = torch.Generator().manual_seed(SEED)
    return _made(grid, grid.frames + amount * torch.randn(grid.frames.shape, generator=rng))


def invented_patches(grid: FrameGrid, count: int) -> FrameGrid:
    """In each cell `count` patches, a fifth of its height, are replaced by parts of other places of other cells."""
    rng, frames = np.random.default_rng(SEED), grid.frames.clone()
    side = max(2, grid.height // 5)
    for view, time in np.ndindex(grid.views, grid.times):
        for _ in range(count):
            source = rng.integers(grid.views), rng.integers(grid.times)
            (top, left), (from_top, from_left) = (
                (rng.integers(grid.height - side), rng.integers(grid.width - side)) for _ in range(2)
            )
            patch = grid.frames[source][from_top : from_top + side, from_left : from_left + side]
            frames[view, time, top : top + side, left : left + side] = patch
    return _made(grid, frames)


def mirror(grid: FrameGrid) -> FrameGrid:
    """Every other view is mirrored."""
    frames = grid.frames.clone()
    frames[1::2] = grid.frames[1::2].flip(3)
    return _made(grid, frames)


def blur(grid: FrameGrid, percent: float) -> FrameGrid:
    """Every cell blurred by a Gaussian of `percent` of the width."""
    sigma = percent / 100 * grid.width
    frames = [[cv2.GaussianBlur(cell, (0, 0), sigma) for cell in view] for view in grid.frames.numpy()]
    return _made(grid, torch.from_numpy(np.array(frames)))


def freeze(grid: FrameGrid) -> FrameGrid:
    """Every time shows the first: nothing moves."""
    return _made(grid, grid.frames[:, :1].expand_as(grid.frames).clone())


def one_view(grid: FrameGrid) -> FrameGrid:
    """Every view shows the first: no parallax."""
    return _made(grid, grid.frames[:1].expand_as(grid.frames).clone())


def double_exposure(grid: FrameGrid) -> FrameGrid:
    """Each cell is the mean of itself and the next time: ghosts, as fills that hedge show them."""
    return _made(grid, (grid.frames + grid.frames.roll(-1, dims=1)) / 2)


DAMAGES: dict[str, Callable[[FrameGrid], FrameGrid]] = {
    "none": lambda grid: grid,
    "warp 0.25 %W": partial(warp, percent=0.25),
    "warp 0.5 %W": partial(warp, percent=0.5),
    "warp 1 %W": partial(warp, percent=1.0),
    "warp per view 0.5 %W": partial(warp, percent=0.5, per="view"),
    "warp per time 1 %W": partial(warp, percent=1.0, per="time"),
    "rigid jitter 0.5 %W": partial(jitter, percent=0.5),
    "times shuffled per view": partial(shuffle, axis="time"),
    "views shuffled per time": partial(shuffle, axis="view"),
    "every other view 1 time late": partial(desynchronize, steps=1),
    "every other view 2 times late": partial(desynchronize, steps=2),
    "colour shift 5 %": partial(colour_shift, amount=0.05),
    "colour shift 15 %": partial(colour_shift, amount=0.15),
    "noise 8 %": partial(noise, amount=0.08),
    "3 invented patches per cell": partial(invented_patches, count=3),
    "8 invented patches per cell": partial(invented_patches, count=8),
    "double exposure of times": double_exposure,
    "every other view mirrored": mirror,
    "blur 0.4 %W": partial(blur, percent=0.4),
    "frozen time": freeze,
    "identical views": one_view,
}
