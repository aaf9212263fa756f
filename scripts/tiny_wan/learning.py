"""Training by flow matching, as Wan's: a straight loop whose every step follows from its number, so that it can stop anywhere.

Letters as in network.py; a checkpoint holds the network, its moving average and the optimizers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fourreal_core.training import schedule
from fourreal_core.training.optimizers import build_optimizers, optimizer_step

from .clips import Clips, drawn, given_latents, painted
from .network import make_network, noise_level, prompts, shown
from .pixels import PixelLatents

GIVEN_WEIGHT = 0.3  # of the loss where everything is given: the model has only to copy it
MEASURED, MEASURE_SEED = 64, 12345  # clips of a measurement


def _attention(function: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, **options) -> Tensor:
    """The host's kind [B, L, heads * d], written out: with a gradient on a CPU it takes half the time of the fused kernel."""
    q, k, v = (part.to(torch.bfloat16).unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)
    return (weights @ v).transpose(1, 2).flatten(2)


ATTENTION = {"optimized_attention_override": _attention}


@dataclass(frozen=True)
class Plan:
    steps: int = 2900
    batch: int = 12
    learning_rate: float = 8e-4
    matrix_rate: float = 0.01
    warmup: int = 40
    ema: float = 0.995
    save_every: int = 100
    seed: int = 0


def error(
    network: torch.nn.Module,
    latents: PixelLatents,
    frames: Tensor,
    told: Tensor,
    paint: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of the velocity (noise - clean) of clips [B, F, H, W, 3] in 0..1, at noise levels evenly over the schedule."""
    clean = latents.encode(frames).movedim(-1, 1)
    count = len(clean)
    noise = torch.randn(clean.shape, generator=generator)
    share_B = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    sigma_B = noise_level(share_B[torch.randperm(count, generator=generator)])
    sigma = sigma_B[:, None, None, None, None]
    x = torch.cat([sigma * noise + (1 - sigma) * clean, shown(latents, frames, paint)], 1)
    with torch.autocast("cpu", torch.bfloat16):
        made = network(x, sigma_B * 1000, prompts()[told], transformer_options=dict(ATTENTION))
    weight = torch.where(given_latents(paint)[:, None], GIVEN_WEIGHT, 1.0)
    return ((made.float() - (noise - clean)).square().mean(1, keepdim=True) * weight).sum() / weight.sum()


@torch.no_grad()
def held_out_error(network: torch.nn.Module, latents: PixelLatents, clips: Clips) -> float:
    """The same clips, masks and noise every time."""
    generator = torch.Generator().manual_seed(MEASURE_SEED)
    frames, told = drawn(clips, MEASURED, generator)
    paint = painted(MEASURED, frames.shape[1], tuple(frames.shape[2:4]), generator)
    return error(network, latents, frames, told, paint, generator).item()


def train(
    plan: Plan, clips: Clips, folder: Path, report: Callable[[int, list[float], torch.nn.Module, dict], bool]
) -> None:
    """Go on to step `plan.steps`, or until `report(step, losses, network, ema)` says true; the state is in `folder`."""
    network, latents = make_network(plan.seed), stored_latents(clips, folder)
    parameters = {f"base.{name}": weight for name, weight in network.named_parameters()}
    optimizers = build_optimizers(parameters, plan.learning_rate, plan.matrix_rate)
    ema = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
    step, losses, state = 0, [], folder / "state.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        network.load_state_dict(saved["network"])
        for optimizer, tensors in zip(optimizers, saved["optimizers"], strict=True):
            rates = [group["initial_lr"] for group in optimizer.param_groups]  # the plan's, which may have changed
            optimizer.load_state_dict(tensors)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["initial_lr"] = rate
        ema, step, losses = saved["ema"], saved["step"], saved["losses"]
    stopped = False
    while step < plan.steps and not stopped:
        # one batch, which follows from the step's number
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        frames, told = drawn(clips, plan.batch, generator)
        paint = painted(plan.batch, frames.shape[1], tuple(frames.shape[2:4]), generator)

        # its gradient, and one step
        loss = error(network, latents, frames, told, paint, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer_step(optimizers, schedule.rate(step, plan.steps, plan.warmup))

        # the moving average, and what is kept
        kept = min(plan.ema, (1 + step) / (10 + step))
        for name, weight in network.state_dict().items():
            ema[name].lerp_(weight, 1 - kept)
        step += 1
        losses.append(loss.item())
        stopped = report(step, losses, network, ema)
        if step % plan.save_every == 0 or step == plan.steps or stopped:
            tensors = {"optimizers": [optimizer.state_dict() for optimizer in optimizers], "ema": ema}
            torch.save(
                {"network": network.state_dict(), "step": step, "losses": losses, **tensors}, state.with_suffix(".part")
            )
            os.replace(state.with_suffix(".part"), state)


def stored_latents(clips: Clips, folder: Path) -> PixelLatents:
    """The latents of this run, found once from its clips."""
    path = folder / "latents.pt"
    if not path.exists():
        some = clips.frames[:: max(1, len(clips.frames) // 500)].flatten(0, 1)
        torch.save(vars(PixelLatents.of(some)), path)
    return PixelLatents(**torch.load(path, weights_only=True))
