"""How close a grid is to a true one, per cell and over all, over moving pixels too: PSNR, SSIM, and FLIP where its package is installed.

LPIPS is not here: its package has no weights of the network that it needs and downloads them. FLIP: Andersson et al., "FLIP: A Difference
Evaluator for Alternating Images", 2020, by NVIDIA's package flip-evaluator.

Shape suffixes: V views, T times, N cells, H W pixels.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask
from .image import BAND, SSIM_WINDOW, moving_pixels, ssim
from .measured import Measured, Metric, nan_map, nan_mean

MOST_DB = 100.0  # shown for equal cells, whose PSNR is infinite
FLIP_REACH = 32  # pixels; its widest filter reaches 10 at the 67 pixels per degree that it assumes
FEWEST_MOVING = 20  # pixels of a cell, for a number of its moving ones

REFERENCE: dict[str, Metric] = {
    "psnr": Metric("PSNR", " dB", "higher", "over all pixels", 32.0, 20.0, 2),
    "psnr_moving": Metric("PSNR of moving pixels", " dB", "higher", "over pixels that changed since time 1", 26.0, 16.0, 2),
    "ssim": Metric("SSIM", "", "higher", "structural similarity of luma, Wang et al. 2004", 0.95, 0.75, 4),
    "flip": Metric("FLIP", "", "lower", "visible difference of alternating images at 67 pixels per degree", 0.05, 0.25, 4),
    "flip_moving": Metric("FLIP of moving pixels", "", "lower", "over pixels that changed since time 1", 0.1, 0.4, 4),
}  # fmt: skip


def measure_reference(
    grid: FrameGrid, truth: FrameGrid, on_progress: Callable[[float], None] | None = None
) -> dict[str, Measured]:
    """Every metric of `REFERENCE` over the cells that are unknown in `grid` and known in `truth`; over all known ones where `grid` knows all.

    Values are means over cells, PSNR is of the mean squared error over all cells; cells_VT has each cell's own. FLIP's value per pixel is in
    pixels_VThw. Without the package flip-evaluator FLIP is not measurable. on_progress(share). Raises ValueError on different shapes, or when no cell can be compared.
    """
    cells_VT = compared_cells(grid, truth)
    moving_VTHW = moving_pixels(truth.frames)
    found = {
        "psnr": _psnr(grid, truth, cells_VT, None),
        "psnr_moving": _psnr(grid, truth, cells_VT, moving_VTHW),
        "ssim": _ssim(grid, truth, cells_VT),
    }
    return found | _flip(grid, truth, cells_VT, moving_VTHW, on_progress or (lambda share: None))


def compared_cells(grid: FrameGrid, truth: FrameGrid) -> Tensor:
    """Bool [V, T]: the cells that `measure_reference` compares. Raises as it does."""
    if grid.frames.shape != truth.frames.shape:
        views, times, height, width, _ = truth.frames.shape
        raise ValueError(
            f"expected the grid to have the reference's {views} views and {times} times of {width}x{height}, got "
            f"{grid.views} and {grid.times} of {grid.width}x{grid.height}: connect the reference of this grid."
        )
    cells_VT = truth.known & (~grid.known if not grid.known.all() else grid.known)
    if not cells_VT.any():
        raise ValueError("no cell is unknown in the grid and known in the reference: there is nothing to compare.")
    return cells_VT


def absolute_error(grid: FrameGrid, truth: FrameGrid) -> Tensor:
    """[V, T, H, W] in 0..1: mean over channels of |grid - truth|, 0 in cells that are not compared."""
    error = (grid.frames - truth.frames).abs().mean(-1)
    return error * compared_cells(grid, truth)[..., None, None]


def _psnr(grid: FrameGrid, truth: FrameGrid, cells_VT: Tensor, moving_VTHW: Tensor | None) -> Measured:
    squares = torch.empty(grid.frames.shape[:-1], dtype=torch.double)
    for place in np.ndindex(grid.views, grid.times):
        ask()
        squares[place] = (grid.frames[place] - truth.frames[place]).square().mean(-1)
    counts = cells_VT[..., None, None].expand_as(squares)
    counts = counts if moving_VTHW is None else counts & moving_VTHW
    per_cell = counts.flatten(2).sum(2)
    if per_cell.sum() < (1 if moving_VTHW is None else FEWEST_MOVING):
        return Measured.not_measurable("nothing moves in the reference")
    sums = (squares * counts).flatten(2).sum(2)
    means, whole = sums / per_cell, float(sums.sum() / per_cell.sum())
    enough = cells_VT if moving_VTHW is None else per_cell >= FEWEST_MOVING
    cells = torch.where(enough, (-10 * means.log10()).clamp(max=MOST_DB), nan_map(tuple(cells_VT.shape)).double())
    return Measured(min(-10 * math.log10(whole), MOST_DB) if whole else MOST_DB, cells_VT=cells.float())


def _ssim(grid: FrameGrid, truth: FrameGrid, cells_VT: Tensor) -> Measured:
    if min(truth.height, truth.width) < SSIM_WINDOW:
        return Measured.not_measurable(f"cells smaller than {SSIM_WINDOW} pixels")
    cells = nan_map(tuple(cells_VT.shape))
    for view, time in cells_VT.nonzero().tolist():
        ask()
        cells[view, time] = ssim(grid.frames[view, time][None], truth.frames[view, time][None])
    return Measured(nan_mean(cells), cells_VT=cells)


def _flip_of_cell(evaluate: Callable, wanted_HWC: np.ndarray, made_HWC: np.ndarray) -> np.ndarray:
    """[H, W]: some lines after the other, with as many around them as FLIP's filters reach, since a large cell takes many seconds."""
    height, width = wanted_HWC.shape[:2]
    lines, parts = max(1, BAND // width), []
    for first in range(0, height, lines):
        ask()
        top = max(first - FLIP_REACH, 0)
        seen = slice(top, first + lines + FLIP_REACH)
        found = evaluate(wanted_HWC[seen], made_HWC[seen], "LDR", applyMagma=False, computeMeanError=False)[0]
        parts.append(found[first - top : first - top + lines, :, 0])
    return np.concatenate(parts)


def _flip(grid, truth, cells_VT: Tensor, moving_VTHW: Tensor, report: Callable[[float], None]) -> dict[str, Measured]:
    if importlib.util.find_spec("flip_evaluator") is None:
        missing = Measured.not_measurable("the package flip-evaluator is not installed (pip install flip-evaluator)")
        return {"flip": missing, "flip_moving": missing}
    from flip_evaluator import evaluate  # pyright: ignore[reportMissingImports]

    pixels = nan_map(tuple(truth.frames.shape[:4]))
    places = cells_VT.nonzero().tolist()
    for done, (view, time) in enumerate(places):
        wanted, made = (each.frames[view, time].contiguous().numpy() for each in (truth, grid))
        pixels[view, time] = torch.from_numpy(_flip_of_cell(evaluate, wanted, made))
        report((done + 1) / len(places))
    cells = pixels.flatten(2).mean(2)
    found = {"flip": Measured(nan_mean(cells), cells_VT=cells, pixels_VThw=pixels)}
    counts = (moving_VTHW & cells_VT[..., None, None]).flatten(2).sum(2)
    if counts.sum() < FEWEST_MOVING:
        return found | {"flip_moving": Measured.not_measurable("nothing moves in the reference")}
    moving = torch.where(moving_VTHW, pixels, math.nan)
    of_cell = torch.where(counts >= FEWEST_MOVING, moving.flatten(2).nanmean(2), nan_map(tuple(counts.shape)))
    return found | {"flip_moving": Measured(nan_mean(moving), cells_VT=of_cell)}
