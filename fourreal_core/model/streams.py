"""A grid on its way through the blocks, and the ways to run one block on it: two streams, or the papers' two ways with one.

A step runs one block of any way, all with one signature, `(block, streams, time, view) -> (time, view)`; `KINDS` lists the ways. With one
stream both results are the same tensor. Source: PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462); fused: arXiv 2506.18839.

Legend: B grids, V views, T times, C channels, H W pixels, S tokens per frame, L = V * T * S, D width, M = B * V * T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from . import one_stream, sync
from .attention import grid_attention
from .config import ModelConfig
from .dit import DYNAMIC, FREEZE_TIME, VideoDiT

Step = Callable[[nn.Module, "Streams", Tensor, Tensor], tuple[Tensor, Tensor]]  # block, streams, time, view


def two_streams(layer: sync.Sync) -> Step:
    """The two streams side by side, then their synchronization: off, hard, soft."""

    def step(block: Any, streams: Streams, time: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        y_time, y_view = streams.both(block, time, view)
        return layer(y_time, y_view, streams.sigma_B)

    return step


def sequential(layer: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """The baseline: x <- x + phi(x; freeze-time), then x <- x + phi(x; dynamic), one stream (PAPER)."""

    def step(block: Any, streams: Streams, x: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        x = layer(streams.along_time(block, streams.along_view(block, x)), streams.sigma_B)
        return x, x

    return step


def fused(layer: Callable[[nn.Module, one_stream.Attend, Tensor], Tensor]) -> Step:
    """One stream, each block once, with attention to equal view or equal time (4Real-Video-V2)."""

    def step(block: Any, streams: Streams, x: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        x = streams.along_both(block, layer, x)
        return x, x

    return step


@dataclass(frozen=True)
class Kind:
    """A way to run the blocks. step: makes a block's step of one layer; untrained: the layer where none was trained, None where one is
    needed; trained: builds one (width, sigma_width, rank, operations, ...)."""

    step: Callable[[Any], Step]
    untrained: Any = None
    trained: Callable[..., nn.Module] | None = None


def _dense(layer: type[nn.Module]) -> Callable[..., nn.Module]:
    return lambda width, sigma_width, rank, **factory: layer(width, sigma_width, **factory)


# In the order that the nodes offer them.
KINDS = {
    "soft": Kind(two_streams, None, partial(sync.build_sync, "soft")),
    "hard": Kind(two_streams, sync.average, _dense(sync.HardSync)),
    "fused": Kind(
        fused, one_stream.untuned, lambda width, sigma_width, rank, **factory: one_stream.FusedTuning(width, **factory)
    ),
    "sequential": Kind(sequential, one_stream.unchanged, _dense(one_stream.SequentialTuning)),
    "off": Kind(two_streams, sync.off),
}
SYNC_KINDS = tuple(KINDS)

OUTPUTS = ("mean", "time only", "view only")


def build_layers(kind: str, config: ModelConfig, *, operations: Any = nn, **factory: Any) -> nn.ModuleList:
    """One trained layer of this kind, one of `TRAINED_SYNC`, for each block. The config's rank is that of soft layers."""
    sizes = {"width": config.width, "sigma_width": config.sync_sigma_width, "rank": config.sync_rank}
    build = KINDS[kind].trained
    if build is None:
        raise ValueError(f"synchronization of kind {kind} has no trained layers")
    return nn.ModuleList(build(**sizes, operations=operations, **factory) for _ in range(config.depth))


class Streams:
    """One grid batch on its way through the blocks: embeds once, runs a block along either axis, ends in velocity."""

    def __init__(self, base: VideoDiT, x_BVCTHW: Tensor, sigma_B: Tensor, condition_BVCTHW: Tensor, context: tuple):
        self.base, self.sigma_B = base, sigma_B
        self.B, self.V, _, self.T = x_BVCTHW.shape[:4]
        x_MCHW, condition_MCHW = (
            rearrange(part, "b v c t h w -> (b v t) c h w") for part in (x_BVCTHW, condition_BVCTHW)
        )
        self.embedded = base.embed(x_MCHW, condition_MCHW, sigma_B.repeat_interleave(self.V * self.T))
        self.tokens_BVTSD = rearrange(self.embedded.tokens_MSD, "(b v t) s d -> b v t s d", v=self.V, t=self.T)
        self.text_time, self.text_view = context
        self.angles_time = base.angles(self.T, self.embedded)
        self.angles_view = base.angles(self.V, self.embedded)
        self.modulation_time = self._modulation(DYNAMIC, self.V)
        self.modulation_view = self._modulation(FREEZE_TIME, self.T)

    def _modulation(self, mode: int, sequences: int) -> Tensor:
        modes = torch.full_like(self.sigma_B, mode, dtype=torch.long)
        modulation = self.base.modulation(self.sigma_B, modes, self.embedded.tokens_MSD.dtype)
        return modulation.repeat_interleave(sequences, dim=0)

    def along_time(self, block: Any, x_BVTSD: Tensor) -> Tensor:
        y = block(self._time_sequences(x_BVTSD), self.modulation_time, self.angles_time, self.text_time)
        return self._from_time_sequences(y)

    def along_view(self, block: Any, x_BVTSD: Tensor) -> Tensor:
        y = block(self._view_sequences(x_BVTSD), self.modulation_view, self.angles_view, self.text_view)
        return self._from_view_sequences(y)

    def along_both(self, block: Any, self_attention: Callable, x_BVTSD: Tensor) -> Tensor:
        """A block with one attention over all frames of equal view or equal time.

        self_attention: `one_stream.untuned` or a `one_stream.FusedTuning`.
        """

        def attend(qkv_BLD: Tensor) -> Tensor:
            heads = block.heads(qkv_BLD, self.angles_both)
            grids = (rearrange(part, "b h (v t s) d -> b h v t s d", v=self.V, t=self.T) for part in heads)
            return rearrange(grid_attention(*grids), "b h v t s d -> b (v t s) (h d)")

        has_text = self.text_time is not None or self.text_view is not None
        read = partial(self._read_both_texts, block) if has_text else None
        x_BLD = rearrange(x_BVTSD, "b v t s d -> b (v t s) d")
        y_BLD = block.around(partial(self_attention, block, attend), read, x_BLD, self.modulation_both)
        return self._from_grid_sequences(y_BLD)

    @cached_property
    def modulation_both(self) -> Tensor:
        """The mean of both modes' modulations, `[B, 6, D]`: a fused block runs along both axes [ours]."""
        return (self._modulation(DYNAMIC, 1) + self._modulation(FREEZE_TIME, 1)) / 2

    @cached_property
    def angles_both(self) -> Tensor:
        """Rotary angles `[L, P]` with v + t as the frame's position [ours].

        Rotary attention depends on differences of positions. Where views are equal that of v + t is the difference in
        time, where times are equal the difference in view: what each mode was trained with, along its own axis.
        4Real-Video-V2's v * T_max + t would put neighbouring views T_max frames apart.
        """
        angles_FSP = self.base.angles(self.V + self.T - 1, self.embedded).unflatten(0, (self.V + self.T - 1, -1))
        return torch.stack([angles_FSP[view : view + self.T] for view in range(self.V)]).flatten(0, 2)

    def _read_both_texts(self, block: Any, x_BLD: Tensor) -> Tensor:
        """Mean of what the texts of a token's view and of its time give, as far as there are texts [ours]."""
        x_BVTSD, read = self._from_grid_sequences(x_BLD), list[Tensor]()
        if self.text_time is not None:
            read.append(self._from_time_sequences(block.read_text(self._time_sequences(x_BVTSD), self.text_time)))
        if self.text_view is not None:
            read.append(self._from_view_sequences(block.read_text(self._view_sequences(x_BVTSD), self.text_view)))
        return rearrange(cast(Tensor, sum(read)) / len(read), "b v t s d -> b (v t s) d")

    def both(self, block: Any, time_BVTSD: Tensor, view_BVTSD: Tensor) -> tuple[Tensor, Tensor]:
        """A block on both streams: as one batch when V == T and no text makes them differ in shape."""
        if self.V != self.T or self.text_time is not None or self.text_view is not None:
            return self.along_time(block, time_BVTSD), self.along_view(block, view_BVTSD)
        sequences = torch.cat([self._time_sequences(time_BVTSD), self._view_sequences(view_BVTSD)])
        modulation = torch.cat([self.modulation_time, self.modulation_view])
        y_time, y_view = block(sequences, modulation, self.angles_time, None).chunk(2)
        return self._from_time_sequences(y_time), self._from_view_sequences(y_view)

    def velocity(self, time_BVTSD: Tensor, view_BVTSD: Tensor, output: str) -> Tensor:
        """Each stream predicts a velocity; the sample moves with their mean unless one is asked for [ours]."""
        if output == "time only" or time_BVTSD is view_BVTSD:
            return self._predict(time_BVTSD)
        if output == "view only":
            return self._predict(view_BVTSD)
        return (self._predict(time_BVTSD) + self._predict(view_BVTSD)) / 2

    def _predict(self, tokens_BVTSD: Tensor) -> Tensor:
        tokens = rearrange(tokens_BVTSD, "b v t s d -> (b v t) s d")
        velocity = self.base.predict(tokens, self.embedded)
        return rearrange(velocity, "(b v t) c h w -> b v c t h w", v=self.V, t=self.T)

    def _time_sequences(self, x_BVTSD: Tensor) -> Tensor:
        return rearrange(x_BVTSD, "b v t s d -> (b v) (t s) d")

    def _view_sequences(self, x_BVTSD: Tensor) -> Tensor:
        return rearrange(x_BVTSD, "b v t s d -> (b t) (v s) d")

    def _from_time_sequences(self, y: Tensor) -> Tensor:
        return rearrange(y, "(b v) (t s) d -> b v t s d", v=self.V, t=self.T)

    def _from_view_sequences(self, y: Tensor) -> Tensor:
        return rearrange(y, "(b t) (v s) d -> b v t s d", v=self.V, t=self.T)

    def _from_grid_sequences(self, y: Tensor) -> Tensor:
        return rearrange(y, "b (v t s) d -> b v t s d", v=self.V, t=self.T)
