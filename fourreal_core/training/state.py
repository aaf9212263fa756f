"""Everything a training run needs to go on, in one safetensors file: weights, EMA, optimizer state, generator, step.

Resuming from it gives bit for bit what an uninterrupted run gives (tested).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..atomic import write_tensors
from ..model.config import ModelConfig
from ..model.two_stream import GridModel

FORMAT = "fourreal-training-1"


@dataclass
class TrainingState:
    model: GridModel
    ema: dict[str, Tensor]  # exponential moving average of all weights, float32
    optimizers: list[torch.optim.Optimizer]
    generator: torch.Generator
    step: int = 0
    losses: list[tuple[float, float]] = field(default_factory=list)


def update_ema(ema: dict[str, Tensor], model: nn.Module, step: int, longest: float = 0.998) -> None:
    """ema <- decay * ema + (1 - decay) * weights, with a short memory at first: decay = (1 + step) / (10 + step)."""
    decay = min(longest, (1 + step) / (10 + step))
    for name, weight in model.state_dict().items():
        ema[name].lerp_(weight.float(), 1 - decay)


def save_state(path: Path, state: TrainingState) -> None:
    """Atomic: a run that is killed while saving leaves the previous file."""
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    tensors |= {f"ema.{key}": value for key, value in state.ema.items()}
    for index, optimizer in enumerate(state.optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{parameter}.{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors["generator"] = state.generator.get_state()
    header = {"format": FORMAT, "config": state.model.config.to_json(), "step": str(state.step)}
    header["losses"] = json.dumps(state.losses)
    write_tensors(path, tensors, header)


def restore_state(path: Path, state: TrainingState) -> None:
    """Put a saved run back into freshly built objects. ValueError when it belongs to another model."""
    with safe_open(path, framework="pt") as file:
        header = _checked_header(path, file, state.model.config)
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    state.model.load_state_dict(_part(tensors, "model."))
    state.ema = {key: value.clone() for key, value in _part(tensors, "ema.").items()}  # else they stay mapped to the file
    for index, optimizer in enumerate(state.optimizers):
        _restore_optimizer(optimizer, _part(tensors, f"optimizer.{index}."))
    state.generator.set_state(tensors["generator"])
    state.step, state.losses = int(header["step"]), [tuple(pair) for pair in json.loads(header["losses"])]


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    saved = optimizer.state_dict()
    saved["state"] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        saved["state"].setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict(saved)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def read_ema(path: Path, config: ModelConfig) -> tuple[dict[str, Tensor], int]:
    """The averaged weights of a saved run and the step they were saved at. ValueError when it has another config."""
    with safe_open(path, framework="pt") as file:
        step = int(_checked_header(path, file, config)["step"])
        return {key[4:]: file.get_tensor(key) for key in file.keys() if key.startswith("ema.")}, step


def _checked_header(path: Path, file: safe_open, config: ModelConfig) -> dict[str, str]:
    header = file.metadata() or {}
    if header.get("format") != FORMAT or ModelConfig.from_json(header["config"]) != config:
        raise ValueError(f"{path.name} is no training state of this model: check --config, or start in another folder")
    return header
