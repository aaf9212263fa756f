"""Grids on disk: one safetensors file, lossless, self-describing, safe to open from a stranger. Name it `something.grid.safetensors`.

Layout: tensors `frames` (uint8 where that is exact, else float32) [V, T, H, W, 3], `known` uint8 [V, T] and, with cameras, float32
`world_to_camera` [V, 4, 4] and `intrinsics` [V, 3, 3], with sound, float32 `sound` [channels, samples]; header metadata `format`, `version`,
`grid`: JSON with fps, provenance and, with sound, `sound_rate`, and `sha256`: of the tensors and of that JSON. Equal grids give equal files.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .files import room as rooms
from .files.atomic import brief, checksum, write_tensors
from .files.header import MOST_TEXT, FileKind, strict_json
from .files.room import room
from .files.sound import MOST_CHANNELS, MOST_SECONDS, RATES, Sound
from .files.video import MAX_SIDE
from .grid import MAX_LENGTH, Cameras, FrameGrid
from .side_by_side import ask

FORMAT = "fourreal.grid"
VERSION = "1"
MOST_SAMPLES = int(MOST_SECONDS * RATES[1])
REQUIRED = {"frames": ("U8", "F32"), "known": ("U8",)}
CAMERAS = {"world_to_camera": ("F32",), "intrinsics": ("F32",)}
SOUND = {"sound": ("F32",)}
OPTIONAL = CAMERAS | SOUND


class GridFileError(ValueError):
    """A grid file that cannot be read or written; the message is one sentence for the user."""


KIND = FileKind("grid", FORMAT, VERSION, GridFileError)


def save_grid(grid: FrameGrid, file: str | Path) -> None:
    """Write `grid` losslessly to `file`, all or nothing: an older file stays as it was when writing fails.

    Raises GridFileError when the folder is missing, the disk refuses, or the provenance exceeds 1 MB as JSON.
    """
    file = Path(file)
    described = _description(grid)
    if not file.parent.is_dir():
        raise GridFileError(f"there is no folder {file.parent}: create it before saving {file.name}.")
    if file.is_dir():
        raise GridFileError(f"expected a file name to save the grid to, got the folder {file}.")
    tensors = {"frames": _smallest_exact(grid.frames), "known": grid.known.to(torch.uint8)}
    if grid.cameras is not None:
        tensors |= {"world_to_camera": grid.cameras.world_to_camera, "intrinsics": grid.cameras.intrinsics}
    if grid.sound is not None:
        tensors["sound"] = grid.sound.samples
    try:
        header = {"format": FORMAT, "version": VERSION, "grid": described, "sha256": checksum(tensors, described)}
        write_tensors(file, tensors, header)
    except OSError as error:
        raise GridFileError(f"could not write the grid to {file}: {error}.") from error


def _description(grid: FrameGrid) -> str:
    said: dict[str, Any] = {"fps": grid.fps, "provenance": grid.provenance}
    if grid.sound is not None:
        said["sound_rate"] = grid.sound.rate
    described = json.dumps(said, allow_nan=False, sort_keys=True)
    if len(described) > MOST_TEXT:
        raise GridFileError(
            f"expected provenance of at most {MOST_TEXT} characters as JSON, got {len(described)}: store less of it."
        )
    return described


def load_grid(file: str | Path) -> FrameGrid:
    """The grid in `file`, exactly as it was saved. Frames that are too large for memory stay in files (files/room.py).

    Nothing is allocated before header, names, dtypes and shapes have been checked against each other and the file's size, and nothing
    in the file is executed. Raises GridFileError with one sentence on anything else than a whole, valid grid file.
    """
    file = Path(file)
    if not file.is_file():
        raise GridFileError(f"there is no grid file at {file}: check the name.")
    try:
        KIND.check_length(file)
        with safe_open(file, framework="np") as opened:  # "pt" maps files as if they were written to
            header = opened.metadata() or {}
            said = _read_description(header, file.name)
            _check_tensors(opened, file.name)
            tensors = {name: torch.from_numpy(opened.get_tensor(name)) for name in opened.keys() if name != "frames"}
        tensors["frames"] = _stored_frames(file)
    except (OSError, SafetensorError) as error:
        raise GridFileError(
            f"cannot read {file.name} ({brief(error)}): it is damaged, incomplete, or not a grid file."
        ) from error
    if "sha256" in header and header["sha256"] != checksum(tensors, header["grid"]):  # older files have none
        raise GridFileError(f"{file.name} is damaged (its checksum does not match): copy it again.")
    try:
        grid = _grid(tensors, said)
        _description(grid)  # what is loaded can be saved
        return grid
    except ValueError as error:
        raise GridFileError(f"{file.name} does not hold a valid grid: {error}") from error


def _smallest_exact(frames: Tensor) -> Tensor:
    """uint8 if dividing it by 255 gives `frames` back bit for bit, else `frames`."""
    frames_uint8 = room(frames.shape, torch.uint8)
    for cell_HWC, stored_HWC in zip(frames.flatten(0, 1), frames_uint8.flatten(0, 1)):
        ask()
        stored_HWC.copy_((cell_HWC * 255).round())
        if not torch.equal(stored_HWC.float() / 255, cell_HWC):
            return frames
    return frames_uint8


def _stored_frames(file: Path) -> Tensor:
    """The frames of a file whose header was checked, mapped for reading: nothing is read before it is asked for."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        told = json.loads(opened.read(length))["frames"]
    kind = {"U8": np.uint8, "F32": np.float32}[told["dtype"]]
    start = 8 + length + told["data_offsets"][0]
    stored = np.memmap(file, kind, "r", start, tuple(told["shape"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch knows no tensors that must not be written into
        return torch.from_numpy(stored)


def _float_frames(stored: Tensor) -> Tensor:
    """float32 0..1. Copied, so that the grid does not stay mapped to the file, unless they are as many numbers as stay on disk anyway."""
    if stored.dtype == torch.float32 and stored.nbytes > rooms.IN_MEMORY:
        return stored
    frames = room(stored.shape)
    for stored_HWC, cell_HWC in zip(stored.flatten(0, 1), frames.flatten(0, 1)):
        ask()
        cell_HWC.copy_(stored_HWC.float() / 255 if stored.dtype == torch.uint8 else stored_HWC)
    return frames


def _read_description(metadata: dict[str, str], name: str) -> dict:
    """fps, provenance and perhaps sound_rate."""
    KIND.check(metadata, name)
    described = metadata.get("grid", "")
    if len(described) > MOST_TEXT:
        raise GridFileError(
            f"expected a description of at most {MOST_TEXT} characters in {name}, got {len(described)}."
        )
    try:
        description = strict_json(described)
        fps, provenance = description["fps"], description["provenance"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GridFileError(
            f"expected fps and provenance in {name} to be JSON, got something else ({str(error)[:80]})."
        ) from error
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not isinstance(provenance, dict):
        raise GridFileError(
            f"expected fps to be a number and provenance an object in {name}, got {type(fps).__name__} and "
            f"{type(provenance).__name__}."
        )
    return description


def _check_tensors(opened, name: str) -> None:
    """Names, dtypes and shapes, from the header alone."""
    names = set(opened.keys())
    allowed = REQUIRED | OPTIONAL
    if not set(REQUIRED) <= names <= set(allowed) or len(names & set(CAMERAS)) == 1:
        raise GridFileError(
            f"expected the tensors frames, known and, with cameras, world_to_camera and intrinsics, with sound, sound in {name}, got "
            f"{', '.join(sorted(names))[:200] or 'none'}."
        )
    parts = {part: opened.get_slice(part) for part in names}
    shape = parts["frames"].get_shape()
    if len(shape) != 5 or not (
        1 <= min(shape) and max(shape[:2]) <= MAX_LENGTH and max(shape[2:4]) <= MAX_SIDE and shape[4] == 3
    ):
        raise GridFileError(
            f"expected frames of shape [views, times, height, width, 3] with at most {MAX_LENGTH} views and "
            f"times and {MAX_SIDE} pixels per side in {name}, got {str(shape)[:100]}."
        )
    expected = {
        "frames": shape,
        "known": shape[:2],
        "world_to_camera": [shape[0], 4, 4],
        "intrinsics": [shape[0], 3, 3],
    }
    if "sound" in parts:
        expected["sound"] = _sound_shape(parts["sound"].get_shape(), name)
    for part, header in parts.items():
        if header.get_dtype() not in allowed[part] or header.get_shape() != expected[part]:
            raise GridFileError(
                f"expected {part} to be {' or '.join(allowed[part])} {expected[part]} in {name}, got "
                f"{header.get_dtype()} {str(header.get_shape())[:100]}."
            )


def _sound_shape(shape: list[int], name: str) -> list[int]:
    if len(shape) != 2 or not 1 <= shape[0] <= MOST_CHANNELS or not 1 <= shape[1] <= MOST_SAMPLES:
        raise GridFileError(
            f"expected sound of shape [channels, samples] with at most {MOST_CHANNELS} and {MOST_SAMPLES} in {name}, got {str(shape)[:100]}."
        )
    return shape


def _grid(tensors: dict[str, Tensor], said: dict) -> FrameGrid:
    if tensors["known"].max() > 1:
        raise ValueError(f"expected 0 or 1 for every known cell, got {tensors['known'].max().item()}.")
    frames = _float_frames(tensors["frames"])
    cameras = Cameras(tensors["world_to_camera"], tensors["intrinsics"]) if "intrinsics" in tensors else None
    sound = Sound(tensors["sound"].clone(), said.get("sound_rate", 0)) if "sound" in tensors else None
    return FrameGrid(frames, tensors["known"].bool(), said["fps"], cameras, said["provenance"], sound)
