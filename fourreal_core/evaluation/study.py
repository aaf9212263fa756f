"""A study: the grids that several ways made of the same tasks, all that was measured in them, and its tables. page.py shows it, kept.py keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from ..grid import FrameGrid
from .agreement.metrics import METRICS
from .collection import SUFFIX, find_grids
from .contest import suspicions
from .heat import KNOWN_METRICS
from .learned.scores import LEARNED
from .measured import Measured
from .reference import REFERENCE
from .report import markdown

ALONE = "grids"  # the name of the only way, where grids lie in no subfolder
TRUTH = "truth"
DISTANCE = "FVD or KVD to the truths (n walks)"
TABLES = {
    "closeness to the truth": tuple(REFERENCE),
    "agreement": tuple(key for key, metric in METRICS.items() if metric.better),
    "amounts": tuple(key for key, metric in METRICS.items() if not metric.better),
    "learned": tuple(LEARNED),
}


@dataclass
class Study:
    """measured: grid's name -> way -> metric -> number. sets: way -> a distance of all its grids from all truths, as text with its n.
    unfilled: "way on name: reason" of what could not be filled. weights: file -> hash, of what filled."""

    measured: dict[str, dict[str, dict[str, Measured]]] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    unfilled: list[str] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, way: str, numbers: Mapping[str, Measured]) -> None:
        self.measured.setdefault(name, {})[way] = dict(numbers)

    @property
    def ways(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(way for by_way in self.measured.values() for way in by_way))

    def mean(self, way: str, metric: str) -> tuple[float, int]:
        """(mean over grids, of how many); NaN where the metric could not be measured in any."""
        values = [by_way[way][metric].value for by_way in self.measured.values() if metric in by_way.get(way, {})]
        values = [value for value in values if not math.isnan(value)]
        return (fmean(values) if values else math.nan), len(values)

    def tables(self) -> list[str]:
        """Markdown: closeness, agreement, amounts and learned numbers, as far as there are any; a line per way, means over grids, with how
        many have such a number where some have none."""
        tables = [self._table(title, keys) for title, keys in TABLES.items()]
        if self.sets:
            tables.append(markdown(["distance", DISTANCE], [[way, text] for way, text in self.sets.items()]))
        return [table for table in tables if table]

    def _table(self, title: str, keys: tuple[str, ...]) -> str:
        keys = tuple(key for key in keys if any(self.mean(way, key)[1] for way in self.ways))
        lines = [["*better*", *(f"*{KNOWN_METRICS[key].better}*" for key in keys)]] if title != "amounts" else []
        for way in self.ways:
            means = [self.mean(way, key) for key in keys]
            if any(found for _, found in means):
                lines.append([way, *(self._cell(way, key, *mean) for key, mean in zip(keys, means))])
        names = [
            f"{KNOWN_METRICS[key].name}{',' * bool(KNOWN_METRICS[key].unit)}{KNOWN_METRICS[key].unit}" for key in keys
        ]
        return markdown([title, *names], lines) if keys else ""

    def _cell(self, way: str, metric: str, value: float, found: int) -> str:
        """The mean, and in brackets of how many of the way's grids, unless of all."""
        if math.isnan(value):
            return "n. m."
        asked = sum(way in by_way for by_way in self.measured.values())
        return f"{value:.{KNOWN_METRICS[metric].digits}f}{f' ({found})' if found < asked else ''}"

    def told(self) -> list[str]:
        """Sentences: which grids, with which weights, what to be wary of, what could not be measured, what could not be filled."""
        count = len(self.measured)
        told = [
            f"Means over {count} grids: {', '.join(self.measured)}."
            if count > 1
            else f"One grid: {', '.join(self.measured)}."
        ]
        if self.weights:
            told.append(f"Weights: {', '.join(f'{name} {digits}' for name, digits in self.weights.items())} (SHA-256).")
        groups = (("Beware", self.warnings()), ("Not measurable", self.reasons()), ("Not filled", self.unfilled))
        return told + [f"{title}: {'; '.join(texts).removesuffix('.')}." for title, texts in groups if texts]

    def warnings(self) -> list[str]:
        """Ways that move less, are flatter or blurrier than the others on at least half of the grids."""
        found: dict[tuple[str, str], int] = {}
        for by_way in self.measured.values():
            for way, reasons in suspicions(by_way).items():
                for reason in reasons:
                    words = reason.partition(" (")[0]
                    found[way, words] = found.get((way, words), 0) + 1
        total = len(self.measured)
        return [f"{way} {words} on {times} of {total}" for (way, words), times in found.items() if 2 * times >= total]

    def reasons(self) -> list[str]:
        """ "Metric: reason" of everything that could not be measured somewhere, with how often."""
        counts: dict[str, int] = {}
        for by_way in self.measured.values():
            for numbers in by_way.values():
                for key, number in numbers.items():
                    if not number.measurable:
                        text = f"{KNOWN_METRICS[key].name}: {number.reason}"
                        counts[text] = counts.get(text, 0) + 1
        return [f"{text} ({count} times)" for text, count in counts.items()]


def grids_by_way(folder: str | Path, only: str | None = None) -> Iterator[tuple[str, str, FrameGrid]]:
    """(way, name, grid) of a folder: its subfolders are ways that hold grids of the same names; without subfolders it is one way. only: of this name.

    Raises ValueError as `find_grids` does.
    """
    folder = Path(folder)
    ways = (
        sorted(part for part in folder.iterdir() if part.is_dir() and list(part.glob(f"*{SUFFIX}")))
        if folder.is_dir()
        else []
    )
    if not ways:
        yield from ((ALONE, name, grid) for name, grid in find_grids(folder, only=only))
    for way in ways:
        yield from ((way.name, name, grid) for name, grid in find_grids(way, only=only))
