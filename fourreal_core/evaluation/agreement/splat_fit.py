"""Held-out score of moving splats: can one moving scene, fitted to some cells, show the others? Minutes, not seconds; so it is asked for by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ...geometry.cameras import CamerasNotFound, PycolmapMissing
from ...grid import FrameGrid
from ...splats.fit import fit_splats
from ..measured import Measured
from .measure import check_whole

STEPS, LONGEST = 300, 128  # of a quick fit, which tells good grids from bad ones; scores of longer fits do not compare


def splat_fit(
    grid: FrameGrid, steps: int = STEPS, seed: int = 0, on_progress: Callable[[float], None] | None = None
) -> Measured:
    """PSNR in dB of cells kept out of a fit of moving splats to all others, known or not. Blurred grids score high: see sharpness.

    on_progress(share of the present stage). Not measurable where the cameras of the views cannot be told, or no cell lies between others. Raises
    ValueError as `measure_agreement` does.
    """
    check_whole(grid)
    report = on_progress or (lambda share: None)
    whole = grid.replace(known=torch.ones_like(grid.known))
    try:
        fitted = fit_splats(whole, steps=steps, longest=LONGEST, seed=seed, on_stage=lambda name, share: report(share))
    except (CamerasNotFound, PycolmapMissing) as reason:
        return Measured.not_measurable(str(reason))
    score = fitted.score
    details = {"fitted": score.fitted, "cells": float(score.held_out_cells), "steps": float(steps)}
    if score.held_out is None:
        return Measured.not_measurable("no cell lies between others", **details)
    return Measured(math.nan if score.held_out != score.held_out else score.held_out, details=details)
