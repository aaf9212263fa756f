"""Where files for players lie: folders in ComfyUI's temp folder, one for each thing that is shown, named after its content. Together they are bounded."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import folder_paths

FOLDER = "fourreal_player"  # inside ComfyUI's temp folder
MOST_BYTES = 2 * 2**30  # of all together; those looked at longest ago go first


def folder_of(identity: str) -> Path:
    return Path(folder_paths.get_temp_directory()) / FOLDER / identity


def place_of(identity: str) -> dict[str, str]:
    """How the editor asks ComfyUI for a file of this folder."""
    return {"subfolder": f"{FOLDER}/{identity}", "type": "temp"}


def looked_at(identity: str) -> None:
    with suppress(OSError):
        os.utime(folder_of(identity))


def make_room(newest: Path) -> None:
    """Removes the folders that were not looked at for longest, until all together take less than MOST_BYTES; `newest` stays."""
    sizes = {}
    for folder in newest.parent.iterdir():
        with suppress(OSError):
            sizes[folder] = (folder.stat().st_mtime, sum(file.stat().st_size for file in folder.iterdir()))
    total = sum(size for _, size in sizes.values())
    for folder in sorted(sizes.keys() - {newest}, key=sizes.__getitem__):
        if total <= MOST_BYTES:
            break
        shutil.rmtree(folder, ignore_errors=True)
        total -= sizes[folder][1]
