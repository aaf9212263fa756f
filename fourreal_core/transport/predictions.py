"""What Transport gives: two predictions of every cell, one along time and one along view, and their blend.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..side_by_side import ask

LEAST_DOUBT = 1e-4  # confidences are kept this far from 0 and 1 when they are compared


class Direction(NamedTuple):
    """Cells predicted in one direction: a whole grid (`[V, T, H, W, ...]`), one cell (`[H, W, ...]`), or channel-first in a condition."""

    frames: Tensor  # [..., H, W, 3] 0..1: the known frame, moved
    confidence: Tensor  # [..., H, W] 0..1
    source: Tensor  # [..., H, W, 3] 0..1: the frame that `frames` was read from
    back: Tensor  # [..., H, W, 2] (x, y) in pixels: from each pixel to where it was read in `source`

    def shrunk(self, size: tuple[int, int]) -> Direction:
        """One cell's at a smaller (height, width); displacements are in pixels of it."""
        height, width = self.confidence.shape
        frames, source, back = (_shrunk(part, size) for part in (self.frames, self.source, self.back))
        unit = torch.tensor([size[1] / width, size[0] / height])
        return Direction(frames, _shrunk(self.confidence[..., None], size)[..., 0], source, back * unit)


def _shrunk(map_HWC: Tensor, size: tuple[int, int]) -> Tensor:
    ask()
    map_1CHW = map_HWC.movedim(-1, 0)[None]
    small = functional.interpolate(map_1CHW, size=size, mode="bilinear", align_corners=False, antialias=True)
    return small[0].movedim(0, -1)


OLD_NAMES = {  # of the parts, in version 0.1
    "along_time": ("time", "frames"),
    "along_view": ("view", "frames"),
    "confidence_time": ("time", "confidence"),
    "confidence_view": ("view", "confidence"),
    "source_time": ("time", "source"),
    "source_view": ("view", "source"),
    "back_time": ("time", "back"),
    "back_view": ("view", "back"),
}


@dataclass(frozen=True)
class Predictions:
    """Two predictions of every cell of a grid, or of one cell; float32 on the CPU.

    Known cells: the frame itself, confidence 1, its own source with displacement 0. Where several Ls were merged, source and
    displacement are those of the surest one.
    """

    time: Direction  # x[v, t0] moved by the motion seen from a known view
    view: Direction  # x[v0, t] moved by the parallax seen at a known time

    def cell(self, at: tuple[int, int]) -> Predictions:
        """Those of one cell, (view, time) from 0: `[H, W, ...]` each; nothing is copied."""
        time, view = (Direction(*(part[at] for part in side)) for side in (self.time, self.view))
        return Predictions(time, view)

    def shrunk(self, size: tuple[int, int]) -> Predictions:
        """Those of one cell at a smaller (height, width); displacements are in pixels of it."""
        return Predictions(self.time.shrunk(size), self.view.shrunk(size))

    @property
    def blend(self) -> Tensor:
        """[V, T, H, W, 3], or [H, W, 3] of one cell, 0..1: both predictions as one."""
        if self.time.frames.ndim < 4:
            return blend_predictions(self.time.frames, self.view.frames, self.time.confidence, self.view.confidence)
        blended = torch.empty_like(self.time.frames)
        for cell, made in enumerate(blended.flatten(0, -4)):  # one after the other: no second copy of all on the way
            ask()
            pair = [side.frames.flatten(0, -4)[cell] for side in (self.time, self.view)]
            made.copy_(
                blend_predictions(*pair, *(side.confidence.flatten(0, -3)[cell] for side in (self.time, self.view)))
            )
        return blended

    @property
    def confidence(self) -> Tensor:
        """[V, T, H, W] or [H, W], 0..1: the larger of the two."""
        return torch.maximum(self.time.confidence, self.view.confidence)

    def __getattr__(self, name: str) -> Tensor:
        """The parts under their names in version 0.1, with a DeprecationWarning, until version 0.3."""
        if name not in OLD_NAMES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        direction, part = OLD_NAMES[name]
        warnings.warn(
            f"{name} is now {direction}.{part}: the old name will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(getattr(self, direction), part)


def blend_predictions(
    along_time: Tensor, along_view: Tensor, confidence_time: Tensor, confidence_view: Tensor
) -> Tensor:
    """Mean of two predictions [..., 3] weighted by the odds of their confidences [...]; differentiable.

    Confidence c means an expected squared error proportional to (1 - c) / c, so the odds c / (1 - c) are the inverse variances
    of the best linear blend; at confidence 1 one prediction is taken alone. Lies between the two predictions.
    """
    sure_time = confidence_time.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT)
    sure_view = confidence_view.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT)
    pull_time, pull_view = sure_time * (1 - sure_view), sure_view * (1 - sure_time)
    share_time = (pull_time / (pull_time + pull_view)).unsqueeze(-1)
    return along_view + share_time * (along_time - along_view)
