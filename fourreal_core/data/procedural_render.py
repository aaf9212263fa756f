"""Shades what rays meet: textures that stick to moving solids, sun with soft shadows, sky and haze; one picture per scene, view and time.

Everything is a batch of tensor operations on the device of the scene. procedural_shapes.py finds what rays meet; procedural.py draws the scenes.
World: y up, ground at y = 0. Colours are linear RGB until the end. Legend: N scenes, V views, T times, P solids, S tiles, K rays of a tile, H W pixels, R rays that hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from .procedural_shapes import FAR, Rays, Solids, first_hits, own_normals, parallel_rays, perspective_rays

TILE = 4  # pixels a side
SHADED_RAYS_AT_ONCE = {"cpu": 2**16, "cuda": 2**23}
SHADOW_SIZE, SHADOW_REACH = 192, 4.5  # texels a side of the sun's picture, and half of its side in the world
NOISE_SIZE = 32  # cells a side of the noise that repeats


@dataclass(frozen=True, eq=False)
class Materials:
    """What the P solids and the ground (the last one) look like.

    colours: two of the pattern and one of the grain, linear 0..1; waves: textures are made of sin(waves @ q + shift), q the position in the solid's own
    frame in world lengths; mix: weights of stripes, checks, spots and noise; cut and edge: where and how sharply the pattern changes from the first colour to
    the second; warp: how much noise bends it; grain: noise cells per length and share of the third colour; gloss 0..1.
    """

    colours_NP33: Tensor
    waves_NP33: Tensor
    shift_NP3: Tensor
    mix_NP4: Tensor
    cut_edge_warp_NP3: Tensor
    grain_NP2: Tensor
    gloss_NP1: Tensor


@dataclass(frozen=True, eq=False)
class Daylight:
    """Sun direction (unit, towards it), its colour, the sky's light from above and from below, horizon, zenith, all [N, 3]; clouds and softness of shadows 0..1 [N]."""

    sun_N3: Tensor
    sun_colour_N3: Tensor
    above_N3: Tensor
    below_N3: Tensor
    horizon_N3: Tensor
    zenith_N3: Tensor
    clouds_N: Tensor
    softness_N: Tensor


@dataclass(frozen=True, eq=False)
class Scenes:
    """N scenes of the same number of solids, with world-to-camera matrices [N, V, 4, 4] and intrinsics [N, V, 3, 3] in pixels (OpenCV)."""

    solids: Solids
    materials: Materials
    light: Daylight
    pose_NV44: Tensor
    intrinsics_NV33: Tensor

    def map(self, change) -> "Scenes":
        """`change` applied to every tensor."""
        parts = [type(part)(*(change(value) for value in vars(part).values())) for part in (self.solids, self.materials, self.light)]
        return Scenes(*parts, change(self.pose_NV44), change(self.intrinsics_NV33))


def render_scenes(scenes: Scenes, height: int, width: int, supersample: int = 2) -> Tensor:
    """Frames float32 [N, V, T, H, W, 3] in 0..1 (sRGB). Every pixel is the mean of supersample^2 rays."""
    count, times = scenes.solids.centre_NTP3.shape[:2]
    rays = camera_rays(scenes.pose_NV44, scenes.intrinsics_NV33, height, width, supersample)
    distance_NVTSK, solid_NVTSK = first_hits(rays, scenes.solids)
    moments_NT2UU = shadow_moments(scenes)
    tiles, lanes = distance_NVTSK.shape[-2:]
    colour_QK3 = torch.empty(distance_NVTSK.numel() // lanes, lanes, 3, device=distance_NVTSK.device)
    share = max(SHADED_RAYS_AT_ONCE[colour_QK3.device.type] // lanes, 1)
    flat = distance_NVTSK.view(-1, lanes), solid_NVTSK.view(-1, lanes)
    for part_Q in torch.arange(len(colour_QK3), device=colour_QK3.device).split(share):
        colour_QK3[part_Q] = _shade(scenes, rays, moments_NT2UU, part_Q, flat[0][part_Q], flat[1][part_Q], (times, tiles), supersample)
    high, wide = -(-height // TILE), -(-width // TILE)
    picture = colour_QK3.view(count, -1, times, high, wide, TILE, TILE, supersample**2, 3).mean(-2)
    picture = picture.transpose(4, 5).reshape(count, -1, times, high * TILE, wide * TILE, 3)
    return picture[..., :height, :width, :].clamp(1e-6, 1).pow(1 / 2.2).contiguous()


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


def sun_frame(sun_N3: Tensor) -> Tensor:
    """Orthonormal lines [N, 3, 3]: two across the light, the third towards the sun."""
    across_N3 = normalize(torch.linalg.cross(torch.tensor([0.3, 0.0, 1.0], device=sun_N3.device).expand_as(sun_N3), sun_N3), dim=-1)
    return torch.stack([across_N3, torch.linalg.cross(sun_N3, across_N3), sun_N3], 1)


def shadow_moments(scenes: Scenes) -> Tensor:
    """Mean and mean square of the height along the sun's direction of what it lights, blurred by softness: [N, T, 2, U, U] (variance shadow maps, Donnelly 2006)."""
    sun_N3 = scenes.light.sun_N3
    line = ((torch.arange(SHADOW_SIZE, device=sun_N3.device) + 0.5) / SHADOW_SIZE * 2 - 1) * SHADOW_REACH
    side = SHADOW_SIZE // 8
    v, u = torch.meshgrid(line, line, indexing="ij")
    plane_SK3 = torch.stack([u, v, torch.full_like(u, 30.0)], -1).view(side, 8, side, 8, 3).transpose(1, 2).reshape(side * side, 64, 3)
    rays = parallel_rays((plane_SK3 @ sun_frame(sun_N3)[:, None])[:, None], -sun_N3[:, None])
    distance_NTSK = first_hits(rays, scenes.solids)[0][:, 0].clamp(max=60)
    height_NTUU = 30 - distance_NTSK.view(*distance_NTSK.shape[:2], side, side, 8, 8).transpose(3, 4).reshape(*distance_NTSK.shape[:2], SHADOW_SIZE, SHADOW_SIZE)
    sharp = _blur(torch.stack([height_NTUU, height_NTUU.square()], 2).flatten(0, 1), 1)
    soft = _blur(_blur(sharp, 4), 4)
    softness = scenes.light.softness_N.repeat_interleave(height_NTUU.shape[1])[:, None, None, None]
    return torch.lerp(sharp, soft, softness).view(*height_NTUU.shape[:2], 2, SHADOW_SIZE, SHADOW_SIZE)


def _blur(image: Tensor, radius: int) -> Tensor:
    return avg_pool2d(image, 2 * radius + 1, 1, radius, count_include_pad=False)


@lru_cache(maxsize=4)
def noise_volume(device: torch.device) -> Tensor:
    """Smooth noise [1, 2, D, D, D] of mean 0 and deviation about 1 that repeats: coarse with some detail, and fine."""
    generator = torch.Generator().manual_seed(20260101)
    size = NOISE_SIZE
    frequency = torch.fft.fftfreq(size, 1 / size)
    radius = torch.stack(torch.meshgrid(frequency, frequency, frequency, indexing="ij")).norm(dim=0)
    spectra = torch.stack([(radius > 0) * (1 + (radius / 3) ** 2.6) ** -1 * (radius < 14), torch.exp(-(((radius - 8) / 3) ** 2))])
    noise = torch.fft.ifftn(torch.fft.fftn(torch.randn(2, size, size, size, generator=generator), dim=(1, 2, 3)) * spectra, dim=(1, 2, 3)).real
    noise = noise / noise.std(dim=(1, 2, 3), keepdim=True)
    # One cell more on each side, so that interpolation runs on over the border.
    return torch.nn.functional.pad(noise[None], (1, 1, 1, 1, 1, 1), mode="circular").to(device)


def noise_at(point_R3: Tensor) -> Tensor:
    """Both noises [R, 2] at points in units of noise cells (the volume repeats every 32)."""
    size = NOISE_SIZE
    place_R3 = (torch.remainder(point_R3, size) + 1.0) / (size + 2) * 2 - 1
    return grid_sample(noise_volume(point_R3.device), place_R3.view(1, -1, 1, 1, 3), align_corners=False, padding_mode="border").view(2, -1).T


def _shade(scenes: Scenes, rays: Rays, moments_NT2UU: Tensor, part_Q: Tensor, distance_QK: Tensor, solid_QK: Tensor, sizes: tuple[int, int],
           supersample: int) -> Tensor:  # fmt: skip
    """Colours [Q, K, 3] of some of the tiles."""
    times, tiles = sizes
    views = rays.axis_NGS3.shape[1]
    s, t = part_Q % tiles, part_Q // tiles % times
    v, n = part_Q // (tiles * times) % views, part_Q // (tiles * times * views)
    direction_QK3 = rays.direction_NGS3K[n, v, s].mT
    colour_QK3 = torch.empty_like(direction_QK3, memory_format=torch.contiguous_format)
    count = scenes.solids.length_NP.shape[1]
    tile_R, lane_R = (solid_QK == count + 1).nonzero().unbind(-1)
    colour_QK3[tile_R, lane_R] = sky_colours(scenes.light, n[tile_R], direction_QK3[tile_R, lane_R])
    tile_R, lane_R = (solid_QK <= count).nonzero().unbind(-1)
    n, t, v, s = n[tile_R], t[tile_R], v[tile_R], s[tile_R]
    ray_R3, distance_R, p = direction_QK3[tile_R, lane_R], distance_QK[tile_R, lane_R], solid_QK[tile_R, lane_R]
    point_R3 = rays.axis_origin_NGS3[n, v, s] + distance_R[:, None] * ray_R3
    own_R3, normal_R3 = _surface(scenes.solids, n, t, p, point_R3)
    pixel_R = distance_R / (scenes.intrinsics_NV33[n, v, 1, 1] * supersample) / (ray_R3 * normal_R3).sum(-1).abs().clamp_min(0.05)
    albedo_R3 = surface_colours(scenes.materials, n, p, own_R3, pixel_R)
    lit_R = sunlight_reaching(scenes.light, moments_NT2UU, n, t, point_R3)
    colour_R3 = _reflected(scenes, n, p, albedo_R3, normal_R3, ray_R3, point_R3, lit_R)
    haze_R1 = ((distance_R - 7) / 14).clamp(0, 1).square()[:, None]
    colour_QK3[tile_R, lane_R] = torch.lerp(colour_R3, scenes.light.horizon_N3[n], haze_R1)
    return colour_QK3


def _surface(solids: Solids, n: Tensor, t: Tensor, p: Tensor, point_R3: Tensor) -> tuple[Tensor, Tensor]:
    """Positions for textures (own frame, in world lengths) and unit normals, both [R, 3]. The ground's own frame is the world."""
    on_solid = (p < solids.length_NP.shape[1]).nonzero()[:, 0]
    own_R3 = point_R3.clone()
    normal_R3 = torch.zeros_like(point_R3)
    normal_R3[:, 1] = 1
    n, t, p = n[on_solid], t[on_solid], p[on_solid]
    frame_R33 = solids.frame_NTP33[n, t, p]
    size_R3 = frame_R33.square().sum(1)
    local_R3 = ((point_R3[on_solid] - solids.centre_NTP3[n, t, p])[:, :, None] * frame_R33).sum(1) / size_R3
    local_normal_R3 = own_normals(local_R3, solids.length_NP[n, p], solids.tip_NP[n, p], solids.box_NP[n, p])
    own_R3[on_solid] = local_R3 * size_R3.sqrt()
    normal_R3[on_solid] = normalize((frame_R33 * (local_normal_R3 / size_R3)[:, None]).sum(-1), dim=-1)
    return own_R3, normal_R3


def surface_colours(materials: Materials, n: Tensor, p: Tensor, own_R3: Tensor, pixel_R: Tensor) -> Tensor:
    """Albedo [R, 3] at positions in the solid's frame; patterns fade where they are finer than `pixel`, the length that a ray stands for."""
    waves_R33 = materials.waves_NP33[n, p]
    grain_R2, (cut_R, edge_R, warp_R) = materials.grain_NP2[n, p], materials.cut_edge_warp_NP3[n, p].unbind(-1)
    shift_R3 = materials.shift_NP3[n, p]
    noise_R2 = noise_at(own_R3 * grain_R2[:, :1] + shift_R3 * 5)
    fade_R = torch.exp(-(pixel_R * grain_R2[:, 0] * 0.5).square())
    phase_R3 = (waves_R33 * own_R3[:, None]).sum(-1) + shift_R3 + (warp_R * noise_R2[:, 0])[:, None]
    wave_R3 = torch.sin(phase_R3) * torch.exp(-(0.4 * pixel_R * waves_R33.abs().amax((1, 2))).square())[:, None]
    x, y, z = wave_R3.unbind(-1)
    stripes, checks, spots, noise = materials.mix_NP4[n, p].unbind(-1)
    value_R = stripes * x + checks * x * (y + z) + spots * (x + y + z) + noise * noise_R2[:, 0] * fade_R
    amount_R1 = torch.sigmoid(edge_R * (value_R - cut_R))[:, None]
    first, second, third = materials.colours_NP33[n, p].unbind(1)
    grain_R1 = (grain_R2[:, 1] * fade_R * (0.5 + 0.35 * noise_R2[:, 1]).clamp(0, 1))[:, None]
    return torch.lerp(torch.lerp(first, second, amount_R1), third, grain_R1)


def sunlight_reaching(light: Daylight, moments_NT2UU: Tensor, n: Tensor, t: Tensor, point_R3: Tensor) -> Tensor:
    """Share 0..1 of the sun [R] that reaches points; 1 beyond the reach of the sun's picture."""
    place_R3 = torch.einsum("rij,rj->ri", sun_frame(light.sun_N3)[n], point_R3)
    texel_R2 = (place_R3[:, :2] / SHADOW_REACH + 1) * SHADOW_SIZE / 2 - 0.5
    inside_R = ((texel_R2 >= 0) & (texel_R2 < SHADOW_SIZE - 1)).all(-1)
    corner_R2 = texel_R2.clamp(0, SHADOW_SIZE - 1.001).floor()
    share_u, share_v = (texel_R2 - corner_R2).clamp(0, 1).unbind(-1)
    u, v = corner_R2.long().unbind(-1)
    table = moments_NT2UU.movedim(2, -1).flatten(0, 3)
    base_R = ((n * moments_NT2UU.shape[1] + t) * SHADOW_SIZE + v) * SHADOW_SIZE + u
    weights = ((1 - share_u) * (1 - share_v), share_u * (1 - share_v), (1 - share_u) * share_v, share_u * share_v)
    steps = (0, 1, SHADOW_SIZE, SHADOW_SIZE + 1)
    mean_R, square_R = sum(weight[:, None] * table[base_R + step] for weight, step in zip(weights, steps, strict=True)).unbind(-1)
    below_R = mean_R - place_R3[:, 2] - 0.02
    variance_R = (square_R - mean_R.square()).clamp_min(3e-4)
    share_R = ((variance_R / (variance_R + below_R.square()) - 0.25) / 0.75).clamp_min(0)
    return torch.where((below_R > 0) & inside_R, share_R, 1)


def _reflected(scenes: Scenes, n: Tensor, p: Tensor, albedo_R3: Tensor, normal_R3: Tensor, ray_R3: Tensor, point_R3: Tensor, lit_R: Tensor) -> Tensor:
    """Lambert and a highlight under the sun, light from sky and ground, less of it close to the ground."""
    light, sun_R3 = scenes.light, scenes.light.sun_N3[n]
    facing_R = (normal_R3 * sun_R3).sum(-1).clamp_min(0) * lit_R
    half_R3 = normalize(sun_R3 - ray_R3, dim=-1)
    shine_R = (normal_R3 * half_R3).sum(-1).clamp_min(0).pow(30) * scenes.materials.gloss_NP1[n, p, 0] * lit_R
    ambient_R3 = torch.lerp(light.below_N3[n], light.above_N3[n], (0.5 + 0.5 * normal_R3[:, 1])[:, None])
    open_R = 0.55 + 0.45 * torch.maximum((point_R3[:, 1] / 0.35).clamp(0, 1), normal_R3[:, 1].clamp_min(0))
    return albedo_R3 * (ambient_R3 * open_R[:, None] + light.sun_colour_N3[n] * facing_R[:, None]) + light.sun_colour_N3[n] * shine_R[:, None]


def sky_colours(light: Daylight, n: Tensor, direction_R3: Tensor) -> Tensor:
    """Colours [R, 3] of the sky in unit directions: a gradient, and clouds on a plane above."""
    up_R = direction_R3[:, 1].clamp_min(0)
    clear_R3 = torch.lerp(light.horizon_N3[n], light.zenith_N3[n], up_R.sqrt()[:, None])
    plane_R3 = torch.nn.functional.pad(direction_R3[:, ::2] / (up_R + 0.12)[:, None] * 2.5, (0, 1)) + 7.3 * n[:, None].new_zeros(1)
    cloud_R = torch.sigmoid(3 * (noise_at(plane_R3)[:, 0] - 0.3)) * light.clouds_N[n] * (up_R * 6).clamp(0, 1)
    return torch.lerp(clear_R3, light.sun_colour_N3[n].clamp(0.5, 1), cloud_R[:, None])
