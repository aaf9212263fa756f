"""One set of tensors over several small files, so that it can travel where large files cannot.

`<name>.state-<step>-<part>-of-<parts>.safetensors`. A set is complete when all its parts are there and carry the same id.
A new set is written beside the old one, which goes only when the new one is complete: whatever ends the process, a whole
set is left.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files.atomic import brief, read_tensors, write_tensors

PART_BYTES = 15_900_000  # of tensors in one file: with its header it stays below 16 MB


def write_set(
    folder: Path, name: str, step: int, tensors: Mapping[str, Tensor], header: Mapping[str, str]
) -> list[Path]:
    """Write `tensors` as the newest set and remove the older ones; the header goes into every part.

    ValueError when the folder or the disk refuses; the older set then stays.
    """
    parts = packed(tensors)
    header = {**header, "set": uuid.uuid4().hex}
    paths = [
        folder / f"{name}.state-{step:06d}-{number}-of-{len(parts)}.safetensors" for number in range(1, len(parts) + 1)
    ]
    there = {path for path in paths if path.exists()}
    try:
        for path, part in zip(paths, parts):
            write_tensors(path, part, header)
    except OSError as error:
        for path in set(paths) - there:  # a set that is not whole is of no use and takes room
            path.unlink(missing_ok=True)
        raise ValueError(
            f"could not save the state of {name!r} in {folder}: {error}; the previous state is intact"
        ) from error
    left_behind = [*folder.glob(f"{name}.state-*.safetensors"), *folder.glob(f".{name}.state-*.part")]
    for path in set(left_behind) - set(paths):
        path.unlink()
    return paths


def find_set(folder: Path, name: str) -> list[Path]:
    """Files of the newest complete set, in order; none when nothing was ever saved.

    ValueError when there are parts but no complete set of them.
    """
    sets: dict[tuple[int, int], set[Path]] = {}
    for path in folder.glob(f"{name}.state-*.safetensors"):
        if found := re.fullmatch(r".*\.state-(\d+)-\d+-of-(\d+)\.safetensors", path.name):
            sets.setdefault((int(found[1]), int(found[2])), set()).add(path)
    problems = []
    for (step, count), paths in sorted(sets.items(), reverse=True):
        if problem := _problem(step, count, paths):
            problems.append(problem)
        else:
            return sorted(paths, key=lambda path: int(path.stem.split("-")[-3]))
    if problems:
        raise ValueError(f"the saved state of {name!r} in {folder} cannot be read: {problems[0]}")
    return []


def read_set(paths: list[Path]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, header) of a set from `find_set`."""
    tensors: dict[str, Tensor] = {}
    try:
        for path in paths:
            tensors |= read_tensors(path)[0]
        return tensors, read_header(paths[0])
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{paths[0].name} is damaged ({brief(error)}): copy the state again, or start in another folder"
        ) from error


def read_header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def packed(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors in as few parts as hold them, each part of at most PART_BYTES unless one tensor alone is larger."""
    count = max(1, -(-sum(map(_bytes, tensors.values())) // PART_BYTES))
    while True:
        parts: list[dict[str, Tensor]] = [{} for _ in range(count)]
        filled = [0] * count
        for key in sorted(tensors, key=lambda key: (-_bytes(tensors[key]), key)):
            emptiest = filled.index(min(filled))
            parts[emptiest][key] = tensors[key]
            filled[emptiest] += _bytes(tensors[key])
        if all(size <= PART_BYTES or len(part) == 1 for size, part in zip(filled, parts)):
            return parts
        count += 1


def _problem(step: int, count: int, paths: set[Path]) -> str | None:
    if len(paths) < count:
        return f"only {len(paths)} of {count} files of step {step} are there; copy all of them together"
    try:
        ids = {read_header(path).get("set") for path in paths}
    except (OSError, SafetensorError) as error:
        return f"a file of step {step} is damaged ({brief(error)}); copy all {count} of them again"
    return (
        f"the {count} files of step {step} were not saved together; copy all of them from one folder"
        if len(ids) > 1
        else None
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
