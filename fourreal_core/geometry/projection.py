"""Pinhole cameras as tensors: rays, points from inverse depth, and back to pixels. Used by everything in this folder.

World-to-camera 4x4 in the OpenCV frame (x right, y down, z forward); K in pixels with pixel (i, j) covering i..i+1, so that its centre is at +0.5.
Inverse depth q = 1 / z along the view axis; 0 is infinitely far. Points are homogeneous [x, y, z, w] = ray + q * centre terms, so that
infinity needs no special case. Shape suffixes: V views, H W pixels, N points.
"""

from __future__ import annotations

import torch
from torch import Tensor

Camera = tuple[Tensor, Tensor]  # world-to-camera [4, 4] and intrinsics [3, 3]
NEAREST = 1e-4  # depths below this, in the units of the cameras, count as behind the camera


def pixel_centres(height: int, width: int) -> Tensor:
    """[H, W, 2]: (x, y) of every pixel's centre, from 0.5."""
    y_HW, x_HW = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x_HW, y_HW], dim=-1)


def transfer(
    positions: Tensor,
    inverse_depth: Tensor,
    world_to_camera_44: Tensor,
    intrinsics_33: Tensor,
    to_44: Tensor,
    to_33: Tensor,
) -> tuple[Tensor, Tensor]:
    """Where pixels of one camera, at their inverse depth, are seen by another.

    positions [..., 2] in pixels, inverse_depth [...]. Returns positions [..., 2] in the other camera and the inverse depth there [...];
    what lies behind the other camera has inverse depth -1.
    """
    relative = to_44.double() @ torch.linalg.inv(world_to_camera_44.double())
    turn = (to_33.double() @ relative[:3, :3] @ torch.linalg.inv(intrinsics_33.double())).to(positions)
    shift = (to_33.double() @ relative[:3, 3]).to(positions)
    homogeneous = torch.cat([positions, torch.ones_like(positions[..., :1])], dim=-1)
    seen = homogeneous @ turn.T + inverse_depth[..., None] * shift
    depth = seen[..., 2]
    ahead = depth > NEAREST
    safe = torch.where(ahead, depth, torch.ones_like(depth))
    return seen[..., :2] / safe[..., None], torch.where(ahead, inverse_depth / safe, -torch.ones_like(depth))


def unproject(positions: Tensor, inverse_depth: Tensor, world_to_camera_44: Tensor, intrinsics_33: Tensor) -> Tensor:
    """World points [..., 3] of pixels [..., 2] at inverse depth [...] (> 0)."""
    homogeneous = torch.cat([positions, torch.ones_like(positions[..., :1])], dim=-1)
    camera = homogeneous @ torch.linalg.inv(intrinsics_33.double()).to(positions).T / inverse_depth[..., None]
    rotation, translation = world_to_camera_44[:3, :3].to(positions), world_to_camera_44[:3, 3].to(positions)
    return (camera - translation) @ rotation


def project(points: Tensor, world_to_camera_44: Tensor, intrinsics_33: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels [..., 2] and inverse depth [...] of world points [..., 3]; -1 where a point lies behind the camera."""
    camera = points @ world_to_camera_44[:3, :3].to(points).T + world_to_camera_44[:3, 3].to(points)
    depth = camera[..., 2]
    ahead = depth > NEAREST
    safe = torch.where(ahead, depth, torch.ones_like(depth))
    pixels = camera @ intrinsics_33.to(points).T
    return pixels[..., :2] / safe[..., None], torch.where(ahead, 1 / safe, -torch.ones_like(depth))


def parallax_gain(
    positions: Tensor, inverse_depth: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor], step: float
) -> Tensor:
    """Pixels that a pixel moves in the camera `end` per unit of its inverse depth in `start`, [...]; by a difference of `step`."""
    near, _ = transfer(positions, inverse_depth + step, *start, *end)
    far, _ = transfer(positions, (inverse_depth - step).clamp_min(0), *start, *end)
    return (near - far).norm(dim=-1) / (2 * step)


def depth_unit(inverse_depth_HW: Tensor) -> Tensor:
    """A common inverse depth of a view, to tell others relative to it: the median, or more where most of the view is sky."""
    flat = inverse_depth_HW.flatten()
    return torch.maximum(flat.median(), 0.3 * flat[:: max(1, len(flat) // 100_000)].quantile(0.9)).clamp_min(1e-6)
