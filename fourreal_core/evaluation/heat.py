"""Where a grid is broken: everything measured becomes one heat per cell and per pixel, 0 good to 1 bad; as pictures, and as the overlay of a player.

Shape suffixes: V views, T times, N = V T cells in view-major order, H W pixels of the grid, C = 3 colour channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..grid import FrameGrid
from ..show.contact_sheet import contact_sheet
from .agreement.metrics import METRICS
from .learned.scores import LEARNED
from .measured import Measured, Metric
from .plots import Point, above, line_plot, picture_of
from .reference import REFERENCE

KNOWN_METRICS: dict[str, Metric] = METRICS | REFERENCE | LEARNED
WHOLE = ("epipolar", "time_acceleration", "drift")  # faults of whole cells, that no pixel map shows
BY_BOUNDS = (
    *WHOLE,
    "warp_time",
    "support",
    "psnr",
    "psnr_moving",
    "flip",
    "flip_moving",
)  # a cell is hot beyond a metric's bounds,
BY_THE_REST = (
    "commutation",
    "view_acceleration",
    "warp_view",
    "support",
)  # or as far beyond the grid's typical cell as they are apart
OF_PIXELS = {"support": (2.0, 10.0), "flip": (0.1, 0.5)}  # metric: where good ends and bad begins for a pixel
WASH = 0.35  # heat of a pixel in a cell that is bad as a whole
SMOOTH = 5  # pixels over which the heat of pixels is averaged: single pixels at edges are always a little off
RAMP = ((0.0, (255, 214, 90)), (0.5, (255, 110, 20)), (1.0, (200, 0, 90)))  # heat: colour, laid over the picture
STRONGEST = 0.75  # opacity of full heat
FAULTLESS = 0.02  # badness below which a number is not drawn


@dataclass(frozen=True)
class Heat:
    """cells [V, T] and pixels [V, T, H, W], 0 good to 1 bad. A cell's heat is that of its worst number."""

    cells: Tensor
    pixels: Tensor

    def worst(self, count: int, among: Tensor | None = None) -> list[tuple[int, int]]:
        """The hottest `count` cells as (view, time), hottest first; among: bool [V, T], which may be named (None: all)."""
        values = self.cells if among is None else torch.where(among, self.cells, torch.tensor(-1.0))
        order = values.flatten().argsort(descending=True, stable=True).tolist()
        width = self.cells.shape[1]
        return [divmod(place, width) for place in order[:count] if values.flatten()[place] >= 0]

    def as_confidence(self) -> Tensor:
        """float32 [N, H, W, 3], white where good and black where bad: what the player takes as confidence."""
        return (1 - self.pixels).flatten(0, 1)[..., None].expand(-1, -1, -1, 3).contiguous()


def heat(grid: FrameGrid, measured: Mapping[str, Measured]) -> Heat:
    """One heat of all that was measured, by each metric's bounds of good and bad; beside a reference of the differences from it alone."""
    measured = _deciding(measured)
    cells, whole = torch.zeros(grid.views, grid.times), torch.zeros(grid.views, grid.times)
    pixels = torch.zeros(*grid.frames.shape[:4])
    for key, number in measured.items():
        if number.cells_VT is not None:
            hot = _of_cells(key, number.cells_VT)
            cells = torch.maximum(cells, hot)
            whole = torch.maximum(whole, hot) if key in WHOLE else whole
        if key in OF_PIXELS and number.pixels_VThw is not None:
            pixels = torch.maximum(pixels, _of_pixels(number.pixels_VThw, OF_PIXELS[key], (grid.height, grid.width)))
    return Heat(cells, torch.maximum(pixels, WASH * whole[..., None, None]))


def _deciding(measured: Mapping[str, Measured]) -> Mapping[str, Measured]:
    """The differences from a reference where there is one, else everything."""
    beside = {key: number for key, number in measured.items() if key in REFERENCE}
    return beside or measured


def _of_cells(key: str, values_VT: Tensor) -> Tensor:
    """[V, T] in 0..1: how bad the cells are in one metric; 0 where it says nothing."""
    metric, hot = KNOWN_METRICS[key], torch.zeros_like(values_VT)
    if key in BY_BOUNDS:
        hot = metric.badness(values_VT).nan_to_num(0)
    if key in BY_THE_REST:
        beyond = metric.badness(values_VT - values_VT.nanmedian() + metric.good).nan_to_num(0)
        hot = torch.maximum(hot, beyond)
    return hot


def _of_pixels(values_VThw: Tensor, bounds: tuple[float, float], size: tuple[int, int]) -> Tensor:
    good, bad = bounds
    hot = ((values_VThw.nan_to_num(0) - good) / (bad - good)).clamp(0, 1).flatten(0, 1)[:, None]
    hot = F.avg_pool2d(hot, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)
    hot = F.interpolate(hot, size=size, mode="bilinear", align_corners=False)
    return hot[:, 0].unflatten(0, values_VThw.shape[:2])


def heat_sheet(grid: FrameGrid, found: Heat, max_side: int = 1536) -> Image.Image:
    """The grid as a contact sheet with the heat laid over it and, in each cell, its heat from 0 to 100; known cells are framed."""
    opacity = STRONGEST * found.pixels[..., None].clamp(0, 1)
    coloured = grid.frames * (1 - opacity) + _colours(found.pixels) * opacity
    sheet = picture_of(contact_sheet(coloured, grid.known, max_side=max_side))
    draw, pitch = ImageDraw.Draw(sheet), (sheet.width / grid.times, sheet.height / grid.views)
    font = ImageFont.load_default(size=max(8, min(16, int(pitch[1] / 5))))
    for view, time in torch.ones_like(found.cells).nonzero().tolist():
        place = (time + 0.06) * pitch[0], (view + 0.06) * pitch[1]
        text = f"{100 * float(found.cells[view, time]):.0f}"
        draw.text(place, text, (255, 255, 255), font, stroke_width=2, stroke_fill=(20, 20, 24))
    return sheet


def _colours(pixels_VTHW: Tensor) -> Tensor:
    """[V, T, H, W, 3] in 0..1 along RAMP."""
    colours = torch.zeros(*pixels_VTHW.shape, 3)
    for (low, first), (high, second) in itertools.pairwise(RAMP):
        share = ((pixels_VTHW - low) / (high - low)).clamp(0, 1)[..., None]
        between = (torch.tensor(first) * (1 - share) + torch.tensor(second) * share) / 255
        colours = torch.where((pixels_VTHW >= low)[..., None], between, colours)
    return colours


def heat_plot(measured: Mapping[str, Measured], size: tuple[int, int] = (760, 300)) -> Image.Image:
    """Two plots, over time (mean over views) and over views (mean over times): each number that has a fault, from 0 good to 1 bad."""
    plots = []
    measured = _deciding(measured)
    for label, axis in (("time", 0), ("view", 1)):
        lines = {}
        for key, number in measured.items():
            if number.cells_VT is not None and KNOWN_METRICS[key].better:
                curve = KNOWN_METRICS[key].badness(number.cells_VT).nanmean(axis)
                if curve.nan_to_num(0).max() > FAULTLESS:
                    lines[KNOWN_METRICS[key].name] = list(enumerate(curve.tolist(), start=1))
        plots.append(_plot(lines, f"faults by {label}: 0 good, 1 bad", label, size))
    return above(*plots)


def _plot(lines: dict[str, list[Point]], title: str, label: str, size: tuple[int, int]) -> Image.Image:
    if lines:
        return line_plot(lines, title=title, x_label=label, size=size)
    blank = Image.new("RGB", size, (255, 255, 255))
    ImageDraw.Draw(blank).text(
        (20, 20), f"{title}: every number is good everywhere", (40, 40, 44), ImageFont.load_default(size=14)
    )
    return blank
