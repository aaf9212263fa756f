"""A large grid on its way through the pack with little memory, for a process of its own (Linux)."""

from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from fourreal_core import load_grid, save_grid, slice_grid
from fourreal_core.files import room
from fourreal_core.grid import FrameGrid
from fourreal_core.paths import diagonal
from fourreal_core.sampling.tiles import Tile, fill_in_tiles
from fourreal_core.show.atlas import grid_atlases


def mean_fill(task: FrameGrid, tile: Tile) -> FrameGrid:
    """Each cell is the mean of the first of its view and the first of its time."""
    return task.filled((task.frames[:, :1] + task.frames[:1]) / 2)


def pass_through(size: tuple[int, int, int, int], most: int, in_memory: int, folder: Path, told: Connection) -> None:
    """Build, fill, play, slice, save and load a grid of (views, times, height, width) with at most `most` MiB of memory of one's own beyond
    what there is (files that are mapped do not count); tell the shape of the played pictures and whether all came back."""
    import resource

    views, times, height, width = size
    room.IN_MEMORY = in_memory
    room.map_large_frames_in(folder)
    generator = torch.Generator().manual_seed(0)
    soft = [torch.rand(count, 3, 9, 16, generator=generator) for count in (times, views)]
    enlarge = partial(torch.nn.functional.interpolate, size=(height, width), mode="bilinear", antialias=True)
    fixed, freeze = (enlarge(pictures).movedim(1, -1).contiguous() for pictures in soft)
    fixed[0] = freeze[0]
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + most * 2**20,) * 2)
    grid = fill_in_tiles(FrameGrid.from_videos(fixed, freeze), mean_fill)
    assert grid.frames.nbytes > most * 2**20
    file = folder / "large.grid.safetensors"
    save_grid(grid, file)
    atlases = grid_atlases(grid)
    strips, identity = len(atlases.strips), atlases.identity
    del atlases
    video = slice_grid(grid, diagonal((views, times)))
    loaded = load_grid(file)
    same = all(torch.equal(one, other) for one, other in zip(loaded.frames, grid.frames))
    loaded = loaded.filled(grid.frames)  # a node that gives a grid of its own
    told.send((strips, len(identity), tuple(video.shape), same and loaded.known.equal(grid.known)))
