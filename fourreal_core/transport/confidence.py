"""From evidence to confidence: how far to trust each pixel of a carried prediction. Next to read: fill.py.

Shape suffixes: H W pixels, K evidence channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Evidence:
    """One evidence channel: `unit` is the size at which it starts to matter, `weight` its pull on the log odds."""

    name: str
    unit: float
    weight: float


# Fitted so that a prediction with root mean square colour error e gets the odds (TYPICAL_ERROR / e)^2: Gaussian likelihood of the
# errors plus the error of the blend, on rendered training grids. One set of weights for both directions: view and
# time are alike to it.
TYPICAL_ERROR = 0.05  # colour error (0..1) that means confidence 1/2
BIAS = 2.77
EVIDENCE = (
    Evidence("moved", 1.0, 0.0),  # length of the carried displacement, working pixels (counts in stillness only)
    Evidence(
        "uneven", 1.0, -0.52
    ),  # how much it differs within 7 pixels: a boundary between things that move differently
    Evidence("side_trip", 1.0, -0.03),  # corner -> side -> corner ends this far away, working pixels
    Evidence("side_mismatch", 0.05, -0.78),  # colour difference of partners in corner and side, 0..1
    Evidence("changed", 0.05, -0.61),  # colour difference of corner and side around the partner, 0..1
    Evidence("uncovered", 0.3, -0.47),  # 1: nothing was carried here, the displacement is a guess from the surroundings
    Evidence("disagreement", 0.05, -1.75),  # colour difference between the two directions' predictions, 0..1
)
STILL_BONUS = 1.5  # where nothing moved and nothing changed, the base picture is right


def confidence(evidence_HWK: np.ndarray) -> np.ndarray:
    """Evidence in the order of `EVIDENCE`, all >= 0, to confidence [H, W] in 0..1: odds of (TYPICAL_ERROR / expected error)^2."""
    scaled_HWK = evidence_HWK / np.array([channel.unit for channel in EVIDENCE], np.float32)
    log_odds_HW = BIAS + np.log1p(scaled_HWK) @ np.array([channel.weight for channel in EVIDENCE], np.float32)
    log_odds_HW += STILL_BONUS * stillness(evidence_HWK)
    return (1.0 / (1.0 + np.exp(-np.clip(log_odds_HW, -9.0, 9.0)))).astype(np.float32)


def stillness(evidence_HWK: np.ndarray) -> np.ndarray:
    """[H, W]: 1 where the evidence says that nothing moves or changes, falling to 0."""
    names = [channel.name for channel in EVIDENCE]
    moved_HW, uneven_HW, changed_HW = (evidence_HWK[..., names.index(name)] for name in ("moved", "uneven", "changed"))
    return np.exp(-moved_HW / 0.3 - uneven_HW / 0.6 - changed_HW / 0.02)
