"""The training loop. Stage "base" trains the video model on sequences with random masks; stages "hard" and "soft" train
one kind of synchronization layers on whole grids while the base stays frozen (PAPER "4D training").
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch
from torch import Tensor, nn

from ..flow import add_noise, velocity_from_x0
from ..model.precision import fast_dtype
from ..model.prior import Prior
from ..model.two_stream import GridModel
from .examples import Batch, grid_batch, sequence_batch
from .loss import velocity_loss
from .masks import sample_sigma
from .store import StoredGrid
from .state import TrainingState, restore_state, save_state, update_ema

STAGES = ("base", "hard", "soft")
Report = Callable[[int, float, float], bool | None]  # step, loss, loss of the guess that the model starts from; true: stop here


@dataclass(frozen=True)
class TrainingPlan:
    """One stage of training. batch counts sequences for "base", grids for the others; crop in pixels (height, width).

    learning_rate is AdamW's; matrix_rate is Muon's for the blocks' matrices in the base stage. Both warm up over
    `warmup` steps and fall linearly to a twentieth over the last half.
    """

    stage: str = "base"
    steps: int = 2000
    batch: int = 16
    crop: tuple[int, int] = (64, 64)
    learning_rate: float = 1e-3
    matrix_rate: float = 0.004
    warmup: int = 50
    clip: float = 1.0
    seed: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"unknown training stage {self.stage!r}: expected one of {', '.join(STAGES)}")
        for name, value in (("steps", self.steps), ("batch", self.batch), ("crop", min(self.crop))):
            if value < 1:
                raise ValueError(f"expected {name} to be at least 1, got {value}")

    def rate(self, step: int) -> float:
        """Share of the full learning rate at this step."""
        return min(1.0, (step + 1) / self.warmup, max(0.05, 2 * (1 - step / self.steps)))


def start(model: GridModel, plan: TrainingPlan, folder: Path) -> TrainingState:
    """Fresh state for a stage, or the saved one if this stage has been under way in `folder`."""
    parameters = trained_parameters(model, plan.stage)
    model.requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    ema = {key: value.detach().float().clone() for key, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(plan.seed)
    state = TrainingState(model, ema, build_optimizers(parameters, plan), generator)
    if state_file(folder, plan.stage).exists():
        restore_state(state_file(folder, plan.stage), state)
    return state


def train(
    state: TrainingState, plan: TrainingPlan, store: list[StoredGrid], folder: Path, report: Report
) -> None:
    """Run until `plan.steps`, or until `report` returns true; saves every `plan.save_every` steps and at the end.

    A state is saved between two steps only: what ends the run inside a step costs the steps since the last save, because half
    a step could not be resumed.
    """
    trained = [p for optimizer in state.optimizers for group in optimizer.param_groups for p in group["params"]]
    stopped = False
    while state.step < plan.steps and not stopped:
        # one batch, its noise, its velocity, its loss
        batch, sigma, noise = draw(state, plan, store)
        with autocast():
            velocity = predict(state.model, plan.stage, batch, sigma, noise)
        target = (batch.x0, noise, like(sigma, batch.x0), batch.weight)
        loss = velocity_loss(velocity, *target)

        # one optimizer step at the scheduled rate
        loss.backward()
        nn.utils.clip_grad_norm_(trained, plan.clip)
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * plan.rate(state.step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        # averages, records, checkpoints
        update_ema(state.ema, state.model, state.step)
        state.step += 1
        state.losses.append((round(loss.item(), 6), round(guess_loss(batch, *target).item(), 6)))
        stopped = report(state.step, *state.losses[-1])
        if state.step % plan.save_every == 0:
            save_state(state_file(folder, plan.stage), state)
    save_state(state_file(folder, plan.stage), state)


def draw(state: TrainingState, plan: TrainingPlan, store: list[StoredGrid]) -> tuple[Batch, Tensor, Tensor]:
    """A batch, one sigma per sequence or grid, and noise like x0."""
    make = sequence_batch if plan.stage == "base" else grid_batch
    batch = make(store, plan.batch, plan.crop, state.model.config.guess, state.generator)
    sigma = sample_sigma(plan.batch, state.generator)
    return batch, sigma, torch.randn(batch.x0.shape, generator=state.generator)


def predict(model: GridModel, stage: str, batch: Batch, sigma: Tensor, noise: Tensor) -> Tensor:
    x = add_noise(batch.x0, noise, like(sigma, batch.x0))
    if stage == "base":
        return model.base(x, sigma, batch.condition, batch.mode)
    return model(x, sigma, batch.condition, sync=stage)


def guess_loss(batch: Batch, x0: Tensor, noise: Tensor, sigma: Tensor, weight: Tensor) -> Tensor:
    """The loss of a head that puts out zeros: Transport's where there is a guess, else that of grey frames."""
    cells = batch.condition.movedim(-4, -3).flatten(0, -4)  # every frame's channels: [M, C, h, w]
    prior = Prior(torch.zeros(len(cells), 3, *cells.shape[2:]), torch.ones(len(cells)), cells)
    x0_guess = torch.where(prior.mask > 0.5, prior.known, prior.guess).view_as(x0.movedim(-4, -3)).movedim(-3, -4)
    return velocity_loss(velocity_from_x0(add_noise(x0, noise, sigma), x0_guess, sigma), x0, noise, sigma, weight)


def trained_parameters(model: GridModel, stage: str) -> dict[str, nn.Parameter]:
    """The base alone, or one kind of synchronization layers alone."""
    part = model.base if stage == "base" else model.sync[stage]
    return dict(part.named_parameters())


def build_optimizers(parameters: dict[str, nn.Parameter], plan: TrainingPlan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the transformer blocks of the base, AdamW for everything else."""
    in_blocks = plan.stage == "base"
    matrices = [p for name, p in parameters.items() if in_blocks and _is_block_matrix(name, p)]
    others = [p for name, p in parameters.items() if not (in_blocks and _is_block_matrix(name, p))]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    ]
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=plan.matrix_rate, weight_decay=0.1))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def state_file(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.state.safetensors"


def like(sigma_N: Tensor, x: Tensor) -> Tensor:
    """sigma with as many trailing dimensions as `x`."""
    return sigma_N.view(-1, *[1] * (x.ndim - 1))


def autocast() -> contextlib.AbstractContextManager:
    """bf16 arithmetic where this machine is faster in it; weights and optimizer stay float32."""
    dtype = fast_dtype("cpu")
    return torch.autocast("cpu", dtype) if dtype != torch.float32 else contextlib.nullcontext()


def _is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    return name.startswith("blocks.") and name.endswith("weight") and parameter.ndim == 2
