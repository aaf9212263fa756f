"""Every fill and every synchronization that ships, as ways from a task to a filled grid. Used by `fourreal evaluate --fill`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from torch import Tensor

from ..geometry.fill import FillSources, fill_grid, find_sources
from ..geometry.networks import BUNDLED as GEOMETRY
from ..grid import FrameGrid
from ..model.two_stream import GridModel
from ..model.weights import checkpoint_hash
from ..sampling.sample import Sampling, fill_by_sampling
from .baselines import copy_fill

Fill = Callable[[FrameGrid], FrameGrid]
STEPS = (1, 4)


@dataclass
class _Found:
    """What several ways need of one task: the sources of its cells, and what the model drew on Transport's guess, by its settings."""

    sources: FillSources
    drawn: dict[Sampling, Tensor] = field(default_factory=dict)


class ShippedWays:
    """Name -> fill(task): copy, a baseline; transport, scene and auto, the fills without the two-stream model; and the model with each
    synchronization and number of steps, on Transport's guess as it is ("transport + soft, 4 steps") and as *4Real Sampler* and
    `sample_grid` use it, chosen per pixel beside the sources of "auto" ("auto + soft, 4 steps"). Fill one task after the other: what the
    ways of a task share is found once.
    """

    def __init__(self, model: GridModel, steps: Sequence[int] = STEPS, seed: int = 0):
        self.model = model
        self._found: WeakKeyDictionary[FrameGrid, _Found] = WeakKeyDictionary()
        self.fills: dict[str, Fill] = {
            "copy": copy_fill,
            "transport": lambda task: fill_grid(task, method="transport").grid,
            "scene": self._scene,
            "auto": lambda task: self._of(task).sources.fill().grid,
        }
        for chosen in (False, True):
            for kind in sorted(model.sync_kinds):
                for count in steps:
                    name = f"{'auto' if chosen else 'transport'} + {kind}, {count} step{'s' * (count > 1)}"
                    self.fills[name] = partial(self._model, Sampling(kind, steps=count, seed=seed), chosen)

    def weights(self) -> dict[str, str]:
        """File -> the first 16 digits of its SHA-256, of the weights that these ways use."""
        return {"two-stream": getattr(self.model, "checkpoint_hash", "unsaved"), "geometry": checkpoint_hash(GEOMETRY)}

    def _of(self, task: FrameGrid) -> _Found:
        if task not in self._found:
            self._found[task] = _Found(find_sources(task, predicted=(task.height, task.width)))
        return self._found[task]

    def _scene(self, task: FrameGrid) -> FrameGrid:
        sources = self._of(task).sources
        return (sources if sources.scene else find_sources(task, method="scene")).fill().grid

    def _model(self, sampling: Sampling, chosen: bool, task: FrameGrid) -> FrameGrid:
        found = self._of(task)
        if sampling not in found.drawn:
            drawn = fill_by_sampling(self.model, task, sampling, predictions=found.sources.predictions)
            found.drawn[sampling] = drawn.frames
        drawn_VTHW3 = found.drawn[sampling]
        filled = found.sources.fill(drawn_VTHW3).grid if chosen else task.filled(drawn_VTHW3)
        return filled.replace(provenance={**filled.provenance, **sampling.facts(self.model)})
