"""What the known cells say about a scene, at the size of the frames. estimate.py finds it, candidates.py uses it.

The base view and the base time are those whose cells are all known: 0 and 0 for two ordinary videos.
Shape suffixes: V views, T times, H W pixels of the frames, M nodes, P points.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .deformation import NodeMotion, moved_by
from .projection import Camera

MOVES = 0.5  # probability from which a pixel belongs to what moves


class SceneUnknown(ValueError):
    """The videos do not tell the scene's geometry; the message says why, in words for the artist."""


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

    def moved(self, points_P3: Tensor, time: int) -> Tensor:
        """[P, 3]: where moving points of the base time are at another time."""
        return moved_by(self.node_motion_T[time], points_P3, self.nodes_M3) if len(self.nodes_M3) else points_P3
