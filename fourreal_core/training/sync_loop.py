"""Training of synchronization layers beside a frozen backbone that only the caller knows: here is all but the backbone's own call.

Everything random in a step follows from the seed and the step's number, so a run that was stopped anywhere, even inside a step, goes on
bit for bit as one that was not (tested). The backbone's side is `error_of`, in ComfyUI `host/training/`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Generator, Tensor, nn

from ..files.atomic import brief, read_tensors, write_tensors
from ..model.sync_file import SyncLayers
from . import schedule
from .optimizers import build_optimizers, optimizer_step
from .state import check_moments, check_weights, optimizer_tensors, part, restore_optimizers, update_ema, usable

FORMAT = "fourreal-sync-training-1"
LATEST = 0.98  # share of the sampling up to which noise levels are drawn: the very last ones are nearly clean
NEGATIVE = 0.1  # share of the draws with the negative prompt, which guidance runs through the same layers
MEASURED = 8  # draws of a measurement, evenly spread over the sampling
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class SyncTraining:
    """steps of grids_per_step grids each. learning_rate is AdamW's; it warms up over `warmup` steps and falls linearly to a twentieth
    over the last half. clip: largest norm of a step's gradient. save_every: steps between saved states."""

    steps: int = 500
    learning_rate: float = 1e-4
    grids_per_step: int = 1
    seed: int = 0
    warmup: int = 20
    clip: float = 1.0
    save_every: int = 50

    def __post_init__(self) -> None:
        counts = ("steps", "grids_per_step", "save_every")
        schedule.check_plan(self.learning_rate, **{name: getattr(self, name) for name in counts})

    def rate(self, step: int) -> float:
        """Share of the full learning rate at this step."""
        return schedule.rate(step, self.steps, self.warmup)


class Draw(NamedTuple):
    """One grid of one step: which example, at which share of the sampling (0: pure noise), with which prompt, and its noise's seed."""

    example: int
    percent: float
    negative: bool
    seed: int

    def noise(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(shape, generator=Generator().manual_seed(self.seed))


ErrorOf = Callable[[Draw], Tensor]  # the mean squared error of the model's own prediction over what counts, of one draw


@dataclass
class SyncState:
    """What a training run is at one moment. ema: moving average of the weights, by the layers' own names. base: names the backbone."""

    layers: SyncLayers
    base: str
    ema: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    losses: list[float] = field(default_factory=list)


def start(layers: SyncLayers, base: str, plan: SyncTraining, file: Path) -> SyncState:
    """A run's state: the saved one if there is one in `file`, else that of the layers as they are.

    ValueError when the file is damaged, or its layers have another shape or belong to another backbone.
    """
    layers.requires_grad_(True).train()
    ema = {name: weight.detach().clone() for name, weight in layers.state_dict().items()}
    state = SyncState(layers, base, ema, build_optimizers(dict(layers.named_parameters()), plan.learning_rate, 0.0))
    if file.exists():
        _restore(state, file)
    return state


def train(
    state: SyncState,
    plan: SyncTraining,
    examples: Sequence[int],
    error_of: ErrorOf,
    file: Path,
    report: Callable[[], bool],
) -> None:
    """Go on to step `plan.steps`, or until `report`, called after each step, says true. examples: the numbers to draw from.

    The state is saved every few steps, at the end, and whatever ends the run, an exception of `error_of` or `report` too.
    Raises ValueError when the loss is no longer finite.
    """
    parameters, saved, stopped = list(state.layers.parameters()), state.step, False
    try:
        while state.step < plan.steps and not stopped:
            # the mean error of a few draws, and its gradient, which reaches the layers alone
            state.layers.zero_grad(set_to_none=True)
            draws = [draw(plan, state.step, number, examples) for number in range(plan.grids_per_step)]
            loss = 0.0
            for one in draws:
                error = error_of(one) / len(draws)
                error.backward()
                loss += error.item()

            # one optimizer step at the scheduled rate
            norm = nn.utils.clip_grad_norm_(parameters, plan.clip)
            if not math.isfinite(loss) or not norm.isfinite():
                raise ValueError(
                    f"the training diverged at step {state.step + 1}: use a lower learning rate than {plan.learning_rate:g}"
                )
            optimizer_step(state.optimizers, plan.rate(state.step))

            # averages, records, saved states
            update_ema(state.ema, state.layers, state.step)
            state.step += 1
            state.losses.append(loss)
            if state.step % plan.save_every == 0:
                save(state, plan, file)
                saved = state.step
            stopped = report()
    finally:
        if state.step != saved:
            save(state, plan, file)


def draw(plan: SyncTraining, step: int, number: int, examples: Sequence[int]) -> Draw:
    """The draw of this number in this step."""
    generator = Generator().manual_seed((plan.seed * 1_000_003 + step * 1009 + number) % LARGEST_SEED)
    percent, negative = torch.rand(2, generator=generator).tolist()
    example, seed = (int(torch.randint(limit, (), generator=generator)) for limit in (len(examples), LARGEST_SEED))
    return Draw(examples[example], percent * LATEST, negative < NEGATIVE, seed)


@torch.no_grad()
def measure(error_of: ErrorOf, example: int) -> float:
    """The mean error over fixed draws of one example, always the same ones: comparable before, during and after training."""
    draws = [Draw(example, (number + 0.5) / MEASURED * LATEST, False, number) for number in range(MEASURED)]
    return sum(error_of(one).item() for one in draws) / MEASURED


@contextlib.contextmanager
def weights_of(layers: SyncLayers, weights: dict[str, Tensor]) -> Iterator[None]:
    """The layers with other weights for a while, such as the averaged ones; their own come back bit for bit."""
    own = {name: weight.clone() for name, weight in layers.state_dict().items()}
    layers.load_state_dict(weights)
    try:
        yield
    finally:
        layers.load_state_dict(own)


def save(state: SyncState, plan: SyncTraining, file: Path) -> None:
    """Write the state, all or nothing. ValueError when the folder or the disk refuses; the older file then stays as it was."""
    tensors = {f"model.{name}": weight for name, weight in state.layers.state_dict().items()}
    tensors |= {f"ema.{name}": weight for name, weight in state.ema.items()}
    tensors |= optimizer_tensors(state.optimizers)
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    described = {
        "config": json.dumps(asdict(state.layers.config)),
        "base": state.base,
        "plan": json.dumps(asdict(plan)),
    }
    try:
        write_tensors(file, tensors, {"format": FORMAT, "step": str(state.step), **described})
    except OSError as error:
        raise ValueError(f"could not save the training to {file}: {error}") from error


def _restore(state: SyncState, file: Path) -> None:
    try:
        tensors, header = read_tensors(file)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{file} is damaged ({brief(error)}): delete it to start over, or choose another name"
        ) from error
    with usable(file.name):
        _expect_same_run(state, header, file)
        check_weights(state.layers.state_dict(), part(tensors, "model."))
        check_weights(state.ema, part(tensors, "ema."))
        check_moments(state.optimizers, tensors)
        step, losses = int(header["step"]), [float(loss) for loss in tensors["losses"].tolist()]
        state.layers.load_state_dict(part(tensors, "model."))
        for name, weight in part(tensors, "ema.").items():
            state.ema[name].copy_(weight)
        restore_optimizers(state.optimizers, tensors)
        state.step, state.losses = step, losses


def _expect_same_run(state: SyncState, header: dict[str, str], file: Path) -> None:
    another = "delete it to start over, or choose another name"
    if header.get("format") != FORMAT:
        raise ValueError(f"{file} is not a saved training of synchronization layers: {another}")
    was, now = json.loads(header["config"]), asdict(state.layers.config)
    if not isinstance(was, dict):
        raise ValueError(f"{file} does not say which layers it holds: {another}")
    if was != now:
        changed = ", ".join(f"{name} {was.get(name)} (now {now[name]})" for name in now if was.get(name) != now[name])
        raise ValueError(
            f"cannot resume the training in {file.name}, which has {changed}: restore these settings, or "
            "choose another name"
        )
    if header["base"] != state.base:
        raise ValueError(f"{file.name} was trained on another model, or with other patches on it: {another}")
