"""Room for many frames: in memory, or, where they are large, in a file that is mapped into memory, so that the system keeps of them what it has room for.

Nobody who reads a mapped tensor notices. Its file has no name, so nothing is left behind when the process ends, however that happens; on Windows it
has one, and goes a day later.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from .atomic import part_of, remove_left_behind

IN_MEMORY = 2 * 2**30  # bytes of one tensor up to which it lies in memory
_folder: list[Path] = []


def map_large_frames_in(folder: str | os.PathLike) -> None:
    """Where files for large tensors are made from now on. Until then it is the system's folder for temporary files."""
    _folder[:] = [Path(folder)]


def room(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Zeros of this shape, in memory or in a file. Raises OSError where the disk has no room for the file."""
    size = prod(shape) * dtype.itemsize
    if size <= IN_MEMORY:
        return torch.zeros(tuple(shape), dtype=dtype)
    folder = _folder[0] if _folder else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_behind(folder)
    file = part_of(folder / "frames")
    try:
        tensor = mapped(file, shape, dtype)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise OSError(
            error.errno, f"no room for {size / 2**30:.1f} GiB of frames in {folder}: {error.strerror}"
        ) from error
    if os.name != "nt":  # Windows removes no file that is mapped
        file.unlink()
    return tensor


def mapped(file: Path, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """The numbers in a file, which is made, full of zeros, where it is missing; what is written into the tensor is written to the file.

    Raises OSError where the disk has no room: all of it is taken at once, because a mapped file that cannot grow ends the process.
    """
    numbers = prod(shape)
    with open(file, "ab") as opened:
        if opened.tell() < numbers * dtype.itemsize:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, numbers * dtype.itemsize)
            else:
                opened.truncate(numbers * dtype.itemsize)
    return torch.from_file(str(file), shared=True, size=numbers, dtype=dtype).view(tuple(shape))


def copied(tensor: Tensor) -> Tensor:
    """A copy with room of its own."""
    if tensor.numel() * tensor.element_size() <= IN_MEMORY:
        return tensor.clone()
    copy = room(tensor.shape, tensor.dtype)
    for target, source in zip(copy, tensor):
        target.copy_(source)
    return copy


def give_back() -> None:
    """Return memory that nothing uses any more to the system, between two parts of long work: takes about a millisecond.

    Linux's C library keeps what lies before a piece that is still in use. After many arrays of all sizes, in several threads, that is a
    multiple of what is in use. Other systems do without, and nothing happens there.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """malloc_trim(3); None where the C library has none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
