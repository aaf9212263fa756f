"""Where the world's frame stands, how long its unit is, and what can be said about a path of cameras in any gauge.

The gauge of estimated cameras: the world's frame is the camera of view 0, and the median depth of the points seen there is 1.
Letters: V views, N cameras, P points. Poses are world-to-camera [N, 4, 4].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..grid import Cameras


def in_gauge(poses_V: np.ndarray, poses_N: np.ndarray, points: np.ndarray, view: np.ndarray, point: np.ndarray):
    """(poses_V, poses_N, points) with view 0 as the world's frame and the median depth of its points 1.

    view, point [O]: which points were seen where. Without points in view 0 the median over all points counts.
    """
    to_first = poses_V[0]
    points = points @ to_first[:3, :3].T + to_first[:3, 3]
    seen = np.unique(point[view == 0])
    unit = float(np.median(points[seen if len(seen) else slice(None), 2]))
    unit = unit if unit > 0 else float(np.linalg.norm(points, axis=1).mean())
    back = np.linalg.inv(to_first)
    moved = [poses @ back for poses in (poses_V, poses_N)]
    for poses in moved:
        poses[:, :3, 3] /= unit
    return moved[0], moved[1], points / unit


def centres(poses: np.ndarray) -> np.ndarray:
    """[N, 3]: where the cameras stand in the world."""
    return -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])


def arc_degrees(cameras: Cameras) -> float:
    """The angle between the directions of sight of the first and the last view, in degrees."""
    first, last = (cameras.world_to_camera[view, 2, :3].double() for view in (0, -1))
    return float(torch.rad2deg(torch.acos((first @ last).clamp(-1, 1))))


def field_of_view(cameras: Cameras, height: int, width: int) -> tuple[float, float]:
    """(horizontal, vertical) field of view of the first view in degrees, for cells of this size."""
    lens = cameras.intrinsics[0].tolist()
    across, upright = (math.degrees(2 * math.atan(0.5 * side / lens[at][at])) for at, side in ((0, width), (1, height)))
    return across, upright


def between(poses: np.ndarray, lenses: np.ndarray, frames: Sequence[int], frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Pose and lens at `frame`, between the nearest of `frames` before and after it: places linear, turns along the shortest way."""
    after = next(number for number, one in enumerate(frames) if one > frame)
    before = after - 1
    share = (frame - frames[before]) / (frames[after] - frames[before])
    turn = poses[after, :3, :3] @ poses[before, :3, :3].T
    place = centres(poses[[before, after]])
    pose = np.eye(4)
    pose[:3, :3] = _part_of_turn(turn, share) @ poses[before, :3, :3]
    pose[:3, 3] = -pose[:3, :3] @ (place[0] + share * (place[1] - place[0]))
    return pose, lenses[before] + share * (lenses[after] - lenses[before])


def path_error(poses: np.ndarray, frames: Sequence[int]) -> float:
    """How badly every inner camera is guessed from its neighbours: median distance over the way from one to the other."""
    errors = []
    for inner in range(1, len(frames) - 1):
        around = [inner - 1, inner + 1]
        guess, _ = between(poses[around], np.zeros((2, 3, 3)), [frames[number] for number in around], frames[inner])
        way = np.linalg.norm(np.diff(centres(poses[around]), axis=0))
        errors.append(np.linalg.norm(centres(guess[None]) - centres(poses[[inner]])) / max(way, 1e-12))
    return float(np.median(errors))


def _part_of_turn(turn: np.ndarray, share: float) -> np.ndarray:
    """This share of a rotation matrix, about its own axis."""
    cosine = np.clip((np.trace(turn) - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    if angle < 1e-9:
        return np.eye(3)
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / (2 * np.sin(angle))
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(share * angle) * cross + (1 - np.cos(share * angle)) * cross @ cross


def aligned(poses: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(centres of `poses` moved, turned and scaled onto those of `true`, rotation error in degrees, centre error over the baseline).

    The rotation error is the mean over all pairs of views of how far their relative turns are apart; the baseline is the
    largest distance of two true cameras. Similarity after Umeyama (PAMI 1991).
    """
    found, wanted = centres(poses), centres(true)
    mid_found, mid_wanted = found.mean(0), wanted.mean(0)
    left, values, right = np.linalg.svd((wanted - mid_wanted).T @ (found - mid_found))
    sign = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (values * sign).sum() / max(((found - mid_found) ** 2).sum(), 1e-12)
    moved = scale * (found - mid_found) @ (left @ np.diag(sign) @ right).T + mid_wanted
    baseline = max(float(np.linalg.norm(wanted[:, None] - wanted[None], axis=-1).max()), 1e-12)
    turns = [poses[:, :3, :3] @ one.T for one in poses[:, :3, :3]], [true[:, :3, :3] @ one.T for one in true[:, :3, :3]]
    cosines = [
        (np.trace(a @ b.T) - 1) / 2 for number, (x, y) in enumerate(zip(*turns)) for a, b in list(zip(x, y))[:number]
    ]
    error = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean()) if cosines else 0.0
    return moved, error, float(np.sqrt(((moved - wanted) ** 2).sum(1).mean())) / baseline
