"""A folder or file that only one process may work on at a time: the lock goes with its process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held_alone(file: str | Path, taken: str) -> Iterator[None]:
    """Hold the lock file `file`, which stays, empty, when the block ends. ValueError with the sentence `taken` while another process holds it."""
    with open(file, "a+b") as opened:
        try:
            _lock(opened.fileno())
        except OSError as error:
            raise ValueError(taken) from error
        yield


if os.name == "nt":
    import msvcrt

    def _lock(number: int) -> None:
        os.lseek(number, 0, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
