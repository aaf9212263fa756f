"""Training grids of several folders, mixed by weight, read lazily: the tensors of an examples file are memory mapped, so that a
draw reads only what it uses and the operating system's cache is the only one.

Every draw comes from one torch.Generator: the same one gives the same grids in every process and after resuming.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .store import StoredGrid, read_examples


@dataclass(frozen=True)
class ExampleFolder:
    """A folder written by `prepare`, its share of all draws (None: by how many grids it holds), and a name for messages."""

    folder: Path
    weight: float | None = None
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> ExampleFolder:
        """`DIR`, `DIR:0.5` or `name=DIR:0.5`. Raises ValueError when the weight is not above 0."""
        name, equals, rest = text.partition("=")
        folder, colon, weight = (rest if equals else text).rpartition(":")
        try:
            share = float(weight) if colon else None
        except ValueError:  # the colon of a drive letter
            share = None
        if share is None:
            return cls(Path(rest if equals else text), None, name if equals else "")
        if not (math.isfinite(share) and share > 0):
            raise ValueError(
                f"expected a weight above 0 in --examples {text}, got {weight}: leave the folder out instead"
            )
        return cls(Path(folder), share, name if equals else "")


class Mixture:
    """Sources of training grids with weights. `pick` draws a source by weight, then one of its grids; indexing goes through all."""

    def __init__(self, sources: Sequence[Sequence[StoredGrid]], weights: Sequence[float]):
        self.grids = [grid for source in sources for grid in source]
        self._any = [(list(source), weight) for source, weight in zip(sources, weights, strict=True)]
        with_views = [([grid for grid in source if grid.frames.shape[0] > 1], weight) for source, weight in self._any]
        self._with_views = [(source, weight) for source, weight in with_views if source]

    @classmethod
    def of(cls, grids: Iterable[StoredGrid]) -> Mixture:
        """One source."""
        return cls([list(grids)], [1.0])

    @property
    def has_views(self) -> bool:
        """Whether any grid has more than one view, as synchronization needs."""
        return bool(self._with_views)

    @property
    def shown(self) -> StoredGrid:
        """The first grid with several views and times, or else the first one."""
        return next((grid for grid in self.grids if min(grid.frames.shape[:2]) > 1), self.grids[0])

    def pick(self, generator: torch.Generator, *, views: bool = False) -> StoredGrid:
        """A grid; with `views` one of more than one view, where fixed-view sequences are passed over. ValueError when there is none."""
        if views and not self.has_views:
            raise ValueError(
                "expected examples with several views to train synchronization, got only fixed-view "
                "sequences: prepare some with --shards, --captures, --freeze-time, --videos or --procedural"
            )
        sources = self._with_views if views else self._any
        place = float(torch.rand((), generator=generator, dtype=torch.float64)) * sum(weight for _, weight in sources)
        for source, weight in sources:  # noqa: B007 - the one at which the loop stops
            place -= weight
            if place < 0:
                break
        return source[int(torch.randint(len(source), (1,), generator=generator))]


def load_examples(examples: Path | Sequence[ExampleFolder]) -> Mixture:
    """The examples of one folder, or of several with weights.

    Weights count as shares of 1 when some folder has none: those without share what is left, by their numbers of grids. ValueError when
    a folder holds no examples, or nothing is left to share.
    """
    folders = [ExampleFolder(examples)] if isinstance(examples, Path) else list(examples)
    sources = [read_examples(entry.folder) for entry in folders]
    given = sum(entry.weight or 0 for entry in folders)
    counted = [len(source) if entry.weight is None else 0 for entry, source in zip(folders, sources)]
    if any(counted) and given >= 1:
        bare = next(entry for entry in folders if entry.weight is None)
        raise ValueError(
            f"expected weights that add up to less than 1, got {given:g}, which leaves nothing for "
            f"{bare.name or bare.folder}: give it a weight too"
        )
    left = (1 - given) / max(sum(counted), 1)
    return Mixture(sources, [entry.weight or left * count for entry, count in zip(folders, counted)])
