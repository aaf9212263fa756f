"""The grid model: the same frozen blocks run as a time stream and a view stream, synchronized after every block.

Source: PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462). Per layer l, with phi_l the base block:
    y_t = x_t + phi_l(x_t; dynamic)       V sequences of length T
    y_v = x_v + phi_l(x_v; freeze-time)   T sequences of length V
    (x_t, x_v) = sync_l(y_t, y_v; sigma)  token by token at equal (v, t, y, x)
Beside it the two ways with one stream that the papers compare it to: sequential, and fused (4Real-Video-V2,
arXiv 2506.18839). Each way to run a layer is a function `(layer, block, streams, time, view) -> (time, view)`.

Legend: B grids, V views, T times, C channels, H W pixels, S tokens per frame, L = V * T * S, D width,
M = B * V * T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from . import sync as syncs
from .attention import grid_attention
from .config import ModelConfig
from .dit import DYNAMIC, FREEZE_TIME, VideoDiT, initialize

SYNC_KINDS = ("soft", "hard", "fused", "sequential", "off")  # in the order that the nodes offer them
WITHOUT_TRAINING = {"off": syncs.off, "hard": syncs.average, "sequential": syncs.unchanged, "fused": syncs.untuned}
OUTPUTS = ("mean", "time only", "view only")


class GridModel(nn.Module):
    """Base video model and its synchronization layers.

    `forward` takes noisy grids to velocities. Base weights live under `base.`, the trained layers of each kind in
    `config.sync` under `sync.<kind>.<block>.`, so that training can freeze one and leave the other.
    """

    def __init__(self, config: ModelConfig, *, operations: Any = nn, dtype=None, device=None):
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        self.config = config
        self.base = VideoDiT(config, operations=operations, **factory)
        self.sync = nn.ModuleDict(
            {kind: syncs.build_sync(kind, config, operations=operations, **factory) for kind in config.sync}
        )

    def forward(
        self,
        x_BVCTHW: Tensor,
        sigma_B: Tensor,
        condition_BVCTHW: Tensor,
        *,
        sync: str = "soft",
        strength: float = 1.0,
        output: str = "mean",
        context: tuple[Tensor | None, Tensor | None] | None = None,
        observe: syncs.Observe | None = None,
    ) -> Tensor:
        """Velocity of noisy grids, float32, same shape as `x_BVCTHW` `[B, V, 3, T, H, W]`.

        sigma_B: 0..1, one per grid. condition: `[B, V, config.condition_channels, T, H, W]` from `grid_condition`.
        sync: one of `SYNC_KINDS`. strength: 0 (off) .. 1, how far each synchronization goes; of no effect with one
        stream, as `output` and `observe` are. output: mean of both streams' velocities, or one stream's. context: text
        tokens of the time stream `[B * V, K, text_width]` and of the view stream `[B * T, K, text_width]`.
        observe(layer, y_time, y_view, x_time, x_view): told after each synchronization of both streams before and
        after it, `[B, V, T, S, D]`. Raises ValueError for an unknown sync or output, or a strength out of range.
        """
        if output not in OUTPUTS:
            raise ValueError(f"unknown output {output!r}: expected one of {', '.join(OUTPUTS)}")
        run, layers = self._strategy(sync, strength, observe)
        streams = Streams(self.base, x_BVCTHW, sigma_B, condition_BVCTHW, context or (None, None))
        time = view = streams.tokens_BVTSD
        for layer, block in zip(layers, self.base.blocks):
            time, view = run(layer, block, streams, time, view)
        return streams.velocity(time, view, output)

    @property
    def sync_kinds(self) -> tuple[str, ...]:
        """What `sync` may be: only soft needs trained layers, hard without them averages."""
        return tuple(kind for kind in SYNC_KINDS if kind in WITHOUT_TRAINING or kind in self.sync)

    @property
    def best_sync(self) -> str:
        """What to run when nobody chose: soft if this checkpoint has it, else hard."""
        return "soft" if "soft" in self.sync_kinds else "hard"

    def _strategy(self, kind: str, strength: float, observe: syncs.Observe | None) -> tuple[Callable, list[Callable]]:
        """How to run a layer of this kind, and what it runs with at each layer: trained if this checkpoint has it."""
        if kind not in self.sync_kinds:
            raise ValueError(f"unknown synchronization {kind!r}: this model offers {', '.join(self.sync_kinds)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"the synchronization strength must lie in 0..1, got {strength}")
        layers = list(self.sync[kind]) if kind in self.sync else [WITHOUT_TRAINING[kind]] * self.config.depth
        if kind in ONE_STREAM:
            return ONE_STREAM[kind], layers
        layers = [syncs.relax(layer, strength) for layer in layers]
        if observe is not None:
            layers = [syncs.observed(layer, number, observe) for number, layer in enumerate(layers)]
        return parallel, layers


def parallel(layer: syncs.Sync, block: nn.Module, streams: Streams, time: Tensor, view: Tensor):
    """The two streams side by side, then their synchronization: off, hard, soft."""
    y_time, y_view = streams.both(block, time, view)
    return layer(y_time, y_view, streams.sigma_B)


def sequential(layer: Callable, block: nn.Module, streams: Streams, x: Tensor, _: Tensor):
    """The baseline: x <- x + phi(x; freeze-time), then x <- x + phi(x; dynamic), one stream (PAPER)."""
    x = layer(streams.along_time(block, streams.along_view(block, x)), streams.sigma_B)
    return x, x


def fused(layer: Callable, block: nn.Module, streams: Streams, x: Tensor, _: Tensor):
    """One stream, each block once, with attention to equal view or equal time (4Real-Video-V2)."""
    x = streams.along_both(block, layer, x)
    return x, x


ONE_STREAM = {"sequential": sequential, "fused": fused}


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

    def along_time(self, block: nn.Module, x_BVTSD: Tensor) -> Tensor:
        y = block(self._time_sequences(x_BVTSD), self.modulation_time, self.angles_time, self.text_time)
        return self._from_time_sequences(y)

    def along_view(self, block: nn.Module, x_BVTSD: Tensor) -> Tensor:
        y = block(self._view_sequences(x_BVTSD), self.modulation_view, self.angles_view, self.text_view)
        return self._from_view_sequences(y)

    def along_both(self, block: nn.Module, self_attention: Callable, x_BVTSD: Tensor) -> Tensor:
        """A block with one attention over all frames of equal view or equal time.

        self_attention: `syncs.untuned` or a `syncs.FusedSync`.
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

    def _read_both_texts(self, block: nn.Module, x_BLD: Tensor) -> Tensor:
        """Mean of what the texts of a token's view and of its time give, as far as there are texts [ours]."""
        x_BVTSD, read = self._from_grid_sequences(x_BLD), []
        if self.text_time is not None:
            read.append(self._from_time_sequences(block.read_text(self._time_sequences(x_BVTSD), self.text_time)))
        if self.text_view is not None:
            read.append(self._from_view_sequences(block.read_text(self._view_sequences(x_BVTSD), self.text_view)))
        return rearrange(sum(read) / len(read), "b v t s d -> b (v t s) d")

    def both(self, block: nn.Module, time_BVTSD: Tensor, view_BVTSD: Tensor) -> tuple[Tensor, Tensor]:
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


def initialize_grid_model(model: GridModel, generator: torch.Generator | None = None) -> GridModel:
    """Fresh weights: the base as in `dit.initialize`, hard and soft as plain averaging, the others as if untrained."""
    initialize(model.base, generator)
    for layers in model.sync.values():
        for layer in layers:
            layer.initialize()
    return model
