"""Footage in folders: which videos, image folders and multi-view captures are there, and evenly spaced stretches of them.

Legend: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Generator, Tensor

from ..files.recording import Measured, is_video, view_recordings
from ..files.stills import IMAGE_SUFFIXES

LONGEST_STRIDE = 3  # frames


def find_videos(paths: Iterable[Path]) -> dict[str, Path]:
    """Videos by a name of their own: the given files, and in given folders every video file and every folder of images, at any depth.

    Raises ValueError when a path does not exist, a folder holds none, or two would have the same name.
    """
    return _named(
        paths,
        lambda folder: [
            entry for entry in [folder, *sorted(folder.rglob("*"))] if is_video(entry) or _holds_images(entry)
        ],
        "videos or folders of images",
    )


def find_captures(paths: Iterable[Path]) -> dict[str, Path]:
    """Multi-view captures by name: folders, at any depth, with at least two videos, or two folders of images, one per view.

    Raises ValueError as `find_videos` does.
    """
    return _named(
        paths,
        lambda folder: [entry for entry in [folder, *sorted(folder.rglob("*"))] if _is_capture(entry)],
        "captures with one video or image folder per view",
    )


def find_grids(paths: Iterable[Path]) -> dict[str, Path]:
    """Saved grids (`*.grid.safetensors`) by name, at any depth of given folders. Raises ValueError as `find_videos` does."""
    return _named(paths, lambda folder: sorted(folder.rglob("*.grid.safetensors")), "saved grids (*.grid.safetensors)")


def read_capture(folder: Path, size: tuple[int, int]) -> Tensor:
    """uint8 [V, T, H, W, 3] of a whole capture, cropped to fit `size`; views that run longer than the shortest one are cut at its end."""
    views = [Measured(recording) for recording in view_recordings(folder)]
    times = min(view.length for view in views)
    return torch.stack([view.read(range(times), size)[0] for view in views])


def random_stretch(length: int, count: int, generator: Generator, longest_stride: int = LONGEST_STRIDE) -> slice:
    """`count` evenly spaced places of `length` (all of them when there are fewer), at a random spacing and start."""
    count = min(count, length)
    most = (length - 1) // (count - 1) if count > 1 else 1
    stride = 1 + _below(min(longest_stride, most), generator)
    first = _below(length - (count - 1) * stride, generator)
    return slice(first, first + (count - 1) * stride + 1, stride)


def _named(paths: Iterable[Path], search, what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise ValueError(f"there is no file or folder at {path}: check the name")
        entries = [path] if path.is_file() else search(path)
        if not entries:
            raise ValueError(f"found no {what} in {path}")
        for entry in entries:
            place = entry.relative_to(path.parent) if path.is_dir() else Path(entry.name)
            name = "-".join(
                [*place.parts[:-1], place.name.split(".grid.")[0] if ".grid." in place.name else _stem(entry)]
            )
            if found.setdefault(name, entry) != entry:
                raise ValueError(
                    f"{found[name]} and {entry} would get the same name, {name}: rename one, or prepare them "
                    "into two folders"
                )
    return found


def _stem(entry: Path) -> str:
    return entry.name if entry.is_dir() else entry.stem


def _holds_images(entry: Path) -> bool:
    return entry.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in entry.iterdir() if file.is_file())


def _is_capture(entry: Path) -> bool:
    if not entry.is_dir():
        return False
    inside = list(entry.iterdir())
    return sum(map(is_video, inside)) > 1 or sum(map(_holds_images, inside)) > 1


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (1,), generator=generator))
