"""One training run in one folder: base stage first, then the synchronization layers on its averaged weights, then export."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..files.lock import held_alone
from ..model.config import ModelConfig
from ..model.precision import fast_dtype
from ..model.processes import Processes, choose_device, joined_processes
from ..model.two_stream import GridModel, initialize_grid_model
from ..model.weights import load_checkpoint, save_checkpoint
from .footage.mixture import ExampleFolder, load_examples
from .loop import STAGES, Report, TrainingPlan, start, train
from .pictures import draw_pictures
from .speed import Speed, measure_speed
from .state import FrozenBase, TrainingState, another_base, part, read_ema, saved_header, shape_of, usable, weights_hash


def resume_plan(folder: Path, stage: str, chosen: Mapping[str, object]) -> TrainingPlan:
    """The plan this stage was saved with, or the default one, with what was chosen now."""
    header = saved_header(folder, stage)
    with usable(f"the saved state of {stage!r} in {folder}"):
        saved = json.loads(header["plan"]) if header else {}
        known = {name: saved[name] for name in TrainingPlan.__dataclass_fields__ if name in saved}
        if "crop" in known:
            known["crop"] = tuple(known["crop"])
        return TrainingPlan(**{**known, **chosen, "stage": stage})


def train_stage(
    config: ModelConfig,
    plan: TrainingPlan,
    examples: Path | Sequence[ExampleFolder],
    folder: Path,
    report: Report,
    *,
    start_from: Path | None = None,
    base: Path | None = None,
    validation: Path | None = None,
) -> Speed | None:
    """Train one stage in `folder` until `plan.steps`; goes on from a saved state of the same stage.

    start_from: a checkpoint whose layers of this stage a new one begins with, instead of fresh ones. base: a checkpoint
    whose base to synchronize, instead of the one trained in `folder`. validation: examples whose first whole grid the
    pictures show, else that of `examples`. report(state) is called after each step and ends the run when it returns true. Under
    torchrun all processes do this together. Gives the first one's speed after ten steps or more. Raises ValueError when there are
    no examples, no base to synchronize, or a base other than the one that a saved stage belongs to.
    """
    store, device = load_examples(examples), choose_device(plan.device)
    shown = (load_examples(validation) if validation else store).shown
    model, frozen = build_model(config, plan, folder, start_from, base)
    folder.mkdir(parents=True, exist_ok=True)
    with joined_processes(device) as processes, _alone(folder, processes):
        if plan.batch < processes.count:
            raise ValueError(
                f"expected a batch of at least one per process, got {plan.batch} for {processes.count} processes"
            )
        plan = _with_precision(plan, processes, device)
        model = model.to(device).train()
        processes.spread(list(model.state_dict().values()))
        state, ends = start(model, plan, folder, frozen), [time.monotonic()]

        def after_step(state: TrainingState) -> bool | None:
            ends.append(time.monotonic())
            due = plan.picture_every and (state.step % plan.picture_every == 0 or state.step == plan.steps)
            if due and processes.first:
                draw_pictures(state, plan, shown, folder)
            return report(state)

        train(state, plan, store, folder, after_step, processes)
        seconds = [end - begin for begin, end in itertools.pairwise(ends)]
        return measure_speed(state, plan, store, seconds, processes) if len(seconds) >= 10 and processes.first else None


def _alone(folder: Path, processes: Processes) -> AbstractContextManager:
    """One run at a time in a folder; the processes of one run are led by their first."""
    taken = f"another training run is using {folder}: wait for it, or choose another --output"
    return held_alone(folder / ".lock", taken) if processes.first else nullcontext()


def _with_precision(plan: TrainingPlan, processes: Processes, device: torch.device) -> TrainingPlan:
    """The "auto" precision is chosen once and kept in the state: measured again it may come out otherwise."""
    if plan.precision != "auto":
        return plan
    fast = processes.any(fast_dtype(str(device)) == torch.bfloat16, device)
    return replace(plan, precision="bfloat16" if fast else "float32")


def build_model(
    config: ModelConfig, plan: TrainingPlan, folder: Path, start_from: Path | None, base: Path | None
) -> tuple[GridModel, FrozenBase | None]:
    """The model as a new stage begins with it, and which base it holds when that stays frozen."""
    kinds = () if plan.stage == "base" else (plan.stage,)
    model = initialize_grid_model(GridModel(replace(config, sync=kinds)), torch.Generator().manual_seed(plan.seed))
    weights, frozen = model.state_dict(), None
    if plan.stage != "base":
        frozen_weights, frozen = frozen_base(config, folder, base or _recorded_base(folder, plan.stage))
        weights |= frozen_weights
    if start_from is not None:
        weights |= _layers_of(start_from, config, plan.stage)
    model.load_state_dict(weights)
    return model, frozen


def frozen_base(config: ModelConfig, folder: Path, checkpoint: Path | None) -> tuple[dict[str, Tensor], FrozenBase]:
    """Base weights (float32) to synchronize: a checkpoint's, or else the averaged ones trained in `folder`."""
    if checkpoint is None:
        weights, _ = read_ema(folder, "base", config)
    else:
        weights = {name: weight.float() for name, weight in _layers_of(checkpoint, config, "base").items()}
    return weights, FrozenBase(weights_hash(weights), str(checkpoint.resolve()) if checkpoint else "")


def export(
    config: ModelConfig, folder: Path, output: Path, dtype: torch.dtype = torch.bfloat16, base: Path | None = None
) -> None:
    """The averaged weights of all stages in `folder` as one checkpoint, with the kinds of sync that were trained.

    base: the checkpoint that they synchronize, None for the base trained in `folder`, else the one they were trained on; its
    own synchronization layers are kept where the run has none. Raises ValueError when there is no base, or when a stage was
    trained with another config or on another base, such as this one before it was trained further.
    """
    headers = {stage: header for stage in STAGES if (header := saved_header(folder, stage))}
    if base is None and "base" not in headers:
        base = next((Path(header["base_file"]) for header in headers.values() if header["base_file"]), None)
    weights, frozen = frozen_base(config, folder, base)
    steps, kept = _from_checkpoint(base, weights) if base else ({"base": headers["base"]["step"]}, set())
    for kind in headers.keys() - {"base"}:
        averaged, header = read_ema(folder, kind, config)
        if header["base"] != frozen.hash:
            raise ValueError(another_base(folder, kind))
        weights |= averaged
        steps[kind] = header["step"]
    kinds = tuple(stage for stage in STAGES[1:] if stage in headers or stage in kept)
    model = GridModel(replace(config, sync=kinds))
    model.load_state_dict({key: weights[key] for key in model.state_dict()})
    trained = " ".join(f"{stage}={steps[stage]}" for stage in STAGES if stage in steps)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(output, model.to(dtype), {"trained_steps": trained})


def _from_checkpoint(path: Path, weights: dict[str, Tensor]) -> tuple[dict[str, str], set[str]]:
    """Adds the checkpoint's synchronization layers to `weights`; its record of trained steps and its kinds."""
    state, found, metadata = load_checkpoint(path)
    weights |= {f"sync.{name}": weight for name, weight in part(state, "sync.").items()}
    steps = dict(entry.split("=", 1) for entry in metadata.get("trained_steps", "").split() if "=" in entry)
    return steps, set(found.sync)


def _recorded_base(folder: Path, stage: str) -> Path | None:
    header = saved_header(folder, stage)
    return Path(header["base_file"]) if header and header["base_file"] else None


def _layers_of(checkpoint: Path, config: ModelConfig, stage: str) -> dict[str, Tensor]:
    state, found, _ = load_checkpoint(checkpoint)
    if shape_of(found) != shape_of(config):
        raise ValueError(f"{checkpoint.name} has a different config: check --config")
    prefix = "base." if stage == "base" else f"sync.{stage}."
    layers = {name: weight for name, weight in state.items() if name.startswith(prefix)}
    if not layers:
        raise ValueError(
            f"{checkpoint.name} has no layers of {stage!r} to start from: it has {', '.join(found.sync) or 'none'}"
        )
    return layers
