"""From a grid with unknown cells to the whole grid: samplers of the rectified flow, `Sampling`, and `sample_grid`.

A sampler is a generator over a velocity function; guidance and known cells wrap the velocity, so that no sampler
knows either. Conventions: flow.py.

Legend: V views, T times, H W pixels; x `[1, V, 3, T, H, W]` model pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..flow import add_noise, cell_noise, from_model, to_model, x0_from_velocity
from ..geometry.fill import FillSources, Stage, find_sources
from ..grid import FrameGrid
from ..model.condition import prepare
from ..model.processes import ALONE, Processes
from ..model.two_stream import GridModel
from ..transport import Predictions, transport

OnStep = Callable[[int, int, Tensor], None]  # step, steps, the current clean estimate [V, T, H, W, 3] in 0..1
Velocity = Callable[[Tensor, float], Tensor]
Sampler = Callable[[Velocity, Tensor, list[float]], Iterator[tuple[Tensor, Tensor]]]


def euler(velocity: Velocity, x: Tensor, sigmas: list[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """First order. Yields (x after the step, the clean estimate that the step moved towards)."""
    for sigma, next_sigma in itertools.pairwise(sigmas):
        v = velocity(x, sigma)
        x0 = x0_from_velocity(x, v, sigma)
        x = x + (next_sigma - sigma) * v
        yield x, x0


def heun(velocity: Velocity, x: Tensor, sigmas: list[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """Second order, two evaluations per step but the last (Heun's method, EDM Algorithm 1, arXiv 2206.00364)."""
    for sigma, next_sigma in itertools.pairwise(sigmas):
        v = velocity(x, sigma)
        x0 = x0_from_velocity(x, v, sigma)
        ahead = x + (next_sigma - sigma) * v
        if next_sigma > 0:
            v = (v + velocity(ahead, next_sigma)) / 2
            ahead = x + (next_sigma - sigma) * v
        x = ahead
        yield x, x0


SAMPLERS: dict[str, Sampler] = {"euler": euler, "heun": heun}


def schedule(steps: int, denoise: float = 1.0) -> list[float]:
    """`steps + 1` sigmas, evenly spaced from `denoise` down to 0."""
    return [denoise * (1 - step / steps) for step in range(steps)] + [0.0]


@dataclass(frozen=True)
class Sampling:
    """How a grid is sampled: the settings of `sample_grid`, which explains them. ValueError for numbers out of range."""

    sync: str = "soft"
    strength: float = 1.0
    steps: int = 4
    seed: int = 0
    sampler: str = "euler"
    output: str = "mean"
    denoise: float = 1.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {self.sampler!r}: expected one of {', '.join(SAMPLERS)}")
        if self.steps < 1:
            raise ValueError(f"expected at least 1 sampling step, got {self.steps}")
        if not 0 < self.denoise <= 1:
            raise ValueError(f"denoise must be above 0 and at most 1, got {self.denoise}")

    def facts(self, model: GridModel) -> dict[str, Any]:
        """For a grid's provenance: what was run, and with which model."""
        return {
            "model": getattr(model, "checkpoint_hash", "unsaved"),
            "sync": self.sync,
            "sync_trained": self.sync in model.sync,
            "strength": self.strength,
            "seed": self.seed,
            "steps": self.steps,
            "sampler": self.sampler,
            "denoise": self.denoise,
        }


def sample_grid(
    model: GridModel,
    grid: FrameGrid,
    sync: str = "soft",
    *,
    strength: float = 1.0,
    steps: int = 4,
    seed: int = 0,
    sampler: str = "euler",
    output: str = "mean",
    guess: FrameGrid | None = None,
    denoise: float = 1.0,
    on_step: OnStep | None = None,
    on_stage: Stage | None = None,
    predictions: Predictions | None = None,
    processes: Processes = ALONE,
) -> FrameGrid:
    """Fill every unknown cell; known cells come back bit-exact.

    grid: any `known` pattern with at least one known cell. sync, strength, output: see `GridModel.forward`.
    steps: 1 or more. seed: noise per cell, see `cell_noise`. sampler: a key of `SAMPLERS`.
    guess: grid of the same shape to start from when `denoise` < 1 (None: Transport's). denoise: the sigma to start at,
    above 0 up to 1. on_step(step, steps, denoised): called after each step, counted from 1, with the current clean
    estimate `[V, T, H, W, 3]` in 0..1; what it raises ends the sampling. predictions: `transport(grid)` where it is at hand already.
    on_stage(name, share done 0..1): as in `fill_grid`, before and after the steps. Without guess and predictions of one's own, each
    pixel is finally chosen from what the model drew and what `fill_grid` finds, and the grid carries the cameras that were used.
    processes: of `joined_processes`, each with the model on its own device, that share its blocks: the time stream on one and the view
    stream on another where there are two. All call this with the same arguments and get the same grid.
    Raises ValueError for an unknown sync, sampler or output, and for numbers or shapes out of range.
    """
    sampling = Sampling(sync, strength, steps, seed, sampler, output, denoise)
    return fill_by_sampling(
        model,
        grid,
        sampling,
        guess=guess,
        on_step=on_step,
        on_stage=on_stage,
        predictions=predictions,
        processes=processes,
    )


@torch.no_grad()
def fill_by_sampling(
    model: GridModel,
    grid: FrameGrid,
    sampling: Sampling,
    *,
    guess: FrameGrid | None = None,
    on_step: OnStep | None = None,
    on_stage: Stage | None = None,
    predictions: Predictions | None = None,
    sources: FillSources | None = None,
    processes: Processes = ALONE,
) -> FrameGrid:
    """`sample_grid` with its settings in one object. sources: `find_sources(grid)` where it is at hand already, without guess and predictions."""
    if not grid.known.any():
        raise ValueError("the grid has no known cells: give it at least one frame to start from")
    denoise = sampling.denoise
    if guess is None and predictions is None:
        sources = sources or find_sources(grid, predicted=(grid.height, grid.width), on_stage=on_stage)
        predictions = sources.predictions
    condition, start = prepare(grid, model.config, guess, denoise, predict=lambda grid: predictions or transport(grid))
    device = next(model.parameters()).device
    condition, start = condition[None].to(device), to_model(start)[None].to(device)
    noise = cell_noise(sampling.seed, grid.views, grid.times, grid.height, grid.width)[None].to(device)
    known = grid.known[None, :, None, :, None, None].to(device)
    pixels = to_model(grid.frames)[None].to(device)
    options = {"sync": sampling.sync, "strength": sampling.strength, "output": sampling.output, "processes": processes}

    def velocity(x: Tensor, sigma: float) -> Tensor:
        x = torch.where(known, add_noise(pixels, noise, sigma), x)
        return model(x, torch.full((1,), sigma, device=device), condition, **options)

    x = add_noise(start, noise, denoise)
    states = SAMPLERS[sampling.sampler](velocity, x, schedule(sampling.steps, denoise))
    for step, (x, x0) in enumerate(states, start=1):  # noqa: B007 - the last x is the sample
        if on_step:
            on_step(step, sampling.steps, from_model(x0[0].cpu()))
    drawn = from_model(x[0].cpu())
    filled = sources.fill(drawn, on_stage=on_stage).grid if sources else grid.filled(drawn)
    return filled.replace(provenance={**grid.provenance, **sampling.facts(model)})
