"""Each unknown cell as every source would show it, with evidence: a still layer, layers of what moves, and a composition that never blends two poses.

The still layer of a view is x[v, 0] where nothing moves, and what other views and times show of the background elsewhere. What moves comes from
x[0, t], carried by its depth at time t, and from x[v, 0] and its neighbours, moved as their points move. A depth buffer decides what hides what.
Layers: Wang and Adelson, "Representing moving images with layers", 1994. Next to read: fusion.py. Shape suffixes: V views, T times, H W pixels, N layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..side_by_side import ask
from .projection import depth_unit, pixel_centres, project, transfer
from .scene import MOVES, SceneGeometry, working_size
from .splatting import Splat, fill_holes, pixels_around, read_cubic, splat_surface

SURE_COVER = 0.6  # least cover with which background from elsewhere is taken
BEHIND = 0.03  # share of inverse depth by which surfaces may disagree and still be the same
SHOWN = 0.3  # cover from which a layer hides what is behind it
FINEST = 1.2  # density beyond which finer is not better
LEAST_COVER, FULL_COVER = 0.15, 0.75  # cover at which a moving layer begins to show, and shows alone


@dataclass(frozen=True)
class Layer:
    """What one source shows of what moves in a cell."""

    colour_HW3: Tensor  # 0..1
    inverse_depth_HW: Tensor  # 0 where nothing is shown
    cover_HW: Tensor  # 0..1, share of the pixel that it covers
    density_HW: Tensor  # pixels of the source per pixel: the more, the finer it is seen
    doubt_HW: Tensor  # expected error of the place in pixels of the farthest view


@dataclass(frozen=True)
class StillLayer:
    """The background of one view, also where something stands before it."""

    colour_HW3: Tensor  # 0..1
    inverse_depth_HW: Tensor
    seen_HW: Tensor  # bool: some source shows it; elsewhere it is filled from around
    base_place_HW2: Tensor  # where the base view sees the same surface, in pixels
    in_base_HW: Tensor  # bool: it does

    @cached_property
    def unit(self) -> Tensor:
        """A common inverse depth of it, see `depth_unit`."""
        return depth_unit(self.inverse_depth_HW)


@dataclass(frozen=True)
class CellCandidates:
    """All that a cell can be made from."""

    still: StillLayer
    shaded_HW3: Tensor  # the still layer with the change of light that view 0 shows
    layers: list[Layer]  # from x[0, t], x[v, 0], and the views next to v
    composed_HW3: Tensor  # the choice without a network
    cover_HW: Tensor  # 0..1: share of what moves in it


def still_layer(scene: SceneGeometry, view: int) -> StillLayer:
    """The background of a view: its own still pixels, then those of the nearest views and of the times of the base view."""
    moving_HW = _with_outline(scene.view_mover_VHW[view], 1)
    colour, depth, seen = scene.freeze_VHW3[view].clone(), scene.view_depth_VHW[view].clone(), ~moving_HW
    for frame, inverse, still, source in _background_sources(scene, view):
        if bool(seen.all()):
            break
        ask()
        arrived = _carried(scene, inverse, still, source, view, wanted_HW=~seen)
        fresh = ~seen & (arrived.cover_HW > SURE_COVER)
        colour[fresh] = read_cubic(frame, arrived.values_HWC[fresh][None])[0]
        depth[fresh] = arrived.inverse_depth_HW[fresh]
        seen = seen | fresh
    known = seen.float()
    both = fill_holes(torch.cat([colour, depth[..., None]], -1) * known[..., None], known)
    keep = seen[..., None]
    colour, depth = torch.where(keep, colour, both[..., :3]), torch.where(seen, depth, both[..., 3])
    base = scene.base[0]
    ask()
    of_base = _carried(scene, scene.view_depth_VHW[base], ~_with_outline(scene.view_mover_VHW[base], 1), base, view)
    in_base = of_base.hit_HW & ((of_base.inverse_depth_HW - depth).abs() < BEHIND * depth + 1e-6)
    return StillLayer(colour, depth, seen, of_base.values_HWC, in_base)


def _background_sources(scene: SceneGeometry, view: int) -> list[tuple[Tensor, Tensor, Tensor, int]]:
    """(frame, inverse depth, still pixels, view) of the other known cells, the nearest views first; the base view's times by how far the mover has gone."""
    views, times = len(scene.freeze_VHW3), len(scene.fixed_THW3)
    others = [(float(abs(other - view)), other, None) for other in range(views) if other != view]
    base, start = scene.base
    later = sorted((t for t in range(times) if t != start), key=lambda t: -abs(t - start))
    sources = []
    for _, other, time in sorted(
        others + [(abs(base - view) + 0.5, base, t) for t in later], key=lambda entry: entry[0]
    ):
        if time is None:
            frame, inverse, mover = scene.freeze_VHW3[other], scene.view_depth_VHW[other], scene.view_mover_VHW[other]
        else:
            frame, inverse, mover = scene.fixed_THW3[time], scene.time_depth_THW[time], scene.time_mover_THW[time]
        sources.append((frame, inverse, ~_with_outline(mover, 2), other))
    return sources


def _carried(
    scene: SceneGeometry,
    inverse_HW: Tensor,
    chosen_HW: Tensor,
    source: int,
    view: int,
    *extra_HW: Tensor,
    wanted_HW: Tensor | None = None,
) -> Splat:
    """Chosen pixels of a view in another one; carries their positions and what else is given. wanted: the only pixels that matter there."""
    height, width = scene.size
    around = pixels_around(chosen_HW)
    centres, chosen_HW = pixel_centres(height, width)[around], chosen_HW[around]
    positions, depth = transfer(centres, inverse_HW[around], *scene.cameras[source], *scene.cameras[view])
    if wanted_HW is not None:
        column, row = (positions[..., axis].clamp(0, side - 1).long() for axis, side in ((0, width), (1, height)))
        chosen_HW = chosen_HW & _grown(wanted_HW, 9)[row, column]
    ask()
    values = torch.stack([*centres.unbind(-1), *(more_HW[around] for more_HW in extra_HW)], -1)
    return splat_surface(positions, depth, values, chosen_HW, height, width)


def carried_picture(
    scene: SceneGeometry, frame_HW3: Tensor, inverse_HW: Tensor, source: int, view: int
) -> tuple[Tensor, Tensor]:
    """A frame of one view as another view would see it [H, W, 3], and which pixels it reaches [H, W]."""
    arrived = _carried(scene, inverse_HW, torch.ones_like(inverse_HW, dtype=torch.bool), source, view)
    return read_cubic(frame_HW3, arrived.values_HWC), arrived.hit_HW


def _with_outline(mover_HW: Tensor, pixels: int) -> Tensor:
    """What moves, and so much around it, in pixels of the size at which it was found: outlines are no surer than that at any size."""
    size = tuple(mover_HW.shape)
    return _grown(mover_HW > MOVES, 1 + 2 * round(pixels * max(size) / max(working_size(*size))))


def _grown(mask_HW: Tensor, size: int) -> Tensor:
    """All pixels of a square of this odd size around a pixel of the mask. Many times as fast as pooling."""
    for axis in (0, 1):
        grown_HW = mask_HW.clone()
        for away in range(1, min(size // 2, mask_HW.shape[axis] - 1) + 1):
            left = mask_HW.shape[axis] - away
            grown_HW.narrow(axis, away, left).logical_or_(mask_HW.narrow(axis, 0, left))
            grown_HW.narrow(axis, 0, left).logical_or_(mask_HW.narrow(axis, away, left))
        mask_HW = grown_HW
    return mask_HW


def cell_candidates(scene: SceneGeometry, still: StillLayer, view: int, time: int) -> CellCandidates:
    """Everything for the cell of a view and time, counted from 0; `still` is the view's still layer."""
    layers = [_layer_from_time(scene, view, time)]
    for sources in ([view], [other for other in (view - 1, view + 1) if 0 <= other < len(scene.cameras)]):
        ask()
        layers.append(layer_from_views(scene, sources, view, time))
    ask()
    shaded = _shaded(scene, still, time)
    composed, cover = compose(still, shaded, layers)
    return CellCandidates(still, shaded, layers, composed, cover)


def _layer_from_time(scene: SceneGeometry, view: int, time: int) -> Layer:
    """What moves in x[0, t], carried to the view by its depth at that time."""
    moving_HW = scene.time_mover_THW[time] > MOVES
    arrived = _carried(scene, scene.time_depth_THW[time], moving_HW, scene.base[0], view, scene.time_doubt_THW[time])
    return _layer(arrived, scene.fixed_THW3[time])


def _layer(arrived: Splat, frame_HW3: Tensor) -> Layer:
    """What arrived of a frame, as positions in it and a doubt; colours are read where something arrived, which is a small part of most cells."""
    places_HW2, there = arrived.values_HWC[..., :2], arrived.cover_HW > 0
    nothing_3 = read_cubic(frame_HW3, torch.zeros(1, 1, 2))[0, 0]
    colour_HW3 = nothing_3.expand(*there.shape, 3).clone()
    colour_HW3[there] = read_cubic(frame_HW3, places_HW2[there][None])[0]
    doubt_HW = arrived.values_HWC[..., 2]
    return Layer(colour_HW3, arrived.inverse_depth_HW, arrived.cover_HW, arrived.density_HW, doubt_HW)


def layer_from_views(scene: SceneGeometry, sources: list[int], view: int, time: int) -> Layer:
    """What moves in x[v', 0] of one or two views, moved to the time; where two arrive, the nearer surface."""
    parts = []
    for source in sources:
        movers = scene.movers_V[source]
        seen = project(movers.at(scene.node_motion_T[time], scene.nodes_M3), *scene.cameras[view])
        positions_hw2, depth_hw = movers.spread(seen[0]), movers.spread(seen[1])
        arrived = splat_surface(positions_hw2, depth_hw, movers.values_hwC, movers.moving_hw, *scene.size)
        parts.append(_layer(arrived, scene.freeze_VHW3[source]))
    shown = parts[0]
    for other in parts[1:]:
        shown = _nearer(shown, other)
    return shown


def _nearer(one: Layer, other: Layer) -> Layer:
    """Per pixel the layer that is nearer to the camera, of those that show something."""
    takes = (other.cover_HW > LEAST_COVER) & (
        (other.inverse_depth_HW > one.inverse_depth_HW) | (one.cover_HW < LEAST_COVER)
    )
    return Layer(
        torch.where(takes[..., None], other.colour_HW3, one.colour_HW3),
        torch.where(takes, other.inverse_depth_HW, one.inverse_depth_HW),
        torch.where(takes, other.cover_HW, one.cover_HW),
        torch.where(takes, other.density_HW, one.density_HW),
        torch.where(takes, other.doubt_HW, one.doubt_HW),
    )


def _shaded(scene: SceneGeometry, still: StillLayer, time: int) -> Tensor:
    """The still layer plus the change of colour that the base view sees of the same still surface between the base time and the time (shadows)."""
    moving_HW = _with_outline(scene.time_mover_THW[time], 1).float()
    change_HW3 = (scene.fixed_THW3[time] - scene.fixed_THW3[scene.base[1]]) * 0.5 + 0.5
    ask()
    read_HW4 = read_cubic(torch.cat([change_HW3, moving_HW[..., None]], -1), still.base_place_HW2)
    same_HW = still.in_base_HW & (read_HW4[..., 3] < 0.5)
    return (still.colour_HW3 + (read_HW4[..., :3] * 2 - 1) * same_HW[..., None]).clamp(0, 1)


def compose(still: StillLayer, shaded_HW3: Tensor, layers: list[Layer]) -> tuple[Tensor, Tensor]:
    """The cell [H, W, 3] from its layers, and the share of what moves [H, W]. Of the layers on the nearest surface the finer seen counts more."""
    nearest = torch.stack([layer.inverse_depth_HW * (layer.cover_HW > SHOWN) for layer in layers]).amax(0)
    colour, depth = torch.zeros_like(shaded_HW3), torch.zeros_like(nearest)
    cover, total = torch.zeros_like(nearest), torch.full_like(nearest, 1e-6)
    for layer in layers:
        ask()
        front = layer.inverse_depth_HW >= nearest * (1 - BEHIND)
        weight = layer.density_HW.clamp(0, FINEST).square() * front
        ask()
        colour, depth, total = (
            colour + weight[..., None] * layer.colour_HW3,
            depth + weight * layer.inverse_depth_HW,
            total + weight,
        )
        cover = torch.maximum(cover, layer.cover_HW * front)
    ask()
    in_front = depth / total >= still.inverse_depth_HW * (1 - BEHIND)
    alpha = ((cover - LEAST_COVER) / (FULL_COVER - LEAST_COVER)).clamp(0, 1) * in_front
    return shaded_HW3 + alpha[..., None] * (colour / total[..., None] - shaded_HW3), alpha
