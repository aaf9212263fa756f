"""What the known cells say about a scene, at the size of the frames. estimate.py finds it, candidates.py uses it.

The base view and the base time are those whose cells are all known: 0 and 0 for two ordinary videos.
Shape suffixes: V views, T times, H W pixels of the frames, M nodes, P points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .deformation import NodeMotion, moved_by, near_nodes
from .projection import Camera, pixel_centres, unproject
from .splatting import pixels_around

WORKING_SIDE = 128  # pixels of the longer side while the networks look
MOVES = 0.5  # probability from which a pixel belongs to what moves


def working_size(height: int, width: int) -> tuple[int, int]:
    """Even sides of at most about WORKING_SIDE pixels in the frame's aspect; small frames stay near their size."""
    scale = min(1.0, WORKING_SIDE / max(height, width))
    return max(8, 2 * round(height * scale / 2)), max(8, 2 * round(width * scale / 2))


class SceneUnknown(ValueError):
    """The videos do not tell the scene's geometry; the message says why, in words for the artist."""


@dataclass(frozen=True)
class ViewMovers:
    """What moves in one view at the base time, in the part of its picture, of h w pixels, that holds all of it."""

    moving_hw: Tensor  # bool; P of them are True
    values_hwC: Tensor  # (x, y) in the whole picture, and doubt of the depth, 0..1
    points_P3: Tensor  # in the world
    near: tuple[Tensor, Tensor] | None  # indices and weights [P, K] of the nodes that they follow; None: they stay

    def at(self, motion: NodeMotion, nodes_M3: Tensor) -> Tensor:
        """[P, 3]: where the points are once the nodes have moved."""
        return self.points_P3 if self.near is None else moved_by(motion, self.points_P3, nodes_M3, self.near)

    def spread(self, values_P: Tensor) -> Tensor:
        """[h, w, ...]: what is known of the points [P, ...], where they are seen; 0 elsewhere."""
        spread_hw = torch.zeros(*self.moving_hw.shape, *values_P.shape[1:])
        spread_hw[self.moving_hw] = values_P
        return spread_hw


@dataclass(frozen=True)
class SceneGeometry:
    """Geometry of the known cells, at the size of the frames. Inverse depths in the units of these cameras."""

    fixed_THW3: Tensor  # the fixed-view video, 0..1
    freeze_VHW3: Tensor  # the freeze-time video, 0..1
    cameras: list[Camera]  # world-to-camera [4, 4] and intrinsics [3, 3] of each view, in pixels of the frames
    base: tuple[int, int]  # (view, time) of the frame that both videos share
    view_depth_VHW: Tensor  # inverse depth of every view at the base time
    view_sure_VHW: Tensor  # 0..1
    view_mover_VHW: Tensor  # probability of belonging to something that moves
    time_depth_THW: Tensor  # inverse depth of the base view at every time
    time_doubt_THW: Tensor  # expected error of it, in pixels of the farthest view
    time_mover_THW: Tensor  # probability, as above
    nodes_M3: Tensor  # world points among the moving ones at the base time; M = 0 when nothing moves
    node_motion_T: list[NodeMotion]  # of the nodes from the base time to every time
    flow_THW2: Tensor  # pixels: from each pixel of a time to where its point was at the base time

    @property
    def size(self) -> tuple[int, int]:
        return self.fixed_THW3.shape[1], self.fixed_THW3.shape[2]

    @cached_property
    def movers_V(self) -> list[ViewMovers]:
        """What moves in each view; found once, because every cell asks for it."""
        return [self._movers(view) for view in range(len(self.cameras))]

    def _movers(self, view: int) -> ViewMovers:
        depth_HW = self.view_depth_VHW[view]
        moving_HW = (self.view_mover_VHW[view] > MOVES) & (depth_HW > 1e-6)
        around = pixels_around(moving_HW)
        centres_HW2, doubt_HW1 = pixel_centres(*self.size), 1 - self.view_sure_VHW[view][..., None]
        points_P3 = unproject(centres_HW2[moving_HW], depth_HW[moving_HW], *self.cameras[view])
        near = near_nodes(points_P3, self.nodes_M3) if len(self.nodes_M3) else None
        return ViewMovers(moving_HW[around], torch.cat([centres_HW2, doubt_HW1], -1)[around], points_P3, near)

    def moved(self, points_P3: Tensor, time: int) -> Tensor:
        """[P, 3]: where moving points of the base time are at another time."""
        return moved_by(self.node_motion_T[time], points_P3, self.nodes_M3) if len(self.nodes_M3) else points_P3
