"""Where a node may save: a name below the host's output folder, with the next free number."""

import os
from dataclasses import dataclass

import folder_paths

LONGEST_NAME = 160  # bytes; file systems take 255, and endings and a number are added


@dataclass(frozen=True)
class OutputPlace:
    """folder exists; name, with its number, has no ending yet; subfolder as the host shows it, relative to the output folder."""

    folder: str
    name: str
    subfolder: str

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)


def output_place(filename_prefix: str, width: int, height: int) -> OutputPlace:
    """A new name for what a user calls `filename_prefix`, %width%, %date% and the like replaced by the host; its folder is made.

    ValueError when it has no name, lies outside of the output folder, or the disk can hold no such name.
    """
    output = folder_paths.get_output_directory()
    parent, name = os.path.split(os.path.normpath(filename_prefix))
    if name in ("", ".", ".."):
        raise ValueError(
            f"expected filename_prefix to end in a name, got {filename_prefix[:60]!r}: write one such as grids/4real"
        )
    if not filename_prefix.isprintable() or len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"expected a filename_prefix of printable letters, its name of at most {LONGEST_NAME} bytes, got {filename_prefix[:60]!r}: choose another"
        )
    if not folder_paths.is_within_directory(output, os.path.join(output, parent)):
        raise ValueError(
            f"expected a filename_prefix below the output folder, {filename_prefix!r} lies outside the output folder: choose another"
        )
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, output, width, height)
    except OSError as error:
        raise ValueError(
            f"expected to save into {parent or 'the output folder'}, the disk refuses ({error.strerror}): choose another filename_prefix"
        ) from error
    return OutputPlace(folder, f"{name}_{counter:05}", subfolder)
