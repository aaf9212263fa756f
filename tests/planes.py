"""A scene with exact answers: a textured square floats before a textured wall and moves; every depth, motion and label in closed form.

World: x right, y down, z forward. The wall lies at z = 4 + x / 4; the square is parallel to the picture plane z = 0. Cameras stand on a
line through the origin along x and turn towards (0, 0, 3). Shape suffixes: V views, T times, H W pixels, N rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourreal_core.grid import Cameras, FrameGrid

WALL, SLOPE = 4.0, 0.25
SQUARE, HALF = (-0.45, 0.05, 2.4), 0.45  # middle at time 0 and half side
STEP = (0.09, -0.02, -0.04)  # of the square from one time to the next
APART = 0.16  # from one camera to the next
WAVES = 24  # of each texture


@dataclass(frozen=True)
class PlaneScene:
    """All cells and what is true of them."""

    frames_VTHW3: Tensor  # 0..1
    cameras: Cameras
    inverse_depth_VTHW: Tensor
    moving_VTHW: Tensor  # bool: the square

    def grid(self, base: tuple[int, int] = (0, 0), *, cameras: bool = True) -> FrameGrid:
        """The view and the time of `base` are known."""
        known = torch.zeros(self.frames_VTHW3.shape[:2], dtype=torch.bool)
        known[base[0]], known[:, base[1]] = True, True
        frames = torch.where(known[..., None, None, None], self.frames_VTHW3, 0.0)
        return FrameGrid(frames, known, cameras=self.cameras if cameras else None)

    def depth(self, base: tuple[int, int] = (0, 0)) -> Tensor:
        """[V + T - 1, H, W] as `fill_grid` takes it."""
        later = [self.inverse_depth_VTHW[base[0], t] for t in range(self.frames_VTHW3.shape[1]) if t != base[1]]
        return torch.stack([*self.inverse_depth_VTHW[:, base[1]], *later])

    def flow(self, base: tuple[int, int] = (0, 0)) -> Tensor:
        """[T, H, W, 2] pixels from each time of the base view back to the base time."""
        view, start = base
        times, (height, width) = self.frames_VTHW3.shape[1], self.frames_VTHW3.shape[2:4]
        lens, centres = self.cameras.intrinsics[view], _centres(height, width)
        flows = []
        for time in range(times):
            origin_3, rays_HW3 = _rays(self.cameras.world_to_camera[view], lens, centres)
            points = origin_3 + rays_HW3 / self.inverse_depth_VTHW[view, time][..., None]
            points = points + (start - time) * torch.tensor(STEP) * self.moving_VTHW[view, time][..., None]
            pose = self.cameras.world_to_camera[view]
            seen = (points @ pose[:3, :3].T + pose[:3, 3]) @ lens.T
            flows.append(seen[..., :2] / seen[..., 2:] - centres)
        return torch.stack(flows)

    def moving(self, base: tuple[int, int] = (0, 0)) -> Tensor:
        """[T, H, W] 0 or 1."""
        return self.moving_VTHW[base[0]].float()


def plane_scene(views: int, times: int, height: int, width: int, moments: Sequence[float] = ()) -> PlaneScene:
    """The scene; every pixel is the mean of 2 x 2 rays, its depth and label those of its centre. moments: how many `STEP`s the square has gone
    at each time, 0, 1, 2 ... where nothing is said."""
    cameras = plane_cameras(views, height, width)
    frames = torch.zeros(views, times, height, width, 3)
    inverse, moving = (
        torch.zeros(views, times, height, width),
        torch.zeros(views, times, height, width, dtype=torch.bool),
    )
    centres = _centres(height, width)
    for view in range(views):
        camera = cameras.world_to_camera[view], cameras.intrinsics[view]
        for time, moment in enumerate(moments or range(times)):
            corners = [(x, y) for x in (-0.25, 0.25) for y in (-0.25, 0.25)]
            frames[view, time] = torch.stack(
                [_seen(*camera, centres + torch.tensor(c), moment)[0] for c in corners]
            ).mean(0)
            _, inverse[view, time], moving[view, time] = _seen(*camera, centres, moment)
    return PlaneScene(frames, cameras, inverse, moving)


def plane_cameras(views: int, height: int, width: int) -> Cameras:
    """Evenly apart along x, the first at the origin, each turned towards (0, 0, 3)."""
    poses = []
    for view in range(views):
        place = torch.tensor([APART * view, 0.0, 0.0])
        ahead = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 3.0]) - place, dim=0)
        right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), ahead), dim=0)
        pose = torch.eye(4)
        pose[:3, :3] = torch.stack([right, torch.linalg.cross(ahead, right), ahead])
        pose[:3, 3] = -pose[:3, :3] @ place
        poses.append(pose)
    lens = torch.tensor([[1.1 * width, 0, width / 2], [0, 1.1 * width, height / 2], [0, 0, 1]])
    return Cameras(torch.stack(poses), lens.expand(views, 3, 3))


def _centres(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], -1)


def _rays(pose_44: Tensor, lens_33: Tensor, pixels_HW2: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays start, and their directions in the world with length 1 along the camera's axis."""
    homogeneous = torch.cat([pixels_HW2, torch.ones_like(pixels_HW2[..., :1])], -1)
    return -pose_44[:3, :3].T @ pose_44[:3, 3], homogeneous @ torch.linalg.inv(lens_33).T @ pose_44[:3, :3]


def _seen(pose_44: Tensor, lens_33: Tensor, pixels_HW2: Tensor, moment: float) -> tuple[Tensor, Tensor, Tensor]:
    """Colour, inverse depth along the camera's axis, and whether it is the square."""
    origin, rays = _rays(pose_44, lens_33, pixels_HW2)
    wall = (WALL + SLOPE * origin[0] - origin[2]) / (rays[..., 2] - SLOPE * rays[..., 0])
    middle = torch.tensor(SQUARE) + moment * torch.tensor(STEP)
    near = (middle[2] - origin[2]) / rays[..., 2]
    on_square = origin + near[..., None] * rays - middle
    hit = (on_square[..., :2].abs() < HALF).all(-1) & (near < wall)
    on_wall = origin + wall[..., None] * rays
    colour = torch.where(hit[..., None], _texture(on_square[..., :2], 5, 1.6), _texture(on_wall[..., :2], 6, 1.0))
    return colour, 1 / torch.where(hit, near, wall), hit


def _texture(places: Tensor, seed: int, scale: float) -> Tensor:
    """Colours 0..1 of a sum of waves in all directions."""
    generator = torch.Generator().manual_seed(seed)
    towards = torch.randn(2, WAVES, 3, generator=generator) * 5 * scale
    phase = torch.rand(WAVES, 3, generator=generator) * 2 * torch.pi
    waves = torch.einsum("...p,pkc->...kc", places, towards) + phase
    return 0.5 + 0.5 * torch.tanh(1.2 * waves.sin().sum(-2) / WAVES**0.5)
