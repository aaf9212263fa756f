"""The unknown cells of a scene, several side by side: candidates.py says what each could show, fusion.py chooses per pixel.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from ..files.room import copied, room
from ..grid import FrameGrid
from ..side_by_side import ask, side_by_side
from ..transport import Predictions
from ..transport.confidence import TYPICAL_ERROR
from .agreeing import agreed
from .candidates import StillLayer, cell_candidates, still_layer
from .fusion import fusion_inputs
from .networks import GeometryNetworks
from .scene import SceneGeometry, working_size

PIXEL_BYTES = 900  # of memory while a cell is made, for each of its pixels
WORKING_BYTES = 3 * 2**30  # for all cells that are made at once
OnCell = Callable[[int, int, Tensor], None]
DrawCell = Callable[
    [tuple[int, int], Predictions], Tensor
]  # [H, W, 3] 0..1, from (view, time) and Transport's prediction of it


def confidence_of(error: Tensor) -> Tensor:
    """0..1, of pixels with an expected error of colour, 0..1."""
    return 1 / (1 + (error / TYPICAL_ERROR) ** 2)


def cells_at_once(pixels: int) -> int:
    """How many cells of so many pixels are made side by side on this machine."""
    return max(1, min(torch.get_num_threads(), WORKING_BYTES // (PIXEL_BYTES * pixels)))


@dataclass(frozen=True, eq=False)
class Cells:
    """What cells are made from, found from one base."""

    networks: GeometryNetworks
    scene: SceneGeometry
    still_layers: dict[int, StillLayer]  # of views, those that are at hand; the others are added

    @torch.no_grad()
    def find_layers(self, views: set[int], told: Callable[[], None], waiting: Callable[[], None]) -> None:
        """The still layers of these views that are not at hand."""

        def layered(view: int, layer: StillLayer) -> None:
            self.still_layers[view] = layer
            told()

        workers, missing = cells_at_once(prod(self.scene.size)), sorted(views - self.still_layers.keys())
        side_by_side(missing, partial(still_layer, self.scene), workers, on_result=layered, waiting=waiting)
        _ = self.scene.movers_V  # found before threads ask for them

    def cell(
        self,
        at: tuple[int, int],
        predicted: Predictions,
        drawn_HW3: Tensor | None = None,
        small_hw3: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One cell [H, W, 3] and its confidence [H, W]. predicted: Transport's. drawn: the cell as a model draws it, 0..1. small: the cell at
        a smaller size, to choose by instead of the network."""
        cell = cell_candidates(self.scene, self.still_layers[at[0]], *at)
        (view, time), (base, start) = at, self.scene.base
        views, times = len(self.scene.cameras), len(self.scene.fixed_THW3)
        place = abs(view - base) / max(views - 1, 1), abs(time - start) / max(times - 1, 1)
        pictures, told = fusion_inputs(cell, predicted, place, drawn_HW3)
        frame_HW3, error_HW = self._chosen(pictures, told) if small_hw3 is None else agreed(pictures, small_hw3)
        return frame_HW3, confidence_of(error_HW)

    def _chosen(self, pictures: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels chosen [H, W, 3], and the error expected of them [H, W]."""
        size = tuple(told.shape[-2:])
        small = working_size(*size)
        if small == size:
            choice = self.networks.fusion(pictures[None], told[None])
        else:  # the choice is made where the network is at home, and carried out at the size of the frames
            choice = self.networks.fusion(_shrunk(pictures, small)[None], _shrunk(told[:, None], small)[None, :, 0])
            choice = choice.resized(size)
        return choice.carried_out(pictures[None])[0].movedim(0, -1), choice.log_error_BHW[0].exp()


@torch.no_grad()
def fill_cells(
    grid: FrameGrid,
    make: Callable[[tuple[int, int]], tuple[Tensor, Tensor]],
    layers: Sequence[Cells],
    first_view: int,
    on_share: Callable[[float], None],
    on_cell: OnCell | None,
) -> tuple[FrameGrid, Tensor]:
    """The grid with make((view, time)), a frame [H, W, 3] and its confidence [H, W], in its unknown cells, and confidences [V, T, H, W].

    As many cells are made at once as torch has threads and `WORKING_BYTES` allow; each must be the same however many they are. layers:
    those whose still layers are found first, in which the grid's views count from first_view. on_share and on_cell are called by this
    thread; what they raise ends the work.
    """
    frames, sure = copied(grid.frames), room(grid.frames.shape[:-1]).fill_(1.0)
    todo: list[tuple[int, int]] = [(view, time) for view, time in (~grid.known).nonzero().tolist()]
    views = {first_view + view for view, _ in todo}
    share, done = [0.0], itertools.count(1)
    parts = len(todo) + sum(len(views - cells.still_layers.keys()) for cells in layers)

    def waiting() -> None:
        on_share(share[0])

    def told() -> None:
        share[0] = next(done) / parts
        on_share(share[0])

    def filled(at: tuple[int, int], cell: tuple[Tensor, Tensor]) -> None:
        frames[at], sure[at] = cell
        if on_cell is not None:
            on_cell(*at, frames[at])
        told()

    for cells in layers:
        cells.find_layers(views, told, waiting)
    side_by_side(todo, make, cells_at_once(grid.height * grid.width), on_result=filled, waiting=waiting)
    return grid.replace(frames=frames), sure


def _shrunk(maps_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, C, h, w]: one after the other, since each may be large."""
    small = []
    for map_CHW in maps_NCHW:
        ask()
        small.append(
            functional.interpolate(map_CHW[None], size=size, mode="bilinear", align_corners=False, antialias=True)
        )
    return torch.cat(small)
