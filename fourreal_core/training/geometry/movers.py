"""Teaches the mover network what moves in all known cells, from what the trained depth and motion networks say of a scene.

Their mistakes are what it has to mend, so it learns from estimates and never from exact depth or motion. Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...geometry.estimate import known_cells
from ...geometry.movers import KnownCells, MoverLabels, mover_labels
from ...geometry.networks import GeometryNetworks
from ...geometry.scene import SceneUnknown
from ...grid import Cameras
from .loop import GeometryPlan, Task
from .scenes import between, chance, intersection_over_union, mean_of, open_scene

PLAN = GeometryPlan(steps=3000, batch=2, learning_rate=1.5e-3, clip=0.5, first=24, fresh=0.5, pool=600)
BRIGHTER = (0.85, 1.15)  # factor of the colours of all frames together
FAINT, STRONG, FULL_WEIGHT = (
    0.35,
    1.5,
    2.0,
)  # least and largest weight of a mover's pixel, and how far it moves at weight 1
LEAST_MOVERS = 300  # pixels of movers in all views that are worth a score


@dataclass(frozen=True)
class MoverExample:
    """A scene as it is estimated, and what moves in it."""

    known: KnownCells
    view_mover_VHW: Tensor  # bool
    time_mover_THW: Tensor  # bool
    view_weight_VHW: Tensor
    time_weight_THW: Tensor


class MoverTask(Task[MoverExample]):
    """networks: with the trained depth and motion networks; its mover network is the one that learns."""

    name = "movers"

    def __init__(self, networks: GeometryNetworks, scenes: Sequence[Path], held_out: Sequence[Path] = ()):
        self.networks, self.network, self.scenes, self.held_out = networks, networks.movers, scenes, held_out
        self.count = len(scenes)

    def prepare(self, index: int, generator: Generator) -> MoverExample | None:
        """A scene with estimated depth and motion; None without parallax."""
        return self._example(self.scenes[index])

    @torch.no_grad()
    def _example(self, path: Path) -> MoverExample | None:
        scene = open_scene(path)
        exact, cameras = scene.geometry, Cameras(scene.world_to_camera_V44, scene.intrinsics_V33)
        try:
            known = known_cells(self.networks, scene.fixed_THW3.float() / 255, scene.freeze_VHW3.float() / 255, cameras)
        except SceneUnknown:
            return None
        pixels_VHW = (
            scene.intrinsics_V33[:, 0, 0].float()[:, None, None] * exact.view_depth_VHW
        )  # per unit of the world
        moved_VHW = exact.motion_VTHW3.float().abs().amax((1, -1)) * pixels_VHW
        moved_THW = exact.flow_THW2.float().norm(dim=-1)
        return MoverExample(
            known=known,
            view_mover_VHW=exact.view_mover_VHW,
            time_mover_THW=exact.mover_THW,
            view_weight_VHW=_weight(exact.view_mover_VHW, moved_VHW),
            time_weight_THW=_weight(exact.mover_THW, moved_THW),
        )

    def loss(self, examples: list[MoverExample], generator: Generator) -> Tensor:
        """Cross entropy of the labels after each step, on scenes whose colours change places and of which half are mirrored."""
        return torch.stack([self._loss(example, generator) for example in examples]).mean()

    def _loss(self, example: MoverExample, generator: Generator) -> Tensor:
        example = _mirrored(example) if chance(0.5, generator) else example
        labels = mover_labels(self.network, _recoloured(example.known, generator))
        views, times = example.view_mover_VHW.float(), example.time_mover_THW.float()
        first, second, third = (
            binary_cross_entropy_with_logits(said, right, weight)
            for said, right, weight in (
                (labels.first_VHW, views, example.view_weight_VHW),
                (labels.views_VHW, views, example.view_weight_VHW),
                (labels.times_THW, times, example.time_weight_THW),
            )
        )
        return first + 2 * second + 2 * third

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Intersection over union with the exact labels, of what moves in the views and at the times."""
        return mean_of([score for path in self.held_out if (score := self._scores_of(path))])

    def _scores_of(self, path: Path) -> dict[str, float] | None:
        example = self._example(path)
        if example is None or int(example.view_mover_VHW.sum()) < LEAST_MOVERS:
            return None
        labels: MoverLabels = mover_labels(self.network, example.known)
        return {
            "views IoU": intersection_over_union(labels.views_VHW > 0, example.view_mover_VHW),
            "times IoU": intersection_over_union(labels.times_THW > 0, example.time_mover_THW),
            "motion network's times IoU": intersection_over_union(
                example.known.state.mover_THW > 0, example.time_mover_THW
            ),
        }


def _weight(mover_NHW: Tensor, moved_NHW: Tensor) -> Tensor:
    """1 for background; movers the more, the more pixels they move."""
    return torch.where(mover_NHW, (moved_NHW / FULL_WEIGHT).clamp(FAINT, STRONG), torch.ones(()))


def _mirrored(example: MoverExample) -> MoverExample:
    """The scene as a mirror shows it: left is right."""
    known, aside = example.known, torch.tensor([-1.0, 1.0, 1.0, 1.0])
    width = known.freeze_VHW3.shape[2]
    cameras = []
    for pose, intrinsics in known.cameras:
        lens = intrinsics.clone()
        lens[0, 2] = width - lens[0, 2]
        cameras.append((aside.to(pose)[:, None] * pose * aside.to(pose), lens))
    state = replace(
        known.state, **{field.name: getattr(known.state, field.name).flip(-1) for field in fields(known.state)}
    )
    state = replace(state, flow_T2HW=state.flow_T2HW * aside[:2, None, None])
    maps = {name: getattr(known, name).flip(-1) for name in ("depth_VHW", "sure_VHW", "time_depth_THW")}
    pictures = {"freeze_VHW3": known.freeze_VHW3.flip(2), "fixed_THW3": known.fixed_THW3.flip(2)}
    labels = {field.name: getattr(example, field.name).flip(-1) for field in fields(example) if field.name != "known"}
    return MoverExample(known=replace(known, **pictures, **maps, cameras=cameras, state=state), **labels)


def _recoloured(known: KnownCells, generator: Generator) -> KnownCells:
    colours, factor = torch.randperm(3, generator=generator), between(*BRIGHTER, generator)
    freeze, fixed = ((frames[..., colours] * factor).clamp(0, 1) for frames in (known.freeze_VHW3, known.fixed_THW3))
    return replace(known, freeze_VHW3=freeze, fixed_THW3=fixed)
