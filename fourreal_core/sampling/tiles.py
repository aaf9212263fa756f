"""Grids larger than a model was trained on, filled tile by tile: neighbouring tiles share a view or a time.

Source: PAPER "Larger grids" [ours]. A tile takes its first view from the tile above and its first time from the tile to
the left, so that each has exactly the task's inputs. Any fill can fill a tile; `sample.py` has the model's.

Legend: V views, T times, H W pixels.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..files.room import copied
from ..geometry.fill import FillSources, Stage, find_sources
from ..grid import FrameGrid
from ..model.processes import ALONE, Processes
from ..model.two_stream import GridModel
from .kept_tiles import TileRun, alone_in
from .sample import OnStep, Sampling, fill_by_sampling

TILE = (8, 8)  # views and times of the grids that the bundled model was trained on
PACKED = (8, 4)  # frames that the VAEs of video models pack into one latent frame after the first


@dataclass(frozen=True)
class Tile:
    """A rectangle of cells: views and times as slices of the whole grid.

    number, count: which of how many, in the order of filling. so_far: the whole grid's frames [V, T, H, W, 3] when this one's turn comes.
    whole: that grid as it was before any tile was filled.
    """

    views: slice
    times: slice
    number: int = 0
    count: int = 1
    so_far: Tensor | None = field(default=None, compare=False, repr=False)
    whole: FrameGrid | None = field(default=None, compare=False, repr=False)

    @property
    def cells(self) -> tuple[slice, slice]:
        return self.views, self.times

    def of(self, grid: FrameGrid) -> FrameGrid:
        """These cells alone, copied, with their cameras."""
        return self.cut(grid, grid.frames, grid.known)

    def cut(self, grid: FrameGrid, frames: Tensor, known: Tensor) -> FrameGrid:
        """The same, with cells and known ones from elsewhere."""
        cameras = grid.cameras and grid.cameras.of(self.views)
        frames, known = (part[self.cells].clone() for part in (frames, known))
        return grid.replace(frames=frames, known=known, cameras=cameras)

    def placed(self, frames: Tensor) -> Tensor:
        """The whole grid's frames so far, with these in this tile's place."""
        if self.so_far is None:
            raise ValueError("expected a tile of a grid that is being filled, got one without that grid's frames")
        whole = copied(self.so_far)
        whole[self.cells] = frames
        return whole


FillTile = Callable[[FrameGrid, Tile], FrameGrid]


def spans(length: int, longest: int) -> list[slice]:
    """Stretches of at most `longest` places, as few as possible, that cover 0..length - 1; neighbours share one place.

    They are of nearly equal length, so that none is a short rest: 15 in tiles of 8 gives 0..7 and 7..14, 10 gives 0..5 and 5..9.
    Video models pack times, and take only 4 n + 1 or 8 n + 1 of them: where `longest` is such a number, every stretch is one too, 33 in
    tiles of 13 as 0..12, 12..20 and 20..32. Where the length is none, stretches are equal and share more: 16 in tiles of 9 as 0..8 and 7..15.
    A length of at most `longest` stays whole. Raises ValueError when `longest` is below 2.
    """
    if longest < 2:
        raise ValueError(
            f"expected tiles of at least 2 views and 2 times, got {longest}: neighbouring tiles overlap by one"
        )
    count = ceil((length - 1) / (longest - 1))
    if count <= 1:
        return [slice(0, length)]
    unit = next(unit for unit in (*PACKED, 1) if (longest - 1) % unit == 0)
    if (length - 1) % unit:
        size = unit * ceil((length - 1) / count / unit) + 1
        firsts = [round(index * (length - size) / (count - 1)) for index in range(count)]
        return [slice(first, first + size) for first in firsts]
    edges = [unit * round(index * (length - 1) / unit / count) for index in range(count + 1)]
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


def fill_in_tiles(
    grid: FrameGrid,
    fill: FillTile,
    *,
    tile: tuple[int, int] = TILE,
    folder: str | os.PathLike | None = None,
    about: str = "",
    processes: Processes = ALONE,
) -> FrameGrid:
    """Fill every unknown cell in tiles of at most `tile` views and times; known cells come back bit-exact.

    fill(task, tile): gives `task`, one tile's cells, filled; `tile` says which they are, so that a guess can be cut alike (`tile.of(guess)`),
    noise can differ (`seed + tile.number`), and what the known cells of all tiles say can be found from `tile.whole` once (`TileSources`).
    Later tiles hold on to what earlier ones filled. The provenance is the first tile's.
    folder: keeps every tile that is done, so that the same call goes on after a run that was killed; `about` says what the fill
    depends on. The grid's frames then lie in that folder: delete it once the grid is saved. Memory is that of one tile; frames that are
    too large for memory lie in a file. processes: of `joined_processes`, that share the tiles which do not wait for each other, each with a
    device of its own; all call this with the same arguments and get the same grid, and only the first one is in the folder until it is
    filled, which all of them must reach. Raises ValueError for a grid without known cells, for tiles of less than 2 views or times, and for a
    folder that is in use or belongs to something else; OSError where the disk refuses.
    """
    order = numbered_tiles(grid, tile)
    if not order:
        return grid
    folder = None if folder is None else Path(folder)
    with alone_in(folder if processes.first else None):
        run = TileRun.start(grid, order, folder if processes.first else None, about)
        if processes.count == 1:
            for part in run.left():
                run.place(part, fill(run.task(part), _at_its_turn(run, part)))
        else:
            for wave in waves(processes.told(run.left()), grid.known):
                _fill_wave(run, fill, wave, processes)
    run.shared(processes, folder)
    return run.result(tile)


def waves(left: list[Tile], known_VT: Tensor) -> list[list[Tile]]:
    """Tiles that do not wait for each other, in rounds: each comes after those that fill cells which it holds on to."""
    fills_VT = torch.full(known_VT.shape, -1)
    for part in reversed(left):
        fills_VT[part.cells] = part.number
    fills_VT[known_VT] = -1
    rounds, place = list[list[Tile]](), {-1: -1}
    for part in left:
        before = fills_VT[part.cells].unique().tolist()
        place[part.number] = 1 + max((place[number] for number in before if number != part.number), default=-1)
        rounds += [[]] if place[part.number] == len(rounds) else []
        rounds[place[part.number]].append(part)
    return rounds


def _fill_wave(run: TileRun, fill: FillTile, wave: list[Tile], processes: Processes) -> None:
    """The first process hands out the tiles and places them as they come back."""
    tasks = processes.told([run.task(part) for part in wave] if processes.first else None)
    mine = {
        index: fill(task, _at_its_turn(run, part))
        for index, (part, task) in enumerate(zip(wave, tasks))
        if index % processes.count == processes.rank
    }
    for index, part in enumerate(wave):
        filled = processes.told(mine.get(index), by=index % processes.count)
        if processes.first:
            run.place(part, filled)


def _at_its_turn(run: TileRun, part: Tile) -> Tile:
    return replace(part, so_far=run.frames, whole=run.grid)


def numbered_tiles(grid: FrameGrid, tile: tuple[int, int] = TILE) -> list[Tile]:
    """The tiles of a grid that have unknown cells, in the order to fill them. ValueError without known cells, and for tiles of less than 2 views or times."""
    if not grid.known.any():
        raise ValueError("the grid has no known cells: give it at least one frame to start from")
    order = tile_order(grid.known, tile)
    return [replace(place, number=number, count=len(order)) for number, place in enumerate(order)]


class TileSources:
    """What each tile of a grid can be filled from: found for the whole grid when its first tile asks, and cut for every tile.

    The known cells of all tiles tell more than those of one: movement that is too slow to be seen within a tile, and cameras and depth from
    all views. They are few, so this takes no more memory with more tiles. A run that goes on finds the same again.
    """

    def __init__(self, find: Callable[[FrameGrid], FillSources] = find_sources):
        self.find = find
        self._found: WeakKeyDictionary[FrameGrid, FillSources] = WeakKeyDictionary()

    def of(self, task: FrameGrid, tile: Tile) -> FillSources:
        """Of one tile's cells. ValueError for a tile that does not know its grid."""
        whole = tile.whole
        if whole is None:
            raise ValueError("expected a tile of a grid that is being filled, got one without that grid")
        if whole not in self._found:
            self._found[whole] = self.find(whole)
        return self._found[whole].part(task, (tile.views.start, tile.times.start))


def filled_tiles(find: Callable[[FrameGrid], FillSources] = find_sources) -> FillTile:
    """A fill for `fill_in_tiles` without a model: the grid that comes out is the one that `fill_grid` makes at once. find: `find_sources`, with other settings."""
    sources = TileSources(find)
    return lambda task, tile: sources.of(task, tile).fill().grid


def sampled_tiles(
    model: GridModel,
    sampling: Sampling,
    *,
    guess: FrameGrid | None = None,
    on_step: OnStep | None = None,
    on_stage: Stage | None = None,
) -> FillTile:
    """A fill for `fill_in_tiles`: each tile sampled by the model, with the seed `sampling.seed` + its number, and chosen from the whole grid's sources.

    guess: of the whole grid. on_step(step, steps, estimate): steps count over all tiles, the estimate is the whole grid, with cells
    that were not reached yet as they came in. on_stage: as in `sample_grid`, before the first tile and after the steps of each. What
    either raises ends the sampling.
    """
    method = "auto" if guess is None else "transport"
    sources = TileSources(partial(find_sources, method=method, on_stage=on_stage))

    def fill(task: FrameGrid, tile: Tile) -> FrameGrid:
        def report(step: int, steps: int, denoised: Tensor) -> None:
            if on_step:
                on_step(tile.number * steps + step, tile.count * steps, tile.placed(denoised))

        own_seed = replace(sampling, seed=sampling.seed + tile.number)
        own = sources.of(task, tile) if guess is None or model.config.guess else None
        if guess is None:
            return fill_by_sampling(model, task, own_seed, sources=own, on_step=report, on_stage=on_stage)
        told = own and own.predictions
        return fill_by_sampling(model, task, own_seed, guess=tile.of(guess), predictions=told, on_step=report)

    return fill


def sample_large_grid(model, grid, sync="soft", *, tile=TILE, guess=None, on_step=None, **settings) -> FrameGrid:
    """The old name of `fill_in_tiles` with `sampled_tiles`; goes in version 0.3."""
    warnings.warn(
        "sample_large_grid is now fill_in_tiles(grid, sampled_tiles(model, Sampling(...)))",
        DeprecationWarning,
        stacklevel=2,
    )
    sampling = Sampling(sync=sync, **settings)
    return fill_in_tiles(grid, sampled_tiles(model, sampling, guess=guess, on_step=on_step), tile=tile)
