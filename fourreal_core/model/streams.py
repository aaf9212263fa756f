"""A grid on its way through the blocks, and the ways to run one block on it: two streams, or the papers' two ways with one.

A step runs one block of any way, all with one signature, `(block, streams, time, view) -> (time, view)`; `KINDS` lists the ways. With one
stream both results are the same tensor. Source: PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462); fused: arXiv 2506.18839.

On several processes each runs a part of a block's sequences, of the time stream on the first half of them and of the view stream on the
other; every process hears all results and synchronizes for itself, so that all hold the same streams.

Legend: B grids, V views, T times, C channels, H W pixels, S tokens per frame, L = V * T * S, D width, M = B * V * T frames, N sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from . import one_stream, sync
from .attention import grid_attention
from .config import ModelConfig
from .dit import DYNAMIC, FREEZE_TIME, VideoDiT
from .processes import ALONE, Processes

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


@dataclass(frozen=True)
class Axis:
    """How a block runs along one axis of the grid: on N sequences of tokens, one for each place on the other axis."""

    pattern: str  # of a grid's tokens as sequences, for einops
    sizes: dict[str, int]
    modulation_N6D: Tensor
    angles: Tensor
    text_NKD: Tensor | None

    def sequences(self, x_BVTSD: Tensor) -> Tensor:
        return rearrange(x_BVTSD, f"b v t s d -> {self.pattern}")

    def grid(self, sequences: Tensor) -> Tensor:
        return rearrange(sequences, f"{self.pattern} -> b v t s d", **self.sizes)

    def part(self, index: int, count: int) -> Axis:
        """The same for one of `count` parts of the sequences."""
        text = None if self.text_NKD is None else self.text_NKD.tensor_split(count)[index]
        return replace(self, modulation_N6D=self.modulation_N6D.tensor_split(count)[index], text_NKD=text)

    def run(self, block: Any, sequences: Tensor) -> Tensor:
        return block(sequences, self.modulation_N6D, self.angles, self.text_NKD)


class Streams:
    """One grid batch on its way through the blocks: embeds once, runs a block along either axis, ends in velocity."""

    def __init__(
        self,
        base: VideoDiT,
        x_BVCTHW: Tensor,
        sigma_B: Tensor,
        condition_BVCTHW: Tensor,
        context: tuple,
        processes: Processes = ALONE,
    ):
        self.base, self.sigma_B, self.processes = base, sigma_B, processes
        self.B, self.V, _, self.T = x_BVCTHW.shape[:4]
        x_MCHW, condition_MCHW = (
            rearrange(part, "b v c t h w -> (b v t) c h w") for part in (x_BVCTHW, condition_BVCTHW)
        )
        self.embedded = base.embed(x_MCHW, condition_MCHW, sigma_B.repeat_interleave(self.V * self.T))
        self.tokens_BVTSD = rearrange(self.embedded.tokens_MSD, "(b v t) s d -> b v t s d", v=self.V, t=self.T)
        text_time, text_view = context
        self.time = Axis("(b v) (t s) d", {"v": self.V, "t": self.T}, *self._told(DYNAMIC, self.V, self.T), text_time)
        self.view = Axis(
            "(b t) (v s) d", {"v": self.V, "t": self.T}, *self._told(FREEZE_TIME, self.T, self.V), text_view
        )

    def _told(self, mode: int, sequences: int, length: int) -> tuple[Tensor, Tensor]:
        """Modulation and rotary angles of so many sequences per grid, each of so many frames."""
        return self._modulation(mode, sequences), self.base.angles(length, self.embedded)

    def _modulation(self, mode: int, sequences: int) -> Tensor:
        modes = torch.full_like(self.sigma_B, mode, dtype=torch.long)
        modulation = self.base.modulation(self.sigma_B, modes, self.embedded.tokens_MSD.dtype)
        return modulation.repeat_interleave(sequences, dim=0)

    def along_time(self, block: Any, x_BVTSD: Tensor) -> Tensor:
        return self._run(block, (self.time, x_BVTSD))[0]

    def along_view(self, block: Any, x_BVTSD: Tensor) -> Tensor:
        return self._run(block, (self.view, x_BVTSD))[0]

    def _run(self, block: Any, *ways: tuple[Axis, Tensor]) -> list[Tensor]:
        """A block along each of these axes, on tokens of its own."""
        if self.processes.count == 1:
            return [axis.grid(axis.run(block, axis.sequences(x))) for axis, x in ways]
        results = list[Tensor]()
        parts, owners = list[Tensor](), list[int]()
        for (axis, x), ranks in zip(ways, self.processes.split(len(ways))):
            sequences = axis.sequences(x)
            results.append(torch.empty_like(sequences, memory_format=torch.contiguous_format))
            mine = (sequences.tensor_split(len(ranks)), results[-1].tensor_split(len(ranks)))
            for index, (rank, part, result) in enumerate(zip(ranks, *mine)):
                if rank == self.processes.rank and len(part):
                    result.copy_(axis.part(index, len(ranks)).run(block, part))
                parts, owners = [*parts, result], [*owners, rank]
        self.processes.gathered(parts, owners)
        return [axis.grid(result) for (axis, _), result in zip(ways, results)]

    def along_both(self, block: Any, self_attention: Callable, x_BVTSD: Tensor) -> Tensor:
        """A block with one attention over all frames of equal view or equal time.

        self_attention: `one_stream.untuned` or a `one_stream.FusedTuning`.
        """

        def attend(qkv_BLD: Tensor) -> Tensor:
            heads = block.heads(qkv_BLD, self.angles_both)
            grids = (rearrange(part, "b h (v t s) d -> b h v t s d", v=self.V, t=self.T) for part in heads)
            return rearrange(grid_attention(*grids), "b h v t s d -> b (v t s) (h d)")

        read = partial(self._read_both_texts, block) if self._has_text else None
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
        if self.time.text_NKD is not None:
            read.append(self.time.grid(block.read_text(self.time.sequences(x_BVTSD), self.time.text_NKD)))
        if self.view.text_NKD is not None:
            read.append(self.view.grid(block.read_text(self.view.sequences(x_BVTSD), self.view.text_NKD)))
        return rearrange(cast(Tensor, sum(read)) / len(read), "b v t s d -> b (v t s) d")

    @property
    def _has_text(self) -> bool:
        return self.time.text_NKD is not None or self.view.text_NKD is not None

    def both(self, block: Any, time_BVTSD: Tensor, view_BVTSD: Tensor) -> tuple[Tensor, Tensor]:
        """A block on both streams: as one batch when V == T, no text makes them differ in shape and one process runs both."""
        if self.V != self.T or self._has_text or self.processes.count > 1:
            y_time, y_view = self._run(block, (self.time, time_BVTSD), (self.view, view_BVTSD))
            return y_time, y_view
        sequences = torch.cat([self.time.sequences(time_BVTSD), self.view.sequences(view_BVTSD)])
        modulation = torch.cat([self.time.modulation_N6D, self.view.modulation_N6D])
        y_time, y_view = block(sequences, modulation, self.time.angles, None).chunk(2)
        return self.time.grid(y_time), self.view.grid(y_view)

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

    def _from_grid_sequences(self, y: Tensor) -> Tensor:
        return rearrange(y, "b (v t s) d -> b v t s d", v=self.V, t=self.T)
