"""One run of training: from encoded grids to trained layers, with what was measured and made before and after."""

import atexit
import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...fourreal_core.files.lock import held_alone
from ...fourreal_core.model.sync_file import SyncConfig, SyncLayers, save_sync
from ...fourreal_core.training.footage.sync_examples import LatentStore
from ...fourreal_core.training.sync_loop import SyncState, SyncTraining, measure, start, train, weights_of
from .error import Prompts, Trainee
from .footage import EncodedFootage, Run
from .pictures import LossPreview, sampled
from .trainee import file_of, loaded, name_of_weights, outside_inference, training_copy

log = logging.getLogger(__name__)
LEAVING_S = 600  # how long a host that is being closed waits for the step under way


@dataclass(frozen=True)
class Settings:
    """plan and config as in the core; precision and checkpointing as in `training_copy`; sheet_steps: sampling steps of the pictures."""

    plan: SyncTraining
    config: SyncConfig
    precision: str
    checkpointing: bool
    sheet_steps: int


@dataclass(frozen=True)
class Outcome:
    """losses: of every step. before, after: the error on grid 0 of the store, with untrained and with trained layers. made: that grid's
    latents as both make them, by name."""

    steps: int
    losses: list[float]
    before: float
    after: float
    made: dict[str, Tensor]

    def summary(self, store: LatentStore, run: Run) -> str:
        """For the user: how much was trained, and whether it helped."""
        where = "a held-out grid" if len(store) > 1 else "the only grid, which was also trained on"
        change = self.after / self.before - 1 if self.before else 0.0
        return (
            f"{self.steps} steps on {len(store.trained)} grids. Error on {where}: {self.before:.4g} before "
            f"training, {self.after:.4g} now ({change:+.1%}). Saved as {run.result.name} in "
            "models/fourreal_sync."
        )


def run_training(model: Any, prompts: Prompts, footage: EncodedFootage, settings: Settings, run: Run) -> Outcome:
    """Train, or go on where this run stopped, and write the layers to `run.result`.

    A cancelled run keeps its state, from which the next one goes on, and writes no layers. Raises ValueError as `start`, `train` and
    `training_copy` do.
    """
    footage.expect_fits(model)
    run.make_folders()
    store, encoder = footage.store, footage.encoder
    taken = f"a training run named {run.state.name} is in progress: wait for it, or choose another name"
    with held_alone(run.state.with_name(f".{run.state.name}.lock"), taken), outside_inference():
        layers = fresh_layers(settings.config, settings.plan.seed).to(model.load_device)
        untrained = {name: weight.clone() for name, weight in layers.state_dict().items()}
        state = start(layers, name_of_weights(model.model.diffusion_model, model.patches), settings.plan, run.state)
        patcher = training_copy(model, layers, checkpointing=settings.checkpointing, precision=settings.precision)
        trainee = Trainee(patcher, prompts.with_gradients(), encoder.encoding, encoder.codec)
        with weights_of(layers, untrained):
            before, made = _shown(trainee, store, settings, "untrained")
        _train(trainee, store, state, settings, run.state)
        with weights_of(layers, state.ema):
            after, made_now = _shown(trainee, store, settings, f"step {state.step}")
            facts = {"steps": state.step, "base_hash": state.base, "error_before": before, "error_after": after}
            save_sync(layers, run.result, {**_about(model, footage, settings.plan), **facts})
    return Outcome(state.step, state.losses, before, after, made | made_now)


def _about(model: Any, footage: EncodedFootage, plan: SyncTraining) -> dict[str, Any]:
    """Facts for the file of layers."""
    return {
        "base": file_of(model),
        "encoding": footage.encoder.encoding,
        "grids": len(footage.store.trained),
        "shape": list(footage.shape),
        "learning_rate": plan.learning_rate,
        "seed": plan.seed,
    }


def fresh_layers(config: SyncConfig, seed: int) -> SyncLayers:
    """Float32 layers that average both streams; their random parts follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SyncLayers(config).initialize()


def _train(trainee: Trainee, store: LatentStore, state: SyncState, settings: Settings, file: Path) -> None:
    plan, preview = settings.plan, LossPreview(settings.plan.steps)
    with loaded(trainee.patcher, settings.checkpointing), _closing_host() as closing:

        def report() -> bool:
            preview(state.losses)
            comfy.model_management.throw_exception_if_processing_interrupted()
            return closing.is_set()

        train(state, plan, store.trained, lambda draw: trainee.error(store[draw.example], draw), file, report)
        if closing.is_set():
            raise comfy.model_management.InterruptProcessingException()


def _shown(trainee: Trainee, store: LatentStore, settings: Settings, name: str) -> tuple[float, dict[str, Tensor]]:
    with loaded(trainee.patcher):
        error = measure(lambda draw: trainee.error(store[draw.example], draw), 0)
    return error, {name: sampled(trainee, store[0], settings.sheet_steps)} if settings.sheet_steps else {}


@contextlib.contextmanager
def _closing_host() -> Iterator[threading.Event]:
    """Set when the host's process is about to end, as after Ctrl-C, which then waits until this block is left.

    The host runs nodes in a thread that ends with the process, in the middle of anything.
    """
    closing, left = threading.Event(), threading.Event()

    def wait() -> None:
        log.warning("4Real Train Sync saves its state before ComfyUI exits")
        closing.set()
        left.wait(LEAVING_S)

    atexit.register(wait)
    try:
        yield closing
    finally:
        left.set()
        atexit.unregister(wait)
