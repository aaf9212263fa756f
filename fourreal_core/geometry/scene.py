"""Everything that the two videos say about a scene, estimated once per grid: depth, motion and labels of what moves. Next to read: candidates.py.

Works at about 128 pixels a side, where the networks are at home, and brings the results to the size of the frames. View 0 and time 0 here
are the view and time whose cells are all known. Shape suffixes: V views, T times, H W pixels of the frames, M nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import Cameras
from .depth import DepthNetwork, estimate_depths
from .follow import follow, node_motion, spread_nodes
from .motion import MotionNetwork, estimate_motion
from .movers import MoverNetwork, label_movers
from .projection import parallax_gain, pixel_centres, unproject

WORKING_SIDE = 128  # pixels of the longer side while the networks look
MOST_POINTS = 3000  # points that nodes are chosen from
Camera = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class SceneNetworks:
    """The trained networks of the stages."""

    depth: DepthNetwork
    motion: MotionNetwork
    movers: MoverNetwork


@dataclass(frozen=True)
class SceneGeometry:
    """Geometry of the known cells, at the size of the frames. Inverse depths in the units of the cameras."""

    fixed_THW3: Tensor  # the fixed-view video, 0..1
    freeze_VHW3: Tensor  # the freeze-time video, 0..1
    cameras: list[Camera]  # world-to-camera [4, 4] and intrinsics [3, 3] of each view, in pixels of the frames
    view_depth_VHW: Tensor  # inverse depth of every view at time 0
    view_sure_VHW: Tensor  # 0..1
    view_mover_VHW: Tensor  # probability of belonging to something that moves
    time_depth_THW: Tensor  # inverse depth of view 0 at every time
    time_doubt_THW: Tensor  # expected error of it, in pixels of the farthest view
    time_mover_THW: Tensor  # probability, as above
    nodes_M3: Tensor  # world points among the moving ones at time 0; M = 0 when nothing moves
    node_rotation_TM33: Tensor
    node_translation_TM3: Tensor
    flow_THW2: Tensor  # pixels: from each pixel of (0, t) to where its point was at time 0

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.fixed_THW3.shape[1:3])

    def moved(self, points_P3: Tensor, time: int) -> Tensor:
        """[P, 3]: where moving points of time 0 are at another time."""
        if not len(self.nodes_M3):
            return points_P3
        return follow(points_P3, self.nodes_M3, self.node_rotation_TM33[time], self.node_translation_TM3[time])


def estimate_scene(
    networks: SceneNetworks, fixed_THW3: Tensor, freeze_VHW3: Tensor, cameras: Cameras, *, on_stage: Callable[[str, float], None] | None = None
) -> SceneGeometry:
    """Geometry of a fixed-view and a freeze-time video whose first frames are the same cell; frames float32 0..1.

    on_stage(name, share done 0..1) is called during the work; raising inside cancels. Raises ValueError where there is no parallax.
    """
    tell = on_stage or (lambda name, share: None)
    height, width = fixed_THW3.shape[1:3]
    small = working_size(height, width)
    fixed, freeze = (_resized(frames.movedim(-1, 1), small).movedim(1, -1) for frames in (fixed_THW3, freeze_VHW3))
    pairs = _cameras_at(cameras, (height, width), small)
    matrices, intrinsics = (torch.stack(parts) for parts in zip(*pairs))
    tell("depth", 0.0)
    depth, sure, limit = estimate_depths(networks.depth, freeze, matrices, intrinsics, on_view=lambda done, total: tell("depth", done / total))
    tell("motion", 0.0)
    gain = _pixels_per_depth(pairs, limit, small)
    state = estimate_motion(networks.motion, fixed, depth[0] * gain, sure[0])
    tell("labels", 0.0)
    time_mover = state.mover_THW.sigmoid()
    view_mover = label_movers(networks.movers, freeze, depth, sure, pairs, time_mover[0])
    time_depth = (state.parallax_THW / gain).clamp_min(0)
    tell("following", 0.0)
    nodes = _nodes(depth, view_mover, pairs)
    seen = state.seen_THW.sigmoid() * torch.exp(-state.flow_error_THW.clamp(-1, 3))
    motion = [_motion_at(nodes, depth[0], time_depth[t], state.flow_T2HW[t].movedim(0, -1), time_mover[t], seen[t], pairs[0]) for t in range(len(fixed))]
    scale = torch.tensor([width / small[1], height / small[0]])
    large = lambda maps_NHW: _resized(maps_NHW[:, None], (height, width))[:, 0]  # noqa: E731
    return SceneGeometry(
        fixed_THW3=fixed_THW3,
        freeze_VHW3=freeze_VHW3,
        cameras=[(cameras.world_to_camera[v], cameras.intrinsics[v]) for v in range(len(freeze))],
        view_depth_VHW=large(depth),
        view_sure_VHW=large(sure),
        view_mover_VHW=large(view_mover),
        time_depth_THW=large(time_depth),
        time_doubt_THW=large(state.parallax_error_THW.clamp(-3, 4).exp()),
        time_mover_THW=large(time_mover),
        nodes_M3=nodes,
        node_rotation_TM33=torch.stack([rotation for rotation, _ in motion]),
        node_translation_TM3=torch.stack([translation for _, translation in motion]),
        flow_THW2=_resized(state.flow_T2HW, (height, width)).movedim(1, -1) * scale,
    )


def working_size(height: int, width: int) -> tuple[int, int]:
    """Even sides of at most about WORKING_SIDE pixels in the frame's aspect; small frames stay near their size."""
    scale = min(1.0, WORKING_SIDE / max(height, width))
    return tuple(max(8, 2 * round(side * scale / 2)) for side in (height, width))


def _resized(pictures_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(pictures_NCHW.shape[-2:]) == size:
        return pictures_NCHW
    shrinks = size[0] < pictures_NCHW.shape[-2]
    return functional.interpolate(pictures_NCHW, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def _cameras_at(cameras: Cameras, size: tuple[int, int], small: tuple[int, int]) -> list[Camera]:
    scale = torch.tensor([[small[1] / size[1]], [small[0] / size[0]], [1.0]], dtype=cameras.intrinsics.dtype)
    return [(matrix, intrinsics * scale) for matrix, intrinsics in zip(cameras.world_to_camera, cameras.intrinsics)]


def _pixels_per_depth(pairs: list[Camera], limit: float, size: tuple[int, int]) -> float:
    """Pixels that the picture's middle moves in the last view per unit of inverse depth in view 0."""
    gain_HW = parallax_gain(pixel_centres(*size), torch.full(size, limit / 2), pairs[0], pairs[-1], limit / 48)
    return float(gain_HW.median().clamp_min(1e-6))


def _nodes(depth_VHW: Tensor, mover_VHW: Tensor, pairs: list[Camera]) -> Tensor:
    """[M, 3]: nodes among the moving points of all views."""
    centres = pixel_centres(*depth_VHW.shape[1:])
    points = [
        unproject(centres[mover > 0.5], depth[mover > 0.5].clamp_min(1e-6), *pair) for depth, mover, pair in zip(depth_VHW, mover_VHW, pairs)
    ]
    points_P3 = torch.cat(points)
    if len(points_P3) < 12:
        return torch.zeros(0, 3)
    order = torch.randperm(len(points_P3), generator=torch.Generator().manual_seed(0))[:MOST_POINTS]
    return spread_nodes(points_P3[order])


def _motion_at(nodes_M3: Tensor, first_HW: Tensor, now_HW: Tensor, flow_HW2: Tensor, mover_HW: Tensor, sure_HW: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """The nodes' motion from time 0 to a time, from the points that view 0 sees at both."""
    if not len(nodes_M3):
        return torch.zeros(0, 3, 3), torch.zeros(0, 3)
    height, width = first_HW.shape
    tracked = (mover_HW > 0.5) & (sure_HW > 0.2) & (now_HW > 1e-6)
    now_N2 = pixel_centres(height, width)[tracked]
    before_N2 = now_N2 + flow_HW2[tracked]
    position = (before_N2 / torch.tensor([width, height]) * 2 - 1)[None, None]
    depth_N = functional.grid_sample(first_HW[None, None], position, mode="nearest", padding_mode="border", align_corners=False)[0, 0, 0]
    before_N3, now_N3 = unproject(before_N2, depth_N.clamp_min(1e-6), *camera), unproject(now_N2, now_HW[tracked], *camera)
    return node_motion(nodes_M3, before_N3, now_N3, sure_HW[tracked])
