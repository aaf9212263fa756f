"""The loop that trains any of the geometry networks, on the CPU, where preparing an example costs as much as a step of training.

Prepared examples wait in a pool that takes in new ones step by step. Everything random in a step follows from the seed and the step's number,
so a run that was stopped anywhere goes on bit for bit as one that was not (tested). Read `train`.
"""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError
from torch import Generator, Tensor, nn

from ...files.atomic import brief, read_tensors, write_tensors
from ...model.precision import fast_dtype
from ..optimizers import build_optimizers, optimizer_step
from ..schedule import check_plan, rate
from ..state import optimizer_tensors, part, restore_optimizers, update_ema

FORMAT = "fourreal-geometry-training-1"
Example = TypeVar("Example")


@dataclass(frozen=True)
class GeometryPlan:
    """`steps` of `batch` examples with AdamW; the learning rate follows schedule.py. clip: largest norm of a step's gradient.

    The pool begins with `first` examples, takes in `fresh` more per step and forgets the oldest beyond `pool`. save_every: steps
    between saved states. precision: of the convolutions, "float32" or "bfloat16" (weights stay float32), or "auto", the faster one.
    """

    steps: int = 2000
    batch: int = 4
    learning_rate: float = 1e-3
    warmup: int = 50
    clip: float = 1.0
    seed: int = 0
    first: int = 32
    fresh: float = 0.5
    pool: int = 400
    save_every: int = 100
    precision: str = "auto"

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "first", "pool", "save_every")
        check_plan(self.learning_rate, **{name: getattr(self, name) for name in counts})
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"unknown precision {self.precision!r}: expected auto, float32 or bfloat16.")


class Task(ABC, Generic[Example]):
    """What one network learns, and from what.

    name: as in the file of weights; network: the trained one, its convolutions in `network.unet`; count: how many examples there are.
    """

    name: str
    network: Any
    count: int

    @abstractmethod
    def prepare(self, index: int, generator: Generator) -> Example | None:
        """Example number `index` of `count`, None where the scene gives none. Random choices come from `generator` alone."""

    @abstractmethod
    def loss(self, examples: list[Example], generator: Generator) -> Tensor:
        """The network's loss on a batch, with random changes of the examples; differentiable."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """How good the network is on scenes that it never sees, each number with its unit in its name; empty without such scenes."""


@dataclass
class GeometryState:
    """What a training run is at one moment. ema: moving average of the weights."""

    task: Task
    ema: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    losses: list[float] = field(default_factory=list)


Report = Callable[[GeometryState], bool | None]  # after each step; true: stop here


def state_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.state.safetensors"


def start(task: Task, plan: GeometryPlan, folder: Path) -> GeometryState:
    """The state saved in `folder`, or that of the network as it is. Raises ValueError when the saved one is damaged or does not fit."""
    task.network.requires_grad_(True).train()
    ema = {name: weight.detach().clone() for name, weight in task.network.state_dict().items()}
    optimizers = build_optimizers(dict(task.network.named_parameters()), plan.learning_rate, 0.0)
    state = GeometryState(task, ema, optimizers)
    if state_file(folder, task.name).exists():
        _restore(state, state_file(folder, task.name))
    return state


def train(state: GeometryState, plan: GeometryPlan, folder: Path, report: Report) -> None:
    """Go on to step `plan.steps`, or until `report` says true; the state is saved every few steps and whatever ends the run.

    Raises ValueError when the loss is no longer finite, or no scene gives an example.
    """
    network, pool = state.task.network, Pool(state.task, plan)
    parameters, saved, stopped = list(network.parameters()), state.step, False
    _compute_in(network, plan.precision)
    try:
        while state.step < plan.steps and not stopped:
            # examples and their random changes
            generator = _generator(plan.seed, state.step)
            examples = pool.draw(state.step, generator)

            # one optimizer step at the scheduled rate
            loss = state.task.loss(examples, generator)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, plan.clip)
            if not loss.isfinite() or not norm.isfinite():
                raise ValueError(f"the training diverged at step {state.step + 1}: use a lower learning rate.")
            optimizer_step(state.optimizers, rate(state.step, plan.steps, plan.warmup))

            # averages, records, saved states
            update_ema(state.ema, network, state.step)
            state.step += 1
            state.losses.append(loss.item())
            if state.step % plan.save_every == 0:
                save(state, plan, folder)
                saved = state.step
            stopped = bool(report(state))
    finally:
        network.zero_grad(set_to_none=True)
        if state.step != saved:
            save(state, plan, folder)


class Pool(Generic[Example]):
    """Prepared examples. Which ones are in it at a step depends on the step alone, so nothing of it has to be saved."""

    def __init__(self, task: Task[Example], plan: GeometryPlan):
        if task.count < 1:
            raise ValueError(f"found no scenes to train the {task.name} network on.")
        self.task, self.plan = task, plan
        self._prepared: dict[int, Example | None] = {}

    def draw(self, step: int, generator: Generator) -> list[Example]:
        """A batch, each example drawn from all in the pool. Raises ValueError when the pool has none."""
        end = self.plan.first + int(self.plan.fresh * step)
        begin = max(0, end - self.plan.pool)
        for number in [number for number in self._prepared if number < begin]:
            del self._prepared[number]
        drawn, missed = [], 0
        while len(drawn) < self.plan.batch:
            number = int(torch.randint(begin, end, (), generator=generator))
            example = self._example(number)
            if example is not None:
                drawn.append(example)
            elif (missed := missed + 1) > 50 * self.plan.batch:
                raise ValueError(f"found no scenes with parallax that the {self.task.name} network can use.")
        return drawn

    def _example(self, number: int) -> Example | None:
        """The one of this place in an endless sequence that goes through all examples in a new order each time."""
        if number not in self._prepared:
            turn, place = divmod(number, self.task.count)
            order = torch.randperm(self.task.count, generator=_generator(self.plan.seed, turn, stream=1))
            with torch.no_grad():
                generator = _generator(self.plan.seed, number, stream=2)
                self._prepared[number] = self.task.prepare(int(order[place]), generator)
        return self._prepared[number]


def save(state: GeometryState, plan: GeometryPlan, folder: Path) -> None:
    """Write the state, all or nothing."""
    tensors = {f"model.{name}": weight for name, weight in state.task.network.state_dict().items()}
    tensors |= {f"ema.{name}": weight for name, weight in state.ema.items()}
    tensors |= optimizer_tensors(state.optimizers)
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    folder.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, "network": state.task.name, "step": str(state.step), "plan": json.dumps(asdict(plan))}
    write_tensors(state_file(folder, state.task.name), tensors, header)


def _restore(state: GeometryState, file: Path) -> None:
    tensors, header = read_state(file)
    wanted = {name: weight.shape for name, weight in state.ema.items()}
    if {name: weight.shape for name, weight in part(tensors, "model.").items()} != wanted:
        raise ValueError(
            f"{file} belongs to another {state.task.name} network: delete it to start over, or choose another folder."
        )
    state.task.network.load_state_dict(part(tensors, "model."))
    for name, weight in part(tensors, "ema.").items():
        state.ema[name].copy_(weight)
    restore_optimizers(state.optimizers, tensors)
    state.step, state.losses = int(header["step"]), tensors["losses"].tolist()


def read_state(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, header) of a saved state. Raises ValueError when it is damaged or something else."""
    try:
        tensors, header = read_tensors(file)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} cannot be read ({brief(error)}): delete it to start over.") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{file} is not the saved training of a geometry network: choose another folder.")
    return tensors, header


def resume_plan(plan: GeometryPlan, folder: Path, name: str, chosen: dict[str, Any]) -> GeometryPlan:
    """`plan`, over it the plan that this network's training in `folder` was saved with, over it what was chosen now."""
    file = state_file(folder, name)
    saved = json.loads(read_state(file)[1]["plan"]) if file.exists() else {}
    plan = replace(plan, **saved | chosen)
    # "auto" is decided once and kept: measured again it may come out otherwise
    return replace(plan, precision=str(fast_dtype()).removeprefix("torch.")) if plan.precision == "auto" else plan


def _generator(seed: int, number: int, stream: int = 0) -> Generator:
    return Generator().manual_seed((seed * 1_000_003 + number * 3 + stream) % (2**63 - 1))


def _compute_in(network: Any, precision: str) -> None:
    """Let the network's convolutions run in this precision, and nothing else: positions of pixels need float32."""
    dtype = fast_dtype() if precision == "auto" else getattr(torch, precision)
    if dtype != torch.float32:
        network.unet.forward = functools.partial(_in_dtype, type(network.unet).forward, network.unet, dtype)


def _in_dtype(forward: Callable[..., Tensor], module: nn.Module, dtype: torch.dtype, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype):
        return forward(module, x.contiguous(memory_format=torch.channels_last))
