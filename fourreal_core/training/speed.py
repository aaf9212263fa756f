"""How much of the machine's arithmetic a training step uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..evaluation.measure import matrix_peak
from ..model.precision import fast_dtype
from ..model.processes import ALONE, Processes
from .footage.mixture import Mixture
from .loop import TrainingPlan, autocast, draw, like, predict
from .loss import velocity_loss
from .state import TrainingState


@dataclass(frozen=True)
class Speed:
    """One process's step: floating point operations forward and backward, its median seconds, and the machine's rate in one
    large matrix product (None where that is not measured)."""

    flops: int
    seconds: float
    peak: float | None

    def __str__(self) -> str:
        rate = self.flops / self.seconds
        share = f", {rate / self.peak:.0%} of one large matrix product's" if self.peak else ""
        return f"{self.flops / 1e9:.1f} GFLOP and {self.seconds:.3f} s per step: {rate / 1e9:.1f} GFLOP/s{share}"


def measure_speed(
    state: TrainingState, plan: TrainingPlan, store: Mixture, seconds: Sequence[float], processes: Processes = ALONE
) -> Speed:
    """Counts the operations of one step and relates them to the steps' `seconds`; leaves the state as it is."""
    device = next(state.model.parameters()).device
    dtype = fast_dtype(str(device)) if plan.precision == "auto" else getattr(torch, plan.precision)
    peak = matrix_peak(dtype) if device.type == "cpu" else None
    return Speed(step_flops(state, plan, store, processes), float(torch.tensor(seconds).median()), peak)


def step_flops(state: TrainingState, plan: TrainingPlan, store: Mixture, processes: Processes = ALONE) -> int:
    """Operations of one forward and backward. Attention counts as the plain products it stands for: PyTorch does not count
    its fused CPU kernel."""
    drawn = state.generator.get_state()
    batch, sigma, noise = draw(state, plan, store, processes)
    state.generator.set_state(drawn)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        with autocast(noise.device, plan.precision):
            velocity = predict(state.model, plan.stage, batch, sigma, noise)
        velocity_loss(velocity, batch.x0, noise, like(sigma, batch.x0), batch.weight).backward()
    state.model.zero_grad(set_to_none=True)
    return counter.get_total_flops()
