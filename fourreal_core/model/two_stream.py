"""The grid model: the same frozen blocks run as a time stream and a view stream, synchronized after every block.

Source: PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462). Per layer l, with phi_l the base block:
    y_t = x_t + phi_l(x_t; dynamic)       V sequences of length T
    y_v = x_v + phi_l(x_v; freeze-time)   T sequences of length V
    (x_t, x_v) = sync_l(y_t, y_v; sigma)  token by token at equal (v, t, y, x)

Legend: B grids, V views, T times, C channels, H W pixels, S tokens per frame, D width, M = B * V * T frames.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from . import sync as syncs
from .config import ModelConfig
from .dit import DYNAMIC, FREEZE_TIME, VideoDiT, initialize

SYNC_KINDS = ("off", "hard", "soft", "sequential")
OUTPUTS = ("mean", "time only", "view only")


class GridModel(nn.Module):
    """Base video model and its synchronization layers.

    `forward` takes noisy grids to velocities. Base weights live under `base.`, synchronization layers under
    `sync.hard.` and `sync.soft.`, so that training can freeze one and leave the other.
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
    ) -> Tensor:
        """Velocity of noisy grids, float32, same shape as `x_BVCTHW` `[B, V, 3, T, H, W]`.

        sigma_B: 0..1, one per grid. condition: `[B, V, config.condition_channels, T, H, W]` from `grid_condition`.
        sync: one of `SYNC_KINDS`. strength: 0 (off) .. 1, how far each synchronization goes. output: mean of both
        streams' velocities, or one stream's. context: text tokens of the time stream `[B * V, K, text_width]` and of
        the view stream `[B * T, K, text_width]`. Raises ValueError for an unknown sync or output.
        """
        if output not in OUTPUTS:
            raise ValueError(f"unknown output {output!r}: expected one of {', '.join(OUTPUTS)}")
        step = self._step(sync, strength)
        streams = Streams(self.base, x_BVCTHW, sigma_B, condition_BVCTHW, context or (None, None))
        time = view = streams.tokens_BVTSD
        for layer, block in enumerate(self.base.blocks):
            time, view = step(layer, block, streams, time, view)
        return streams.velocity(time, view, output)

    @property
    def sync_kinds(self) -> tuple[str, ...]:
        """What `sync` may be: hard without trained layers averages, soft needs trained layers."""
        return tuple(kind for kind in SYNC_KINDS if kind != "soft" or "soft" in self.sync)

    @property
    def best_sync(self) -> str:
        """What to run when nobody chose: soft if this checkpoint has it, else hard."""
        return "soft" if "soft" in self.sync_kinds else "hard"

    def _step(self, kind: str, strength: float) -> Callable:
        if kind not in self.sync_kinds:
            raise ValueError(f"unknown synchronization {kind!r}: this model offers {', '.join(self.sync_kinds)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"the synchronization strength must lie in 0..1, got {strength}")
        if kind == "sequential":
            return sequential_step
        if kind == "off":
            layers: Sequence[syncs.Sync] = [syncs.off] * self.config.depth
        elif kind in self.sync:
            layers = self.sync[kind]
        else:
            layers = [syncs.average] * self.config.depth

        def parallel_step(layer, block, streams, time, view):
            y_time, y_view = streams.both(block, time, view)
            return syncs.relax(layers[layer], strength)(y_time, y_view, streams.sigma_B)

        return parallel_step


def sequential_step(layer: int, block: nn.Module, streams: "Streams", time: Tensor, view: Tensor):
    """The baseline: x <- x + phi(x; freeze-time), then x <- x + phi(x; dynamic), one stream (PAPER)."""
    x = streams.along_time(block, streams.along_view(block, time))
    return x, x


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
        return rearrange(y, "(b v) (t s) d -> b v t s d", v=self.V, t=self.T)

    def along_view(self, block: nn.Module, x_BVTSD: Tensor) -> Tensor:
        y = block(self._view_sequences(x_BVTSD), self.modulation_view, self.angles_view, self.text_view)
        return rearrange(y, "(b t) (v s) d -> b v t s d", v=self.V, t=self.T)

    def both(self, block: nn.Module, time_BVTSD: Tensor, view_BVTSD: Tensor) -> tuple[Tensor, Tensor]:
        """A block on both streams: as one batch when V == T and no text makes them differ in shape."""
        if self.V != self.T or self.text_time is not None or self.text_view is not None:
            return self.along_time(block, time_BVTSD), self.along_view(block, view_BVTSD)
        sequences = torch.cat([self._time_sequences(time_BVTSD), self._view_sequences(view_BVTSD)])
        modulation = torch.cat([self.modulation_time, self.modulation_view])
        y_time, y_view = block(sequences, modulation, self.angles_time, None).chunk(2)
        return (
            rearrange(y_time, "(b v) (t s) d -> b v t s d", v=self.V, t=self.T),
            rearrange(y_view, "(b t) (v s) d -> b v t s d", v=self.V, t=self.T),
        )

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


def initialize_grid_model(model: GridModel, generator: torch.Generator | None = None) -> GridModel:
    """Fresh weights: the base as in `dit.initialize`, every synchronization layer as plain averaging."""
    initialize(model.base, generator)
    for layers in model.sync.values():
        for layer in layers:
            layer.initialize()
    return model
