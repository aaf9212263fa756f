"""One training run in one folder: base stage first, then the synchronization layers on its averaged weights, then export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..model.config import ModelConfig
from ..model.two_stream import GridModel, initialize_grid_model
from ..model.weights import save_checkpoint
from .loop import STAGES, Report, TrainingPlan, start, state_file, train
from .state import read_ema
from .store import load_examples


def train_stage(
    config: ModelConfig, plan: TrainingPlan, examples: Path, folder: Path, report: Report
) -> None:
    """Train one stage in `folder` until `plan.steps`; goes on from a saved state of the same stage.

    report(step, loss, loss of the guess) is called after each step. Raises ValueError when there are no examples, or no base to
    synchronize.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = initialize_grid_model(GridModel(config), torch.Generator().manual_seed(plan.seed))
    if plan.stage != "base":
        _load_part(model, base_weights(folder), "base.")
    state = start(model.train(), plan, folder)
    train(state, plan, load_examples(examples), folder, report)


def export(config: ModelConfig, folder: Path, output: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """The averaged weights of all stages in `folder` as one checkpoint; untrained sync layers stay averaging."""
    model = initialize_grid_model(GridModel(config))
    steps = {}
    for stage in STAGES:
        if state_file(folder, stage).exists():
            ema, steps[stage] = read_ema(state_file(folder, stage))
            _load_part(model, ema, "base." if stage == "base" else f"sync.{stage}.")
    trained = " ".join(f"{stage}={count}" for stage, count in steps.items())
    save_checkpoint(output, model.to(dtype), {"trained_steps": trained})


def base_weights(folder: Path) -> dict[str, Tensor]:
    """Averaged base weights of a run; ValueError when its base stage never ran."""
    if not state_file(folder, "base").exists():
        raise ValueError(f"there is no trained base in {folder}: run the stage 'base' first")
    return read_ema(state_file(folder, "base"))[0]


def _load_part(model: GridModel, weights: dict[str, Tensor], prefix: str) -> None:
    part = {key: value for key, value in weights.items() if key.startswith(prefix)}
    model.load_state_dict({**model.state_dict(), **part})
