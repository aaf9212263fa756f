"""Which pixels of all known cells belong to something that moves: one small network that gathers what times and views say.

The motion network (motion.py) labels each time of the base view by itself. Here the labels of all times meet at the base time, go to the
other views by depth, are voted on between the views (what moves must be seen as moving by all that see it, as in shape from silhouettes),
and go back along the flow to every time. The same network makes every one of these steps. What the
pictures prove to be still is then left out (stillness.py). Next to read: deformation.py.
Shape suffixes: V views, T times, N maps, K channels, P points, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .motion import MotionState, warp
from .projection import Camera, depth_unit, pixel_centres, project, transfer, unproject
from .scene import MOVES
from .splatting import splat
from .stillness import keeps_moving
from .unet import UNet

CHANNELS = 16
TRACKED = 0.2  # least visibility with which a pixel of another time votes at the base time
HULL_MARGIN = 5  # pixels: silhouettes are widened to this before points outside them are called wrong
HULL_SHARE = 0.8  # of the views that see a point, those in whose silhouette it must lie


class MoverNetwork(nn.Module):
    """Logit of being part of something that moves, from what is known of a picture; works on 2x2 pixels at once."""

    may_err = True  # what the pictures prove to be still overrules it

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64, 96)):
        super().__init__()
        self.unet = UNet(4 * CHANNELS, 4, widths)

    def forward(self, told_NKHW: Tensor, prior_NHW: Tensor) -> Tensor:
        """Logits [N, H, W]: the prior ones, corrected. told: the evidence; H and W even."""
        return (
            prior_NHW + functional.pixel_shuffle(self.unet(functional.pixel_unshuffle(told_NKHW, 2)), 2)[:, 0].float()
        )


@dataclass(frozen=True)
class KnownCells:
    """What the labels are made from, all at the same size."""

    freeze_VHW3: Tensor  # 0..1
    fixed_THW3: Tensor  # 0..1
    depth_VHW: Tensor  # inverse depth of every view at the base time
    sure_VHW: Tensor  # 0..1
    time_depth_THW: Tensor  # inverse depth of the base view at every time
    cameras: Sequence[Camera]
    state: MotionState
    base: tuple[int, int]


@dataclass(frozen=True)
class MoverLabels:
    """Logits after each step, differentiable while the network is trained."""

    first_VHW: Tensor  # every view by itself
    views_VHW: Tensor  # after the views' vote
    times_THW: Tensor  # of the base view at every time


def mover_labels(network: MoverNetwork, scene: KnownCells, motion_label_THW: Tensor | None = None) -> MoverLabels:
    """Labels of all known cells. motion_label: 0..1, in place of what the motion network says of each time (a painted mask)."""
    base, start = scene.base
    moves_THW = scene.state.mover_THW.sigmoid() if motion_label_THW is None else motion_label_THW
    change_THW = _change(scene.fixed_THW3, start)
    gathered_KHW = torch.stack([moves_THW[start], *_votes_of_times(scene, moves_THW), change_THW.amax(0)])
    carried_VKHW, arrived_V3HW = _carried(scene, torch.cat([moves_THW[start][None], gathered_KHW]))
    nothing = torch.zeros_like(scene.depth_VHW)
    own = [scene.freeze_VHW3.movedim(-1, 1) * 2 - 1, *_depth_channels(scene.depth_VHW, scene.sure_VHW)]
    told = torch.cat([*own, carried_VKHW[:, :1], arrived_V3HW, carried_VKHW[:, 1:], _flags(nothing, nothing, -1.0)], 1)
    first = network(told, 6 * carried_VKHW[:, 0] - 2 * arrived_V3HW[:, 0] - 1)
    label = first.detach().sigmoid()
    carried_VKHW, arrived_V3HW = _carried(scene, torch.cat([label[base][None], gathered_KHW]))
    flags = _flags(_votes_of_views(scene, label), label, 0.0)
    views = network(torch.cat([*own, carried_VKHW[:, :1], arrived_V3HW, carried_VKHW[:, 1:], flags], 1), first.detach())
    times = network(_told_of_times(scene, views[base].detach().sigmoid(), moves_THW, change_THW), 6 * moves_THW - 3)
    return MoverLabels(first, views, times)


def _told_of_times(scene: KnownCells, label_HW: Tensor, moves_THW: Tensor, change_THW: Tensor) -> Tensor:
    """Evidence [T, K, H, W] of the base view at every time: its label at the base time comes along the flow."""
    seen = scene.state.seen_THW.sigmoid()
    unit = depth_unit(scene.depth_VHW[scene.base[0]])
    first_2HW = torch.stack([label_HW, scene.depth_VHW[scene.base[0]]])
    carried = warp(first_2HW.expand(len(seen), -1, -1, -1), scene.state.flow_T2HW)
    apart = ((scene.time_depth_THW - carried[:, 1]) / unit).clamp(-2, 2)
    nothing = torch.zeros_like(seen)
    between = torch.stack(
        [carried[:, 0], seen, torch.ones_like(seen), apart, moves_THW, nothing, nothing, change_THW], 1
    )
    own = [scene.fixed_THW3.movedim(-1, 1) * 2 - 1, *_depth_channels(scene.time_depth_THW, seen)]
    return torch.cat([*own, between, _flags(nothing, moves_THW, 1.0)], 1)


def _depth_channels(depth_NHW: Tensor, sure_NHW: Tensor) -> list[Tensor]:
    unit = torch.stack([depth_unit(depth_HW) for depth_HW in depth_NHW])[:, None, None]
    return [(depth_NHW / unit - 1).clamp(-2, 4)[:, None], sure_NHW[:, None] * 2 - 1]


def _flags(votes_NHW: Tensor, label_NHW: Tensor, step: float) -> Tensor:
    return torch.stack([votes_NHW, label_NHW, torch.full_like(label_NHW, step)], 1)


def _change(fixed_THW3: Tensor, start: int) -> Tensor:
    """[T, H, W]: how much the picture differs from that of the base time, around each pixel."""
    largest = (fixed_THW3 - fixed_THW3[start]).abs().amax(-1)[:, None]
    return 4 * functional.avg_pool2d(largest, 5, 1, 2)[:, 0]


def _votes_of_times(scene: KnownCells, moves_THW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and largest of what the other times say of the points that the base view shows at the base time [H, W]."""
    _, height, width = moves_THW.shape
    centres, start = pixel_centres(height, width), scene.base[1]
    votes, weights = [moves_THW[start]], [torch.ones(height, width)]
    for time, (flow_2HW, seen_HW) in enumerate(zip(scene.state.flow_T2HW, scene.state.seen_THW.sigmoid())):
        if time == start:
            continue
        chosen = seen_HW > TRACKED
        positions = (centres + flow_2HW.movedim(0, -1))[chosen]
        arrived = splat(positions, torch.ones(len(positions)), moves_THW[time][chosen][:, None], height, width)
        votes.append(arrived.values_HWC[..., 0] * arrived.hit_HW)
        weights.append(arrived.hit_HW.float())
    votes_NHW = torch.stack(votes)
    return votes_NHW.sum(0) / torch.stack(weights).sum(0), votes_NHW.amax(0)


def _carried(scene: KnownCells, maps_KHW: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the base view as every view sees them [V, K, H, W], and where they arrive, how densely, at what difference of depth [V, 3, H, W]."""
    base, (_, height, width) = scene.base[0], maps_KHW.shape
    centres = pixel_centres(height, width)
    carried, arrived = [], []
    for view, camera in enumerate(scene.cameras):
        if view == base:
            carried.append(maps_KHW)
            one = torch.ones(height, width)
            arrived.append(torch.stack([one, one, torch.zeros_like(one)]))
            continue
        positions, depth = transfer(centres, scene.depth_VHW[base], *scene.cameras[base], *camera)
        here = splat(positions.view(-1, 2), depth.view(-1), maps_KHW.flatten(1).T, height, width)
        hit = here.hit_HW.float()
        apart = (scene.depth_VHW[view] - here.inverse_depth_HW) / depth_unit(scene.depth_VHW[view])
        carried.append(here.values_HWC.movedim(-1, 0) * hit)
        arrived.append(torch.stack([hit, here.cover_HW.clamp_max(2), (apart * hit).clamp(-2, 2)]))
    return torch.stack(carried), torch.stack(arrived)


def _read_by_views(
    maps_VHW: Tensor, points_P3: Tensor, cameras: Sequence[Camera], skip: int = -1
) -> tuple[Tensor, Tensor]:
    """What each view's map shows where a point is seen in it, and whether it is in its picture [V, P]; one view may be left out."""
    _, height, width = maps_VHW.shape
    size = torch.tensor([width, height])
    read, inside = [], []
    for view, camera in enumerate(cameras):
        if view == skip:
            continue
        position_P2, inverse_P = project(points_P3, *camera)
        inside.append((inverse_P > 0) & ((position_P2 > 0) & (position_P2 < size)).all(-1))
        grid = (position_P2 / size * 2 - 1)[None, None]
        read.append(functional.grid_sample(maps_VHW[view][None, None], grid, align_corners=False)[0, 0, 0])
    return torch.stack(read), torch.stack(inside)


def _votes_of_views(scene: KnownCells, label_VHW: Tensor) -> Tensor:
    """[V, H, W]: mean of what the other views say of each pixel's point."""
    _, height, width = label_VHW.shape
    centres = pixel_centres(height, width).view(-1, 2)
    votes = []
    for view, (depth_HW, camera) in enumerate(zip(scene.depth_VHW, scene.cameras)):
        points = unproject(centres, depth_HW.reshape(-1).clamp_min(1e-6), *camera)
        read, inside = _read_by_views(label_VHW, points, scene.cameras, skip=view)
        votes.append(((read * inside).sum(0) / inside.sum(0).clamp_min(1)).view(height, width))
    return torch.stack(votes)


def within_silhouettes(points_P3: Tensor, label_VHW: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """[P] bool: whether each point at the base time lies inside the silhouette of what moves in at least 80 % of the views that see it, counting at least half of all views.

    Points with a wrong depth do not. Laurentini, "The visual hull concept for silhouette-based image understanding", 1994.
    """
    grown = functional.max_pool2d((label_VHW > MOVES).float()[:, None], HULL_MARGIN, 1, HULL_MARGIN // 2)[:, 0]
    read, inside = _read_by_views(grown, points_P3, cameras)
    asked = inside.sum(0).clamp_min(len(cameras) // 2)
    return ((read > 0.5) & inside).sum(0) >= HULL_SHARE * asked - 1e-3


@torch.no_grad()
def label_movers(
    network: MoverNetwork,
    scene: KnownCells,
    motion_label_THW: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Probabilities [V, H, W] at the base time and [T, H, W] in the base view, 0 where the pictures prove that nothing moves.

    A painted mask stays as it is in the base view, and nothing is proved against it.
    """
    labels = mover_labels(network, scene, motion_label_THW)
    views, times = labels.views_VHW.sigmoid(), labels.times_THW.sigmoid()
    if motion_label_THW is not None:
        views[scene.base[0]], times = motion_label_THW[scene.base[1]], motion_label_THW
    if motion_label_THW is not None or not network.may_err:
        return views, times
    moves_VHW = keeps_moving(scene.fixed_THW3, scene.depth_VHW, scene.cameras, scene.base)
    return views * moves_VHW, times * moves_VHW[scene.base[0]]
