"""The fit's own world: the frame of one view, its typical depth as the unit, cells of at most a given size. Undone at the end, so that no unit matters.

Next to read: fit.py. Shape suffixes: V views, T times, H W pixels of the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..geometry.projection import Camera
from ..grid import Cameras, FrameGrid

FIELD = 50.0  # degrees across, of the camera that a single view is given
FILLED = 0.6  # weight of a cell that was filled and comes with no confidence
LEAST_WEIGHT = 0.05
MOST_AWAY = 1e6  # units
RIGID_ERROR = 1e-2  # of a rotation matrix times its transpose


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a grid that can be fitted. weight_VT: 0 where there is nothing, 1 where known; confidence [V, T, h, w] or None."""

    grid: FrameGrid
    weight_VT: Tensor
    confidence: Tensor | None

    def picture(self, view: int, time: int, size: tuple[int, int]) -> Tensor:
        """[H, W, 3] at a size: a copy that may be saved for a backward pass."""
        return resized(self.grid.frames[view, time].clone(), size)

    def weights(self, view: int, time: int, size: tuple[int, int]) -> Tensor:
        """[H, W] 0..1."""
        known = bool(self.grid.known[view, time])
        if self.confidence is None or known:
            return torch.full(size, float(self.weight_VT[view, time]))
        return resized(self.confidence[view, time].clone()[..., None], size)[..., 0].clamp(LEAST_WEIGHT, 1)


def usable_cells(grid: FrameGrid, confidence: Tensor | None = None) -> Cells:
    """Every cell but the unknown ones that are black, which is what a grid holds where nothing was filled yet.

    confidence float [V, T, h, w] 0..1, of filled cells. Raises ValueError on another shape, and where there is no cell.
    """
    if confidence is not None:
        confidence = confidence.detach().cpu().float()
        if confidence.ndim != 4 or confidence.shape[:2] != grid.known.shape or confidence.numel() == 0:
            raise ValueError(
                f"expected a confidence for each of the {grid.views} x {grid.times} cells, got {list(confidence.shape)}."
            )
        if not bool(torch.isfinite(confidence).all()) or float(confidence.min()) < 0 or float(confidence.max()) > 1:
            raise ValueError("expected confidence from 0 to 1.")
    empty_VT = torch.stack([(view_THWC == 0).flatten(1).all(1) for view_THWC in grid.frames]) & ~grid.known
    weight_VT = torch.where(grid.known, 1.0, FILLED) * ~empty_VT
    if not bool((weight_VT > 0).any()):
        raise ValueError("no cell of this grid is known or filled: there is nothing to fit.")
    return Cells(grid, weight_VT, confidence)


def resized(picture_HWC: Tensor, size: tuple[int, int]) -> Tensor:
    if picture_HWC.shape[:2] == size:
        return picture_HWC
    smaller = size[0] < picture_HWC.shape[0]
    return functional.interpolate(
        picture_HWC.movedim(-1, 0)[None], size=size, mode="bilinear", align_corners=False, antialias=smaller
    )[0].movedim(0, -1)


def within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The size, or one of the same aspect whose longer side is `longest`."""
    scale = min(1.0, longest / max(size))
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))


def cameras_at(cameras: Cameras, size: tuple[int, int], small: tuple[int, int]) -> list[Camera]:
    """One camera per view for pictures of size `small` instead of `size`."""
    scale = torch.tensor([[small[1] / size[1]], [small[0] / size[0]], [1.0]])
    return [(pose.clone(), lens * scale) for pose, lens in zip(cameras.world_to_camera, cameras.intrinsics)]


@dataclass(frozen=True, eq=False)
class World:
    """cameras: in the frame of the view `base`, with `unit` of the given cameras' units as 1; to_given: from this world to theirs."""

    cameras: Cameras
    to_given_44: Tensor
    unit: float

    def in_units(self, unit: float) -> World:
        """The same with a longer or shorter unit, in those of this world."""
        poses = self.cameras.world_to_camera.clone()
        poses[:, :3, 3] /= unit
        return World(Cameras(poses, self.cameras.intrinsics), self.to_given_44, self.unit * unit)


def world_of(cameras: Cameras, base: int) -> World:
    """The frame of one view; the farthest camera from it stands at distance 1."""
    poses = cameras.world_to_camera.double()
    to_given = torch.linalg.inv(poses[base])
    poses = poses @ to_given
    farthest = float(torch.linalg.inv(poses)[:, :3, 3].norm(dim=-1).max())
    unit = farthest if farthest > 1e-9 else 1.0
    poses[:, :3, 3] /= unit
    return World(Cameras(poses.float(), cameras.intrinsics), to_given, unit)


def expect_pinholes(cameras: Cameras) -> None:
    """Raises ValueError where a camera does not turn the world rigidly, has a focal length of 0 or less, or stands too far away to be told apart."""
    turns_V33 = cameras.world_to_camera[:, :3, :3]
    bent = (turns_V33 @ turns_V33.transpose(1, 2) - torch.eye(3)).abs().amax((1, 2)) > RIGID_ERROR
    wrong = bent | (torch.linalg.det(turns_V33) < 0) | (cameras.intrinsics[:, [0, 1], [0, 1]] <= 0).any(1)
    if bool(wrong.any()):
        raise ValueError(
            f"the camera of view {int(wrong.nonzero()[0, 0]) + 1} is none: expected a rotation without scale or mirroring, and focal "
            "lengths above 0. Check where the cameras come from."
        )
    away = float(cameras.world_to_camera[:, :3, 3].norm(dim=-1).max())
    if away > MOST_AWAY:
        raise ValueError(
            f"a camera stands {away:g} units from the origin: expected at most {MOST_AWAY:g}. Use a larger unit."
        )


def single_camera(height: int, width: int) -> Cameras:
    """The camera that a grid of one view is given: it looks ahead, and is FIELD degrees wide across."""
    focal = width / 2 / float(torch.deg2rad(torch.tensor(FIELD / 2)).tan())
    lens = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(torch.eye(4)[None], lens[None])
