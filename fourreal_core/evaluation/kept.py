"""What an interrupted study has found already: numbers and pictures on disk, with what they are of, so that the same command goes on. See study.py."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image

from ..files.atomic import checksum, save_picture, write_text
from ..grid import FrameGrid
from .contest import as_json
from .heat import KNOWN_METRICS
from .measured import Measured, nan_map

NUMBERS = "numbers.json"
QUALITY = 82  # of the sheets, in JPEG
EVALUATED = "evaluated"  # key of a filled grid's provenance: with what it was filled


class KeptStudy:
    """A folder with numbers.json ({"grids": {name: {way: {metric: ...}}}, "of": {name: {way: digest}}, ...}), sheets/ and plots/.

    alone: whether this process is the only one that writes numbers.json; else it writes pictures alone, and `found` is for the one that does.
    """

    def __init__(self, folder: Path, alone: bool = True):
        self.folder, self.alone = folder, alone
        self.plain: dict = {"grids": {}, "of": {}}
        if (folder / NUMBERS).is_file():
            self.plain |= json.loads((folder / NUMBERS).read_text(encoding="utf-8"))

    def numbers(self, name: str, way: str, digest: str) -> dict[str, Measured] | None:
        """What was measured in this grid, without its pixels; None where nothing was, or in another grid of this name."""
        sheet, plot = self.pictures(name, way)
        if self.plain["of"].get(name, {}).get(way) != digest or not (sheet.is_file() and plot.is_file()):
            return None
        return {
            key: measured_of(plain) for key, plain in self.plain["grids"][name][way].items() if key in KNOWN_METRICS
        }

    def keep(self, name: str, way: str, digest: str, numbers: Mapping[str, Measured]) -> None:
        self.plain["grids"].setdefault(name, {})[way] = as_json(numbers)
        self.plain["of"].setdefault(name, {})[way] = digest
        self.write()

    def found(self, name: str) -> dict[str, dict]:
        """What is known of a grid, for `join` of another process."""
        return {kind: {name: self.plain[kind].get(name, {})} for kind in ("grids", "of")}

    def join(self, found: Mapping[str, dict]) -> None:
        """Keep what another process found."""
        for kind, of_names in found.items():
            for name, by_way in of_names.items():
                self.plain[kind].setdefault(name, {}).update(by_way)
        self.write()

    def write(self, **more: object) -> None:
        """numbers.json, all or nothing. more: further entries of it."""
        self.plain |= more
        if not self.alone:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / NUMBERS, json.dumps(self.plain, indent=1))

    def pictures(self, name: str, way: str) -> tuple[Path, Path]:
        """Where the sheet and the plot of a grid lie."""
        file = f"{name} {way}".replace("/", "_").replace(" ", "_")
        return self.folder / "sheets" / f"{file}.jpg", self.folder / "plots" / f"{file}.png"

    def keep_pictures(self, name: str, way: str, sheet: Image.Image, plot: Image.Image) -> None:
        paths = self.pictures(name, way)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(sheet, paths[0], quality=QUALITY)
        save_picture(plot, paths[1])


def measured_of(plain: Mapping) -> Measured:
    """The number of which `as_json` made this."""
    value, cells = plain["value"], plain.get("cells")
    return Measured(
        math.nan if value is None else value,
        plain.get("reason", ""),
        None if cells is None else _with_nan(cells),
        details=plain.get("details", {}),
    )


def _with_nan(cells: list[list[float | None]]) -> torch.Tensor:
    values = nan_map((len(cells), len(cells[0])))
    for view, line in enumerate(cells):
        for time, value in enumerate(line):
            if value is not None:
                values[view, time] = value
    return values


def digest_of(grid: FrameGrid, truth: FrameGrid | None = None, words: str = "") -> str:
    """Names a grid's frames and known cells, the truth beside it, and how they are measured."""
    tensors = {"frames": grid.frames, "known": grid.known}
    return checksum(tensors if truth is None else tensors | {"truth": truth.frames}, words)
