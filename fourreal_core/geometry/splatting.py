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

from ..side_by_side import ask
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
MOST_KEPT = 2**21  # points whose pixels are kept from the first pass to the second; those of more are found again
AT_ONCE = 2**18  # points worked on at a time: more are no faster, and a cancel shall not wait for a whole large picture


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


Piece = tuple[
    Tensor, Tensor, Tensor
]  # indices [4 N] of pixels around N points, bilinear shares [4 N], and what the points tell [K, N]


def splat(positions_N2: Tensor, inverse_depth_N: Tensor, values_NC: Tensor, height: int, width: int) -> Splat:
    """Carry N points to pixels (x, y; centres at +0.5), the nearest surface on each pixel only. Points behind the camera have inverse depth < 0.

    Where the target sees things larger, gaps open between the points, and cover and density, here the same, fall together.
    """
    points_KN = torch.cat([positions_N2.T, inverse_depth_N[None], values_NC.T])
    return _splat(lambda: iter([points_KN]), values_NC.shape[1], height, width)


def _splat(parts: Callable[[], Iterator[Tensor]], channels: int, height: int, width: int) -> Splat:
    """parts() gives points [3 + C, N] piece by piece: x, y, inverse depth, values; pieces of any size. First the nearest surface is found, then what lies on it is added up."""
    front = torch.full((height * width,), -1.0)
    kept: list[Piece] = []
    count = 0
    for piece in _on_pixels(parts(), height, width):
        index, share, told_KN = piece
        front.scatter_reduce_(0, index, torch.where(share > 0.15, told_KN[0].repeat(4), -1.0), "amax")
        count += told_KN.shape[1]
        if count <= MOST_KEPT:
            kept.append(piece)
    least = front * (1 - SAME_DEPTH) - 1e-6
    total = torch.zeros(channels + 2, height * width)
    for index, share, told_KN in kept if count <= MOST_KEPT else _on_pixels(parts(), height, width):
        share_4N = (share * (told_KN[0].repeat(4) >= least[index])).view(4, -1)
        for line, told_N in zip(total, told_KN):
            line.index_add_(0, index, (told_N * share_4N).view(-1))
        total[-1].index_add_(0, index, share_4N.view(-1))
    mean = (total[:-1] / total[-1].clamp_min(1e-6)).view(-1, height, width)
    cover = total[-1].view(height, width)
    return Splat(mean[1:].movedim(0, -1), mean[0], cover, cover)


def _on_pixels(parts: Iterator[Tensor], height: int, width: int) -> Iterator[Piece]:
    """Of each piece of points, the four pixels around each: their indices, the bilinear shares, and what the points tell, inverse depth first."""
    size_21, steps_211 = torch.tensor([[width], [height]]), torch.tensor([0, 1])[:, None, None]
    for points_KN in (piece for part in parts for piece in part.split(AT_ONCE, 1)):
        ask()
        place_2N = points_KN[:2] - 0.5
        kept = (points_KN[2] >= 0) & ((place_2N > -1) & (place_2N < size_21)).all(0)
        if not bool(kept.all()):
            points_KN, place_2N = points_KN[:, kept], place_2N[:, kept]
        pixel_22N = place_2N.floor() + steps_211  # two to each side, across and down
        share_22N = (1 - (place_2N - pixel_22N).abs()) * ((pixel_22N >= 0) & (pixel_22N < size_21))
        column_2N, row_2N = pixel_22N.long().clamp_(torch.zeros_like(size_21), size_21 - 1).unbind(1)
        across_2N, down_2N = share_22N.unbind(1)
        index_22N = row_2N[:, None] * width + column_2N
        yield index_22N.flatten(), (down_2N[:, None] * across_2N).flatten(), points_KN[2:]


def splat_surface(
    positions_HW2: Tensor, inverse_depth_HW: Tensor, values_HWC: Tensor, chosen_HW: Tensor, height: int, width: int
) -> Splat:
    """Carry the chosen pixels of a picture as a surface, as `splat` carries points.

    Between four neighbours that belong together it is closed, so that no holes open where the target sees it larger; at jumps of depth it is torn.
    Cover then says how much of a pixel the surface covers, at most 1, and density how finely the source saw it.
    """
    around = pixels_around(chosen_HW)
    chosen_HW = chosen_HW[around]
    told_KHW = torch.cat(
        [
            positions_HW2[around].movedim(-1, 0),
            inverse_depth_HW[around][None],
            values_HWC[around].movedim(-1, 0),
        ]
    )
    told_KN, own_N = told_KHW.flatten(1), chosen_HW.flatten().nonzero()[:, 0]
    own_KN = told_KN[:, own_N]
    own_counts_2N = torch.tensor([OWN, EDGE])[:, None].expand(2, len(own_N))
    ask()
    quads = [(_first_corners(quads_HW), finer) for quads_HW, finer in _quads(told_KHW, chosen_HW)]

    def parts() -> Iterator[Tensor]:
        yield torch.cat([own_KN, own_counts_2N])
        for first_N, finer in quads:
            for some_N in first_N.split(AT_ONCE // finer**2) if len(first_N) else ():
                yield _between(_corners(told_KN, told_KHW.shape[2], some_N), finer)

    arrived = _splat(parts, values_HWC.shape[-1] + 2, height, width)
    density, cover = (arrived.values_HWC[..., -2:] * arrived.cover_HW[..., None]).unbind(-1)
    return Splat(arrived.values_HWC[..., :-2], arrived.inverse_depth_HW, cover.clamp_max(1), density)


def pixels_around(chosen_HW: Tensor) -> tuple[slice, slice]:
    """The rows and columns that hold all chosen pixels: what moves is often a small part of a picture."""
    rows, columns = (chosen_HW.any(1 - axis).nonzero().flatten().tolist() or [0] for axis in (0, 1))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _quads(told_KHW: Tensor, chosen_HW: Tensor) -> list[tuple[Tensor, int]]:
    """Masks [H-1, W-1] of the upper left pixels of four that belong together, and how many points between them they need to each side."""

    def over_corners(values_HW: Tensor, better: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        pairs_HW = better(values_HW[:, :-1], values_HW[:, 1:])
        return better(pairs_HW[:-1], pairs_HW[1:])

    x_HW, y_HW, depth_HW = told_KHW[:3]
    kept = over_corners(chosen_HW, torch.logical_and)
    nearest, farthest = over_corners(depth_HW, torch.maximum), over_corners(depth_HW, torch.minimum)
    far = FAR * depth_unit(depth_HW[chosen_HW]) if bool(chosen_HW.any()) else 0.0
    together = (farthest >= TORN * nearest - far) & (farthest >= 0)
    reach_HW = torch.maximum(
        *(over_corners(place, torch.maximum) - over_corners(place, torch.minimum) for place in (x_HW, y_HW))
    )
    closed_HW = kept & together & (reach_HW < FARTHEST)
    small_HW = reach_HW < STRETCHED
    return [(closed_HW & small_HW, 1), (closed_HW & ~small_HW, FINER)]


def _first_corners(quads_HW: Tensor) -> Tensor:
    """[N]: indices of the upper left corners of quadrilaterals in the picture, which is one pixel wider than the mask [H-1, W-1]."""
    row_N, column_N = quads_HW.nonzero(as_tuple=True)
    return row_N * (quads_HW.shape[1] + 1) + column_N


def _corners(told_KN: Tensor, width: int, first_N: Tensor) -> Tensor:
    """[4, K, N]: what the pixels at the corners of quadrilaterals tell: upper left, upper right, lower left, lower right."""
    return torch.stack([told_KN[:, first_N + away] for away in (0, 1, width, width + 1)])


def _between(corners_4KN: Tensor, finer: int) -> Tensor:
    """[K + 2, finer^2 N]: points inside each quadrilateral, which share its pixel of the source, but for OWN, and its area."""
    area_N = _areas(corners_4KN[:, :2])
    counts_2N = torch.stack([torch.full_like(area_N, 1 - OWN), area_N]) / finer**2
    later = (torch.arange(finer) + 0.5) / finer
    ends = torch.stack([1 - later, later])
    weights_4S = (ends[:, None, :, None] * ends[None, :, None]).view(4, -1)
    points_KSN = torch.einsum("cs,ckn->ksn", weights_4S, corners_4KN)
    return torch.cat([points_KSN, counts_2N[:, None].expand(-1, finer**2, -1)]).flatten(1)


def _areas(corners_42N: Tensor) -> Tensor:
    """[N]: of quadrilaterals, in the order of their corners: upper left, upper right, lower left, lower right."""
    right, down, across = (corner - corners_42N[0] for corner in corners_42N[1:])

    def half(one_2N: Tensor, other_2N: Tensor) -> Tensor:
        return (one_2N[0] * other_2N[1] - one_2N[1] * other_2N[0]).abs() / 2

    return half(right, across) + half(across, down)


def read_cubic(picture_HWC: Tensor, positions_HW2: Tensor) -> Tensor:
    """[h, w, C]: a picture read at positions (x, y; centres at +0.5) with a cubic kernel, kept within 0..1; the border is repeated."""
    height, width = picture_HWC.shape[:2]
    grid = positions_HW2 / torch.tensor([width, height], dtype=positions_HW2.dtype) * 2 - 1
    picture_1CHW, lines = picture_HWC.movedim(-1, 0)[None], max(1, AT_ONCE // max(1, grid.shape[1]))
    bands = []
    for band_hw2 in grid.split(lines):
        ask()
        read = functional.grid_sample(
            picture_1CHW, band_hw2[None], mode="bicubic", padding_mode="border", align_corners=False
        )
        bands.append(read[0].clamp_(0, 1))
    return torch.cat(bands, 1).movedim(0, -1)


def fill_holes(values_HWC: Tensor, known_HW: Tensor) -> Tensor:
    """Unknown pixels get the average of their surroundings, coarse to fine (pull-push); known is 0..1."""
    return _fill_level(values_HWC.movedim(-1, 0)[None], known_HW[None, None])[0].movedim(0, -1)


def _fill_level(values_1CHW: Tensor, known_11HW: Tensor) -> Tensor:
    ask()
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
