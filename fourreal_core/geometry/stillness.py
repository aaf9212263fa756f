"""What the pictures themselves prove to be still, whatever it looks like.

The label network (movers.py) knows movers by their looks too, and takes a stuffed fox for a live one. But where a textured place of the base
view keeps its colours at every time, nothing has moved there; depth brings that to the other views, and what no picture decides follows the
evidence around it. On real rooms with a moving animal in them this removes whole pieces of furniture from what moves, and on rendered scenes
nothing that does. [ours] Next to read: following.py. Shape suffixes: V views, T times, N maps, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .projection import Camera, pixel_centres, transfer

WINDOW = 5  # pixels over which colours and their slopes are averaged
TEXTURED = 0.02  # mean slope, in colour per pixel, from which motion would be seen
UNMOVED = 0.35  # pixels: a change of colour of less than this much times the slope is no motion
CHANGED = 0.015  # mean change of colour that is one, whatever the slope
NOISE = 1.5  # times the median change, which most pixels owe to noise and light
SAME = 0.06  # share of inverse depth by which two views may disagree about one surface
WHOLLY = 0.7  # share of a pixel's neighbours in the base view that must be evidence
AROUND = (7, 13, 25)  # windows in which evidence is looked for, until one has enough
LEAST = 0.04  # share of a window that is enough
STILL = 0.75  # share of the evidence around from which a pixel without any is still


def keeps_moving(fixed_THW3: Tensor, depth_VHW: Tensor, cameras: Sequence[Camera], base: tuple[int, int]) -> Tensor:
    """[V, H, W] bool: False where a pixel at the base time cannot belong to what moves; those of the base view hold for all its times.

    fixed: the base view at all times, 0..1; depth: inverse depth of every view at the base time; base: its view and time.
    """
    evidence_2HW = torch.stack(evidence(fixed_THW3, base[1])).float()
    still, moving = _in_every_view(evidence_2HW, depth_VHW, cameras, base[0]).unbind(1)
    return (still < 0.5) & ((moving > 0.5) | (_share_still_around(still, moving) <= STILL))


def evidence(fixed_THW3: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Two maps [H, W] bool: textured places that never change, and places that change at some time. Elsewhere nothing is known."""
    first_HW3 = fixed_THW3[start]
    across = functional.pad((first_HW3[:, 1:] - first_HW3[:, :-1]).abs().amax(-1), (0, 1))
    down = functional.pad((first_HW3[1:] - first_HW3[:-1]).abs().amax(-1), (0, 0, 0, 1))
    slope_HW = _averaged(((across + down) / 2)[None], WINDOW)[0]
    change_HW = _averaged((fixed_THW3 - first_HW3).abs().amax(-1), WINDOW).amax(0)
    change_HW = (change_HW - NOISE * change_HW.median()).clamp_min(0)
    still = (slope_HW > TEXTURED) & (change_HW < UNMOVED * slope_HW)
    return still, ~still & (change_HW >= (UNMOVED * slope_HW).clamp_min(CHANGED))


def _in_every_view(evidence_2HW: Tensor, depth_VHW: Tensor, cameras: Sequence[Camera], base: int) -> Tensor:
    """[V, 2, H, W] 0 or 1: the evidence as every view sees it, where the base view sees the same surface."""
    _, height, width = evidence_2HW.shape
    maps_13HW = torch.cat([evidence_2HW, depth_VHW[base][None]])[None]
    seen = []
    for view, camera in enumerate(cameras):
        if view == base:
            seen.append(evidence_2HW)
            continue
        position, inverse = transfer(pixel_centres(height, width), depth_VHW[view], *camera, *cameras[base])
        place = (position / torch.tensor([width, height]) * 2 - 1)[None]
        read = functional.grid_sample(maps_13HW[:, :2], place, align_corners=False)[0]
        there = functional.grid_sample(maps_13HW[:, 2:], place, mode="nearest", align_corners=False)[0, 0]
        seen.append(((read > WHOLLY) & ((inverse - there).abs() < SAME * there)).float())
    return torch.stack(seen)


def _share_still_around(still_NHW: Tensor, moving_NHW: Tensor) -> Tensor:
    """[N, H, W]: the share of the evidence around each pixel that says still, in the smallest window with enough; 0.5 without any."""
    share, open_NHW = torch.full_like(still_NHW, 0.5), torch.ones_like(still_NHW, dtype=torch.bool)
    for size in AROUND:
        around_still, around_moving = _averaged(still_NHW, size), _averaged(moving_NHW, size)
        total = around_still + around_moving
        decides = open_NHW & (total > LEAST)
        share, open_NHW = torch.where(decides, around_still / total.clamp_min(1e-6), share), open_NHW & ~decides
    return share


def _averaged(maps_NHW: Tensor, size: int) -> Tensor:
    """Means over square windows; the border is repeated."""
    padded = functional.pad(maps_NHW[:, None], (size // 2,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, size, 1)[:, 0]
