"""Points carried to another camera with a depth buffer: which pixel of a source is seen where. Used by candidates.py.

Each pixel of the target learns from where in the source it is seen, so that colours are read once, sharply, with a cubic kernel.
Shape suffixes: N source pixels, H W target pixels, C values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .projection import depth_unit

COVERED = 0.35  # least sum of bilinear weights with which a target pixel counts as hit
STRETCHED = 1.5  # pixels that neighbours come apart, up to which one point between them is enough
FINER = 3  # beyond that: points between neighbours, to each side, that close a surface
OWN = 0.25  # of a source pixel that is at its centre, the rest is spread between it and its neighbours
EDGE = 0.5  # of a target pixel that the centre of a source pixel covers: what lies beyond the last centres
TORN = 0.93  # ratio of inverse depths of neighbours below which a surface is torn between them
FAR = 0.02  # of the common inverse depth: by that much neighbours may always differ, so that the sky is one surface
FARTHEST = 6.0  # pixels that neighbours may come apart
SAME_DEPTH = 0.02  # share of the inverse depth within which hits on one pixel belong to one surface


@dataclass(frozen=True)
class Splat:
    """What arrived at each pixel of the target."""

    values_HWC: Tensor  # means of the carried values; 0 where nothing arrived
    inverse_depth_HW: Tensor  # of the nearest surface that arrived; 0 where nothing did
    cover_HW: Tensor  # sum of bilinear weights of points, or share of the pixel that a surface covers, 0..1
    density_HW: Tensor  # source pixels per target pixel. splat: points, each one source pixel, so it equals cover_HW.
    # splat_surface: 1 where a surface is seen as large as in the source, 1/4 at twice that size, 4 at half; its cover_HW is then 1 all the same

    @property
    def hit_HW(self) -> Tensor:
        return self.cover_HW > COVERED


Points = tuple[Tensor, Tensor, Tensor]  # positions [N, 2] in pixels, inverse depths [N], values [N, C]


def splat(positions_N2: Tensor, inverse_depth_N: Tensor, values_NC: Tensor, height: int, width: int) -> Splat:
    """Carry N points to pixels (x, y; centres at +0.5), the nearest surface on each pixel only. Points behind the camera have inverse depth < 0.

    Where the target sees things larger, gaps open between the points, and cover and density, here the same, fall together.
    """
    return _splat(lambda: iter([(positions_N2, inverse_depth_N, values_NC)]), values_NC.shape[1], height, width)


def _splat(parts: Callable[[], Iterator[Points]], channels: int, height: int, width: int) -> Splat:
    """parts() gives the points piece by piece, twice: first the nearest surface is found, then what lies on it is added up."""
    front = torch.full((height * width,), -1.0)
    for positions_N2, depth_N, _ in parts():
        for index, share, depth in _on_pixels(positions_N2, depth_N[:, None], height, width):
            front.scatter_reduce_(0, index, torch.where(share > 0.15, depth[:, 0], -1.0), "amax")
    total = torch.zeros(height * width, channels + 2)
    for positions_N2, depth_N, values_NC in parts():
        told_NC = torch.cat([depth_N[:, None], values_NC, torch.ones_like(depth_N[:, None])], 1)
        for index, share, told in _on_pixels(positions_N2, told_NC, height, width):
            share = share * (told[:, 0] >= front[index] * (1 - SAME_DEPTH) - 1e-6)
            total.index_add_(0, index, told * share[:, None])
    mean = (total[:, :-1] / total[:, -1:].clamp_min(1e-6)).view(height, width, -1)
    cover = total[:, -1].view(height, width)
    return Splat(mean[..., 1:], mean[..., 0], cover, cover)


def _on_pixels(
    positions_N2: Tensor, told_NC: Tensor, height: int, width: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each of the four pixels around a point: its index, the bilinear share, and what the point tells, inverse depth first."""
    x_N, y_N = (positions_N2 - 0.5).unbind(-1)
    kept = (told_NC[:, 0] >= 0) & (x_N > -1) & (y_N > -1) & (x_N < width) & (y_N < height)
    if not bool(kept.all()):
        x_N, y_N, told_NC = x_N[kept], y_N[kept], told_NC[kept]
    left, top = x_N.floor(), y_N.floor()
    across = [_on_line(x_N, left + dx, width) for dx in (0, 1)]
    for y, share_y in [_on_line(y_N, top + dy, height) for dy in (0, 1)]:
        for x, share_x in across:
            yield y * width + x, share_x * share_y, told_NC


def _on_line(place_N: Tensor, pixel_N: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Indices of pixels kept within 0..side - 1, and the shares that points have of them along one axis, 0 outside."""
    share = (1 - (place_N - pixel_N).abs()) * ((pixel_N >= 0) & (pixel_N < side))
    return pixel_N.clamp(0, side - 1).long(), share


def splat_surface(
    positions_HW2: Tensor, inverse_depth_HW: Tensor, values_HWC: Tensor, chosen_HW: Tensor, height: int, width: int
) -> Splat:
    """Carry the chosen pixels of a picture as a surface, as `splat` carries points.

    Between four neighbours that belong together it is closed, so that no holes open where the target sees it larger; at jumps of depth it is torn.
    Cover then says how much of a pixel the surface covers, at most 1, and density how finely the source saw it.
    """
    told_HWK = torch.cat([positions_HW2, inverse_depth_HW[..., None], values_HWC], -1)
    around = _around(chosen_HW)
    told_HWK, chosen_HW = told_HWK[around], chosen_HW[around]
    corners_4HWK = torch.stack([told_HWK[:-1, :-1], told_HWK[:-1, 1:], told_HWK[1:, :-1], told_HWK[1:, 1:]])
    kept = chosen_HW[:-1, :-1] & chosen_HW[:-1, 1:] & chosen_HW[1:, :-1] & chosen_HW[1:, 1:]
    depth_4HW, place_4HW2 = corners_4HWK[..., 2], corners_4HWK[..., :2]
    nearest, farthest = depth_4HW.amax(0), depth_4HW.amin(0)
    far = FAR * depth_unit(told_HWK[..., 2][chosen_HW]) if bool(chosen_HW.any()) else 0.0
    together = (farthest >= TORN * nearest - far) & (farthest >= 0)
    reach_HW = (place_4HW2.amax(0) - place_4HW2.amin(0)).amax(-1)
    closed_HW = kept & together & (reach_HW < FARTHEST)
    small_HW = reach_HW < STRETCHED
    quads = [(corners_4HWK[:, closed_HW & small_HW], 1), (corners_4HWK[:, closed_HW & ~small_HW], FINER)]
    own_NK = told_HWK[chosen_HW]
    own_counts_N2 = torch.tensor([OWN, EDGE]).expand(len(own_NK), 2)

    def parts() -> Iterator[Points]:
        yield own_NK[:, :2], own_NK[:, 2], torch.cat([own_NK[:, 3:], own_counts_N2], 1)
        for corners_4NK, finer in quads:
            if corners_4NK.shape[1]:
                yield from _between(corners_4NK, finer)

    arrived = _splat(parts, values_HWC.shape[-1] + 2, height, width)
    density, cover = (arrived.values_HWC[..., -2:] * arrived.cover_HW[..., None]).unbind(-1)
    return Splat(arrived.values_HWC[..., :-2], arrived.inverse_depth_HW, cover.clamp_max(1), density)


def _around(chosen_HW: Tensor) -> tuple[slice, slice]:
    """The rows and columns that hold all chosen pixels: what moves is often a small part of a picture."""
    rows, columns = (chosen_HW.any(1 - axis).nonzero().flatten().tolist() or [0] for axis in (0, 1))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _between(corners_4NK: Tensor, finer: int) -> Iterator[Points]:
    """finer^2 points inside each quadrilateral, which share its pixel of the source, but for OWN, and its area."""
    area_N = _areas(corners_4NK[..., :2])
    counts_N2 = torch.stack([torch.full_like(area_N, 1 - OWN), area_N], 1) / finer**2
    shares = [(number + 0.5) / finer for number in range(finer)]
    for down in shares:
        for along in shares:
            weights = [(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along]
            inner_NK = torch.einsum("c,cnk->nk", torch.tensor(weights), corners_4NK)
            yield inner_NK[:, :2], inner_NK[:, 2], torch.cat([inner_NK[:, 3:], counts_N2], 1)


def _areas(corners_4N2: Tensor) -> Tensor:
    """[N]: of quadrilaterals, in the order of their corners: upper left, upper right, lower left, lower right."""
    right, down, across = (corner - corners_4N2[0] for corner in corners_4N2[1:])

    def half(one_N2: Tensor, other_N2: Tensor) -> Tensor:
        return (one_N2[:, 0] * other_N2[:, 1] - one_N2[:, 1] * other_N2[:, 0]).abs() / 2

    return half(right, across) + half(across, down)


def read_cubic(picture_HWC: Tensor, positions_HW2: Tensor) -> Tensor:
    """[h, w, C]: a picture read at positions (x, y; centres at +0.5) with a cubic kernel, kept within 0..1; the border is repeated."""
    height, width = picture_HWC.shape[:2]
    grid = positions_HW2 / torch.tensor([width, height], dtype=positions_HW2.dtype) * 2 - 1
    read = functional.grid_sample(
        picture_HWC.movedim(-1, 0)[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )
    return read[0].movedim(0, -1).clamp(0, 1)


def fill_holes(values_HWC: Tensor, known_HW: Tensor) -> Tensor:
    """Unknown pixels get the average of their surroundings, coarse to fine (pull-push); known is 0..1."""
    return _fill_level(values_HWC.movedim(-1, 0)[None], known_HW[None, None])[0].movedim(0, -1)


def _fill_level(values_1CHW: Tensor, known_11HW: Tensor) -> Tensor:
    if float(known_11HW.min()) >= 1:
        return values_1CHW
    weight = known_11HW + 1e-9
    if min(known_11HW.shape[-2:]) < 2:
        mean = (values_1CHW * weight).sum((2, 3), keepdim=True) / weight.sum()
        return mean + known_11HW * (values_1CHW - mean)
    small_weight = functional.avg_pool2d(weight, 2, ceil_mode=True)
    small = functional.avg_pool2d(values_1CHW * weight, 2, ceil_mode=True) / small_weight
    small = _fill_level(small, (4 * functional.avg_pool2d(known_11HW, 2, ceil_mode=True)).clamp(0, 1))
    filled = functional.interpolate(small, size=known_11HW.shape[-2:], mode="bilinear", align_corners=False)
    return filled + known_11HW * (values_1CHW - filled)
