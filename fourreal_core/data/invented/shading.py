"""Colours of what rays meet: textures that stick to moving solids, sun with soft shadows, sky and haze. Used by render.py.

World: y up, ground at y = 0. Colours are linear RGB. Numbers come before samples here, so that each is contiguous.
Legend: N scenes, T times, P solids, D noise cells a side, R samples, J any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize, pad

from .shapes import Solids, own_normals

SHADOW_SIZE, SHADOW_REACH = 192, 4.5  # texels a side of the sun's picture, and half of its side in the world
NOISE_SIZE = 32  # cells a side of the noise that repeats
HAZE_FROM, HAZE_OVER = 7.0, 14.0


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
class Samples:
    """R rays and what they met: scene n and moment n * T + t, origin and unit direction [3, R], distance, solid (P the ground, P + 1 the sky), and the width
    that the ray stands for at distance 1, in world lengths."""

    scene_R: Tensor
    moment_R: Tensor
    origin_3R: Tensor
    ray_3R: Tensor
    distance_R: Tensor
    solid_R: Tensor
    spread_R: Tensor

    def at(self, index_J: Tensor) -> Samples:
        """Some of the samples."""
        return Samples(*(value[..., index_J] for value in vars(self).values()))


def _table(value: Tensor, indices: int) -> Tensor:
    """[numbers, entries] of a tensor whose first `indices` axes count entries."""
    return value.flatten(0, indices - 1).flatten(1).T.contiguous()


def _dot(a_3R: Tensor, b_3R: Tensor) -> Tensor:
    return a_3R[0] * b_3R[0] + a_3R[1] * b_3R[1] + a_3R[2] * b_3R[2]


def unit(a_3R: Tensor) -> Tensor:
    """The same directions with length 1 (much faster than `normalize` along the first axis)."""
    return a_3R * _dot(a_3R, a_3R).clamp_min(1e-20).rsqrt()


def sun_frame(sun_N3: Tensor) -> Tensor:
    """Orthonormal lines [N, 3, 3]: two across the light, the third towards the sun."""
    across_N3 = normalize(
        torch.linalg.cross(torch.tensor([0.3, 0.0, 1.0], device=sun_N3.device).expand_as(sun_N3), sun_N3), dim=-1
    )
    return torch.stack([across_N3, torch.linalg.cross(sun_N3, across_N3), sun_N3], 1)


class Shader:
    """Tables of some scenes, looked up by sample. shadow_moments: as render.py makes them, [2, N * T * U * U]."""

    def __init__(self, solids: Solids, materials: Materials, light: Daylight, shadow_moments: Tensor):
        self.count = solids.length_NP.shape[1]
        self.frames, self.centres = _table(solids.frame_NTP33, 3), _table(solids.centre_NTP3, 3)
        self.forms = _table(torch.stack([solids.length_NP, solids.tip_NP, solids.box_NP.float()], -1), 2)
        self.materials = torch.cat([_table(value, 2) for value in vars(materials).values()])
        self.widths = [value.shape[2:].numel() for value in vars(materials).values()]
        self.light, self.sun = light, sun_frame(light.sun_N3).permute(1, 2, 0)
        self.moments = shadow_moments

    def colours(self, samples: Samples) -> Tensor:
        """Colours [3, R]."""
        sky = (samples.solid_R > self.count).nonzero()[:, 0]
        ground = (samples.solid_R == self.count).nonzero()[:, 0]
        solid = (samples.solid_R < self.count).nonzero()[:, 0]
        colour_3R = torch.empty_like(samples.ray_3R)
        colour_3R[:, sky] = sky_colours(self.light, samples.at(sky))
        of_ground = samples.at(ground)
        point_3J = of_ground.origin_3R + of_ground.distance_R * of_ground.ray_3R
        up_3J = torch.tensor([[0.0], [1.0], [0.0]], device=point_3J.device).expand_as(point_3J)
        colour_3R[:, ground] = self._surface_colours(of_ground, point_3J, point_3J, up_3J)
        of_solid = samples.at(solid)
        colour_3R[:, solid] = self._surface_colours(of_solid, *self._on_solids(of_solid))
        return colour_3R

    def _on_solids(self, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
        """Points in the world, in the solid's own frame (world lengths), and unit normals in the world, each [3, R]."""
        entry_R = samples.moment_R * self.count + samples.solid_R
        frame_33R = self.frames[:, entry_R].view(3, 3, -1)
        size_3R = frame_33R.square().sum(0)
        point_3R = samples.origin_3R + samples.distance_R * samples.ray_3R
        arm_3R = point_3R - self.centres[:, entry_R]
        local_3R = (arm_3R[:, None] * frame_33R).sum(0) / size_3R
        length_R, tip_R, box_R = self.forms[:, samples.scene_R * self.count + samples.solid_R]
        normal_3R = own_normals(local_3R, length_R, tip_R, box_R > 0) / size_3R
        return point_3R, local_3R * size_3R.sqrt(), unit((frame_33R * normal_3R).sum(1))

    def _surface_colours(self, samples: Samples, point_3R: Tensor, own_3R: Tensor, normal_3R: Tensor) -> Tensor:
        numbers = self.materials[:, samples.scene_R * (self.count + 1) + samples.solid_R].split(self.widths)
        pixel_R = samples.distance_R * samples.spread_R / _dot(samples.ray_3R, normal_3R).abs().clamp_min(0.05)
        albedo_3R = texture(numbers, own_3R, pixel_R)
        lit_R = self._sunlight(samples, point_3R)
        colour_3R = _reflected(self.light, samples, albedo_3R, numbers[-1][0], point_3R, normal_3R, lit_R)
        haze_R = ((samples.distance_R - HAZE_FROM) / HAZE_OVER).clamp(0, 1).square()
        return torch.lerp(colour_3R, self.light.horizon_N3.T[:, samples.scene_R], haze_R)

    def _sunlight(self, samples: Samples, point_3R: Tensor) -> Tensor:
        """Share 0..1 of the sun [R] that reaches points; 1 beyond the reach of the sun's picture."""
        sun_33R = self.sun[..., samples.scene_R]
        texel_2R = ((sun_33R[:2] * point_3R).sum(1) / SHADOW_REACH + 1) * SHADOW_SIZE / 2 - 0.5
        inside_R = ((texel_2R >= 0) & (texel_2R < SHADOW_SIZE - 1)).all(0)
        corner_2R = texel_2R.clamp(0, SHADOW_SIZE - 1.001).floor()
        u, v = (texel_2R - corner_2R).clamp(0, 1)
        entry_R = (samples.moment_R * SHADOW_SIZE + corner_2R[1].long()) * SHADOW_SIZE + corner_2R[0].long()
        weights = ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)
        steps = (0, 1, SHADOW_SIZE, SHADOW_SIZE + 1)
        corners = [weight * self.moments[:, entry_R + step] for weight, step in zip(weights, steps, strict=True)]
        mean_R, square_R = corners[0] + corners[1] + corners[2] + corners[3]
        below_R = mean_R - _dot(sun_33R[2], point_3R) - 0.02
        variance_R = (square_R - mean_R.square()).clamp_min(3e-4)
        share_R = ((variance_R / (variance_R + below_R.square()) - 0.25) / 0.75).clamp_min(0)
        return torch.where((below_R > 0) & inside_R, share_R, 1)


@lru_cache(maxsize=4)
def noise_volume(device: torch.device) -> Tensor:
    """Smooth noise [1, 2, D, D, D] of mean 0 and deviation about 1 that repeats: coarse with some detail, and fine."""
    generator = torch.Generator().manual_seed(20260101)
    size = NOISE_SIZE
    frequency = torch.fft.fftfreq(size, 1 / size)
    radius = torch.stack(torch.meshgrid(frequency, frequency, frequency, indexing="ij")).norm(dim=0)
    spectra = torch.stack(
        [(radius > 0) * (1 + (radius / 3) ** 2.6) ** -1 * (radius < 14), torch.exp(-(((radius - 8) / 3) ** 2))]
    )
    noise = torch.fft.ifftn(
        torch.fft.fftn(torch.randn(2, size, size, size, generator=generator), dim=(1, 2, 3)) * spectra, dim=(1, 2, 3)
    ).real
    noise = noise / noise.std(dim=(1, 2, 3), keepdim=True)
    # One cell more on each side, so that interpolation runs on over the border.
    return torch.nn.functional.pad(noise[None], (1, 1, 1, 1, 1, 1), mode="circular").to(device)


def noise_at(point_3R: Tensor) -> Tensor:
    """Both noises [2, R] at points in units of noise cells (they repeat every 32)."""
    place_R3 = ((torch.remainder(point_3R, NOISE_SIZE) + 1.0) / (NOISE_SIZE + 2) * 2 - 1).T
    return grid_sample(
        noise_volume(point_3R.device), place_R3.reshape(1, -1, 1, 1, 3), align_corners=False, padding_mode="border"
    ).view(2, -1)


def texture(numbers: tuple[Tensor, ...], own_3R: Tensor, pixel_R: Tensor) -> Tensor:
    """Albedo [3, R] by the numbers of Materials [width, R], at positions in the solid's frame; patterns fade where they are finer than `pixel`, the length that
    a sample stands for."""
    colours_9R, waves_9R, shift_3R, (stripes, checks, spots, noise), (cut_R, edge_R, warp_R), (grain_R, share_R), _ = (
        numbers
    )
    waves_33R = waves_9R.view(3, 3, -1)
    noise_2R = noise_at(own_3R * grain_R + shift_3R * 5)
    fade_R = torch.exp(-(0.5 * pixel_R * grain_R).square())
    phase_3R = (waves_33R * own_3R).sum(1) + shift_3R + warp_R * noise_2R[0]
    x, y, z = torch.sin(phase_3R) * torch.exp(-(0.4 * pixel_R).square() * waves_33R[0].square().sum(0))
    value_R = stripes * x + checks * x * (y + z) + spots * (x + y + z) + noise * noise_2R[0] * fade_R
    first, second, third = colours_9R.view(3, 3, -1)
    pattern_3R = torch.lerp(first, second, torch.sigmoid(edge_R * (value_R - cut_R)))
    return torch.lerp(pattern_3R, third, share_R * fade_R * (0.5 + 0.35 * noise_2R[1]).clamp(0, 1))


def _reflected(
    light: Daylight,
    samples: Samples,
    albedo_3R: Tensor,
    gloss_R: Tensor,
    point_3R: Tensor,
    normal_3R: Tensor,
    lit_R: Tensor,
) -> Tensor:
    """Lambert and a highlight under the sun, light from sky and ground, less of it close to the ground."""
    sun_3R, sun_colour_3R, above_3R, below_3R = (
        value.T[:, samples.scene_R] for value in (light.sun_N3, light.sun_colour_N3, light.above_N3, light.below_N3)
    )  # fmt: skip
    facing_R = _dot(normal_3R, sun_3R).clamp_min(0)
    halfway_3R = unit(sun_3R - samples.ray_3R)
    shine_R = _dot(normal_3R, halfway_3R).clamp_min(0).pow(30) * gloss_R
    open_R = 0.55 + 0.45 * torch.maximum((point_3R[1] / 0.35).clamp(0, 1), normal_3R[1].clamp_min(0))
    ambient_3R = torch.lerp(below_3R, above_3R, 0.5 + 0.5 * normal_3R[1]) * open_R
    return albedo_3R * ambient_3R + sun_colour_3R * (lit_R * (albedo_3R * facing_R + shine_R))


def sky_colours(light: Daylight, samples: Samples) -> Tensor:
    """Colours [3, R] of the sky: a gradient, and clouds on a plane above."""
    n, up_R = samples.scene_R, samples.ray_3R[1].clamp_min(0)
    clear_3R = torch.lerp(light.horizon_N3.T[:, n], light.zenith_N3.T[:, n], up_R.sqrt())
    plane_3R = pad(samples.ray_3R[::2] / (up_R + 0.12) * 2.5, (0, 0, 0, 1))
    cloud_R = torch.sigmoid(3 * (noise_at(plane_3R)[0] - 0.3)) * light.clouds_N[n] * (up_R * 6).clamp(0, 1)
    return torch.lerp(clear_3R, light.sun_colour_N3.T[:, n].clamp(0.5, 1), cloud_R)
