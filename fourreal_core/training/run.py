"""One training run in one folder: base stage first, then the synchronization layers on its averaged weights, then export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..model.config import ModelConfig
from ..model.two_stream import GridModel, initialize_grid_model
from ..model.weights import load_checkpoint, save_checkpoint
from .loop import STAGES, Report, TrainingPlan, start, state_file, train
from .state import read_ema
from .store import load_examples


def train_stage(
    config: ModelConfig, plan: TrainingPlan, examples: Path, folder: Path, report: Report, start_from: Path | None = None
) -> None:
    """Train one stage in `folder` until `plan.steps`; goes on from a saved state of the same stage.

    start_from: a checkpoint whose base a new base stage begins with, instead of a fresh one.
    report(step, loss, loss of the guess) is called after each step and ends the run when it returns true. Raises ValueError when
    there are no examples, or no base to synchronize.
    """
    if start_from is not None and plan.stage != "base":
        raise ValueError(f"only the base stage can start from a checkpoint: {plan.stage!r} takes the base trained in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    model = initialize_grid_model(GridModel(config), torch.Generator().manual_seed(plan.seed))
    if start_from is not None:
        model.load_state_dict({**model.state_dict(), **_weights_of(start_from, config)})
    if plan.stage != "base":
        model.load_state_dict({**model.state_dict(), **base_weights(config, folder)})
    state = start(model.train(), plan, folder)
    train(state, plan, load_examples(examples), folder, report)


def export(config: ModelConfig, folder: Path, output: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """The averaged weights of all stages in `folder` as one checkpoint, with the kinds of sync that were trained.

    Raises ValueError when there is no trained base, or when a stage was trained with another config.
    """
    weights, steps = dict(base_weights(config, folder)), {}
    for stage in STAGES:
        if state_file(folder, stage).exists():
            ema, steps[stage] = read_ema(state_file(folder, stage), config)
            weights |= _part(ema, "base." if stage == "base" else f"sync.{stage}.")
    model = GridModel(replace(config, sync=tuple(kind for kind in config.sync if kind in steps)))
    model.load_state_dict({key: weights[key] for key in model.state_dict()})
    trained = " ".join(f"{stage}={count}" for stage, count in steps.items())
    output.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(output, model.to(dtype), {"trained_steps": trained})


def base_weights(config: ModelConfig, folder: Path) -> dict[str, Tensor]:
    """Averaged base weights of a run; ValueError when its base stage never ran."""
    if not state_file(folder, "base").exists():
        raise ValueError(f"there is no trained base in {folder}: run the stage 'base' first")
    return _part(read_ema(state_file(folder, "base"), config)[0], "base.")


def _weights_of(checkpoint: Path, config: ModelConfig) -> dict[str, Tensor]:
    state, found, _ = load_checkpoint(checkpoint)
    if replace(found, sync=()) != replace(config, sync=()):
        raise ValueError(f"{checkpoint.name} has another config than asked for: check --config")
    return _part(state, "base.")


def _part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if key.startswith(prefix)}
