"""Teaches the motion network exact flow to time 0, depth at time t, and what moves. Shape suffixes: T times, H W pixels.

Depth is handled as parallax, as in geometry/motion.py: inverse depth times the pixels that it moves in the farthest view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ...geometry.depth import DepthNetwork, nearest_inverse_depth
from ...geometry.estimate import pixels_per_depth
from ...geometry.flow_search import flows_to_first
from ...geometry.motion import MotionNetwork, MotionState, warp
from .loop import GeometryPlan, Task
from .scenes import between, camera, chance, estimated_depth, intersection_over_union, mean_of, open_scene

PLAN = GeometryPlan(steps=3000, batch=1, learning_rate=1.5e-3)
EXACT_FIRST = (
    0.15  # share of the steps that start from the exact depth at time 0: then only motion is left to be learned
)
BRIGHTER, LIGHTER = (0.8, 1.2), (-0.05, 0.05)  # factor and summand of the colours of all frames together
MOST_ERROR = 25.0  # pixels: what is lost is lost, no matter by how much
SURENESS = (-2.5, 3.0)  # bounds of the log of expected errors, in log pixels
LEAST_MOVERS, WORST_SCORE = (
    100,
    60.0,
)  # moving pixels that are worth a score, and the error in pixels that counts at most


@dataclass(frozen=True)
class MotionExample:
    """The fixed-view video of a scene; parallaxes in pixels of the farthest view."""

    frames_THW3: Tensor  # uint8
    first_HW: Tensor  # estimated parallax of time 0
    sure_HW: Tensor  # its confidence 0..1
    exact_first_HW: Tensor
    guess_THW2: Tensor  # flow to time 0 as the search finds it
    flow_THW2: Tensor  # exact
    parallax_THW: Tensor  # exact
    seen_THW: Tensor  # bool, this and the next two as in `ExactGeometry`
    moving_THW: Tensor
    mover_THW: Tensor


class MotionTask(Task[MotionExample]):
    name = "motion"

    def __init__(
        self, network: MotionNetwork, depth: DepthNetwork, scenes: Sequence[Path], held_out: Sequence[Path] = ()
    ):
        self.network, self.depth, self.scenes, self.held_out = network, depth, scenes, held_out
        self.count = len(scenes)

    def prepare(self, index: int, generator: Generator) -> MotionExample | None:
        """A scene with estimated depth and flow; None without parallax."""
        return self._example(self.scenes[index])

    def _example(self, path: Path) -> MotionExample | None:
        scene = open_scene(path)
        views, height, width, _ = scene.freeze_VHW3.shape
        try:
            limit = nearest_inverse_depth(
                scene.freeze_VHW3.float() / 255, scene.world_to_camera_V44, scene.intrinsics_V33
            )
        except ValueError:
            return None
        gain = pixels_per_depth([camera(scene, view) for view in range(views)], 0, limit, (height, width))
        first_HW, sure_HW = estimated_depth(self.depth, scene, 0, limit)
        exact = scene.geometry
        return MotionExample(
            frames_THW3=scene.fixed_THW3,
            first_HW=first_HW * gain,
            sure_HW=sure_HW,
            exact_first_HW=exact.view_depth_VHW[0] * gain,
            guess_THW2=flows_to_first(scene.fixed_THW3.float() / 255).half(),
            flow_THW2=exact.flow_THW2.half(),
            parallax_THW=exact.time_depth_THW * gain,
            seen_THW=exact.seen_THW,
            moving_THW=exact.moving_THW,
            mover_THW=exact.mover_THW,
        )

    def loss(self, examples: list[MotionExample], generator: Generator) -> Tensor:
        """`motion_loss`, the mean over the examples: the network takes one video at a time."""
        losses = []
        for example in examples:
            example = _changed(example, generator)
            losses.append(motion_loss(self._states(example, generator), example))
        return torch.stack(losses).mean()

    def _states(self, example: MotionExample, generator: Generator | None) -> list[MotionState]:
        first, sure = example.first_HW, example.sure_HW
        if generator is not None and chance(EXACT_FIRST, generator):
            first, sure = example.exact_first_HW, torch.ones_like(sure)
        frames_T3HW = example.frames_THW3.float().movedim(-1, 1) / 255
        if generator is not None:
            frames_T3HW = frames_T3HW[:, torch.randperm(3, generator=generator)]
            frames_T3HW = frames_T3HW * between(*BRIGHTER, generator) + between(*LIGHTER, generator)
        return self.network(frames_T3HW.clamp(0, 1), first, sure, example.guess_THW2.float().movedim(-1, 1))

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Errors of moving pixels that were seen at time 0, of all moving pixels' depth, beside those of the first guesses."""
        return mean_of([score for path in self.held_out if (score := self._scores_of(path))])

    def _scores_of(self, path: Path) -> dict[str, float] | None:
        example = self._example(path)
        if example is None or int((example.moving_THW & example.seen_THW).sum()) < LEAST_MOVERS:
            return None
        state, exact = self._states(example, None)[-1], example.flow_THW2.float().movedim(-1, 1)
        guess = example.guess_THW2.float().movedim(-1, 1)
        carried = warp(example.first_HW.expand(len(guess), 1, -1, -1), guess)[:, 0]
        moving, tracked = example.moving_THW, example.moving_THW & example.seen_THW

        def flow_error(flow_T2HW: Tensor) -> float:
            return float((flow_T2HW - exact).norm(dim=1).clamp_max(WORST_SCORE)[tracked].mean())

        def depth_error(parallax_THW: Tensor) -> float:
            return float((parallax_THW - example.parallax_THW).abs().clamp_max(WORST_SCORE)[moving].mean())

        return {
            "flow px": flow_error(state.flow_T2HW),
            "searched flow px": flow_error(guess),
            "depth px": depth_error(state.parallax_THW),
            "carried depth px": depth_error(carried),
            "movers IoU": intersection_over_union(state.mover_THW > 0, example.mover_THW),
        }


def _changed(example: MotionExample, generator: Generator) -> MotionExample:
    """The example or its mirror image."""
    if not chance(0.5, generator):
        return example
    mirrored = {name.name: getattr(example, name.name) for name in fields(example)}
    for name, value in mirrored.items():
        width = 2 if name.endswith(("HW3", "HW2")) else -1  # the axis: T H W C or ... H W
        mirrored[name] = value.flip(width)
    turn = torch.tensor([-1.0, 1.0])
    flows = {name: mirrored[name] * turn.to(mirrored[name]) for name in ("guess_THW2", "flow_THW2")}
    return replace(example, **mirrored | flows)


def motion_loss(states: Sequence[MotionState], exact: MotionExample) -> Tensor:
    """The loss of all passes, the last one in full and those before it by half, so that the last has good ground to stand on."""
    losses = torch.stack([_pass_loss(state, exact) for state in states])
    weights = torch.full_like(losses, 0.5)
    weights[-1] = 1
    return (losses * weights).sum()


def _pass_loss(state: MotionState, exact: MotionExample) -> Tensor:
    seen, moving, mover = (value.float() for value in (exact.seen_THW, exact.moving_THW, exact.mover_THW))
    # Flow exists only where the point was visible at time 0; what moves counts, the rest keeps the network from moving it.
    matters = seen * (0.15 + 0.85 * moving)
    matters = torch.cat([torch.zeros_like(matters[:1]), matters[1:]])  # at time 0 it is zero by definition
    apart = (state.flow_T2HW - exact.flow_THW2.float().movedim(-1, 1)).norm(dim=1)
    flow = _error_and_its_guess(apart, state.flow_error_THW, matters)
    # Depth exists everywhere. What moves needs it most; what was hidden at time 0 cannot be carried and needs some care.
    matters = 0.1 + 0.9 * mover + 0.3 * (1 - seen)
    apart = (state.parallax_THW - exact.parallax_THW).abs()
    depth = _error_and_its_guess(apart, state.parallax_error_THW, matters)
    # Three labels; visibility only weighs the points that hidden motion is fitted to, so it counts least.
    label = functional.binary_cross_entropy_with_logits
    labels = label(state.moving_THW, moving) + label(state.mover_THW, mover) + 0.3 * label(state.seen_THW, seen)
    return flow + depth + 2 * labels


def _error_and_its_guess(error_THW: Tensor, log_guess_THW: Tensor, weight_THW: Tensor) -> Tensor:
    """Likelihood of the errors under a Laplace distribution of the guessed width (Kendall and Gal, NeurIPS 2017), and 0.3 times the error.

    The likelihood teaches the network to know where it is wrong, but lets it give up there; the error itself does not.
    """
    error, guess = error_THW.clamp_max(MOST_ERROR), log_guess_THW.clamp(*SURENESS)
    cost = error * torch.exp(-guess) + guess + 0.3 * error
    return (cost * weight_THW).sum() / weight_THW.sum().clamp_min(1)
