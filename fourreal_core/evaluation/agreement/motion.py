"""What optical flow tells about a grid: steadiness along both axes, whether the axes commute, whether views move together, flicker, amounts.

Shape suffixes: V views, T times, h w pixels of the flow, 2 = (x, y). Lengths come out in percent of the width (%W).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from ..measured import Measured, nan_map, nan_mean
from .flows import GridFlows, carried, seen_in_both

STILL = 30  # percentile of the flow that counts as what stands still
FEWEST_TIMES = 4  # for a correlation over steps in time
LEAST_MOTION = 0.02  # %W of mean flow from time to time: below, nothing moves
LEAST_VARIATION = 0.05  # of the mean: below, the amount of motion is too even to correlate
FEWEST_SEEN = 0.05  # share of pixels that must be seen in both cells
HOMOGRAPHY_STEP, HOMOGRAPHY_ERROR = 6, 1.0  # pixels between the flow vectors of a fit; pixels that they may be off


def acceleration(flows: GridFlows, along: str) -> Measured:
    """Median over pixels of |F(to the next) + F(to the last)| in %W, mean over cells; along: "time" or "view".

    0 where the flow stays the same from step to step. Not measurable with fewer than three cells on the axis.
    """
    onward, back = _onward_and_back(flows, along)
    if onward.shape[1] < 2:
        return Measured.not_measurable(f"fewer than three {along}s")
    pixels = nan_map(_shape(flows, along))
    pixels[:, 1:-1] = torch.from_numpy(np.linalg.norm(onward[:, 1:] + back[:, :-1], axis=-1) * flows.percent)
    cells = pixels.flatten(2).median(2).values  # a cell is all NaN or has none
    return Measured(nan_mean(cells), cells_VT=_turned(cells, along), pixels_VThw=_turned(pixels, along))


def drift(flows: GridFlows) -> Measured:
    """30th percentile over pixels of the flow from time to time in %W, mean over cells: 0 where cameras stand still.

    Not measurable with one time.
    """
    if flows.later.shape[1] == 0:
        return Measured.not_measurable("one time only")
    sizes = np.linalg.norm(flows.later, axis=-1) * flows.percent
    steps = torch.from_numpy(np.percentile(sizes.reshape(*sizes.shape[:2], -1), STILL, axis=2)).float()
    cells = _steps_to_cells(steps)
    return Measured(float(steps.mean()), cells_VT=cells)


def commutation(flows: GridFlows) -> Measured:
    """Distance in %W between where a pixel arrives along views and then time, and along time and then views; mean over pixels.

    Only pixels that stay in the picture and are seen in both neighbours count. Not measurable with one view or one time.
    """
    views, times = flows.pictures.shape[:2]
    if views < 2 or times < 2:
        return Measured.not_measurable("one view or one time only")
    pixels = nan_map(tuple(flows.pictures.shape[:4]))
    for view in range(views - 1):
        for time in range(times - 1):
            pixels[view, time] = torch.from_numpy(_way_round(flows, view, time))
    cells = pixels.flatten(2).nanmean(2)
    return Measured(nan_mean(cells), cells_VT=_corners(cells), pixels_VThw=pixels)


def _way_round(flows: GridFlows, view: int, time: int) -> np.ndarray:
    """[h, w] in %W, NaN where it cannot be told."""
    across, onward = flows.beyond[view, time], flows.later[view, time]
    then_onward, inside = carried(flows.later[view + 1, time], across)
    then_across, also_inside = carried(flows.beyond[view, time + 1], onward)
    told = inside & also_inside & seen_in_both(across, flows.before[view, time])
    told &= seen_in_both(onward, flows.earlier[view, time])
    distance = np.linalg.norm(across + then_onward - onward - then_across, axis=-1) * flows.percent
    return np.where(told, distance, np.nan).astype(np.float32)


def synchrony(flows: GridFlows) -> Measured:
    """Correlation over time of how much moves, between neighbouring views; mean over pairs of views. Per cell: of its view.

    How much moves: the mean flow from time to time, less its 30th percentile, so that a common drift does not count. Not measurable with one
    view, fewer than four times, nothing that moves, or motion too even to correlate.
    """
    views, steps = flows.later.shape[:2]
    if views < 2 or steps < FEWEST_TIMES - 1:
        return Measured.not_measurable(f"one view only, or fewer than {FEWEST_TIMES} times")
    sizes = np.linalg.norm(flows.later, axis=-1).reshape(views, steps, -1) * flows.percent
    energy_VT = np.maximum(sizes - np.percentile(sizes, STILL, axis=2, keepdims=True), 0).mean(2)
    if energy_VT.mean() < LEAST_MOTION:
        return Measured.not_measurable("nothing moves")
    if np.median(energy_VT.std(1) / np.maximum(energy_VT.mean(1), 1e-9)) < LEAST_VARIATION:
        return Measured.not_measurable("the motion is too even to tell whether views move together")
    pairs = torch.tensor([_correlation(*energy_VT[view : view + 2]) for view in range(views - 1)])
    padded = torch.cat([nan_map((1,)), pairs, nan_map((1,))])
    of_view = torch.stack([padded[:-1], padded[1:]]).nanmean(0)
    return Measured(nan_mean(pairs), cells_VT=of_view[:, None].expand(-1, steps + 1).clone())


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / max(math.sqrt((first**2).sum() * (second**2).sum()), 1e-12))


def warp_error(flows: GridFlows, along: str) -> Measured:
    """Mean absolute colour difference in % of the range between a cell and its neighbour warped onto it, where both show the same thing.

    along: "time" or "view". Not measurable with one cell on the axis, or where under 5 % of the pixels are seen in both.
    """
    onward, back = _onward_and_back(flows, along)
    if onward.shape[1] == 0:
        return Measured.not_measurable(f"one {along} only")
    pictures = flows.pictures if along == "time" else flows.pictures.swapaxes(0, 1)
    pixels = nan_map(_shape(flows, along))
    for line in range(len(onward)):
        for step in range(onward.shape[1]):
            there, returns = onward[line, step], back[line, step]
            warped, _ = carried(pictures[line, step + 1], there)
            error = np.abs(warped - pictures[line, step]).mean(-1) * 100
            seen = seen_in_both(there, returns)
            if seen.mean() >= FEWEST_SEEN:
                pixels[line, step] = torch.from_numpy(np.where(seen, error, np.nan))
    steps = pixels.flatten(2).nanmean(2)
    if not (~steps.isnan()).any():
        return Measured.not_measurable(f"neighbouring {along}s have too little in common")
    cells = _steps_to_cells(steps[:, :-1])
    return Measured(nan_mean(steps), cells_VT=_turned(cells, along), pixels_VThw=_turned(pixels, along))


def support(flows: GridFlows) -> Measured:
    """Smallest colour difference in % of the range between a pixel and what its up to four neighbouring cells show there; mean over pixels.

    High where no neighbour shows the same: ghosts, inventions, torn limbs. Pixels hidden in one neighbour are seen in another. Not measurable for
    a single cell.
    """
    views, times, height, width = flows.pictures.shape[:4]
    if views * times < 2:
        return Measured.not_measurable("one cell only")
    pixels = np.full((views, times, height, width), np.inf, np.float32)
    for view, time in np.ndindex(views, times):
        for neighbour, flow in _neighbours(flows, view, time):
            warped, inside = carried(flows.pictures[neighbour], flow)
            error = np.abs(warped - flows.pictures[view, time]).mean(-1) * 100
            np.minimum(pixels[view, time], np.where(inside, error, np.inf), out=pixels[view, time])
    seen = torch.from_numpy(np.where(np.isinf(pixels), np.nan, pixels))
    cells = seen.flatten(2).nanmean(2)
    return Measured(nan_mean(cells), cells_VT=cells, pixels_VThw=seen)


def _neighbours(flows: GridFlows, view: int, time: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """(cell, the flow to it) of each neighbour of a cell."""
    views, times = flows.pictures.shape[:2]
    if time + 1 < times:
        yield (view, time + 1), flows.later[view, time]
    if time > 0:
        yield (view, time - 1), flows.earlier[view, time - 1]
    if view + 1 < views:
        yield (view + 1, time), flows.beyond[view, time]
    if view > 0:
        yield (view - 1, time), flows.before[view - 1, time]


def amounts(flows: GridFlows) -> dict[str, Measured]:
    """How much moves from time to time, how much changes from view to view, and how much of that is parallax; mean over pixels in %W."""
    views, times = flows.pictures.shape[:2]
    found: dict[str, Measured] = {}
    if times > 1:
        steps = torch.from_numpy(np.linalg.norm(flows.later, axis=-1).mean((2, 3)) * flows.percent)
        found["motion"] = Measured(float(steps.mean()), cells_VT=_steps_to_cells(steps))
    else:
        found["motion"] = Measured.not_measurable("one time only")
    if views < 2:
        nothing = Measured.not_measurable("one view only")
        return found | {"view_change": nothing, "parallax": nothing}
    steps = torch.from_numpy(np.linalg.norm(flows.beyond, axis=-1).mean((2, 3)) * flows.percent)
    found["view_change"] = Measured(float(steps.mean()), cells_VT=_steps_to_cells(steps.T).T)
    middle = times // 2
    rest = [_beyond_a_homography(flows.beyond[view, middle]) * flows.percent for view in range(views - 1)]
    return found | {"parallax": Measured(float(np.mean(rest)))}


def _beyond_a_homography(flow_hw2: np.ndarray) -> float:
    """Mean distance in pixels of a flow from the homography that fits most of it."""
    height, width = flow_hw2.shape[:2]
    y, x = np.mgrid[0:height:HOMOGRAPHY_STEP, 0:width:HOMOGRAPHY_STEP]
    start = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
    end = start + flow_hw2[y.ravel(), x.ravel()]
    matrix, _ = cv2.findHomography(start, end, cv2.USAC_MAGSAC, HOMOGRAPHY_ERROR, maxIters=1000)
    if matrix is None:
        return float(np.linalg.norm(flow_hw2, axis=-1).mean())
    moved = cv2.perspectiveTransform(start[:, None], matrix)[:, 0]
    return float(np.linalg.norm(end - moved, axis=1).mean())


def _onward_and_back(flows: GridFlows, along: str) -> tuple[np.ndarray, np.ndarray]:
    """Flows [lines, steps, h, w, 2] along an axis: views are the lines of time, times those of views."""
    if along == "time":
        return flows.later, flows.earlier
    if along == "view":
        return flows.beyond.swapaxes(0, 1), flows.before.swapaxes(0, 1)
    raise ValueError(f"expected along to be time or view, got {along!r}.")


def _shape(flows: GridFlows, along: str) -> tuple[int, ...]:
    views, times, height, width = flows.pictures.shape[:4]
    return (views, times, height, width) if along == "time" else (times, views, height, width)


def _turned(values: Tensor, along: str) -> Tensor:
    """From [lines, cells, ...] to [V, T, ...]."""
    return values if along == "time" else values.transpose(0, 1)


def _steps_to_cells(steps_LS: Tensor) -> Tensor:
    """Each cell's mean over the steps to its neighbours: [lines, steps] to [lines, steps + 1]."""
    missing = nan_map((len(steps_LS), 1))
    return torch.stack([torch.cat([missing, steps_LS.float()], 1), torch.cat([steps_LS.float(), missing], 1)]).nanmean(
        0
    )


def _corners(squares_VT: Tensor) -> Tensor:
    """Each cell's mean over the squares of four cells that it belongs to; squares_VT has its square at the first of its cells."""
    padded = nan_map((squares_VT.shape[0] + 1, squares_VT.shape[1] + 1))
    padded[1:, 1:] = squares_VT
    return torch.stack([padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1], padded[:-1, :-1]]).nanmean(0)
