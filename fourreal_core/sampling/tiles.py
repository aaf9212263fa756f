"""Grids larger than the model was trained on, filled tile by tile: neighbouring tiles share one view or one time.

Source: PAPER "Larger grids" [ours]. A tile takes its first view from the tile above and its first time from the tile to
the left, so that each has exactly the task's inputs. `sampling.py` fills one tile.

Legend: V views, T times, H W pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from torch import Tensor

from ..grid import FrameGrid
from ..model.two_stream import GridModel
from .sample import sample_grid

TILE = (8, 8)  # views and times of the grids that the bundled model was trained on


@dataclass(frozen=True)
class Tile:
    """A rectangle of cells: views and times as slices of the whole grid."""

    views: slice
    times: slice

    @property
    def cells(self) -> tuple[slice, slice]:
        return self.views, self.times


def spans(length: int, longest: int) -> list[slice]:
    """Stretches of at most `longest` places that cover 0..length - 1; neighbours share one place.

    As few as possible and of nearly equal length, so that none is a short rest: 15 in tiles of 8 gives 0..7 and 7..14,
    10 gives 0..5 and 5..9. Raises ValueError when `longest` is below 2.
    """
    if longest < 2:
        raise ValueError(f"expected tiles of at least 2 views and 2 times, got {longest}: neighbours share one of them")
    count = max(1, ceil((length - 1) / (longest - 1)))
    edges = [round(index * (length - 1) / count) for index in range(count + 1)]
    return [slice(first, last + 1) for first, last in itertools.pairwise(edges)]


def tile_order(known_VT: Tensor, tile: tuple[int, int] = TILE) -> list[Tile]:
    """The tiles that have unknown cells, in the order to fill them: always the one that knows most, the first of equals.

    With the task's inputs that is view by view from cell (0, 0); with other known cells it starts where they are. What one
    tile fills its neighbours know. known: bool [V, T] with at least one known cell.
    """
    views, times = known_VT.shape
    left = [Tile(v, t) for v in spans(views, tile[0]) for t in spans(times, tile[1])]
    known_VT, order = known_VT.clone(), []
    while left := [part for part in left if not known_VT[part.cells].all()]:
        best = max(left, key=lambda part: int(known_VT[part.cells].sum()))
        known_VT[best.cells] = True
        order.append(best)
    return order


def sample_large_grid(
    model: GridModel,
    grid: FrameGrid,
    sync: str = "soft",
    *,
    tile: tuple[int, int] = TILE,
    strength: float = 1.0,
    steps: int = 16,
    seed: int = 0,
    sampler: str = "euler",
    output: str = "mean",
    guess: FrameGrid | None = None,
    denoise: float = 1.0,
    on_step: Callable[[int, int, Tensor], None] | None = None,
) -> FrameGrid:
    """Fill every unknown cell in tiles of at most `tile` views and times; known cells come back bit-exact.

    A grid that fits one tile is filled as by `sample_grid`, which explains all other options. Tile number n, in filling
    order, draws its noise with `seed + n`. on_step(step, steps, estimate): steps count over all tiles; the estimate is the
    whole grid, with cells that were not reached yet as they came in; what it raises ends the sampling.
    Raises ValueError as `sample_grid` does, and for tiles of less than 2 views or times.
    """
    if not grid.known.any():
        raise ValueError("the grid has no known cell: give it at least one frame to start from")
    order = tile_order(grid.known, tile)
    options = {"strength": strength, "steps": steps, "sampler": sampler, "output": output, "denoise": denoise}
    frames, known, provenance = grid.frames.clone(), grid.known.clone(), grid.provenance
    for number, part in enumerate(order):
        task = FrameGrid(frames[part.cells].clone(), known[part.cells].clone(), provenance=grid.provenance)
        own_guess = guess and FrameGrid(guess.frames[part.cells], guess.known[part.cells])
        report = on_step and _report(on_step, number, len(order), frames, part)
        filled = sample_grid(model, task, sync, seed=seed + number, guess=own_guess, on_step=report, **options)
        frames[part.cells], known[part.cells], provenance = filled.frames, True, filled.provenance
    tiled = {"seed": seed, "tile": list(tile), "tiles": len(order)} if len(order) > 1 else {}
    return grid.replace(frames=frames, provenance={**provenance, **tiled})


def _report(
    on_step: Callable, number: int, tiles: int, frames: Tensor, part: Tile
) -> Callable[[int, int, Tensor], None]:
    """`on_step` of one tile as a step of the whole grid."""

    def report(step: int, steps: int, denoised_VTHWC: Tensor) -> None:
        estimate = frames.clone()
        estimate[part.cells] = denoised_VTHWC
        on_step(number * steps + step, tiles * steps, estimate)

    return report
