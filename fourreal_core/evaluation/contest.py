"""Which of several grids is better: a table with a winner per metric, and beside it the amounts that tell when a winner cheats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from .heat import KNOWN_METRICS
from .measured import Measured, Metric
from .report import markdown

TIE = 0.05  # of the way from good to bad: closer values are a tie
MUCH_LESS = 0.6  # of the median of all grids: an amount below this is suspicious
UNMASKING = {"motion": "moves less", "parallax": "is flatter", "view_change": "turns less", "sharpness": "is blurrier"}
NO_MOTION = {
    "motion": 0.01,
    "parallax": 0.05,
    "view_change": 0.05,
    "sharpness": 1.0,
}  # below, in all grids, there is nothing to compare

Measurements = Mapping[str, Measured]


@dataclass(frozen=True)
class Verdict:
    """metric: key. values: grid -> value, NaN where not measurable. winner: a grid, None for a tie, an amount or nothing to compare."""

    metric: str
    values: dict[str, float]
    winner: str | None


def verdicts(grids: Mapping[str, Measurements]) -> list[Verdict]:
    """One per metric that some grid has, in the order of the reports."""
    found = []
    for key in KNOWN_METRICS:
        values = {name: each[key].value for name, each in grids.items() if key in each}
        if any(not math.isnan(value) for value in values.values()):
            found.append(Verdict(key, values, _winner(KNOWN_METRICS[key], values)))
    return found


def _winner(metric: Metric, values: Mapping[str, float]) -> str | None:
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    if not metric.better or len(known) < 2:
        return None
    sign = 1 if metric.better == "higher" else -1
    first, second = sorted(known, key=lambda name: -sign * known[name])[:2]
    apart = abs(known[first] - known[second]) >= TIE * abs(metric.bad - metric.good)
    return first if apart else None


def suspicions(grids: Mapping[str, Measurements]) -> dict[str, list[str]]:
    """Grid -> why it may score well for the wrong reason: "moves less (0.12 %W, typical 0.40 %W)"; grids without any are left out."""
    found: dict[str, list[str]] = {}
    for key, words in UNMASKING.items():
        values = {name: each[key].value for name, each in grids.items() if key in each and each[key].measurable}
        if len(values) < 2 or max(values.values()) < NO_MOTION[key]:
            continue
        metric, typical = KNOWN_METRICS[key], median(values.values())
        for name, value in values.items():
            if value < MUCH_LESS * typical:
                found.setdefault(name, []).append(f"{words} ({metric.text(value)}, typical {metric.text(typical)})")
    return found


def contest_table(grids: Mapping[str, Measurements]) -> str:
    """Markdown: one line per metric with each grid's value and the winner; a winner under suspicion gets a question mark. Amounts in italics."""
    doubted, names = suspicions(grids), list(grids)
    lines = []
    for verdict in verdicts(grids):
        metric = KNOWN_METRICS[verdict.metric]
        title = f"{metric.name},{metric.unit}" if metric.unit else metric.name
        values = [_text(metric, verdict.values.get(name, math.nan), name == verdict.winner) for name in names]
        better = {"higher": "higher", "lower": "lower", "": ""}[metric.better]
        winner = f"{verdict.winner}{'?' * (verdict.winner in doubted)}" if verdict.winner else "tie" if better else ""
        lines.append([title if better else f"*{title}*", better, *values, winner])
    return markdown(["metric", "better", *names, "winner"], lines)


def _text(metric: Metric, value: float, won: bool) -> str:
    text = "n. m." if math.isnan(value) else f"{value:.{metric.digits}f}"
    return f"**{text}**" if won else text


def contest_summary(grids: Mapping[str, Measurements]) -> str:
    """Who wins how many metrics, and every suspicion, as a few lines of text."""
    found, doubted = verdicts(grids), suspicions(grids)
    wins = {name: [KNOWN_METRICS[each.metric].name for each in found if each.winner == name] for name in grids}
    lines = [
        f"{name}: best in {len(won)} ({', '.join(won)})" if won else f"{name}: best in none"
        for name, won in wins.items()
    ]
    lines += [f"Beware: {name} {'; '.join(reasons)}." for name, reasons in doubted.items()]
    return "\n".join(lines)


def not_measurable(measured: Measurements) -> list[str]:
    """ "Name: reason" of everything that has no value."""
    return [f"{KNOWN_METRICS[key].name}: {number.reason}" for key, number in measured.items() if not number.measurable]


def summary(measured: Measurements) -> str:
    """All numbers of one grid as lines of text, amounts after the rest, then what is not measurable and why."""
    ordered = sorted(measured.items(), key=lambda pair: not KNOWN_METRICS[pair[0]].better)
    lines = []
    for key, number in ordered:
        metric = KNOWN_METRICS[key]
        if number.measurable:
            better = f" ({metric.better} is better: good {metric.good:g}, bad {metric.bad:g})" if metric.better else ""
            lines.append(f"{metric.name}: {metric.text(number.value)}{better}")
    return "\n".join([*lines, *(f"Not measurable: {text}" for text in not_measurable(measured))])


def as_json(measured: Measurements) -> dict:
    """Plain values: per metric value (None: not measurable), reason, unit, better, and cells [V][T] (None where undefined)."""
    return {key: _plain(KNOWN_METRICS[key], number) for key, number in measured.items()}


def _plain(metric: Metric, number: Measured) -> dict:
    plain: dict = {
        "value": number.value if number.measurable else None,
        "unit": metric.unit.strip(),
        "better": metric.better,
    }
    if number.reason:
        plain["reason"] = number.reason
    if number.details:
        plain["details"] = dict(number.details)
    if number.cells_VT is not None:
        plain["cells"] = [
            [None if value != value else round(value, 5) for value in line] for line in number.cells_VT.tolist()
        ]
    return plain
