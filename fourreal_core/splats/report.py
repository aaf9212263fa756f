"""How well splats show the grid that they were fitted to, and what a fit says about itself. Shape suffixes: V views, T times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

POOR, FAIR, GOOD = 20.0, 26.0, 30.0  # dB on cells that were kept out
GAP = 3.0  # dB between cells kept out and fitted ones next to them from which the fit does not carry over
MOST_DB = 99.0


@dataclass(frozen=True)
class Score:
    """Mean PSNR in dB over cells that were fitted, over cells that were kept out and over the fitted ones next to these (None: no cell lies
    between others); counts of the first two."""

    fitted: float
    held_out: float | None
    beside: float | None
    fitted_cells: int
    held_out_cells: int

    def facts(self) -> dict[str, Any]:
        return {
            "fitted_db": round(self.fitted, 2),
            "held_out_db": None if self.held_out is None else round(self.held_out, 2),
            "beside_db": None if self.beside is None else round(self.beside, 2),
            "fitted_cells": self.fitted_cells,
            "held_out_cells": self.held_out_cells,
        }


def psnr_of(picture: torch.Tensor, wanted: torch.Tensor) -> float:
    """dB of values in 0..1, at most 99."""
    error = float((picture - wanted).square().mean())
    return min(-10 * math.log10(max(error, 1e-12)), MOST_DB)


def describe(facts: Mapping[str, Any]) -> str:
    """The fit in a few lines, from the facts that the splats carry."""
    score = facts["score"]
    held = score["held_out_db"]
    lines = [
        f"{facts['gaussians']} Gaussians, {facts['moving']} of them moving with {facts['nodes']} nodes; "
        f"{facts['seconds']:.0f} s at {facts['fitted_size'][1]}x{facts['fitted_size'][0]}",
        f"on {score['fitted_cells']} cells that it was fitted to: {score['fitted_db']:.1f} dB",
    ]
    if held is None:
        lines.append("no score on cells kept out of the fit: no cell lies between others")
    else:
        count = score["held_out_cells"]
        lines.append(
            f"on {count} cell{'s' * (count > 1)} kept out of the fit: {held:.1f} dB, on their fitted neighbours "
            f"{score['beside_db']:.1f} dB{_verdict(score)}"
        )
    return "\n".join([*lines, *facts["notes"]])


def _verdict(score: Mapping[str, Any]) -> str:
    held, beside = score["held_out_db"], score["beside_db"]
    if held < POOR:
        return "; these cells do not show one scene that moves: do not trust what lies between them"
    if held < min(beside - GAP, GOOD):
        return "; clearly less: the cells do not agree on one scene"
    if held < FAIR:
        return "; soft or doubled where cells disagree"
    return ""
