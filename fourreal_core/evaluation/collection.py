"""Grids in a folder, by name: grid files (*.grid.safetensors, as 4Real Save Grid and `save_grid` write them) and shards of rendered grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..data.shards import read_shard
from ..grid import FrameGrid
from ..grid_file import load_grid

SUFFIX = ".grid.safetensors"


def find_grids(
    folder: str | Path, count: int | None = None, only: str | None = None
) -> Iterator[tuple[str, FrameGrid]]:
    """(name, grid) of the first `count` grids in a folder (None: all), by file name; a shard's grids are numbered from 1. only: the one of this name.

    Raises ValueError for a folder that is missing or holds none, or a file that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: name the folder that holds the grids.")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"found no grids (*{SUFFIX}) in {folder}: save some with 4Real Save Grid or save_grid().")
    left = len(files) * 10**6 if count is None else count
    for file in files:
        for name, load in _in_file(file):
            if left <= 0:
                return
            left -= 1
            if only in (None, name):
                yield name, load()


def _in_file(file: Path) -> Iterator[tuple[str, Callable[[], FrameGrid]]]:
    """(name, what loads it)."""
    if file.name.endswith(SUFFIX):
        yield file.name.removesuffix(SUFFIX), partial(load_grid, file)
        return
    shard = read_shard(file)
    for index in range(len(shard)):
        yield f"{file.stem} {index + 1}", partial(shard.grid, index)
