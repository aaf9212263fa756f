"""Synchronization of two streams: how time and view agree, layer by layer. `streams.py` runs it, `one_stream.py` has its siblings.

All have one signature, `(y_time, y_view, sigma) -> (x_time, x_view)`, on tokens `[B, V, T, S, D]`. Source: PAPER "Two-stream
transformer" (4Real-Video, arXiv 2412.04462); the modulation's exact form is [ours].

Legend: B grids, V views, T times, S tokens per frame, D width, E width of the sigma features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .dit import sigma_features

Sync = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Observe = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]  # layer, y_time, y_view, x_time, x_view


def off(y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
    """No synchronization: two independent base models."""
    return y_time, y_view


def average(y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
    """Hard synchronization with W_v = W_t = I/2: needs no weights."""
    mean = (y_time + y_view) / 2
    return mean, mean


class HardSync(nn.Module):
    """x_v' = x_t' = W_v (m_v(sigma) y_v) + W_t (m_t(sigma) y_t), the projected-gradient-like step.

    Both matrices start at I/2 and the modulation m = 1 + s(sigma) at 1, so that it starts as `average`.
    """

    def __init__(self, width: int, sigma_width: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.time = operations.Linear(width, width, bias=False, **factory)
        self.view = operations.Linear(width, width, bias=False, **factory)
        self.modulation = operations.Linear(sigma_width, 2 * width, **factory)

    def forward(self, y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        scale_time, scale_view = modulated(self.modulation, sigma_B, y_time).chunk(2, dim=-1)
        x = self.time(y_time * (1 + scale_time)) + self.view(y_view * (1 + scale_view))
        return x, x

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        for linear in (self.time, self.view):
            linear.weight.copy_(torch.eye(linear.weight.shape[0]) / 2)
        zero(self.modulation)


class LowRankHardSync(nn.Module):
    """Hard synchronization for wide backbones: x_v' = x_t' = a_t * y_t / 2 + a_v * y_v / 2 + rank-r part.

    Both parts see the streams modulated as in `HardSync`; a is one number per channel and starts at 1, the rank-r part
    starts at zero, so that it starts as `average`. [ours]
    """

    def __init__(self, width: int, sigma_width: int, rank: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.width = width
        self.down = operations.Linear(2 * width, rank, bias=False, **factory)
        self.up = operations.Linear(rank, width, bias=False, **factory)
        self.averaging = nn.Parameter(torch.ones(2, width, **factory))
        self.modulation = operations.Linear(sigma_width, 2 * width, **factory)

    def forward(self, y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([y_time, y_view], dim=-1) * (1 + modulated(self.modulation, sigma_B, y_time))
        x = (both * self.averaging.to(both).flatten()).unflatten(-1, (2, self.width)).mean(-2) + self.up(
            self.down(both)
        )
        return x, x

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.down.weight, std=(2 * self.width) ** -0.5, generator=generator)
        nn.init.zeros_(self.up.weight)
        self.averaging.fill_(1.0)
        zero(self.modulation)


class SoftSync(nn.Module):
    """x_v' = y_v + d_v, x_t' = y_t + d_t with (d_v, d_t) = ModLinear(y_v, y_t; sigma), the ADMM-like step.

    ModLinear: delta = g(sigma) * (W ((1 + s(sigma)) * [y_t; y_v] + h(sigma)) + b)   [ours].
    g is one number per stream, s and h one per channel; g starts at 1, s, h and b at 0.
    """

    def __init__(self, width: int, sigma_width: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.width = width
        self.delta = operations.Linear(2 * width, 2 * width, **factory)
        self.modulation = operations.Linear(sigma_width, 4 * width + 2, **factory)

    def forward(self, y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        parts = modulated(self.modulation, sigma_B, y_time).split([2 * self.width, 2 * self.width, 1, 1], dim=-1)
        scale, shift, gate_time, gate_view = parts
        both = torch.cat([y_time, y_view], dim=-1) * (1 + scale) + shift
        delta_time, delta_view = self.delta(both).chunk(2, dim=-1)
        return y_time + (1 + gate_time) * delta_time, y_view + (1 + gate_view) * delta_view

    @torch.no_grad()
    def initialize(self, averaging: bool = True, generator: torch.Generator | None = None) -> None:
        """averaging: starts equal to `average`; else with a delta of 0, two intact pretrained streams."""
        half = torch.eye(self.width) / 2 if averaging else torch.zeros(self.width, self.width)
        self.delta.weight.copy_(torch.cat([torch.cat([-half, half], dim=1), torch.cat([half, -half], dim=1)]))
        nn.init.zeros_(self.delta.bias)
        zero(self.modulation)


class LowRankSoftSync(nn.Module):
    """Soft synchronization for wide backbones, where a dense 2D -> 2D matrix is too large.

    d_t = g_t(sigma) * (a_t * (y_v - y_t) / 2 + rank-r part), d_v likewise; a is one number per channel, 1 for the
    averaging init and 0 for the zero init; the rank-r part starts at zero. [ours]
    """

    def __init__(self, width: int, sigma_width: int, rank: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.width = width
        self.down = operations.Linear(2 * width, rank, bias=False, **factory)
        self.up = operations.Linear(rank, 2 * width, **factory)
        self.averaging = nn.Parameter(torch.ones(2, width, **factory))
        self.modulation = operations.Linear(sigma_width, 4 * width + 2, **factory)

    def forward(self, y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        parts = modulated(self.modulation, sigma_B, y_time).split([2 * self.width, 2 * self.width, 1, 1], dim=-1)
        scale, shift, gate_time, gate_view = parts
        both = torch.cat([y_time, y_view], dim=-1) * (1 + scale) + shift
        low_time, low_view = self.up(self.down(both)).chunk(2, dim=-1)
        average_time, average_view = self.averaging.to(y_time)
        difference = (y_view - y_time) / 2
        x_time = y_time + (1 + gate_time) * (average_time * difference + low_time)
        return x_time, y_view + (1 + gate_view) * (-average_view * difference + low_view)

    @torch.no_grad()
    def initialize(self, averaging: bool = True, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.down.weight, std=(2 * self.width) ** -0.5, generator=generator)
        zero(self.up)
        self.averaging.fill_(1.0 if averaging else 0.0)
        zero(self.modulation)


def build_sync(
    kind: str, width: int, sigma_width: int, rank: int, *, operations: Any = nn, **factory: Any
) -> nn.Module:
    """One trained layer, hard or soft; rank 0: dense matrices."""
    if rank:
        layer = {"hard": LowRankHardSync, "soft": LowRankSoftSync}[kind]
        return layer(width, sigma_width, rank, operations=operations, **factory)
    return {"hard": HardSync, "soft": SoftSync}[kind](width, sigma_width, operations=operations, **factory)


def relax(sync: Sync, strength: float) -> Sync:
    """Go only this far (0..1) from the unsynchronized streams to what `sync` gives."""
    if strength == 1.0:
        return sync

    def relaxed(y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        x_time, x_view = sync(y_time, y_view, sigma_B)
        return y_time + strength * (x_time - y_time), y_view + strength * (x_view - y_view)

    return relaxed


def view_by_view(sync: Sync) -> Sync:
    """The same synchronization, one view at a time: tokens do not mix in it, and what it holds in between is a V-th as large.

    With gradients it runs as it is: backpropagation keeps all of that anyway.
    """

    def in_parts(y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled():
            return sync(y_time, y_view, sigma_B)
        x_time, x_view = torch.empty_like(y_time), None
        for view in range(y_time.shape[1]):
            part = slice(view, view + 1)
            time_part, view_part = sync(y_time[:, part], y_view[:, part], sigma_B)
            x_time[:, part] = time_part
            if view_part is not time_part:
                x_view = torch.empty_like(y_view) if x_view is None else x_view
                x_view[:, part] = view_part
        return x_time, x_time if x_view is None else x_view

    return in_parts


def observed(sync: Sync, layer: int, observe: Observe) -> Sync:
    """The same synchronization, telling `observe` of both streams before and after."""

    def told(y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        x_time, x_view = sync(y_time, y_view, sigma_B)
        observe(layer, y_time, y_view, x_time, x_view)
        return x_time, x_view

    return told


def modulated(linear: nn.Linear, sigma_B: Tensor, like: Tensor) -> Tensor:
    """Modulation `[B, 1, 1, 1, channels]` from sigma, in the dtype of the tokens."""
    width = linear.weight.shape[1]
    return linear(sigma_features(sigma_B, width).to(like.dtype))[:, None, None, None]


def zero(linear: nn.Linear) -> None:
    """Weights and bias 0: the layer gives nothing."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
