"""Where nodes read and save: the grids and recordings in the host's input and output folders, and new names below its output folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import folder_paths

from ..fourreal_core.files.stills import IMAGE_SUFFIXES
from ..fourreal_core.files.video import VIDEO_SUFFIXES

GRID_SUFFIX = ".grid.safetensors"
ROOTS = ("input", "output")
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
            f"expected filename_prefix to have printable characters and a name of at most {LONGEST_NAME} "
            f"bytes, got {filename_prefix[:60]!r}: choose another"
        )
    if not folder_paths.is_within_directory(output, os.path.join(output, parent)):
        raise ValueError(
            f"expected filename_prefix to stay inside the output folder, got {filename_prefix!r}: choose another"
        )
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, output, width, height)
    except OSError as error:
        raise ValueError(
            f"cannot write to {parent or 'the output folder'} ({error.strerror}): choose another filename_prefix"
        ) from error
    return OutputPlace(folder, f"{name}_{counter:05}", subfolder)


def saved_grids() -> list[str]:
    """Grid files as the host names them: "grids/fox_00001_.safetensors [output]"; newest output first, then input."""
    return saved_files(GRID_SUFFIX)


def saved_files(suffix: str) -> list[str]:
    """Files with an ending such as GRID_SUFFIX, in the same way."""
    output = _dated_files(folder_paths.get_output_directory(), "output", suffix)
    return output + _dated_files(folder_paths.get_input_directory(), "input", suffix)


def file_problem(file, kind: str) -> str:
    """Why this is no saved file to read, in one sentence; empty when it is one. kind: "grid" of files that 4Real Save Grid writes, and so on."""
    if not isinstance(file, str) or not file:
        saver = {"grid": "4Real Save Grid", "splat": "4Real Save Splats"}[kind]
        return f"found no {kind} file: save one with {saver}, or put one into the input folder"
    if not folder_paths.exists_annotated_filepath(file):
        return f"found no {kind} file {file} in the input or output folder: refresh the list and choose again"
    return ""


def time_and_size(path: str | os.PathLike) -> tuple[int, int]:
    """What tells that a file was written anew under the same name: when (nanoseconds), and its bytes. Raises OSError."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def rig_folders() -> list[str]:
    """Folders that may hold recordings, as the host names them: "rig/take 1 [input]"; input first, newest first."""
    return [name for kind in ROOTS for name in _folders(_root(kind), kind)]


def folder_problem(folder) -> str:
    """Why this is no folder to read, in one sentence; empty when it is one. All of it has to lie inside of input or output."""
    if not isinstance(folder, str) or not folder:
        return "found no folder of videos or images: put one into the input folder"
    if not folder_paths.exists_annotated_filepath(folder):
        return f"found no folder {folder} in the input or output folder: refresh the list and choose again"
    path = folder_paths.get_annotated_filepath(folder)
    if not os.path.isdir(path):
        return f"{folder} is a file, not a folder: choose the folder that contains it"
    for link in (path, *_links(path)):
        if not any(folder_paths.is_within_directory(_root(kind), link) for kind in ROOTS):
            return (
                f"everything in {folder} must be inside the input or output folder, but "
                f"{os.path.basename(link)} is a link to another place: copy the files instead"
            )
    return ""


def _dated_files(folder: str, kind: str, suffix: str) -> list[str]:
    found = []
    for parent, _, names in os.walk(folder):
        found += [os.path.join(parent, name) for name in names if name.endswith(suffix)]
    found = [path for path in found if os.path.isfile(path)]  # a dangling link has no time of change
    found.sort(key=os.path.getmtime, reverse=True)
    return [f"{os.path.relpath(path, folder).replace(os.sep, '/')} [{kind}]" for path in found]


def _folders(root: str, kind: str) -> list[str]:
    """Folders in `root`, itself left out, that hold videos, folders of images, or the stills of a rig; hidden ones are still being written."""
    found, of_images = set(), {}
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        endings = {os.path.splitext(name)[1].lower() for name in names}
        if endings & VIDEO_SUFFIXES:
            found.add(parent)
        if endings & IMAGE_SUFFIXES and parent != root:
            of_images.setdefault(os.path.dirname(parent), []).append(parent)
    for above, folders in of_images.items():
        found.add(above)
        if above == root or len(folders) == 1:  # several side by side are the views of one recording
            found.update(folders)
    dated = [(os.path.getmtime(path), path) for path in found - {root} if os.path.isdir(path)]
    return [f"{os.path.relpath(path, root).replace(os.sep, '/')} [{kind}]" for _, path in sorted(dated, reverse=True)]


def _links(folder: str) -> Iterator[str]:
    """Every link in a folder, at any depth; whatever else lies in it lies where the folder does."""
    for parent, _, _ in os.walk(folder):
        with os.scandir(parent) as entries:
            yield from (entry.path for entry in entries if entry.is_symlink())


def _root(kind: str) -> str:
    return folder_paths.get_input_directory() if kind == "input" else folder_paths.get_output_directory()
