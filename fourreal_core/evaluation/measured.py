"""A kind of number of a report, and such a number with where it comes from: per cell, per pixel, or a reason why there is none.

Shape suffixes: V views, T times, h w pixels of the size at which was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """One number of a report.

    better: "higher", "lower", or "" where neither is better: an amount, which unmasks grids that score well by cheating.
    good, bad: from where on a value is called so, by calibration on damaged grids (docs/metrics.md); NaN for amounts.
    """

    name: str
    unit: str
    better: str
    about: str
    good: float = math.nan
    bad: float = math.nan
    digits: int = 3

    def badness(self, values: Tensor) -> Tensor:
        """0 where good, 1 where bad, linear between and clamped; NaN stays NaN."""
        return ((values - self.good) / (self.bad - self.good)).clamp(0, 1)

    def text(self, value: float) -> str:
        """The value with its unit."""
        return f"{value:.{self.digits}f}{self.unit}"


@dataclass(frozen=True)
class Measured:
    """A number, or why there is none.

    value: NaN when not measurable, and `reason` says why. cells_VT: the same per cell, NaN where undefined (None: not per cell).
    pixels_VThw: the same per pixel.
    """

    value: float
    reason: str = ""
    cells_VT: Tensor | None = None
    pixels_VThw: Tensor | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def not_measurable(cls, reason: str, **details: float) -> Measured:
        return cls(math.nan, reason, details=details)

    @property
    def measurable(self) -> bool:
        return not math.isnan(self.value)


def nan_mean(values: Tensor) -> float:
    """Mean without NaN; NaN when nothing is left."""
    return float(values[~values.isnan()].mean()) if (~values.isnan()).any() else math.nan


def nan_map(shape: tuple[int, ...]) -> Tensor:
    return torch.full(shape, math.nan)
