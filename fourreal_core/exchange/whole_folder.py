"""Folders written all or nothing, like files in files/atomic.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files.atomic import part_of, remove_left_behind


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder to write into, which appears as `folder` when the block ends and is removed when anything is raised in it.

    Raises ValueError when `folder` exists already, its parent does not, or the disk refuses.
    """
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"the folder {folder} already exists: choose another name.")
    if not folder.parent.is_dir():
        raise ValueError(f"there is no folder {folder.parent}: create it first.")
    remove_left_behind(folder.parent)
    part = part_of(folder)
    try:
        part.mkdir()
        yield part
        os.rename(part, folder)
    except OSError as error:
        raise ValueError(f"could not write the folder {folder.name}: {error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
