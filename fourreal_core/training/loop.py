"""The training loop. Stage "base" trains the video model on sequences with random masks; every other stage trains the
synchronization layers of its name on whole grids while the base stays frozen (PAPER "4D training").
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch import autocast as torch_autocast

from ..flow import add_noise, velocity_from_x0
from ..model.config import TRAINED_SYNC
from ..model.dit import Block
from ..model.precision import fast_dtype
from ..model.prior import Prior
from ..model.processes import ALONE, Processes
from ..model.two_stream import GridModel
from . import schedule
from .footage.examples import Batch, grid_batch, sequence_batch
from .footage.mixture import Mixture
from .loss import balanced, squared_error
from .masks import sample_sigma
from .optimizers import build_optimizers, optimizer_step
from .state import FrozenBase, Losses, TrainingState, restore_state, save_state, update_ema

STAGES = ("base", *TRAINED_SYNC)
PRECISIONS = ("auto", "float32", "bfloat16")
Report = Callable[[TrainingState], bool | None]  # after each step; true: stop here


@dataclass(frozen=True)
class TrainingPlan:
    """One stage of training. batch counts sequences for "base", grids for the others; crop in pixels (height, width).

    learning_rate is AdamW's; matrix_rate is Muon's for the blocks' matrices in the base stage. Both warm up over
    `warmup` steps and fall linearly to a twentieth over the last half. picture_every: steps between pictures, 0 for none. checkpointing: compute the
    blocks twice instead of keeping their activations. device: see `choose_device`. precision: "float32" or "bfloat16"
    arithmetic (weights and optimizers stay float32), or "auto", the one that this machine does fast.
    """

    stage: str = "base"
    steps: int = 2000
    batch: int = 16
    crop: tuple[int, int] = (64, 64)
    learning_rate: float = 6e-4
    matrix_rate: float = 0.003
    warmup: int = 50
    clip: float = 1.0
    seed: int = 0
    save_every: int = 100
    picture_every: int = 250
    checkpointing: bool = False
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"unknown training stage {self.stage!r}: expected one of {', '.join(STAGES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}: expected one of {', '.join(PRECISIONS)}")
        schedule.check_plan(self.learning_rate, steps=self.steps, batch=self.batch, crop=min(self.crop))

    def rate(self, step: int) -> float:
        """Share of the full learning rate at this step."""
        return schedule.rate(step, self.steps, self.warmup)


def start(model: GridModel, plan: TrainingPlan, folder: Path, base: FrozenBase | None = None) -> TrainingState:
    """Fresh state for a stage, or the saved one if this stage has been under way in `folder`.

    base: which frozen base `model` holds, for a synchronization stage. ValueError when the saved state belongs to another.
    """
    parameters = trained_parameters(model, plan.stage)
    model.requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    if plan.checkpointing:
        checkpoint_blocks(model)
    ema = {name: parameter.detach().float().clone() for name, parameter in parameters.items()}
    generator = torch.Generator().manual_seed(plan.seed)
    optimizers = build_optimizers(parameters, plan.learning_rate, plan.matrix_rate)
    state = TrainingState(model, ema, optimizers, generator, base)
    restore_state(folder, plan.stage, state)
    return state


def train(
    state: TrainingState, plan: TrainingPlan, store: Mixture, folder: Path, report: Report, processes: Processes = ALONE
) -> None:
    """Run until `plan.steps`, or until `report` returns true; saves every `plan.save_every` steps and at the end.

    A state is saved between two steps only: what ends the run inside a step costs the steps since the last save, because half
    a step could not be resumed.
    """
    parameters = list(trained_parameters(state.model, plan.stage).values())
    device = parameters[0].device
    stopped = False
    while state.step < plan.steps and not stopped:
        # this process's share of one batch, its noise, its velocity, its error
        batch, sigma, noise = draw(state, plan, store, processes)
        with autocast(device, plan.precision):
            velocity = predict(state.model, plan.stage, batch, sigma, noise)
        weight = balanced(batch.weight, batch.x0, guessed_frames(batch))
        target = (batch.x0, noise, like(sigma, batch.x0), weight)
        error, _ = squared_error(velocity, *target)

        # the mean over the pixels of all processes, one optimizer step at the scheduled rate
        count = processes.sum(batch.weight.expand_as(batch.x0).sum()).clamp_min(1)
        (error / count).backward()
        processes.sum_gradients(parameters)
        gradient = nn.utils.clip_grad_norm_(parameters, plan.clip)
        optimizer_step(state.optimizers, plan.rate(state.step))

        # averages, records, saved states
        update_ema(state.ema, state.model, state.step)
        state.step += 1
        means = processes.sum(torch.stack([error.detach(), guess_error(batch, *target)])) / count
        state.losses.append(Losses(means[0].item(), means[1].item(), gradient.item()))
        stopped = processes.any(bool(report(state)), device)
        if processes.first and (stopped or state.step == plan.steps or state.step % plan.save_every == 0):
            save_state(folder, plan.stage, state, asdict(plan))


def draw(
    state: TrainingState, plan: TrainingPlan, store: Mixture, processes: Processes = ALONE
) -> tuple[Batch, Tensor, Tensor]:
    """A batch, one sigma per sequence or grid, and noise like x0: this process's share, on the model's device."""
    make = sequence_batch if plan.stage == "base" else grid_batch
    batch = make(store, plan.batch, plan.crop, state.model.config.guess, state.generator)
    sigma = sample_sigma(plan.batch, state.generator)
    noise = torch.randn(batch.x0.shape, generator=state.generator)
    device = next(state.model.parameters()).device
    mine = {name: processes.share(value).to(device) for name, value in vars(batch).items() if value is not None}
    return replace(batch, **mine), processes.share(sigma).to(device), processes.share(noise).to(device)


def predict(model: GridModel, stage: str, batch: Batch, sigma: Tensor, noise: Tensor) -> Tensor:
    x = add_noise(batch.x0, noise, like(sigma, batch.x0))
    if stage == "base":
        return model.base(x, sigma, batch.condition, batch.mode)
    return model(x, sigma, batch.condition, sync=stage)


@torch.no_grad()
def guess_error(batch: Batch, x0: Tensor, noise: Tensor, sigma: Tensor, weight: Tensor) -> Tensor:
    """`squared_error` of a head that puts out zeros: Transport's where there is a guess, else that of grey frames."""
    guess = velocity_from_x0(add_noise(x0, noise, sigma), guessed_frames(batch), sigma)
    return squared_error(guess, x0, noise, sigma, weight)[0]


@torch.no_grad()
def guessed_frames(batch: Batch) -> Tensor:
    """What the model starts from, in model pixels, like `batch.x0`; known frames are themselves."""
    cells = batch.condition.movedim(-4, -3).flatten(0, -4)  # every frame's channels: [M, C, h, w]
    blank = torch.zeros_like(cells[:, :3])
    prior = Prior(blank, torch.ones_like(cells[:, 0, 0, 0]), cells)
    frames = torch.where(prior.mask > 0.5, prior.known, prior.guess)
    return frames.view_as(batch.x0.movedim(-4, -3)).movedim(-3, -4)


def trained_parameters(model: GridModel, stage: str) -> dict[str, nn.Parameter]:
    """The base alone, or one kind of synchronization layers alone, by their names in the whole model."""
    prefix = "base." if stage == "base" else f"sync.{stage}."
    return {name: parameter for name, parameter in model.named_parameters() if name.startswith(prefix)}


def checkpoint_blocks(model: GridModel) -> None:
    """Let every transformer block keep its input only, and compute the rest again for the gradient (arXiv 1604.06174)."""
    for block in model.base.blocks:
        cast(Block, block).checkpointed = True


def like(sigma_N: Tensor, x: Tensor) -> Tensor:
    """sigma with as many trailing dimensions as `x`."""
    return sigma_N.view(-1, *[1] * (x.ndim - 1))


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Arithmetic in this precision, see `TrainingPlan`."""
    dtype = fast_dtype(str(device)) if precision == "auto" else getattr(torch, precision)
    return torch_autocast(device.type, dtype) if dtype != torch.float32 else contextlib.nullcontext()
