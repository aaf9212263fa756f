"""Every fill and every synchronization that ships, as functions from a task to a filled grid. Used by `fourreal evaluate --fill`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..geometry.fill import fill_grid
from ..grid import FrameGrid
from ..model.two_stream import GridModel
from ..sampling.sample import sample_grid
from .baselines import copy_fill

Fill = Callable[[FrameGrid], FrameGrid]


def shipped_fills(model: GridModel, steps: int = 4, seed: int = 0) -> dict[str, Fill]:
    """Name -> fill(task): a baseline, the fills without the two-stream model, and the model with each of its synchronizations."""
    fills: dict[str, Fill] = {"copy": copy_fill}
    for method in ("transport", "scene", "auto"):
        fills[method] = partial(_filled, method)
    for kind in model.sync_kinds:
        fills[f"model {kind}"] = partial(sample_grid, model, sync=kind, steps=steps, seed=seed)
    return fills


def _filled(method: str, task: FrameGrid) -> FrameGrid:
    return fill_grid(task, method=method).grid
