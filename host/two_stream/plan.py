"""What an artist asks of two streams, as plain data that travels in a MODEL's transformer options."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...fourreal_core.model.sync import Sync, average, off, relax, view_by_view
from ...fourreal_core.model.two_stream import OUTPUTS, SYNC_KINDS
from .alternating import ALTERNATING

HOST_KINDS = (*SYNC_KINDS, ALTERNATING)  # ways to run blocks, then ways to run whole steps; in the nodes' order


@dataclass(frozen=True)
class TwoStreamPlan:
    """How two streams run on a host model.

    kind: one of HOST_KINDS; strength: 0..1, share of the synchronization (two-stream kinds only).
    first_layer, last_layer: share of the depth, 0..1, between which layers are synchronized.
    start_percent, end_percent: share of the sampling, 0..1, as the host counts it, in which they are.
    output: which stream's prediction moves the sample, one of OUTPUTS; kinds with one stream have one prediction.
    trained: one synchronization per layer, `(y_time, y_view, sigma) -> (x_time, x_view)` on tokens [k, V, T, S, D]
    and sigma [k]; None: hard averages. Modules behind them are attached by `patch_two_streams(..., models=)`.
    source: where trained layers come from, for the user.
    """

    kind: str = "hard"
    strength: float = 1.0
    first_layer: float = 0.0
    last_layer: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    output: str = "mean"
    trained: tuple[Sync, ...] | None = None
    source: str = ""

    def __post_init__(self):
        if self.kind not in HOST_KINDS:
            raise ValueError(f"expected sync to be one of {', '.join(HOST_KINDS)}, got {self.kind}")
        if self.output not in OUTPUTS:
            raise ValueError(f"expected output to be one of {', '.join(OUTPUTS)}, got {self.output}")
        for first, last, what in (
            (self.first_layer, self.last_layer, "first_layer below last_layer"),
            (self.start_percent, self.end_percent, "start_percent below end_percent"),
        ):
            if not 0.0 <= first < last <= 1.0:
                raise ValueError(f"expected {what}, both 0 to 1, got {first:g} and {last:g}")
        if self.kind == "soft" and self.trained is None:
            raise ValueError(
                "soft needs trained synchronization layers, and this model has none: choose auto or hard, or "
                "connect layers from 4Real Load Sync"
            )

    @property
    def summary(self) -> str:
        """What runs, in a few words for the user."""
        how = {
            "hard": "averaging, nothing trained",
            "sequential": "nothing trained",
            "fused": "nothing trained",
            ALTERNATING: "along views and along time in turns, nothing trained",
        }.get(self.kind)
        if self.trained is not None:
            how = f"trained layers of {self.source}" if self.source else "trained layers"
        strength = f", strength {self.strength:g}" if self.kind in ("soft", "hard") and self.strength != 1.0 else ""
        return f"sync {self.kind}" + (f": {how}" if how else "") + strength

    @property
    def everywhere(self) -> bool:
        """Whether all layers are synchronized in all of the sampling."""
        return (self.first_layer, self.last_layer, self.start_percent, self.end_percent) == (0.0, 1.0, 0.0, 1.0)

    @property
    def percents(self) -> tuple[float, float]:
        return self.start_percent, self.end_percent

    def synchronized(self, depth: int) -> range:
        """Indices of the layers that are synchronized; at least one."""
        first = min(round(self.first_layer * depth), depth - 1)
        return range(first, max(first + 1, round(self.last_layer * depth)))

    def layers(self, depth: int) -> Sequence[Sync]:
        """One synchronization per layer, for the kinds with two streams."""
        if self.trained is not None and len(self.trained) != depth:
            raise ValueError(
                f"expected synchronization layers for {depth} blocks, got {len(self.trained)}: they were trained for another model"
            )
        if self.kind == "off":
            return [off] * depth
        layers = [average] * depth if self.trained is None else self.trained
        chosen = [relax(layer, self.strength) for layer in layers]
        if self.trained is not None:
            chosen = [view_by_view(layer) for layer in chosen]  # a wide model's tokens fill the memory
        within = self.synchronized(depth)
        return [chosen[index] if index in within else off for index in range(depth)]
