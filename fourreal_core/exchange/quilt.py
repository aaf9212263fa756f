"""Light-field quilts: one picture with a tile per view, as Looking Glass displays read them.

Source: https://docs.lookingglassfactory.com/keyconcepts/quilts and https://lookingglassfactory.com/tutorial/what-is-a-quilt. View 0, the
leftmost, is the tile at the bottom left; views go on to the right, then upwards. File names end in `_qs<across>x<up>a<aspect>`.

Shape suffixes: N quilts, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..files.video import MAX_SIDE, fit_frames, write_video
from ..grid import FrameGrid
from ..paths.presets import MAX_SLICE_BYTES, slice_grid
from ..side_by_side import ask
from .folders import even_sized, write_image


@dataclass(frozen=True)
class QuiltLayout:
    """How many tiles lie side by side and on top of each other, the size of each in pixels, and the width of what they show over its height.

    The aspect differs from tile_width / tile_height on displays whose tiles are stretched when shown.
    """

    across: int
    up: int
    tile_width: int
    tile_height: int
    aspect: float

    def __post_init__(self):
        if min(self.across, self.up, self.tile_width, self.tile_height) < 1 or not self.aspect > 0:
            raise ValueError(
                f"expected at least one tile and one pixel in a quilt, got {self.across} x {self.up} tiles of "
                f"{self.tile_width}x{self.tile_height} pixels."
            )
        if max(self.width, self.height) > MAX_SIDE:
            raise ValueError(
                f"expected a quilt of at most {MAX_SIDE} pixels per side, got {self.width}x{self.height}: use "
                "fewer or smaller tiles."
            )

    @property
    def tiles(self) -> int:
        return self.across * self.up

    @property
    def width(self) -> int:
        return self.across * self.tile_width

    @property
    def height(self) -> int:
        return self.up * self.tile_height

    @property
    def suffix(self) -> str:
        """The end of a quilt's file name, before the dot: `_qs8x6a0.75`."""
        return f"_qs{self.across}x{self.up}a{round(self.aspect, 4):g}"


# The vendor's settings by device; 16" uses 856 of the documented 857 pixels, so that videos have even sizes.
DEVICES: dict[str, QuiltLayout] = {
    "Looking Glass Go": QuiltLayout(11, 6, 372, 682, 9 / 16),
    "Looking Glass Portrait": QuiltLayout(8, 6, 420, 560, 3 / 4),
    "Looking Glass 16 inch landscape": QuiltLayout(7, 7, 856, 856, 16 / 9),
    "Looking Glass 32 inch landscape": QuiltLayout(5, 9, 1638, 910, 16 / 9),
}


def one_tile_per_view(views: int, height: int, width: int) -> QuiltLayout:
    """The layout of exactly `views` tiles of the cells' own size, made even for videos, whose whole picture is closest to a square."""
    tile_height, tile_width = max(2, height - height % 2), max(2, width - width % 2)
    shapes = [(across, views // across) for across in range(1, views + 1) if views % across == 0]
    across, up = min(shapes, key=lambda shape: abs(math.log(shape[0] * tile_width / (shape[1] * tile_height))))
    return QuiltLayout(across, up, tile_width, tile_height, tile_width / tile_height)


def view_positions(views: Sequence[int], tiles: int, blend: bool = False) -> list[float]:
    """The view that each of `tiles` tiles shows, spread evenly over `views`, which are in the order from left to right.

    Exactly `views` when there are as many tiles. With more tiles the nearest view is repeated or, with `blend`, the two around are mixed;
    with fewer some views are left out.
    """
    if tiles == 1:
        return [float(views[len(views) // 2])]
    places = [tile * (len(views) - 1) / (tiles - 1) for tile in range(tiles)]
    if not blend:
        return [float(views[math.floor(place + 0.5)]) for place in places]
    step = views[1] - views[0] if len(views) > 1 else 0
    return [min(max(views[0] + step * place, min(views)), max(views)) for place in places]


def quilts(
    grid: FrameGrid,
    layout: QuiltLayout,
    views: Sequence[int],
    times: Sequence[int],
    *,
    blend: bool = False,
    fit: str = "crop",
    on_quilt: Callable[[int, int], None] | None = None,
) -> Tensor:
    """float32 [N, H, W, 3] in 0..1: one quilt for each of `times`, from the neighbouring `views`, given from left to right.

    fit: how cells are brought to the layout's aspect, see video.fit_frames. on_quilt(done, total): what it raises ends the making.
    Raises ValueError for views and times outside of the grid, and for more than 64 GiB.
    """
    size = len(times) * layout.height * layout.width * 3 * 4
    if size > MAX_SLICE_BYTES:
        raise ValueError(
            f"{len(times)} quilts of {layout.width}x{layout.height} need {size / 2**30:.0f} GiB, more than "
            f"the limit of {MAX_SLICE_BYTES // 2**30} GiB: choose a single time or smaller tiles."
        )
    positions = view_positions(views, layout.tiles, blend)
    quilts_NHWC = torch.zeros(len(times), layout.height, layout.width, 3)
    for done, (time, quilt_HWC) in enumerate(zip(times, quilts_NHWC), start=1):
        for tile, position in enumerate(positions):
            ask()
            from_left, from_bottom = tile % layout.across, tile // layout.across
            top, left = (layout.up - 1 - from_bottom) * layout.tile_height, from_left * layout.tile_width
            quilt_HWC[top : top + layout.tile_height, left : left + layout.tile_width] = _tile(
                grid, layout, (position, float(time)), fit
            )
        if on_quilt is not None:
            on_quilt(done, len(times))
    return quilts_NHWC


def write_quilts(stem: str | Path, quilts_NHWC: Tensor, layout: QuiltLayout, fps: float) -> Path:
    """Write one quilt as PNG, several as an H.264 video, whole or not at all; the file's name is `stem` and the layout's suffix.

    Raises ValueError when writing fails.
    """
    name = f"{Path(stem).name}{layout.suffix}"
    if len(quilts_NHWC) == 1:
        file = Path(stem).with_name(f"{name}.png")
        write_image(file, quilts_NHWC[0])
    else:
        file = Path(stem).with_name(f"{name}.mp4")
        write_video(file, even_sized(quilts_NHWC), fps)
    return file


def _tile(grid: FrameGrid, layout: QuiltLayout, position: tuple[float, float], fit: str) -> Tensor:
    frame_NHWC = slice_grid(grid, [position])
    shown = layout.tile_height, max(1, round(layout.tile_height * layout.aspect))
    if frame_NHWC.shape[1:3] != shown:
        frame_NHWC = fit_frames(frame_NHWC, *shown, fit)
    tile = layout.tile_height, layout.tile_width
    return frame_NHWC[0] if shown == tile else fit_frames(frame_NHWC, *tile, "stretch")[0]
