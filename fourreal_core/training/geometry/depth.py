"""Teaches the depth network to read exact depths off plane-sweep costs. Shape suffixes: B batch, G groups of neighbours, D planes, H W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from ...geometry.depth import DepthNetwork, nearest_inverse_depth, read_planes
from ...geometry.sweep import PLANES, TRUNCATED
from .loop import GeometryPlan, Task
from .scenes import between, chance, estimated_depth, mean_of, open_scene, parallax_error, read_costs

PLAN = GeometryPlan(steps=2500)
FIRST_VIEWS = 3  # view 0 comes this often: the depth of all that moves hangs on it
LIMITS = (0.85, 1.2)  # factors of the nearest plane's inverse depth, as the product guesses it too far or too near
FARTHEST_ERROR = 3.0  # planes: a pixel on the wrong surface is wrong, no matter by how much
MOVER_WEIGHT = 5.0  # of a pixel that ever moves, against 1
LEAST_MOVERS, MOST_ERROR = (
    50,
    30.0,
)  # pixels of a mover that are worth a score, and the error in pixels that counts at most


@dataclass(frozen=True)
class DepthExample:
    """One view of a scene."""

    costs_GDHW: Tensor  # uint8: 0..TRUNCATED as 0..255
    frame_3HW: Tensor  # uint8
    gain_HW: Tensor
    position_HW: Tensor  # true position among the planes
    mover_HW: Tensor  # bool


class DepthTask(Task[DepthExample]):
    name = "depth"

    def __init__(self, network: DepthNetwork, scenes: Sequence[Path], held_out: Sequence[Path] = ()):
        self.network, self.scenes, self.held_out = network, scenes, held_out
        self.views = len(open_scene(scenes[0]).freeze_VHW3) + FIRST_VIEWS - 1 if scenes else 0
        self.count = len(scenes) * self.views

    def prepare(self, index: int, generator: Generator) -> DepthExample | None:
        """A view of a scene; None where the scene shows no parallax."""
        scene = open_scene(self.scenes[index // self.views])
        view = max(0, index % self.views - FIRST_VIEWS + 1) % len(scene.freeze_VHW3)
        try:
            guessed = nearest_inverse_depth(
                scene.freeze_VHW3.float() / 255, scene.world_to_camera_V44, scene.intrinsics_V33
            )
        except ValueError:
            return None
        limit = guessed * between(*LIMITS, generator)
        costs_GDHW, gain_HW = read_costs(scene, view, limit)
        return DepthExample(
            costs_GDHW=(costs_GDHW * 255 / TRUNCATED).round().clamp(0, 255).to(torch.uint8),
            frame_3HW=scene.freeze_VHW3[view].movedim(-1, 0),
            gain_HW=gain_HW,
            position_HW=(scene.geometry.view_depth_VHW[view] / limit * (PLANES - 1)).clamp(0, PLANES - 1),
            mover_HW=scene.geometry.view_mover_VHW[view],
        )

    def loss(self, examples: list[DepthExample], generator: Generator) -> Tensor:
        """`depth_loss` of views that may be mirrored and whose colours change places."""
        batch = [self._changed(example, generator) for example in examples]
        costs, frames, gain, position, mover = (torch.stack(parts) for parts in zip(*batch))
        return depth_loss(self.network(costs, frames, gain), position, mover)

    def _changed(self, example: DepthExample, generator: Generator) -> list[Tensor]:
        colours = torch.randperm(3, generator=generator)
        costs, frame = example.costs_GDHW.float() * TRUNCATED / 255, example.frame_3HW[colours].float() / 255
        maps = [costs, frame, example.gain_HW, example.position_HW, example.mover_HW]
        return [value.flip(-1) for value in maps] if chance(0.5, generator) else maps

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Mean parallax errors in the farthest view, of views 0 and the middle one."""
        found = []
        for file in self.held_out:
            scene = open_scene(file)
            try:
                limit = nearest_inverse_depth(
                    scene.freeze_VHW3.float() / 255, scene.world_to_camera_V44, scene.intrinsics_V33
                )
            except ValueError:
                continue
            for view in {0, len(scene.freeze_VHW3) // 2}:
                inverse_HW, _ = estimated_depth(self.network, scene, view, limit)
                error = parallax_error(inverse_HW, scene.geometry.view_depth_VHW[view], scene, view).clamp_max(
                    MOST_ERROR
                )
                mover = scene.geometry.view_mover_VHW[view]
                movers = {
                    "movers, mean px": float(error[mover].mean()),
                    "movers, median px": float(error[mover].median()),
                }
                found.append({"all, mean px": float(error.mean())} | (movers if mover.sum() > LEAST_MOVERS else {}))
        return mean_of(found)


def depth_loss(logits_BDHW: Tensor, position_BHW: Tensor, mover_BHW: Tensor) -> Tensor:
    """How badly the planes' scores tell the true position, 0..D-1 with fractions."""
    planes = logits_BDHW.shape[1]
    # The two planes around the truth share the target by nearness: a class loss lets the network keep both surfaces at an
    # edge as alternatives, where a distance alone would teach it the empty space between them.
    below = position_BHW.floor().clamp(0, planes - 2)
    above_share = position_BHW - below
    log_share = logits_BDHW.float().log_softmax(1)
    below_B1HW = below.long()[:, None]
    surprise = -(
        (1 - above_share) * log_share.gather(1, below_B1HW)[:, 0]
        + above_share * log_share.gather(1, below_B1HW + 1)[:, 0]
    )
    # What is read off in the end shall be right to a fraction of a plane; errors beyond FARTHEST_ERROR are left to the classes.
    read, _ = read_planes(logits_BDHW)
    distance = (read - position_BHW).abs().clamp_max(FARTHEST_ERROR)
    # Movers are a tenth of the picture and nearly all of what a cell must get right.
    weight = 1 + (MOVER_WEIGHT - 1) * mover_BHW.float()
    return ((surprise + distance) * weight).sum() / weight.sum()
