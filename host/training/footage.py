"""Folders that the user names, and the files of a training run, in the places that the host allows."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ..load import SYNC_FOLDER

RUNS = "fourreal_training"  # in the host's output folder
NAME = re.compile(r"[\w][\w .-]{0,99}")


def footage_paths(text: str, what: str) -> list[Path]:
    """The folders or files that a widget names, one per line; none for an empty one.

    Relative ones are looked for in the host's input folder, then in its output folder. ValueError when one is missing or elsewhere.
    """
    return [_allowed(line.strip(), what) for line in text.splitlines() if line.strip()]


def _allowed(name: str, what: str) -> Path:
    places = [folder_paths.get_input_directory(), folder_paths.get_output_directory()]
    for place in map(os.path.abspath, places):
        path = os.path.normpath(os.path.join(place, name))
        if os.path.commonpath([path, place]) == place and os.path.exists(path):
            return Path(path)
    raise ValueError(
        f"expected a folder or file in the input or output folder for {what}, found no {name} there: "
        "copy the footage into the input folder, or put a link to it there"
    )


@dataclass(frozen=True)
class Run:
    """Where a training of this name keeps its files. ValueError when the name is none for a file, or taken by layers from elsewhere."""

    name: str

    def __post_init__(self):
        if not NAME.fullmatch(self.name) or self.name.endswith((" ", ".")):
            raise ValueError(
                f"expected a name of letters, digits, spaces, dots and dashes, got {self.name!r:.120}: choose another"
            )
        if self.result.exists() and not self.state.exists():
            raise ValueError(
                f"expected a new name, got {self.name}, and {self.result} was not made by a training that can go on here: "
                "choose another name, or delete that file"
            )

    @property
    def folder(self) -> Path:
        return Path(folder_paths.get_output_directory()) / RUNS / self.name

    @property
    def state(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def latents(self) -> Path:
        return self.folder / "latents"

    @property
    def result(self) -> Path:
        return Path(folder_paths.get_folder_paths(SYNC_FOLDER)[0]) / f"{self.name}.safetensors"

    def make_folders(self) -> None:
        for folder in (self.latents, self.result.parent):
            folder.mkdir(parents=True, exist_ok=True)
