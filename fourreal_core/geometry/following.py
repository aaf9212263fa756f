"""What moves, followed in 3D: its points where the base view tracks them, nodes among them, and the depth at every time that follows.

Points are trusted only where they lie in the silhouettes of what moves in all views (movers.py): at the edges of things estimated depth is
often that of the background. Next to read: deformation.py, candidates.py. Shape suffixes: V views, T times, N tracked points, M nodes, P points, H W pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from .deformation import NodeMotion, moved_by, node_motion, solve_motion, spread_nodes
from .movers import KnownCells, within_silhouettes
from .projection import Camera, pixel_centres, project, unproject
from .scene import MOVES
from .splatting import fill_holes

LEAST_SURE = 0.2  # of a pixel's flow and visibility with which it is tracked
MOST_POINTS = 3000  # points that nodes are chosen from
LEAST_POINTS = 12  # of something that moves
MOST_CHANGE = 2.0  # of a point's distance, by given depth


def nodes_of_movers(depth_VHW: Tensor, mover_VHW: Tensor, pairs: Sequence[Camera]) -> Tensor:
    """[M, 3]: nodes among the moving points of all views; points outside the silhouettes have a wrong depth and are left out."""
    centres = pixel_centres(*depth_VHW.shape[1:])
    points = [
        unproject(centres[mover > MOVES], depth[mover > MOVES].clamp_min(1e-6), *pair)
        for depth, mover, pair in zip(depth_VHW, mover_VHW, pairs)
    ]
    points_P3 = torch.cat(points)
    points_P3 = points_P3[within_silhouettes(points_P3, mover_VHW, pairs)]
    if len(points_P3) < LEAST_POINTS:
        return torch.zeros(0, 3)
    order = torch.randperm(len(points_P3), generator=torch.Generator().manual_seed(0))[:MOST_POINTS]
    return spread_nodes(points_P3[order])


@dataclass(frozen=True)
class Tracks:
    """Pixels of one time whose points the base view saw at the base time as well."""

    tracked_HW: Tensor  # bool
    now_N2: Tensor  # where they are, in pixels
    before_N2: Tensor  # where they were at the base time
    before_N3: Tensor  # where their points were, in the world
    sure_N: Tensor  # 0..1
    away_N: Tensor | None = None  # how far they are along the camera's axis now, where depth is given


def _tracks(first_HW: Tensor, flow_HW2: Tensor, mover_HW: Tensor, sure_HW: Tensor, camera: Camera) -> Tracks:
    height, width = first_HW.shape
    tracked = (mover_HW > MOVES) & (sure_HW > LEAST_SURE)
    now_N2 = pixel_centres(height, width)[tracked]
    before_N2 = now_N2 + flow_HW2[tracked]
    depth_N = _looked_up(first_HW, before_N2)
    before_N3 = unproject(before_N2, depth_N.clamp_min(1e-6), *camera)
    return Tracks(tracked, now_N2, before_N2, before_N3, sure_HW[tracked])


def _looked_up(map_HW: Tensor, pixels_N2: Tensor) -> Tensor:
    """[N]: the map at these places, of the nearest pixel."""
    position = (pixels_N2 / torch.tensor([map_HW.shape[1], map_HW.shape[0]]) * 2 - 1)[None, None]
    return functional.grid_sample(
        map_HW[None, None], position, mode="nearest", padding_mode="border", align_corners=False
    )[0, 0, 0]


def with_distances(track: Tracks, first_HW: Tensor, now_HW: Tensor, camera: Camera) -> Tracks:
    """The tracks with how far their points are now, from given inverse depth [H, W] of the base time and of now.

    Only its change counts: a network's steady error of a thing's depth is in both maps and cancels.
    """
    before_N = track.before_N3 @ camera[0][2, :3].float() + camera[0][2, 3].float()
    first_N, now_N = _looked_up(first_HW, track.before_N2), _looked_up(now_HW, track.now_N2)
    change_N = (first_N.clamp_min(1e-6) / now_N.clamp_min(1e-6)).clamp(1 / MOST_CHANGE, MOST_CHANGE)
    return replace(track, away_N=before_N * change_N)


def tracks_of_movers(scene: KnownCells, view_mover_VHW: Tensor, mover_THW: Tensor) -> list[Tracks]:
    """What is tracked at each time of the base view; points outside the silhouettes of what moves are left out."""
    base, state = scene.base[0], scene.state
    seen = state.seen_THW.sigmoid() * torch.exp(-state.flow_error_THW.clamp(-1, 3))
    flow = state.flow_T2HW.movedim(1, -1)
    camera = scene.cameras[base]
    tracks = [_tracks(scene.depth_VHW[base], *maps, camera) for maps in zip(flow, mover_THW, seen)]
    return [_thinned(track, within_silhouettes(track.before_N3, view_mover_VHW, scene.cameras)) for track in tracks]


def _thinned(track: Tracks, kept_N: Tensor) -> Tracks:
    tracked_HW = track.tracked_HW.clone()
    tracked_HW[track.tracked_HW] = kept_N
    return Tracks(
        tracked_HW, track.now_N2[kept_N], track.before_N2[kept_N], track.before_N3[kept_N], track.sure_N[kept_N]
    )


def followed(
    nodes_M3: Tensor,
    tracks: list[Tracks],
    mover: Tensor,
    time_depth: Tensor,
    camera: Camera,
    start: int,
    on_share: Callable[[float], None],
) -> tuple[list[NodeMotion], Tensor]:
    """The nodes' motion at every time, each solved from the time next to it on the way from the base time, and the depth that follows."""
    still = NodeMotion.still(len(nodes_M3))
    motions = [still] * len(tracks)
    if not len(nodes_M3):
        return motions, time_depth
    done = itertools.count(1)
    for order in (range(start + 1, len(tracks)), range(start - 1, -1, -1)):
        before = still
        for time in order:
            on_share(next(done) / len(tracks))
            track = tracks[time]
            seen = track.before_N3, track.now_N2, track.sure_N
            before = motions[time] = solve_motion(nodes_M3, *seen, camera, before, track.away_N)
    depths = [_with_movers(*maps, camera, nodes_M3) for maps in zip(time_depth, mover, tracks, motions)]
    return motions, torch.stack(depths)


def fitted(
    nodes_M3: Tensor, tracks: list[Tracks], time_depth: Tensor, camera: Camera, on_share: Callable[[float], None]
) -> list[NodeMotion]:
    """The same where the depth is given at every time, and stays: rigid fits to points tracked in 3D."""
    motions = []
    for time, track in enumerate(tracks):
        on_share(time / len(time_depth))
        after_N3 = unproject(track.now_N2, time_depth[time][track.tracked_HW].clamp_min(1e-6), *camera)
        fit = node_motion(nodes_M3, track.before_N3, after_N3, track.sure_N) if len(nodes_M3) else NodeMotion.still(0)
        motions.append(fit)
    return motions


def _with_movers(
    depth_HW: Tensor, mover_HW: Tensor, track: Tracks, motion: NodeMotion, camera: Camera, nodes_M3: Tensor
) -> Tensor:
    """Inverse depth of one time: of what moves by the nodes' motion, where it was not tracked from around; of all else as it was."""
    if not len(nodes_M3) or len(track.now_N2) < 3:
        return depth_HW
    _, inverse_N = project(moved_by(motion, track.before_N3, nodes_M3), *camera)
    ahead = inverse_N > 0
    known = track.tracked_HW.clone()
    known[track.tracked_HW] = ahead
    depth = torch.where(known, torch.zeros_like(depth_HW), depth_HW)
    depth[known] = inverse_N[ahead]
    weight = known.float()
    filled = fill_holes((depth * weight)[..., None], weight)[..., 0]
    return torch.where(mover_HW > MOVES, torch.where(known, depth, filled), depth_HW)
