"""Synchronization layers: how time and view agree, layer by layer. `two_stream.py` runs them.

With two streams all are siblings with one signature, `(y_time, y_view, sigma) -> (x_time, x_view)`, on tokens
`[B, V, T, S, D]`. With one stream there is nothing to bring together; the layers `SequentialSync` and `FusedSync` tune
how it is processed. Source: PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462; fused: 4Real-Video-V2,
arXiv 2506.18839); the modulation's exact form is [ours].

Legend: B grids, V views, T times, S tokens per frame, L = V * T * S, D width, E width of the sigma features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .dit import sigma_features

Sync = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Observe = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]  # layer, y_time, y_view, x_time, x_view
Attend = Callable[[Tensor], Tensor]  # queries, keys and values [B, L, 3 D] -> what was attended to [B, L, D]


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
        scale_time, scale_view = _modulate(self.modulation, sigma_B, y_time).chunk(2, dim=-1)
        x = self.time(y_time * (1 + scale_time)) + self.view(y_view * (1 + scale_view))
        return x, x

    @torch.no_grad()
    def initialize(self) -> None:
        for linear in (self.time, self.view):
            linear.weight.copy_(torch.eye(linear.weight.shape[0]) / 2)
        _zero(self.modulation)


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
        self.averaging = nn.Parameter(torch.empty(2, width, **factory))
        self.modulation = operations.Linear(sigma_width, 2 * width, **factory)

    def forward(self, y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([y_time, y_view], dim=-1) * (1 + _modulate(self.modulation, sigma_B, y_time))
        x = (both * self.averaging.to(both).flatten()).unflatten(-1, (2, self.width)).mean(-2) + self.up(
            self.down(both)
        )
        return x, x

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.down.weight, std=(2 * self.width) ** -0.5, generator=generator)
        nn.init.zeros_(self.up.weight)
        self.averaging.fill_(1.0)
        _zero(self.modulation)


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
        parts = _modulate(self.modulation, sigma_B, y_time).split([2 * self.width, 2 * self.width, 1, 1], dim=-1)
        scale, shift, gate_time, gate_view = parts
        both = torch.cat([y_time, y_view], dim=-1) * (1 + scale) + shift
        delta_time, delta_view = self.delta(both).chunk(2, dim=-1)
        return y_time + (1 + gate_time) * delta_time, y_view + (1 + gate_view) * delta_view

    @torch.no_grad()
    def initialize(self, averaging: bool = True) -> None:
        """averaging: starts equal to `average`; else with a delta of 0, two intact pretrained streams."""
        half = torch.eye(self.width) / 2 if averaging else torch.zeros(self.width, self.width)
        self.delta.weight.copy_(torch.cat([torch.cat([-half, half], dim=1), torch.cat([half, -half], dim=1)]))
        nn.init.zeros_(self.delta.bias)
        _zero(self.modulation)


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
        self.averaging = nn.Parameter(torch.empty(2, width, **factory))
        self.modulation = operations.Linear(sigma_width, 4 * width + 2, **factory)

    def forward(self, y_time: Tensor, y_view: Tensor, sigma_B: Tensor) -> tuple[Tensor, Tensor]:
        parts = _modulate(self.modulation, sigma_B, y_time).split([2 * self.width, 2 * self.width, 1, 1], dim=-1)
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
        _zero(self.up)
        self.averaging.fill_(1.0 if averaging else 0.0)
        _zero(self.modulation)


def unchanged(x: Tensor, sigma_B: Tensor) -> Tensor:
    """The sequential baseline without trained layers."""
    return x


class SequentialSync(nn.Module):
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
        scale, shift, gate = _modulate(self.modulation, sigma_B, x).split([self.width, self.width, 1], dim=-1)
        return x + (1 + gate) * self.delta(x * (1 + scale) + shift)

    @torch.no_grad()
    def initialize(self) -> None:
        _zero(self.delta)
        _zero(self.modulation)


def untuned(block: nn.Module, attend: Attend, x_BLD: Tensor) -> Tensor:
    """Fused self-attention with the weights of the base alone: the method adds no parameters (4Real-Video-V2)."""
    return block.attention_out(attend(block.qkv(x_BLD)))


class FusedSync(nn.Module):
    """Fused self-attention, tuned: a difference to each of the block's two attention matrices, starting at zero.

    4Real-Video-V2 tunes the self-attention itself; differences leave the base alone, which other kinds share [ours].
    """

    def __init__(self, width: int, *, operations: Any = nn, **factory: Any):
        super().__init__()
        self.qkv = operations.Linear(width, 3 * width, **factory)
        self.attention_out = operations.Linear(width, width, **factory)

    def forward(self, block: nn.Module, attend: Attend, x_BLD: Tensor) -> Tensor:
        attended = attend(block.qkv(x_BLD) + self.qkv(x_BLD))
        return block.attention_out(attended) + self.attention_out(attended)

    @torch.no_grad()
    def initialize(self) -> None:
        _zero(self.qkv)
        _zero(self.attention_out)


def build_sync(kind: str, config: ModelConfig, *, operations: Any = nn, **factory: Any) -> nn.ModuleList:
    """One trained layer of this kind, one of `TRAINED_SYNC`, for each block. The config's rank is that of soft layers."""
    sizes = {"width": config.width, "sigma_width": config.sync_sigma_width}
    if kind in ("hard", "soft"):
        rank = config.sync_rank if kind == "soft" else 0
        return build_two_stream_sync(kind, config.depth, **sizes, rank=rank, operations=operations, **factory)
    layer = {"sequential": partial(SequentialSync, **sizes), "fused": partial(FusedSync, config.width)}[kind]
    return nn.ModuleList(layer(operations=operations, **factory) for _ in range(config.depth))


def build_two_stream_sync(
    kind: str, depth: int, *, width: int, sigma_width: int, rank: int, operations: Any = nn, **factory: Any
) -> nn.ModuleList:
    """One trained layer, hard or soft, for each of `depth` blocks; rank 0: dense matrices."""
    if rank:
        layer = partial({"hard": LowRankHardSync, "soft": LowRankSoftSync}[kind], rank=rank)
    else:
        layer = {"hard": HardSync, "soft": SoftSync}[kind]
    return nn.ModuleList(layer(width, sigma_width, operations=operations, **factory) for _ in range(depth))


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


def _modulate(linear: nn.Module, sigma_B: Tensor, like: Tensor) -> Tensor:
    """Modulation `[B, 1, 1, 1, channels]` from sigma, in the dtype of the tokens."""
    width = linear.weight.shape[1]
    return linear(sigma_features(sigma_B, width).to(like.dtype))[:, None, None, None]


def _zero(linear: nn.Module) -> None:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
