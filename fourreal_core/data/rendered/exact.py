"""Rendered scenes with what no footage tells: exact depth, flow, 3D motion, visibility and labels of what moves. On disk: exact_files.py.

View 0 and time 0 are those that the two input videos share. Inverse depth is 1 / z along the view axis in the units of the cameras, 0 in
the sky; pixels have their centres at +0.5. Legend: V views, T times, N triangles, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...grid import Cameras, FrameGrid
from .actors import actor_surfaces, prop_surface
from .render import Renderer, Surface
from .scenes import Scene
from .triangles import Hits, TrianglePass, pixel_centres

STANDS = 2e-3  # way in units of the main model's size up to which a point counts as still
SAME_DEPTH, SAME_DISTANCE = (
    0.01,
    0.01,
)  # relative, and in units: how far behind what is seen a point may lie and be seen


@dataclass(frozen=True, eq=False)
class ExactGeometry:
    """Of all pixels of view 0 and of time 0, from single rays through their centres."""

    view_depth_VHW: Tensor  # inverse depth of every view at time 0
    time_depth_THW: Tensor  # inverse depth of view 0 at every time
    flow_THW2: Tensor  # pixels: from each pixel of (0, t) to where its point was at time 0
    seen_THW: Tensor  # bool: that point was visible in (0, 0)
    moving_THW: Tensor  # bool: the point is not where it was at time 0
    mover_THW: Tensor  # bool: the point belongs to something that moves at any of the times
    view_mover_VHW: Tensor  # bool: the same for the pixels of time 0
    motion_VTHW3: Tensor  # world units: how far the point of (v, 0) has moved at time t; 0 where nothing ever moves


@dataclass(frozen=True, eq=False)
class ExactScene:
    """Both input videos of a rendered scene, or its whole grid, with cameras and geometry."""

    fixed_THW3: Tensor  # uint8: view 0 at every time
    freeze_VHW3: Tensor  # uint8: every view at time 0
    frames_VTHW3: Tensor | None  # uint8: the whole grid, None where only the two videos were rendered
    world_to_camera_V44: Tensor
    intrinsics_V33: Tensor
    fps: float
    geometry: ExactGeometry
    about: dict  # plain values: seed, model and so on

    @property
    def cameras(self) -> Cameras:
        return Cameras(self.world_to_camera_V44, self.intrinsics_V33)

    def grid(self) -> FrameGrid:
        """The whole grid, every cell known. Raises ValueError where only the two videos were rendered."""
        if self.frames_VTHW3 is None:
            raise ValueError(
                "expected a scene with all cells rendered, got only its two input videos: render the whole grid."
            )
        known = torch.ones(self.frames_VTHW3.shape[:2], dtype=torch.bool)
        return FrameGrid(
            self.frames_VTHW3.float() / 255, known, fps=self.fps, cameras=self.cameras, provenance=self.about
        )


def render_exact(
    scene: Scene, renderer: Renderer, triangles: TrianglePass, views: int = 8, times: int = 8, *, whole: bool = False
) -> ExactScene:
    """A scene as its two videos, or with `whole` as all its cells, at the renderer's size. Raises ValueError for fewer than 2 views."""
    if views < 2 or times < 1:
        raise ValueError(f"expected at least 2 views and 1 time, got {views} and {times}.")
    poses, intrinsics = scene.arc.cameras(views, renderer.height, renderer.width)
    props = [prop_surface(prop) for prop in scene.props]
    pictures, moments = [], []
    for time, s in enumerate(np.linspace(0, 1, times) if times > 1 else [0.0]):
        surfaces = [surface for actor in scene.actors for surface in actor_surfaces(actor, s)] + props
        shown = views if whole or time == 0 else 1
        pictures.append(renderer.render(surfaces, scene.stage, poses[:shown], intrinsics[:shown]))
        moments.append(corners(surfaces))
    geometry = exact_geometry(np.stack(moments), scene.stage.ground_radius, poses, intrinsics, triangles)
    return ExactScene(
        fixed_THW3=torch.from_numpy(np.stack([moment[0] for moment in pictures])),
        freeze_VHW3=torch.from_numpy(pictures[0]),
        frames_VTHW3=torch.from_numpy(np.stack(pictures, 1)) if whole else None,
        world_to_camera_V44=torch.from_numpy(poses).float(),
        intrinsics_V33=torch.from_numpy(intrinsics).float(),
        fps=max(times - 1, 1) / scene.seconds,
        geometry=geometry,
        about={"source": "rendered", **scene.about},
    )


def corners(surfaces: Sequence[Surface]) -> np.ndarray:
    """[N, 3, 3]: the corners of all triangles, in the order of the surfaces."""
    return np.concatenate([surface.positions_N3[surface.triangles_M3] for surface in surfaces]).astype(np.float32)


def exact_geometry(
    triangles_TN33: np.ndarray,
    ground_radius: float,
    world_to_camera_V44: np.ndarray,
    intrinsics_V33: np.ndarray,
    triangles: TrianglePass,
) -> ExactGeometry:
    """Geometry of triangles that move over T times [T, N, corners, 3], and of the still ground (radius 0: none), seen from V cameras."""
    ever_N = np.linalg.norm(triangles_TN33 - triangles_TN33[:1], axis=-1).max((0, 2)) > STANDS
    first = (world_to_camera_V44[0], intrinsics_V33[0])
    over_time = [triangles.hits(moment, ground_radius, *first) for moment in triangles_TN33]
    over_views = [
        triangles.hits(triangles_TN33[0], ground_radius, *camera) for camera in zip(world_to_camera_V44, intrinsics_V33)
    ]
    traced = [
        _back_to_start(hits, over_time[0], now, triangles_TN33[0], first)
        for hits, now in zip(over_time, triangles_TN33)
    ]
    flow, seen, moving = (np.stack(parts) for parts in zip(*traced))
    view_mover = np.stack([_movers(hits, ever_N) for hits in over_views])
    motion = [
        np.stack([hits.points(now) for now in triangles_TN33]) - hits.points(triangles_TN33[0]) for hits in over_views
    ]
    return ExactGeometry(
        view_depth_VHW=_inverse(over_views),
        time_depth_THW=_inverse(over_time),
        flow_THW2=torch.from_numpy(flow).float(),
        seen_THW=torch.from_numpy(seen),
        moving_THW=torch.from_numpy(moving),
        mover_THW=torch.from_numpy(np.stack([_movers(hits, ever_N) for hits in over_time])),
        view_mover_VHW=torch.from_numpy(view_mover),
        motion_VTHW3=torch.from_numpy(np.stack(motion) * view_mover[:, None, ..., None]).float(),
    )


def _inverse(hits: Sequence[Hits]) -> Tensor:
    return torch.from_numpy(np.stack([1 / one.depth_HW for one in hits])).float()


def _movers(hits: Hits, ever_N: np.ndarray) -> np.ndarray:
    """bool [H, W]: the pixel shows a triangle of those that ever move."""
    if not len(ever_N):
        return np.zeros(hits.triangle_HW.shape, bool)
    return ever_N[np.clip(hits.triangle_HW, 0, None)] & (hits.triangle_HW >= 0)


def _back_to_start(
    hits: Hits, start: Hits, now_N33: np.ndarray, before_N33: np.ndarray, camera: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flow [H, W, 2] to time 0, whether the point was visible there, and whether it has moved since [H, W]."""
    points, before = hits.points(now_N33), hits.points(before_N33)
    height, width = hits.depth_HW.shape
    seen_at, depth = _project(before, *camera)
    in_front = depth > 1e-6
    nearest = np.where(in_front[..., None], np.floor(seen_at), -1).astype(int)
    x, y = nearest[..., 0], nearest[..., 1]
    inside = in_front & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    around = _deepest_around(start.depth_HW)[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    seen = inside & (depth <= around * (1 + SAME_DEPTH) + SAME_DISTANCE)
    moved = np.linalg.norm(points - before, axis=-1) > STANDS
    return np.where(in_front[..., None], seen_at - pixel_centres(height, width), 0), seen, moved


def _project(
    points: np.ndarray, world_to_camera_44: np.ndarray, intrinsics_33: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [..., 2] and depth [...] of world points; the pixels of points behind the camera mean nothing."""
    camera = points @ world_to_camera_44[:3, :3].T + world_to_camera_44[:3, 3]
    depth = camera[..., 2]
    pixels = camera @ intrinsics_33.T
    return pixels[..., :2] / np.where(depth > 1e-6, depth, 1)[..., None], depth


def _deepest_around(depth_HW: np.ndarray) -> np.ndarray:
    """The largest depth of each pixel and its eight neighbours: a point between two pixels may be seen by either."""
    padded = np.pad(depth_HW, 1, mode="edge")
    height, width = depth_HW.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.max(shifted, axis=0)
