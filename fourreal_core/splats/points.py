"""Where the Gaussians of a fit start: points on the surfaces that the views show at one time, more where there is more to see. Next to read: trainable.py.

Shape suffixes: V views, H W pixels, P points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..geometry.projection import NEAREST, Camera, pixel_centres, project, unproject

SAMPLE = 9216  # pixels (128 x 72) at which a point stands for one pixel of full detail
FINER = (
    0.32  # larger pictures need fewer points per pixel: their number grows with the pixels to the power of 1 - FINER
)
PLAIN = 0.35  # weight of a pixel without any detail
DETAIL = 0.08  # change of grey per pixel that counts as full detail
FARTHEST = 100.0  # typical depths
SAME = 0.06  # relative difference of inverse depths up to which two views see one surface
MOST_POINTS = 200_000
FEWEST_POINTS = 64
PLACE = 0.6  # standard deviation of a Gaussian, of the distance to the next


@dataclass(frozen=True)
class Points:
    """positions [P, 3]; colours [P, 3] 0..1; sizes [P]: the standard deviation that covers the surface; pixels [P]: a pixel's width there."""

    positions_P3: Tensor
    colours_P3: Tensor
    sizes_P: Tensor
    pixels_P: Tensor


def starting_points(
    frames_VHW3: Tensor, inverse_depth_VHW: Tensor, cameras: list[Camera], order: list[int], count: int = 0
) -> Points:
    """Points of the first view in `order`, then of each other view what those before do not explain. count: 0 lets the pictures decide.

    Inverse depths in 1 over the cameras' unit, which is a typical depth.
    """
    places, colours, weights, widths = [], [], [], []
    height, width = frames_VHW3.shape[1:3]
    centres = pixel_centres(height, width)
    for view in order:
        inverse_HW = inverse_depth_VHW[view].clamp(1 / FARTHEST, 1 / NEAREST)
        needed_HW = _unexplained(places, inverse_HW, cameras[view])
        pose, lens = cameras[view]
        places.append(unproject(centres[needed_HW], inverse_HW[needed_HW], pose, lens))
        colours.append(frames_VHW3[view][needed_HW])
        weights.append((PLAIN + (1 - PLAIN) * detail(frames_VHW3[view]))[needed_HW])
        widths.append(1 / (inverse_HW[needed_HW] * lens[0, 0]))
    place, colour, weight, pixel = torch.cat(places), torch.cat(colours), torch.cat(weights), torch.cat(widths)
    wanted = count or round(float(weight.sum()) * (SAMPLE / (height * width)) ** FINER)
    wanted = min(max(wanted, FEWEST_POINTS), len(place), MOST_POINTS)
    # Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: the largest of u^(1 / weight)
    draws = torch.rand(len(place), generator=torch.Generator().manual_seed(0)).clamp_min(1e-12)
    chosen = (draws.log() / weight).topk(wanted).indices
    share = (wanted * weight / weight.sum()).clamp(0.05, 1)[chosen]
    return Points(place[chosen], colour[chosen], PLACE * pixel[chosen] / share.sqrt(), pixel[chosen])


def detail(frame_HW3: Tensor) -> Tensor:
    """[H, W] 0..1: how much changes around each pixel."""
    grey = functional.pad(frame_HW3.mean(-1)[None, None], (1, 1, 1, 1), mode="replicate")
    across, upright = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]) / 2, (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]) / 2
    strength = functional.avg_pool2d(functional.pad(across.abs() + upright.abs(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (strength[0, 0] / DETAIL).clamp(0, 1)


def _unexplained(places: list[Tensor], inverse_HW: Tensor, camera: Camera) -> Tensor:
    """Bool [H, W]: no earlier point lies on the surface that this view sees here; single pixels do not count."""
    height, width = inverse_HW.shape
    if not places:
        return torch.ones(height, width, dtype=torch.bool)
    pixels, inverse = project(torch.cat(places), *camera)
    column, line = pixels.floor().long().unbind(-1)
    inside = (inverse > 0) & (column >= 0) & (column < width) & (line >= 0) & (line < height)
    place = (line * width + column)[inside]
    same = (inverse[inside] - inverse_HW.flatten()[place]).abs() < SAME * (inverse_HW.flatten()[place] + 0.3)
    seen = torch.zeros(height * width)
    seen[place[same]] = 1
    seen = functional.max_pool2d(seen.view(1, 1, height, width), 3, 1, 1)
    return functional.avg_pool2d(1 - seen, 3, 1, 1)[0, 0] > 0.45
