"""Every way to fill a grid, measured on the same grids: baselines, one stream alone, and each synchronization.

Each result is one line of a JSON-lines file, so that a stopped run goes on where it was. report.py makes tables of them.

Legend: V views, T times, D token width.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.records import add_record, read_records
from ..flow import add_noise, cell_noise, to_model
from ..grid import FrameGrid, task_known
from ..model.condition import grid_condition
from ..model.two_stream import GridModel
from ..sampling.sample import Sampling, sample_grid
from ..sampling.tiles import fill_in_tiles, sampled_tiles
from ..transport import Predictions, transport
from . import baselines
from .image import psnr
from .measure import hide, model_flops, score, timed

TASK, LARGE = "both inputs", "both inputs, larger than trained"
CONDITIONS = ("fixed-view video only", "freeze-time video only", "a quarter of the cells")  # beside the task itself
FEW_STEPS = 4  # of the other conditions and of large grids
TRAINED = ("sequential", "hard", "soft", "fused")
KEY = ("model", "condition", "variant", "steps", "seed", "grid")

Record = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One way to fill a grid under one condition.

    fill(task), or with `takes_predictions` fill(task, predictions=transport(task)). flops(truth): floating point operations of
    filling such a grid, None where nobody counts.
    """

    variant: str
    fill: Callable[..., FrameGrid]
    condition: str = TASK
    steps: int = 0
    seed: int = 0
    flops: Callable[[FrameGrid], float] | None = None
    takes_predictions: bool = True


class Results:
    """A JSON-lines file of records and what is in it."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.records: list[Record] = read_records(self.path)

    def __contains__(self, key: Record) -> bool:
        return any(all(record[name] == key[name] for name in KEY) for record in self.records)

    def add(self, record: Record) -> None:
        add_record(self.path, record)
        self.records.append(record)


def without_training(model: GridModel) -> GridModel:
    """The same base model, whose weights it shares, with no trained synchronization: hard becomes plain averaging."""
    with torch.device("meta"):
        bare = GridModel(replace(model.config, sync=()))
    bare.base = model.base
    return bare.eval()


def ways(model: GridModel) -> dict[str, tuple[GridModel, dict[str, Any]]]:
    """Name -> (model, options of `sample_grid`) of everything this checkpoint can be asked for."""
    bare = without_training(model)
    named = {
        "view stream only": (model, {"sync": "off", "output": "view only"}),
        "time stream only": (model, {"sync": "off", "output": "time only"}),
        "off": (model, {"sync": "off"}),
    }
    named |= {f"{kind}, untrained": (bare, {"sync": kind}) for kind in TRAINED if kind in bare.sync_kinds}
    named |= {kind: (model, {"sync": kind}) for kind in TRAINED if kind in model.config.sync}
    best = model.best_sync
    return named | {f"{best}, from transport": (model, {"sync": best, "denoise": 0.5})}


def missing(model: GridModel) -> list[str]:
    """The synchronizations that this checkpoint has no trained layers for."""
    return [kind for kind in TRAINED if kind not in model.config.sync]


def trials(model: GridModel, steps: Sequence[int], seeds: Sequence[int]) -> Iterator[Trial]:
    """The task in every way, then other known cells; fewest steps first."""
    yield Trial("copy", baselines.copy_fill, takes_predictions=False)
    yield Trial("additive", baselines.additive_fill, takes_predictions=False)
    yield Trial("transport", blend_fill)
    named, flops = ways(model), _flops_per_step()
    sample = lambda name, count, seed: partial(sample_grid, named[name][0], steps=count, seed=seed, **named[name][1])
    for count in sorted(steps):
        for name, (network, options) in named.items():
            for seed in seeds:
                yield Trial(
                    name, sample(name, count, seed), TASK, count, seed, partial(flops, network, options["sync"], count)
                )
    for condition in CONDITIONS:
        yield Trial("transport", blend_fill, condition)
        for name in ("off", "hard, untrained", *(kind for kind in TRAINED if kind in named)):
            yield Trial(name, sample(name, FEW_STEPS, seeds[0]), condition, FEW_STEPS, seeds[0])


def large_trials(model: GridModel, seeds: Sequence[int]) -> Iterator[Trial]:
    """Grids larger than the model was trained on: the whole at once, and in tiles."""
    yield Trial("transport", blend_fill, LARGE)
    for seed in seeds:
        options = {"sync": model.best_sync, "steps": FEW_STEPS, "seed": seed}
        yield Trial("at once", partial(sample_grid, model, **options), LARGE, FEW_STEPS, seed)
        in_tiles = partial(fill_in_tiles, fill=sampled_tiles(model, Sampling(**options)))
        yield Trial("in tiles", in_tiles, LARGE, FEW_STEPS, seed, takes_predictions=False)


def blend_fill(grid: FrameGrid, predictions: Predictions) -> FrameGrid:
    """What `transport_fill` gives, of predictions at hand."""
    return grid.filled(predictions.blend)


def run(todo: Sequence[Trial], truths: Sequence[FrameGrid], model_hash: str, results: Results) -> Iterator[Record]:
    """Does what is not in `results` yet, adds it there and yields it, one trial on all grids after the other.

    Transport runs once for each grid and condition; its seconds count for every trial that takes its predictions.
    """
    predict = cache(
        lambda condition, index: timed(transport, hide(truths[index], known_cells(condition, truths[index])))
    )
    for trial in todo:
        for index, truth in enumerate(truths):
            key = {
                "model": model_hash if trial.steps else "none",
                "condition": trial.condition,
                "variant": trial.variant,
            }
            key |= {"steps": trial.steps, "seed": trial.seed, "grid": grid_name(truth)}
            if key not in results:
                record = key | evaluate(trial, truth, partial(predict, trial.condition, index))
                results.add(record)
                yield record


def evaluate(trial: Trial, truth: FrameGrid, predict: Callable[[], tuple[Predictions, float]]) -> Record:
    """The numbers of one trial on one grid; for the task also PSNR by distance. predict() -> (predictions, their seconds)."""
    task, fill, before = hide(truth, known_cells(trial.condition, truth)), trial.fill, 0.0
    if trial.takes_predictions:
        predictions, before = predict()
        fill = partial(fill, predictions=predictions)
    filled, seconds = timed(fill, task)
    numbers = asdict(score(filled, task, truth, before + seconds))
    if trial.flops:
        numbers["flops"] = trial.flops(truth)
    if trial.condition in (TASK, LARGE):
        numbers["by_distance"] = psnr_by_distance(filled, truth)
    return numbers


def known_cells(condition: str, truth: FrameGrid) -> Tensor:
    """Bool [V, T]: what the condition gives. The random quarter depends on the scene's seed and holds at least one cell."""
    known_VT = torch.zeros(truth.views, truth.times, dtype=torch.bool)
    if condition in (TASK, LARGE):
        return task_known(truth.views, truth.times)
    if condition == "fixed-view video only":
        known_VT[0] = True
    elif condition == "freeze-time video only":
        known_VT[:, 0] = True
    else:
        cells = [(view, time) for view in range(truth.views) for time in range(truth.times)]
        for cell in random.Random(truth.provenance.get("seed", 0)).sample(cells, max(1, len(cells) // 4)):
            known_VT[cell] = True
    return known_VT


def psnr_by_distance(filled: FrameGrid, truth: FrameGrid) -> list[float]:
    """PSNR in dB of the unknown cells with max(v, t) = 1, 2, ...: how quality falls with the distance from cell (0, 0)."""
    distance_VT = torch.maximum(torch.arange(truth.views)[:, None], torch.arange(truth.times))
    unknown_VT = ~task_known(truth.views, truth.times)
    groups = [(distance_VT == d) & unknown_VT for d in range(1, max(truth.views, truth.times))]
    return [psnr(filled.frames, truth.frames, group) for group in groups if group.any()]


def grid_name(truth: FrameGrid) -> str:
    """Names a rendered grid: its scene's seed, main model and size."""
    about = truth.provenance
    return f"{about.get('seed')} {about.get('model')} {truth.views}x{truth.times} {truth.height}x{truth.width}"


@torch.no_grad()
def stream_distances(model: GridModel, truth: FrameGrid, sync: str, sigmas: Sequence[float]) -> list[list[float]]:
    """Per sigma and layer: |y_t - y_v| over the mean of |y_t| and |y_v|, before synchronization, averaged over tokens.

    What Figure 3 of 4Real-Video (arXiv 2412.04462) plots as the dynamics of synchronization.
    """
    device = next(model.parameters()).device
    condition = grid_condition(hide(truth), model.config)[None].to(device)
    pixels, noise = to_model(truth.frames), cell_noise(0, truth.views, truth.times, truth.height, truth.width)
    curves: list[list[float]] = []
    for sigma in sigmas:
        curve: list[float] = []
        x = add_noise(pixels, noise, sigma)[None].to(device)
        observe = lambda layer, y_time, y_view, *after: curve.append(relative_distance(y_time, y_view))  # noqa: B023
        model(x, torch.full((1,), sigma, device=device), condition, sync=sync, observe=observe)
        curves.append(curve)
    return curves


def relative_distance(a: Tensor, b: Tensor) -> float:
    """Mean |a - b| over tokens [..., D], relative to the mean of |a| and |b|: 0 where equal."""
    a, b = a.float(), b.float()
    return ((a - b).norm(dim=-1).mean() * 2 / (a.norm(dim=-1).mean() + b.norm(dim=-1).mean())).item()


def _flops_per_step() -> Callable[..., float]:
    """flops(network, sync, steps, grid), counted once for each network, sync and size of grid."""

    @cache
    def one_step(network: GridModel, sync: str, shape: tuple[int, ...]) -> float:
        blank = FrameGrid(torch.zeros(shape), torch.ones(shape[:2], dtype=torch.bool))
        return model_flops(network, blank, sync, repeats=0)[0]

    return lambda network, sync, steps, grid: steps * one_step(network, sync, tuple(grid.frames.shape))
