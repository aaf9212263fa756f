"""Teaches the mover network which pixels of another view belong to what moves. Shape suffixes: K channels, H W pixels, B batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ...geometry.depth import DepthNetwork, nearest_inverse_depth
from ...geometry.movers import MoverNetwork, mover_evidence
from .loop import GeometryPlan, Task
from .scenes import between, camera, chance, estimated_depth, intersection_over_union, mean_of, open_scene

PLAN = GeometryPlan(steps=2000, batch=6, learning_rate=2e-3, fresh=0.25, pool=600)
GROWN, SHRUNK = 0.3, 0.2  # shares of the examples whose label of view 0 is a pixel too large, or too small
FAINTEST = 0.8  # least probability that a right label has
LEAST_MOVERS = 30  # pixels of a mover that are worth a score


@dataclass(frozen=True)
class MoverExample:
    """One view of a scene, not the first."""

    told_KHW: Tensor  # float16, as `mover_evidence` gives it
    mover_HW: Tensor  # bool


class MoverTask(Task[MoverExample]):
    name = "movers"

    def __init__(
        self, network: MoverNetwork, depth: DepthNetwork, scenes: Sequence[Path], held_out: Sequence[Path] = ()
    ):
        self.network, self.depth, self.scenes, self.held_out = network, depth, scenes, held_out
        self.views = len(open_scene(scenes[0]).freeze_VHW3) - 1 if scenes else 0
        self.count = len(scenes) * self.views

    def prepare(self, index: int, generator: Generator) -> MoverExample | None:
        """A view with estimated depths and a label of view 0 as faulty as the motion network's; None without parallax."""
        path, view = self.scenes[index // self.views], 1 + index % self.views
        return self._example(path, view % len(open_scene(path).freeze_VHW3), generator)

    def _example(self, path: Path, view: int, generator: Generator | None) -> MoverExample | None:
        scene = open_scene(path)
        try:
            limit = nearest_inverse_depth(
                scene.freeze_VHW3.float() / 255, scene.world_to_camera_V44, scene.intrinsics_V33
            )
        except ValueError:
            return None
        first_depth, _ = estimated_depth(self.depth, scene, 0, limit)
        inverse, sure = estimated_depth(self.depth, scene, view, limit)
        label = faulty_label(scene.geometry.view_mover_VHW[0], generator)
        frame = scene.freeze_VHW3[view].float() / 255
        told_KHW = mover_evidence(frame, inverse, sure, camera(scene, view), (first_depth, label), camera(scene, 0))
        return MoverExample(told_KHW.half(), scene.geometry.view_mover_VHW[view])

    def loss(self, examples: list[MoverExample], generator: Generator) -> Tensor:
        """Cross entropy of the label, on views that may be mirrored and whose colours change places."""
        batch = []
        for example in examples:
            told, mover = example.told_KHW.float(), example.mover_HW.float()
            told = torch.cat([told[torch.randperm(3, generator=generator)], told[3:]])
            batch.append((told.flip(-1), mover.flip(-1)) if chance(0.5, generator) else (told, mover))
        told, mover = (torch.stack(parts) for parts in zip(*batch))
        # Every pixel counts the same: a mover lost and background taken for one tear the picture alike.
        return functional.binary_cross_entropy_with_logits(self.network(told), mover)

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Intersection over union with the exact label, in views near and far."""
        found = []
        for path in self.held_out:
            views = len(open_scene(path).freeze_VHW3)
            for view in sorted({max(1, views // 4), max(1, 5 * views // 8), views - 1}):
                example = self._example(path, view, None)
                if example is not None and example.mover_HW.sum() > LEAST_MOVERS:
                    said = self.network(example.told_KHW[None].float())[0] > 0
                    found.append({"IoU": intersection_over_union(said, example.mover_HW)})
        return mean_of(found)


def faulty_label(mover_HW: Tensor, generator: Generator | None) -> Tensor:
    """[H, W] 0..1: the exact label with soft edges, and with a generator sometimes grown or shrunk by a pixel and less than sure."""
    label = mover_HW[None, None].float()
    if generator is not None:
        kind = between(0, 1, generator)
        if kind < GROWN:
            label = functional.max_pool2d(label, 3, 1, 1)
        elif kind < GROWN + SHRUNK:
            label = -functional.max_pool2d(-label, 3, 1, 1)
        label = label * between(FAINTEST, 1, generator)
    return functional.avg_pool2d(label, 3, 1, 1)[0, 0]
