"""Cameras to see splats from: along the arc of the grid's views, on an orbit that leaves it, or anywhere; and the pictures.

Shape suffixes: V views, N frames, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry.gauge import between
from ..geometry.projection import Camera
from .gaussians import Splats
from .graphics_card import drawing_device
from .rasterizer import render

MOST_FRAMES = 100_000
MEAN_UP = 3e-4  # how much the mean of what is up in the views counts, beside what is to their right


@dataclass(frozen=True)
class Shot:
    """One frame: world-to-camera [4, 4] and intrinsics [3, 3] in pixels of the grid's cells, at a time 0 .. T - 1."""

    pose_44: Tensor
    lens_33: Tensor
    time: float


def shots_along(splats: Splats, positions: Sequence[tuple[float, float]]) -> list[Shot]:
    """Cameras at (view, time) positions, fractions between the cameras of two views: places linear, turns along the shortest way.

    Raises ValueError for positions outside of the grid.
    """
    views = len(splats.cameras.world_to_camera)
    shots = []
    for view, time in positions:
        if not 0 <= view <= views - 1 or not 0 <= time <= splats.times - 1:
            raise ValueError(
                f"expected positions within {views} views and {splats.times} times, got view {view:g}, time {time:g}."
            )
        shots.append(Shot(*camera_between(splats, view), time))
    return shots


def camera_between(splats: Splats, view: float) -> Camera:
    """The camera at a view 0 .. V - 1, which may lie between two."""
    cameras = splats.cameras
    first = min(int(view), len(cameras.world_to_camera) - 1)
    if first == view:
        return cameras.world_to_camera[first], cameras.intrinsics[first]
    pair = slice(first, first + 2)
    poses, lenses = cameras.world_to_camera[pair].double().numpy(), cameras.intrinsics[pair].double().numpy()
    pose, lens = between(poses, lenses, [0, 1], view - first)  # pyright: ignore[reportArgumentType]
    return torch.from_numpy(pose).float(), torch.from_numpy(np.asarray(lens)).float()


def orbit(
    splats: Splats,
    view: float,
    turns: Sequence[float],
    times: Sequence[float],
    height: float = 0.0,
    closer: float = 1.0,
) -> list[Shot]:
    """A camera that starts at a view and circles what the views look at (`pivot_of`), at an angle from `turns` (degrees) per frame.

    Positive turns go to the right of the picture, beyond the arc of the views where they are large. height: degrees that it stands higher than the view.
    closer: its distance is divided by this. Raises ValueError where turns and times differ in number.
    """
    if len(turns) != len(times) or not 0.05 <= closer <= 20:
        raise ValueError("expected one time per turn, and closer from 0.05 to 20.")
    pose, lens = camera_between(splats, view)
    pivot, up = pivot_of(splats), up_of(splats)
    right = pose[0, :3]
    eye = -pose[:3, :3].T @ pose[:3, 3]
    shots = []
    for turn, time in zip(turns, times):
        around = turn_about(up, math.radians(turn)) @ turn_about(right, math.radians(-height))
        moved = torch.eye(4)
        moved[:3, :3] = pose[:3, :3] @ around.T
        place = pivot + around @ (eye - pivot) / closer
        moved[:3, 3] = -moved[:3, :3] @ place
        shots.append(Shot(moved, lens, time))
    return shots


def pivot_of(splats: Splats) -> Tensor:
    """[3]: the point nearest to the axes of all views, which is what they look at; where they are nearly parallel, at the typical depth of the first."""
    parts = splats.gaussians
    poses = splats.cameras.world_to_camera.double()
    eyes, ahead = -torch.einsum("vji,vj->vi", poses[:, :3, :3], poses[:, :3, 3]), poses[:, 2, :3]
    across = torch.eye(3, dtype=torch.float64) - ahead[:, :, None] * ahead[:, None, :]
    depth = float(((parts.positions_N3.double() - eyes[0]) @ ahead[0]).clamp_min(1e-6).median())
    # a little weight on the typical depth decides where the axes are parallel
    point = torch.linalg.solve(
        across.sum(0) + 0.02 * torch.eye(3, dtype=torch.float64),
        (across @ eyes[..., None])[..., 0].sum(0) + 0.02 * (eyes[0] + depth * ahead[0]),
    )
    return point.float()


def up_of(splats: Splats) -> Tensor:
    """[3], of length 1: away from the ground, if the cameras are held without roll, however far they look up or down.

    What is to the right in the views lies in the ground's plane then; where it hardly tells, as on a short arc, the mean of what is up in the views decides.
    """
    turns_V33 = splats.cameras.world_to_camera[:, :3, :3].double()
    mean = -turns_V33[:, 1].mean(0)
    mean = mean / mean.norm().clamp_min(1e-6)
    right_V3 = turns_V33[:, 0]
    across = torch.eye(3, dtype=torch.float64) - torch.outer(mean, mean)
    up = torch.linalg.eigh(right_V3.T @ right_V3 / len(right_V3) + MEAN_UP * across).eigenvectors[:, 0]
    return (up * torch.where(up @ mean < 0, -1.0, 1.0)).float()


def turn_about(axis_3: Tensor, angle: float) -> Tensor:
    """[3, 3]: Rodrigues' formula."""
    x, y, z = (axis_3 / axis_3.norm().clamp_min(1e-9)).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return torch.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


@torch.no_grad()
def draw(
    splats: Splats,
    shots: Sequence[Shot],
    size: tuple[int, int] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """[N, H, W, 3] 0..1, on the CPU. size: (height, width) of the frames (None: of the grid's cells); of another aspect, what the cells show fits inside.

    on_frame(done, total) after each frame; raising inside cancels. device: where gsplat draws if it can there, else it is the CPU
    (graphics_card.py). Raises ValueError for no shot, or too many.
    """
    if not 1 <= len(shots) <= MOST_FRAMES:
        raise ValueError(f"expected 1 to {MOST_FRAMES} frames, got {len(shots)}.")
    height, width = size or splats.size
    fit, device = frame_lens(splats.size, (height, width)), drawing_device(device)
    frames, gaussians, time = torch.empty(len(shots), height, width, 3), None, None
    for number, shot in enumerate(shots):
        if gaussians is None or shot.time != time:
            gaussians, time = splats.at(shot.time).to(device), shot.time
        drawn = render(gaussians, shot.pose_44.to(device), (fit @ shot.lens_33).to(device), height, width)
        frames[number] = drawn.over(splats.background_3.to(device)).clamp(0, 1)
        if on_frame is not None:
            on_frame(number + 1, len(shots))
    return frames


def frame_lens(cell: tuple[int, int], frame: tuple[int, int]) -> Tensor:
    """[3, 3]: pixels of a cell to pixels of a frame that shows all of the cell, in the middle."""
    scale = min(frame[0] / cell[0], frame[1] / cell[1])
    return torch.tensor(
        [
            [scale, 0, frame[1] / 2 - scale * cell[1] / 2],
            [0, scale, frame[0] / 2 - scale * cell[0] / 2],
            [0, 0, 1],
        ]
    )
