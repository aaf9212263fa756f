"""Which metric sees which fault: grids are damaged on purpose (damage.py) and measured (agreement/). scripts/calibrate_metrics.py runs it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from ..files.atomic import write_text
from ..grid import FrameGrid
from .agreement.measure import measure_agreement
from .agreement.metrics import METRICS
from .damage import DAMAGES
from .measured import Measured
from .report import markdown

SEEN_STEP = (
    0.2  # of the way from good to bad: by how much a damaged grid must score worse than the same grid undamaged,
)
SEEN_SHARE = 0.75  # and on what share of the grids
UNDAMAGED = "none"

Values = dict[str, float | None]  # metric -> value, None where not measurable


class Calibration:
    """A JSON file of {grid: {damage: {metric: value or null}}}, written after each measurement, so that a stopped run goes on."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.values: dict[str, dict[str, Values]] = {}
        if self.path.exists():
            self.values = json.loads(self.path.read_text(encoding="utf-8"))

    def run(
        self,
        truths: Mapping[str, FrameGrid],
        only: Sequence[str] | None = None,
        measure: Callable[[FrameGrid], Mapping[str, Measured]] = measure_agreement,
    ) -> Iterator[tuple[str, str]]:
        """Measures what is missing and yields (grid, damage) after each. only: damages (None: all)."""
        for name, truth in truths.items():
            for damage, apply in DAMAGES.items():
                known = self.values.setdefault(name, {})
                missing = damage not in known and (only is None or damage in only)
                if missing:
                    known[damage] = plain_values(measure(apply(truth)))
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    write_text(self.path, json.dumps(self.values, indent=1))
                    yield name, damage


def plain_values(measured: Mapping[str, Measured]) -> Values:
    return {key: number.value if number.measurable else None for key, number in measured.items()}


def seen(metric: str, undamaged: float | None, damaged: float | None) -> bool:
    """Whether this metric tells the damaged grid from the undamaged one; a metric that no longer can be measured does not."""
    if undamaged is None or damaged is None or not METRICS[metric].better:
        return False
    good, bad = METRICS[metric].good, METRICS[metric].bad
    return (damaged - undamaged) / (bad - good) >= SEEN_STEP


def seen_share(values: Mapping[str, Mapping[str, Values]], damage: str, metric: str) -> float:
    """Share of the grids on which the metric sees the damage; NaN when there is none."""
    pairs = [
        (by_damage[UNDAMAGED][metric], by_damage[damage][metric])
        for by_damage in values.values()
        if damage in by_damage and UNDAMAGED in by_damage
    ]
    return sum(seen(metric, *pair) for pair in pairs) / len(pairs) if pairs else math.nan


def damage_table(values: Mapping[str, Mapping[str, Values]]) -> str:
    """Markdown: one line per damage, medians over the grids; bold where the metric sees the fault on three quarters of them."""
    first = next(iter(next(iter(values.values())).values()))
    metrics = [key for key in METRICS if key in first and key != "sharpness_ratio"]
    lines = []
    for damage in DAMAGES:
        found = {key: [each[damage][key] for each in values.values() if damage in each] for key in metrics}
        if any(found.values()):
            lines.append([damage, *(_cell(values, damage, key, found[key]) for key in metrics)])
    head = [f"{METRICS[key].name.lower()}{',' * bool(METRICS[key].unit)}{METRICS[key].unit}" for key in metrics]
    return markdown(["fault", *head], lines)


def _cell(values, damage: str, metric: str, found: list[float | None]) -> str:
    numbers = [number for number in found if number is not None]
    if len(numbers) * 2 < len(found) or not numbers:
        return "n. m."
    text = f"{median(numbers):.{METRICS[metric].digits}f}"
    return f"**{text}**" if seen_share(values, damage, metric) >= SEEN_SHARE else text


def blind_spots(values: Mapping[str, Mapping[str, Values]]) -> list[str]:
    """Damages that no metric with a better side sees on three quarters of the grids."""
    metrics = [key for key, metric in METRICS.items() if metric.better]
    first = next(iter(next(iter(values.values())).values()))
    return [
        damage
        for damage in DAMAGES
        if damage != UNDAMAGED
        and not any(seen_share(values, damage, key) >= SEEN_SHARE for key in metrics if key in first)
    ]
