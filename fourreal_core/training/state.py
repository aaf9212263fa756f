"""Everything a training run needs to go on: weights, their average, optimizer state, generator, step, losses, plan.

Resuming from it gives bit for bit what an uninterrupted run gives (tested). Only the trained part is kept: a stage of
synchronization layers names the frozen base it belongs to by its hash. `parts.py` puts it on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..model.config import ModelConfig
from ..model.two_stream import GridModel
from .parts import find_set, read_header, read_set, write_set

FORMAT = "fourreal-training-2"
MOMENTS = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.Muon: {"momentum_buffer"}}


class Losses(NamedTuple):
    """Of one step: the model's loss, that of the guess it starts from, and the gradient's norm before clipping."""

    model: float
    guess: float
    gradient: float


@dataclass(frozen=True)
class FrozenBase:
    """Which base a synchronization stage belongs to: hash of its weights, and its checkpoint ("": the run's own base)."""

    hash: str
    file: str = ""


@dataclass
class TrainingState:
    model: GridModel
    ema: dict[str, Tensor]  # exponential moving average of the trained weights, float32, under the model's own names
    optimizers: list[torch.optim.Optimizer]
    generator: torch.Generator
    base: FrozenBase | None = None  # of a synchronization stage
    step: int = 0
    losses: list[Losses] = field(default_factory=list)


@torch.no_grad()
def update_ema(ema: dict[str, Tensor], model: nn.Module, step: int, longest: float = 0.998) -> None:
    """ema <- decay * ema + (1 - decay) * weights, with a short memory at first: decay = (1 + step) / (10 + step)."""
    decay = min(longest, (1 + step) / (10 + step))
    weights = model.state_dict()
    for name, average in ema.items():
        average.lerp_(weights[name].float(), 1 - decay)


def save_state(folder: Path, stage: str, state: TrainingState, plan: Mapping[str, object]) -> None:
    """Write the state as a new set of files. What is killed while saving leaves the previous set."""
    weights = state.model.state_dict()
    tensors = {f"model.{key}": weights[key] for key in state.ema}
    tensors |= {f"ema.{key}": value for key, value in state.ema.items()}
    tensors |= optimizer_tensors(state.optimizers)
    tensors["generator"] = state.generator.get_state()
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float32).view(-1, len(Losses._fields))
    header = {
        "format": FORMAT,
        "config": shape_of(state.model.config).to_json(),
        "step": str(state.step),
        "plan": json.dumps(plan),
    }
    if state.base:
        header |= {"base": state.base.hash, "base_file": state.base.file}
    write_set(folder, stage, state.step, tensors, header)


def restore_state(folder: Path, stage: str, state: TrainingState) -> bool:
    """Put a saved stage back into freshly built objects; false when there is none.

    ValueError when it belongs to another model or another base.
    """
    paths = find_set(folder, stage)
    if not paths:
        return False
    tensors, header = read_set(paths)
    with usable(paths[0].name):
        _check(paths[0], header, state.model.config)
        if state.base and header["base"] != state.base.hash:
            raise ValueError(another_base(folder, stage))
        weights = state.model.state_dict()
        check_weights({key: weights[key] for key in state.ema}, part(tensors, "model."))
        check_weights(state.ema, part(tensors, "ema."))
        check_moments(state.optimizers, tensors)
        step, losses = int(header["step"]), [Losses(*three) for three in tensors["losses"].tolist()]
        state.generator.set_state(tensors["generator"])
        state.model.load_state_dict({**weights, **part(tensors, "model.")})
        for key, value in part(tensors, "ema.").items():
            state.ema[key].copy_(value)
        restore_optimizers(state.optimizers, tensors)
        state.step, state.losses = step, losses
    return True


@contextmanager
def usable(name: str) -> Iterator[None]:
    """ValueError, one sentence, for whatever else goes wrong while the saved training `name` is put back."""
    try:
        yield
    except (
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
        OverflowError,
        json.JSONDecodeError,
    ) as error:
        problem = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
        raise ValueError(
            f"{name} is not a complete saved training ({problem}): delete it to start over, or copy it again"
        ) from error


def check_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """ValueError unless the same names are there, with the same shapes, and every number is finite."""
    if expected.keys() != found.keys():
        other = min(expected.keys() ^ found.keys())
        raise ValueError(
            f"the saved training and this model have different weights, such as {other[:80]!r}: it is damaged "
            "or belongs to another model"
        )
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape or not tensor.is_floating_point():
            raise ValueError(
                f"expected {name!r} to have shape {list(expected[name].shape)} in the saved training, got "
                f"{list(tensor.shape)}: it is damaged"
            )
        _expect_finite(name, tensor)


def check_moments(optimizers: Sequence[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """ValueError unless what is kept for a parameter is all that its optimizer keeps, in the parameter's shape and finite."""
    for index, optimizer in enumerate(optimizers):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        kept: dict[int, set[str]] = {}
        for key, value in part(tensors, f"optimizer.{index}.").items():
            number, name = key.split(".", 1)
            kept.setdefault(int(number), set()).add(name)
            if value.ndim and value.shape != parameters[int(number)].shape:
                raise ValueError(
                    f"expected {key!r} of the saved training to have its parameter's shape, got "
                    f"{list(value.shape)}: it is damaged"
                )
            _expect_finite(key, value)
        for number, names in kept.items():
            if names != MOMENTS[type(optimizer)]:
                missing = ", ".join(sorted(MOMENTS[type(optimizer)] ^ names))
                raise ValueError(
                    f"the saved training has missing or unexpected values for parameter {number} ({missing}): "
                    "it is damaged, copy it again"
                )


def _expect_finite(name: str, tensor: Tensor) -> None:
    if not tensor.isfinite().all():
        raise ValueError(
            f"expected finite numbers in the saved training, but {name[:80]!r} has NaN or infinity: delete it "
            "to start over"
        )


def optimizer_tensors(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """What the optimizers remember, by names that `restore_optimizers` knows."""
    tensors = {}
    for index, optimizer in enumerate(optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{parameter}.{key}": torch.as_tensor(value) for key, value in values.items()}
    return tensors


def restore_optimizers(optimizers: Sequence[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    for index, optimizer in enumerate(optimizers):
        saved = optimizer.state_dict()
        saved["state"] = {}
        for key, value in part(tensors, f"optimizer.{index}.").items():
            parameter, name = key.split(".", 1)
            saved["state"].setdefault(int(parameter), {})[name] = value.clone()
        optimizer.load_state_dict(saved)


def saved_header(folder: Path, stage: str) -> dict[str, str] | None:
    """Header of the stage's newest saved state, None when it never ran: `step`, `plan`, and `base`, `base_file` of a sync stage."""
    paths = find_set(folder, stage)
    return read_header(paths[0]) if paths else None


def read_ema(folder: Path, stage: str, config: ModelConfig) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(averaged weights, header) of a saved stage. ValueError when it never ran or has another config."""
    paths = find_set(folder, stage)
    if not paths:
        raise ValueError(f"there is no trained {stage} in {folder}: run the stage {stage!r} first")
    tensors, header = read_set(paths)
    with usable(paths[0].name):
        _check(paths[0], header, config)
        averaged = part(tensors, "ema.")
        for name, weight in averaged.items():
            _expect_finite(name, weight)
    return averaged, header


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of all weights as float32, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def another_base(folder: Path, stage: str) -> str:
    """The sentence for synchronization layers whose base is not the one at hand."""
    return (
        f"the layers of {stage!r} in {folder} were trained on another base, or the base was changed or "
        f"trained further since: delete {stage}.state-*.safetensors there and train {stage!r} again"
    )


def shape_of(config: ModelConfig) -> ModelConfig:
    """The config without its kinds of synchronization, which differ from stage to stage."""
    return replace(config, sync=())


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix`, without it."""
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _check(path: Path, header: dict[str, str], config: ModelConfig) -> None:
    if (
        header.get("format") != FORMAT
        or "config" not in header
        or ModelConfig.from_json(header["config"]) != shape_of(config)
    ):
        raise ValueError(
            f"{path.name} is not a training state of this model: check --config, or start in another folder"
        )
