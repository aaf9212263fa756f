"""A grid as a few JPEG files for a player: one small picture of all cells, and one picture of full-size cells per view.

Nothing here knows who shows them; nodes/player.py writes them and web/player/ draws them.

Shape suffixes: V views, T times, N cells of one atlas, H W pixels, C = 3 colour channels.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask

OVERVIEW_PIXELS = 2**21  # all cells together: loads and decodes in an instant
OVERVIEW_CELL_PIXELS = 96 * 54  # but large grids get as many per cell,
MOST_OVERVIEW_PIXELS = 2**23  # within this
STRIP_PIXELS = 2**25  # one view: 128 MiB once decoded
MOST_PIXELS = 2**30  # all views together: about 1 GiB of files at the most
BLOCK = 8  # a JPEG block: cells that start on one do not bleed into each other
QUALITY = 90


@dataclass(frozen=True)
class AtlasLayout:
    """Where the cells of an atlas lie: cell n has its upper left corner at (n % across, n // across) * pitch."""

    across: int
    cell: tuple[int, int]  # width, height in pixels
    pitch: tuple[int, int]  # the same, rounded up to whole JPEG blocks


@dataclass(frozen=True)
class GridAtlases:
    """What a player needs. `identity` depends on the pixels and the grid's shape alone, so equal grids share their files."""

    identity: str
    overview: bytes  # JPEG of all cells, all times of view 0 first
    overview_layout: AtlasLayout
    strips: list[bytes]  # JPEG per view
    strip_layout: AtlasLayout


def grid_atlases(grid: FrameGrid, *, on_view: Callable[[int, int], None] | None = None) -> GridAtlases:
    """Encode a grid. Cells are scaled down (antialiased, never up) to the budgets above.

    on_view(done, views) is called after each view; an exception from it stops the work.
    """
    size = grid.width, grid.height
    strip = layout(
        grid.times,
        math.ceil(math.sqrt(grid.times * grid.height / grid.width)),
        fitted_size(size, grid.times, min(STRIP_PIXELS, MOST_PIXELS // grid.views)),
    )
    count = grid.views * grid.times
    pixels = min(max(OVERVIEW_PIXELS, count * OVERVIEW_CELL_PIXELS), MOST_OVERVIEW_PIXELS)
    overview = layout(count, grid.times, fitted_size(size, count, pixels))
    digest, strips, small = hashlib.blake2b(repr(tuple(grid.frames.shape)).encode(), digest_size=12), [], []
    for view, video_THWC in enumerate(grid.frames):
        ask()
        cells_NHWC = to_bytes(video_THWC)
        digest.update(cells_NHWC.tobytes())
        strips.append(jpeg(tile(resized(cells_NHWC, strip.cell), strip)))
        small.append(resized(cells_NHWC, overview.cell))
        if on_view is not None:
            on_view(view + 1, grid.views)
    return GridAtlases(digest.hexdigest(), jpeg(tile(np.concatenate(small), overview)), overview, strips, strip)


def layout(count: int, across: int, cell: tuple[int, int]) -> AtlasLayout:
    """`count` cells in lines of `across` (at least 1, at most count)."""
    width, height = (math.ceil(side / BLOCK) * BLOCK for side in cell)
    return AtlasLayout(min(max(across, 1), count), cell, (width, height))


def fitted_size(size: tuple[int, int], count: int, pixels: int) -> tuple[int, int]:
    """(width, height) scaled down so that `count` cells have about `pixels` pixels, at least 1 x 1 each."""
    scale = min(1.0, math.sqrt(pixels / (count * size[0] * size[1])))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_bytes(frames_NHWC: Tensor) -> np.ndarray:
    """Floats 0..1 to uint8, rounded."""
    return (frames_NHWC * 255).round_().to(torch.uint8).numpy()


def resized(cells_NHWC: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [N, H, W, 3] at another (width, height), antialiased; the same array when it has that size."""
    if cells_NHWC.shape[2:0:-1] == size:
        return cells_NHWC
    small = []
    for cell_HWC in cells_NHWC:
        ask()
        small.append(np.asarray(Image.fromarray(cell_HWC).resize(size, Image.Resampling.BILINEAR)))
    return np.stack(small)


def tile(cells_NHWC: np.ndarray, places: AtlasLayout) -> np.ndarray:
    """uint8 [H', W', 3]: every cell at its place; its last pixels are repeated up to the next cell, the rest is black."""
    lines = math.ceil(len(cells_NHWC) / places.across)
    width, height = places.pitch
    sheet_HWC = np.zeros((lines * height, places.across * width, 3), np.uint8)
    padding = ((0, height - places.cell[1]), (0, width - places.cell[0]), (0, 0))
    for index, cell_HWC in enumerate(cells_NHWC):
        top, left = index // places.across * height, index % places.across * width
        sheet_HWC[top : top + height, left : left + width] = np.pad(cell_HWC, padding, mode="edge")
    return sheet_HWC


def jpeg(picture_HWC: np.ndarray) -> bytes:
    """Without chroma subsampling, so that thin coloured things keep their colour."""
    file = io.BytesIO()
    Image.fromarray(picture_HWC).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
