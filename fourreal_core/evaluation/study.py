"""A study: the grids that several ways made of the same tasks, all that was measured in them, and its tables. page.py shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from ..grid import FrameGrid
from .collection import SUFFIX, find_grids
from .contest import suspicions
from .heat import KNOWN_METRICS
from .measured import Measured
from .report import markdown

ALONE = "grids"  # the name of the only way, where grids lie in no subfolder
TRUTH = "truth"


@dataclass
class Study:
    """measured: grid's name -> way -> metric -> number. sets: way -> a distance of all its grids from all truths, as text with its n.
    unfilled: "way on name: reason" of what could not be filled."""

    measured: dict[str, dict[str, dict[str, Measured]]] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    unfilled: list[str] = field(default_factory=list)

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

    def table(self) -> str:
        """Markdown: a line per metric, a column per way, means over grids; a number in brackets where some grids have none."""
        lines, ways, count = [], self.ways, len(self.measured)
        for key, metric in KNOWN_METRICS.items():
            means = {way: self.mean(way, key) for way in ways}
            if any(found for _, found in means.values()):
                name = f"{metric.name},{metric.unit}" if metric.unit else metric.name
                cells = [_cell(metric.digits, *means[way], count) for way in ways]
                lines.append([name if metric.better else f"*{name}*", metric.better, *cells])
        if self.sets:
            lines.append(["FVD or KVD to the truths (n walks)", "lower", *(self.sets.get(way, "") for way in ways)])
        return markdown([f"mean over {count} grid{'s' * (count != 1)}", "better", *ways], lines)

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


def _cell(digits: int, value: float, found: int, count: int) -> str:
    if math.isnan(value):
        return "n. m."
    return f"{value:.{digits}f}{f' ({found})' if found < count else ''}"


def grids_by_way(folder: str | Path) -> Iterator[tuple[str, str, FrameGrid]]:
    """(way, name, grid) of a folder: its subfolders are ways that hold grids of the same names; without subfolders it is one way.

    Raises ValueError as `find_grids` does.
    """
    folder = Path(folder)
    ways = (
        sorted(part for part in folder.iterdir() if part.is_dir() and list(part.glob(f"*{SUFFIX}")))
        if folder.is_dir()
        else []
    )
    if not ways:
        yield from ((ALONE, name, grid) for name, grid in find_grids(folder))
    for way in ways:
        yield from ((way.name, name, grid) for name, grid in find_grids(way))
