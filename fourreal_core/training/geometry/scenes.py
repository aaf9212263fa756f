"""What the training of several geometry networks needs of an exact scene. Shape suffixes: V views, G groups of neighbours, D planes, H W pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Generator, Tensor

from ...data.rendered.exact import ExactScene
from ...data.rendered.exact_files import load_exact
from ...geometry.depth import DepthNetwork, plane_gain, read_planes
from ...geometry.projection import Camera, pixel_centres, transfer
from ...geometry.sweep import PLANES, features, neighbours, sweep_costs


@lru_cache(maxsize=4)
def open_scene(path: Path) -> ExactScene:
    return load_exact(path)


def camera(scene: ExactScene, view: int) -> Camera:
    return scene.world_to_camera_V44[view], scene.intrinsics_V33[view]


def read_costs(scene: ExactScene, view: int, limit: float) -> tuple[Tensor, Tensor]:
    """What the depth network is told about a view: costs [G, D, H, W] of the planes up to inverse depth `limit`, and gain [H, W]."""
    frames_VHW3 = scene.freeze_VHW3.float() / 255
    cameras = (scene.world_to_camera_V44, scene.intrinsics_V33)
    costs_GDHW = sweep_costs(features(frames_VHW3), *cameras, view, torch.linspace(0, limit, PLANES))
    return costs_GDHW, plane_gain(view, *cameras, limit, *frames_VHW3.shape[1:3])


@torch.no_grad()
def estimated_depth(network: DepthNetwork, scene: ExactScene, view: int, limit: float) -> tuple[Tensor, Tensor]:
    """Inverse depth and confidence [H, W] of one view, as the product finds them."""
    costs_GDHW, gain_HW = read_costs(scene, view, limit)
    frame_3HW = scene.freeze_VHW3[view].float().movedim(-1, 0) / 255
    position, sure = read_planes(network(costs_GDHW[None], frame_3HW[None], gain_HW[None]))
    return position[0] * limit / (PLANES - 1), sure[0]


def parallax_error(inverse_HW: Tensor, exact_HW: Tensor, scene: ExactScene, view: int) -> Tensor:
    """[H, W]: pixels by which an inverse depth puts each pixel to a wrong place in the farthest view."""
    positions = pixel_centres(*inverse_HW.shape)
    far = neighbours(view, len(scene.freeze_VHW3))[2][0]
    placed, right = (
        transfer(positions, depth, *camera(scene, view), *camera(scene, far))[0] for depth in (inverse_HW, exact_HW)
    )
    return (placed - right).norm(dim=-1)


def chance(share: float, generator: Generator) -> bool:
    return float(torch.rand((), generator=generator)) < share


def between(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def intersection_over_union(found: Tensor, exact: Tensor) -> float:
    """Of two bool masks; 1 where both are empty."""
    union = int((found | exact).sum())
    return int((found & exact).sum()) / union if union else 1.0


def mean_of(scores: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the scenes that have it."""
    names = dict.fromkeys(name for score in scores for name in score)
    return {
        name: sum(values) / len(values)
        for name in names
        if (values := [score[name] for score in scores if name in score])
    }
