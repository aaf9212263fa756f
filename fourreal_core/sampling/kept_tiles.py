"""A grid that is being filled in tiles: which tiles are left, what each is filled from, and where a run that was killed goes on.

In a folder frames.raw has the frames, float32 [V, T, H, W, 3], mapped into memory, and tiles.jsonl says whose they are and which tiles are in them.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..files.atomic import checksum
from ..files.lock import held_alone
from ..files.records import add_record, read_records
from ..files.room import copied, mapped
from ..grid import FrameGrid
from ..model.processes import Processes

if TYPE_CHECKING:
    from .tiles import Tile

FRAMES, RECORDS, LOCK = "frames.raw", "tiles.jsonl", "lock"


def alone_in(folder: Path | None) -> AbstractContextManager:
    """Keeps other processes out of a folder of tiles, which is made where it is missing. ValueError where one is in it."""
    if folder is None:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return held_alone(folder / LOCK, f"another run fills the tiles in {folder}: wait for it, or choose another folder.")


@dataclass
class TileRun:
    """The tiles of a grid in their order, the frames so far [V, T, H, W, 3], and the provenance of each tile that is in them, by number.

    folder: None keeps nothing.
    """

    grid: FrameGrid
    order: list[Tile]
    frames: Tensor
    folder: Path | None = None
    told: dict[int, dict] = field(default_factory=dict)

    @classmethod
    def start(cls, grid: FrameGrid, order: list[Tile], folder: Path | None = None, about: str = "") -> TileRun:
        """With those tiles that an earlier run in this folder has filled. about: all that the result depends on beside the grid's known cells.

        To be called within `alone_in`. Raises ValueError where the folder has tiles of another grid or of other settings, and OSError.
        """
        if folder is None:
            return cls(grid, order, copied(grid.frames))
        shape = f"{list(grid.frames.shape)} {[part.cells for part in order]} {about}"
        task = checksum({"known": grid.known, "frames": grid.frames[grid.known]}, shape)
        records = read_records(folder / RECORDS)
        if records and records[0].get("task") != task:
            raise ValueError(
                f"the tiles in {folder} belong to another grid or to other settings: delete that folder or choose another one."
            )
        frames = mapped(folder / FRAMES, grid.frames.shape)
        if not records:
            for target, source in zip(frames, grid.frames):
                target.copy_(source)
            add_record(folder / RECORDS, {"task": task})
        return cls(grid, order, frames, folder, {record["tile"]: record["told"] for record in records[1:]})

    def left(self) -> list[Tile]:
        """The tiles that are not filled yet, in their order."""
        return [part for part in self.order if part.number not in self.told]

    def task(self, part: Tile) -> FrameGrid:
        """A tile's cells, those known that the grid or an earlier tile knows."""
        known = self.grid.known.clone()
        for earlier in self.order:
            if earlier.number in self.told:
                known[earlier.cells] = True
        return part.cut(self.grid, self.frames, known)

    def place(self, part: Tile, filled: FrameGrid) -> None:
        """A tile is filled; cells that were known stay as they were. Raises ValueError for another shape than its own, and OSError."""
        if filled.frames.shape != self.frames[part.cells].shape:
            raise ValueError(
                f"expected a tile filled as it is, {len(self.frames[part.views])} views and {self.frames[part.cells].shape[1]} times of "
                f"{self.grid.width}x{self.grid.height}, got {filled.views} and {filled.times} of {filled.width}x{filled.height}."
            )
        self.frames[part.cells] = self.task(part).filled(filled.frames).frames
        told = dict(filled.provenance)
        if self.folder is not None:
            with open(
                self.folder / FRAMES, "rb+"
            ) as file:  # the frames are on the disk before it is said that they are
                os.fsync(file.fileno())
            add_record(self.folder / RECORDS, {"tile": part.number, "told": told})
        self.told[part.number] = told

    def shared(self, processes: Processes, folder: Path | None) -> None:
        """Every process has what the first one has; folder: where that one keeps its tiles."""
        if processes.count == 1:
            return
        self.told = processes.told(self.told)
        if folder is None:
            self.frames = processes.told(self.frames)
        elif not processes.first:
            self.frames = mapped(folder / FRAMES, self.grid.frames.shape)

    def result(self, size: tuple[int, int]) -> FrameGrid:
        """The whole grid; its provenance is the first tile's, and says of how many tiles it is, of at most this size."""
        tiled = {"tile": list(size), "tiles": len(self.order)} if len(self.order) > 1 else {}
        return self.grid.replace(frames=self.frames, provenance={**self.told[0], **tiled})
