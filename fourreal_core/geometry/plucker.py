"""Cameras as pictures: the Pluecker coordinates of each pixel's ray, which camera-controlled video models are given.

Source: Sitzmann et al., Light Field Networks (arXiv 2106.02634); as a condition of video models: CameraCtrl (arXiv 2404.02101).

Letters: V views, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..grid import Cameras


def pluecker_rays(cameras: Cameras, height: int, width: int) -> Tensor:
    """float32 [V, 6, H, W]: the ray through each pixel's centre as moment o x d, then unit direction d, in the first view's frame.

    The frame is that of OpenCV (x right, y down, z forward); o is a camera's place, in the cameras' own units. height, width: in pixels of
    the cameras' intrinsics; larger than the picture continues it at the right and bottom.
    """
    to_first_V44 = cameras.world_to_camera[0] @ torch.linalg.inv(cameras.world_to_camera)
    lines, places = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels_3P = torch.stack([places, lines, torch.ones_like(lines)]).flatten(1)
    rays_V3P = to_first_V44[:, :3, :3] @ torch.linalg.inv(cameras.intrinsics) @ pixels_3P
    rays_V3P = rays_V3P / rays_V3P.norm(dim=1, keepdim=True)
    moments_V3P = torch.linalg.cross(to_first_V44[:, :3, 3:].expand_as(rays_V3P), rays_V3P, dim=1)
    return torch.cat([moments_V3P, rays_V3P], 1).unflatten(2, (height, width))
