"""The grid model: the same frozen blocks run as a time stream and a view stream, synchronized after every block.

Source: PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462). Per layer l, with phi_l the base block:
    y_t = x_t + phi_l(x_t; dynamic)       V sequences of length T
    y_v = x_v + phi_l(x_v; freeze-time)   T sequences of length V
    (x_t, x_v) = sync_l(y_t, y_v; sigma)  token by token at equal (v, t, y, x)
Beside it the two ways with one stream that the papers compare it to: sequential, and fused (4Real-Video-V2,
arXiv 2506.18839). How a block runs in each way is in streams.py, what brings two streams together in sync.py.

Legend: B grids, V views, T times, C channels, H W pixels, S tokens per frame, D width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from . import sync as syncs
from .config import ModelConfig
from .dit import VideoDiT, initialize
from .processes import ALONE, Processes
from .streams import KINDS, OUTPUTS, SYNC_KINDS, Step, Streams, build_layers, two_streams

__all__ = ["OUTPUTS", "SYNC_KINDS", "GridModel", "initialize_grid_model"]


class GridModel(nn.Module):
    """Base video model and its synchronization layers.

    `forward` takes noisy grids to velocities. Base weights live under `base.`, the trained layers of each kind in
    `config.sync` under `sync.<kind>.<block>.`, so that training can freeze one and leave the other.
    """

    def __init__(self, config: ModelConfig, *, operations: Any = nn, dtype=None, device=None):
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        self.config = config
        self.checkpoint_hash = "unsaved"  # of the file that the weights came from
        self.base = VideoDiT(config, operations=operations, **factory)
        self.sync = nn.ModuleDict(
            {kind: build_layers(kind, config, operations=operations, **factory) for kind in config.sync}
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
        processes: Processes = ALONE,
    ) -> Tensor:
        """Velocity of noisy grids, float32, same shape as `x_BVCTHW` `[B, V, 3, T, H, W]`.

        sigma_B: 0..1, one per grid. condition: `[B, V, config.condition_channels, T, H, W]` from `grid_condition`.
        sync: one of `SYNC_KINDS`. strength: 0 (off) .. 1, how far each synchronization goes; of no effect with one
        stream, as `output` and `observe` are. output: mean of both streams' velocities, or one stream's. context: text
        tokens of the time stream `[B * V, K, text_width]` and of the view stream `[B * T, K, text_width]`.
        observe(layer, y_time, y_view, x_time, x_view): told after each synchronization of both streams before and
        after it, `[B, V, T, S, D]`. processes: those that share the work, the time stream on one and the view stream on another where
        there are two; each calls this with the same inputs and gets the same velocity. Raises ValueError for an unknown sync or output, or a strength out of range.
        """
        if output not in OUTPUTS:
            raise ValueError(f"unknown output {output!r}: expected one of {', '.join(OUTPUTS)}")
        steps = self._steps(sync, strength, observe)
        streams = Streams(self.base, x_BVCTHW, sigma_B, condition_BVCTHW, context or (None, None), processes)
        time = view = streams.tokens_BVTSD
        for step, block in zip(steps, self.base.blocks):
            time, view = step(block, streams, time, view)
        return streams.velocity(time, view, output)

    def trained(self, kind: str) -> nn.ModuleList:
        """The layers of a kind in `config.sync`, one per block."""
        return cast(nn.ModuleList, self.sync[kind])

    @property
    def sync_kinds(self) -> tuple[str, ...]:
        """What `sync` may be: only soft needs trained layers, hard without them averages."""
        return tuple(name for name, kind in KINDS.items() if kind.untrained or name in self.sync)

    @property
    def best_sync(self) -> str:
        """What to run when nobody chose: soft if this checkpoint has it, else hard."""
        return "soft" if "soft" in self.sync_kinds else "hard"

    def _steps(self, sync: str, strength: float, observe: syncs.Observe | None) -> list[Step]:
        """How each block runs: with its trained layer if this checkpoint has them for this kind."""
        if sync not in self.sync_kinds:
            raise ValueError(f"unknown synchronization {sync!r}: this model offers {', '.join(self.sync_kinds)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"the synchronization strength must be from 0 to 1, got {strength}")
        kind = KINDS[sync]
        layers = list(self.trained(sync)) if sync in self.sync else [kind.untrained] * self.config.depth
        if kind.step is two_streams:
            layers = [syncs.relax(layer, strength) for layer in layers]
        if kind.step is two_streams and observe is not None:
            layers = [syncs.observed(layer, number, observe) for number, layer in enumerate(layers)]
        return [kind.step(layer) for layer in layers]


def initialize_grid_model(model: GridModel, generator: torch.Generator | None = None) -> GridModel:
    """Fresh weights: the base as in `dit.initialize`, hard and soft as plain averaging, the others as if untrained."""
    initialize(model.base, generator)
    for kind in model.sync:
        for layer in model.trained(kind):
            cast(Any, layer).initialize(generator=generator)
    return model
