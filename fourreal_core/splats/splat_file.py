"""4D splats on disk, lossless and self-describing: name it `something.splats.safetensors`. Safe to open from a stranger; a web player reads the same file.

A safetensors file: 8 bytes, the length n of the header (little endian); n bytes of JSON, for each array its dtype, shape and place after the header; the arrays, rows first, little endian.

    positions, scales F32 [N, 3]; rotations F32 [N, 4] w x y z; colours F32 [N, 3]; opacities F32 [N]; shades F32 [N, C, 3]
    nodes F32 [M, 3]; paths F32 [M, D, 6]; near I16 [P, K]; shares F32 [P, K]; world_to_camera F32 [V, 4, 4]; intrinsics F32 [V, 3, 3]
    header metadata: format "fourreal.splats", version "1", sha256, splats: JSON with rest, times, fps, height, width, background [3], facts {}

What they mean is in `gaussians.Splats`; how to draw them at a time is in docs/splats.md. Equal splats give equal files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files.atomic import brief, checksum, write_tensors
from ..files.header import MOST_TEXT, FileKind, strict_json
from ..grid import MAX_LENGTH, Cameras
from .gaussians import MOST_DEGREE, MOST_GAUSSIANS, MOST_NEAR, MOST_NODES, Gaussians, NodePaths, Splats

FORMAT = "fourreal.splats"
VERSION = "1"
SUFFIX = ".splats.safetensors"
KINDS = {"near": "I16"}  # all others are F32
ARRAYS = {
    "positions": "N3",
    "scales": "N3",
    "rotations": "N4",
    "colours": "N3",
    "opacities": "N",
    "shades": "NC3",
    "nodes": "M3",
    "paths": "MD6",
    "near": "PK",
    "shares": "PK",
    "world_to_camera": "V44",
    "intrinsics": "V33",
}
LIMITS = {
    "N": MOST_GAUSSIANS,
    "M": MOST_NODES - 1,
    "P": MOST_GAUSSIANS,
    "K": MOST_NEAR,
    "C": MOST_DEGREE,
    "D": MOST_DEGREE,
    "V": MAX_LENGTH,
}


class SplatFileError(ValueError):
    """A splat file that cannot be read or written; the message is one sentence for the user."""


KIND = FileKind("splat", FORMAT, VERSION, SplatFileError)


def save_splats(splats: Splats, file: str | Path) -> None:
    """Write `splats` to `file`, all or nothing: an older file stays as it was when writing fails.

    Raises SplatFileError when the folder is missing, the disk refuses, or the facts exceed 1 MB as JSON.
    """
    file = Path(file)
    if not file.parent.is_dir():
        raise SplatFileError(f"there is no folder {file.parent}: create it before saving {file.name}.")
    said = {
        "rest": splats.rest,
        "times": splats.times,
        "fps": splats.fps,
        "height": splats.size[0],
        "width": splats.size[1],
        "background": [round(float(value), 6) for value in splats.background_3],
        "facts": dict(splats.facts),
    }
    try:
        text = json.dumps(said, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise SplatFileError(f"expected facts of plain JSON values in {file.name}: {error}.") from error
    if len(text) > MOST_TEXT:
        raise SplatFileError(f"expected facts of at most {MOST_TEXT} characters as JSON, got {len(text)}.")
    arrays = _arrays(splats)
    try:
        header = {"format": FORMAT, "version": VERSION, "splats": text, "sha256": checksum(arrays, text)}
        write_tensors(file, arrays, header)
    except OSError as error:
        raise SplatFileError(f"could not write the splats to {file}: {error}.") from error


def load_splats(file: str | Path) -> Splats:
    """The splats in `file`, as they were saved.

    Nothing is allocated before header, names, kinds and shapes have been checked, and nothing in the file is executed. Raises
    SplatFileError with one sentence on anything else than a whole, valid file.
    """
    file = Path(file)
    if not file.is_file():
        raise SplatFileError(f"there is no splat file at {file}: check the name.")
    try:
        KIND.check_length(file)
        with safe_open(file, framework="pt", device="cpu") as opened:
            header = opened.metadata() or {}
            said = _description(header, file.name)
            _check_arrays(opened, file.name)
            arrays = {name: opened.get_tensor(name).clone() for name in ARRAYS}  # not mapped to the file
    except (OSError, SafetensorError) as error:
        raise SplatFileError(
            f"cannot read {file.name} ({brief(error)}): it is damaged, incomplete, or not a splat file."
        ) from error
    if header.get("sha256") != checksum(arrays, header["splats"]):
        raise SplatFileError(f"{file.name} is damaged (its checksum does not match): copy it again.")
    try:
        return _splats(arrays, said)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise SplatFileError(f"{file.name} does not hold valid splats: {str(error)[:300]}") from error


def _arrays(splats: Splats) -> dict[str, Tensor]:
    parts, motion = splats.gaussians, splats.motion
    return {
        "positions": parts.positions_N3,
        "scales": parts.scales_N3,
        "rotations": parts.rotations_N4,
        "colours": parts.colours_N3,
        "opacities": parts.opacities_N,
        "shades": splats.shades_NC3,
        "nodes": motion.nodes_M3,
        "paths": motion.paths_MD6,
        "near": motion.near_PK.to(torch.int16),
        "shares": motion.shares_PK,
        "world_to_camera": splats.cameras.world_to_camera,
        "intrinsics": splats.cameras.intrinsics,
    }


def _splats(arrays: dict[str, Tensor], said: dict[str, Any]) -> Splats:
    if not isinstance(said["facts"], dict):
        raise ValueError("expected facts to be an object.")
    for name in ("rest", "times", "fps", "height", "width"):
        whole = name in ("times", "height", "width")
        if isinstance(said[name], bool) or not isinstance(said[name], int if whole else (int, float)):
            raise ValueError(f"expected {name} to be a number, got {str(said[name])[:40]}.")
    return Splats(
        Gaussians(*(arrays[name] for name in ("positions", "scales", "rotations", "colours", "opacities"))),
        NodePaths(arrays["nodes"], arrays["paths"], arrays["near"].long(), arrays["shares"]),
        arrays["shades"],
        float(said["rest"]),
        said["times"],
        float(said["fps"]),
        Cameras(arrays["world_to_camera"], arrays["intrinsics"]),
        (said["height"], said["width"]),
        torch.tensor(said["background"], dtype=torch.float32),
        said["facts"],
    )


def _description(header: dict[str, str], name: str) -> dict[str, Any]:
    KIND.check(header, name)
    text = header.get("splats", "")
    try:
        said = strict_json(text if len(text) <= MOST_TEXT else "")
    except (ValueError, RecursionError) as error:
        raise SplatFileError(f"expected a description as JSON in {name} ({str(error)[:80]}).") from error
    if not isinstance(said, dict):
        raise SplatFileError(f"expected the description in {name} to be an object, got {type(said).__name__}.")
    return said


def _check_arrays(opened, name: str) -> None:
    """Names, kinds and shapes, from the header alone; one letter is one size in all arrays."""
    if set(opened.keys()) != set(ARRAYS):
        raise SplatFileError(
            f"expected the arrays {', '.join(sorted(ARRAYS))} in {name}, got {', '.join(sorted(opened.keys()))[:200]}."
        )
    sizes: dict[str, int] = {}
    for array, axes in ARRAYS.items():
        part = opened.get_slice(array)
        shape, kind = part.get_shape(), KINDS.get(array, "F32")
        fits = len(shape) == len(axes) and part.get_dtype() == kind
        for axis, size in zip(axes, shape):
            fits = fits and (
                size == int(axis) if axis.isdigit() else size == sizes.setdefault(axis, size) <= LIMITS[axis]
            )
        if not fits:
            wanted = ", ".join(str(sizes.get(axis, axis)) for axis in axes)
            raise SplatFileError(
                f"expected {array} to be {kind} [{wanted}] in {name}, got {part.get_dtype()} {str(shape)[:100]}."
            )
