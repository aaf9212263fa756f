"""Pictures of procedural scenes: rays through every pixel, the sun's picture for shadows, and each pixel's colour.

Everything is a batch of tensor operations on the device of the scenes. shapes.py finds what rays meet, shading.py what colour that is,
scenes.py makes up the scenes. Where all rays of a pixel meet the same solid, it is shaded once.
Legend: N scenes, V views, T times, P solids, S tiles, K rays of a tile, U texels, H W pixels, Q tiles of all pictures, X pixels of some tiles, A rays of a pixel,
R samples to be shaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from .shading import SHADOW_REACH, SHADOW_SIZE, Daylight, Materials, Samples, Shader, sun_frame, unit
from .shapes import Rays, Solids, first_hits, parallel_rays, perspective_rays

TILE, SHADOW_TILE = 4, 8  # pixels and texels a side
SHADED_RAYS_AT_ONCE = {"cpu": 2**16, "cuda": 2**23}
SUN_HEIGHT = 30.0  # where the sun's rays start


Part = TypeVar("Part", Solids, Materials, Daylight)


@dataclass(frozen=True, eq=False)
class Scenes:
    """N scenes of the same number of solids, with world-to-camera matrices [N, V, 4, 4] and intrinsics [N, V, 3, 3] in pixels (OpenCV)."""

    solids: Solids
    materials: Materials
    light: Daylight
    pose_NV44: Tensor
    intrinsics_NV33: Tensor

    def map(self, change) -> Scenes:
        """`change` applied to every tensor."""

        def changed(part: Part) -> Part:
            return type(part)(*(change(value) for value in vars(part).values()))

        parts = changed(self.solids), changed(self.materials), changed(self.light)
        return Scenes(*parts, change(self.pose_NV44), change(self.intrinsics_NV33))


def render_scenes(scenes: Scenes, height: int, width: int, supersample: int = 2) -> Tensor:
    """Frames float32 [N, V, T, H, W, 3] in 0..1 (sRGB). Every pixel is the mean of supersample^2 rays."""
    count, times = scenes.solids.centre_NTP3.shape[:2]
    rays = camera_rays(scenes.pose_NV44, scenes.intrinsics_NV33, height, width, supersample)
    distance_NVTSK, solid_NVTSK = first_hits(rays, scenes.solids)
    shader = Shader(scenes.solids, scenes.materials, scenes.light, shadow_moments(scenes))
    distance_QK, solid_QK = distance_NVTSK.flatten(0, 3), solid_NVTSK.flatten(0, 3)
    device, lanes = distance_QK.device, distance_QK.shape[1]
    colour_Q3Y = torch.empty(len(distance_QK), 3, TILE**2, device=device)
    for part_Q in torch.arange(len(distance_QK), device=device).split(
        max(SHADED_RAYS_AT_ONCE.get(device.type, 2**16) // lanes, 1)
    ):
        colour_Q3Y[part_Q] = _tile_colours(
            scenes, rays, shader, part_Q, distance_QK[part_Q], solid_QK[part_Q], supersample**2
        )
    high, wide = -(-height // TILE), -(-width // TILE)
    tiles = colour_Q3Y.view(count, -1, times, high, wide, 3, TILE, TILE)
    picture = tiles.permute(0, 1, 2, 3, 6, 4, 7, 5).reshape(count, -1, times, high * TILE, wide * TILE, 3)
    return picture[..., :height, :width, :].clamp(1e-6, 1).pow(1 / 2.2).contiguous()


def _tile_colours(
    scenes: Scenes, rays: Rays, shader: Shader, part_Q: Tensor, distance_QK: Tensor, solid_QK: Tensor, parts: int
) -> Tensor:
    """Linear colours [Q, 3, pixels of a tile] of some of the tiles."""
    views, times, tiles = scenes.pose_NV44.shape[1], scenes.solids.centre_NTP3.shape[1], rays.axis_NGS3.shape[2]
    scene_Q, view_Q, time_Q = part_Q // (views * times * tiles), part_Q // (times * tiles), part_Q // tiles
    scene_X, view_X, moment_X = (
        index_Q.repeat_interleave(TILE**2) for index_Q in (scene_Q, view_Q, scene_Q * times + time_Q % times)
    )  # fmt: skip
    ray_3XA = rays.direction_NGS3K.flatten(0, 2)[view_Q * tiles + part_Q % tiles].transpose(0, 1).reshape(3, -1, parts)
    distance_XA, solid_XA = distance_QK.view(-1, parts), solid_QK.view(-1, parts)
    mixed_X = (solid_XA != solid_XA[:, :1]).any(1)
    whole, mixed = (~mixed_X).nonzero()[:, 0], mixed_X.nonzero()[:, 0]
    both = torch.cat([whole, mixed.repeat_interleave(parts)])
    origin_3G = rays.axis_origin_NGS3[:, :, 0].flatten(0, 1).T
    spread_G = 1 / scenes.intrinsics_NV33[..., 1, 1].flatten()
    share_R = torch.ones(len(both), device=both.device)
    share_R[len(whole) :] = parts**-0.5
    colour_3R = shader.colours(Samples(
        scene_X[both], moment_X[both], origin_3G[:, view_X[both]],
        torch.cat([unit(ray_3XA[:, whole].mean(-1)), ray_3XA[:, mixed].flatten(1)], 1),
        torch.cat([distance_XA[whole].mean(-1), distance_XA[mixed].flatten()]),
        torch.cat([solid_XA[whole, 0], solid_XA[mixed].flatten()]), spread_G[view_X[both]] * share_R,
    ))  # fmt: skip
    colour_3X = torch.empty(3, len(mixed_X), device=both.device)
    colour_3X[:, whole] = colour_3R[:, : len(whole)]
    colour_3X[:, mixed] = colour_3R[:, len(whole) :].view(3, -1, parts).mean(-1)
    return colour_3X.view(3, len(part_Q), -1).transpose(0, 1)


def camera_rays(pose_NV44: Tensor, intrinsics_NV33: Tensor, height: int, width: int, supersample: int) -> Rays:
    """Rays through the middles of supersample^2 parts of every pixel; tiles of 4 x 4 pixels that cover the picture, in reading order."""
    device = pose_NV44.device
    high, wide = -(-height // TILE), -(-width // TILE)
    part = (torch.arange(supersample, device=device) + 0.5) / supersample
    y = (torch.arange(high * TILE, device=device)[:, None] + part).view(high, 1, TILE, 1, supersample, 1)
    x = (torch.arange(wide * TILE, device=device)[:, None] + part).view(1, wide, 1, TILE, 1, supersample)
    pixel_SK3 = torch.stack([*torch.broadcast_tensors(x, y), torch.ones_like(x + y)], -1).view(high * wide, -1, 3)
    turn_NV33 = pose_NV44[..., :3, :3].mT
    to_world_NV33 = turn_NV33 @ torch.linalg.inv(intrinsics_NV33)
    direction_NVSK3 = normalize(pixel_SK3 @ to_world_NV33.mT[:, :, None], dim=-1)
    return perspective_rays(-(turn_NV33 @ pose_NV44[..., :3, 3:])[..., 0], direction_NVSK3)


def shadow_moments(scenes: Scenes) -> Tensor:
    """Mean and mean square of the height along the sun's direction of what it lights, blurred by softness: [2, N * T * U * U].

    Variance shadow maps (Donnelly and Lauritzen 2006): both may be blurred and interpolated, so that shadows are soft at the price of one lookup.
    """
    sun_N3 = scenes.light.sun_N3
    line_U = ((torch.arange(SHADOW_SIZE, device=sun_N3.device) + 0.5) / SHADOW_SIZE * 2 - 1) * SHADOW_REACH
    side = SHADOW_SIZE // SHADOW_TILE
    v, u = torch.meshgrid(line_U, line_U, indexing="ij")
    plane_UU3 = torch.stack([u, v, torch.full_like(u, SUN_HEIGHT)], -1)
    plane_SK3 = plane_UU3.view(side, SHADOW_TILE, side, SHADOW_TILE, 3).transpose(1, 2).reshape(side * side, -1, 3)
    rays = parallel_rays((plane_SK3 @ sun_frame(sun_N3)[:, None])[:, None], -sun_N3[:, None])
    distance_QSK = first_hits(rays, scenes.solids)[0].flatten(0, 2).clamp(max=2 * SUN_HEIGHT)
    tiles = distance_QSK.view(-1, side, side, SHADOW_TILE, SHADOW_TILE).transpose(2, 3)
    height_QUU = SUN_HEIGHT - tiles.reshape(-1, SHADOW_SIZE, SHADOW_SIZE)
    sharp = _blurred(torch.stack([height_QUU, height_QUU.square()]), 1)
    soft = _blurred(_blurred(sharp, 4), 4)
    softness_Q = scenes.light.softness_N.repeat_interleave(len(height_QUU) // len(sun_N3))
    return torch.lerp(sharp, soft, softness_Q[:, None, None]).flatten(1)


def _blurred(image: Tensor, radius: int) -> Tensor:
    wide = avg_pool2d(image, (1, 2 * radius + 1), 1, (0, radius), count_include_pad=False)
    return avg_pool2d(wide, (2 * radius + 1, 1), 1, (radius, 0), count_include_pad=False)
