"""Whether what is asked for fits into the memory that there is, before it is asked for."""

import os
import shutil

import folder_paths
import psutil

from ..fourreal_core.files.room import IN_MEMORY, map_large_frames_in

GIB = 2**30


def keep_large_frames_in_temp() -> None:
    """Frames that are too large for memory lie in files of ComfyUI's temp folder."""
    map_large_frames_in(folder_paths.get_temp_directory())


def expect_room_for_grid(pixels: int, bytes_per_pixel: int = 0, what: str = "this grid") -> None:
    """ValueError when a grid of so many pixels, all cells together, has no room: in memory or, where it is too large for that, on the disk.

    bytes_per_pixel: that are in memory in any case, while it is made.
    """
    frames = 12 * pixels
    if frames <= IN_MEMORY:
        return expect_room(frames + bytes_per_pixel * pixels, what)
    expect_room(bytes_per_pixel * pixels, f"making {what}")
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if frames > free:
        raise ValueError(
            f"{what} needs {frames / GIB:.1f} GiB on the disk, but only {free / GIB:.1f} GiB are free for {folder}: use smaller cells, "
            "or fewer views or times"
        )


def expect_room(needed: int, what: str) -> None:
    """ValueError when `needed` bytes are more than the memory that is free, swap included. `what` is in the sentence."""
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    if needed > free:
        raise ValueError(
            f"{what} needs {needed / GIB:.1f} GiB of memory, but only {free / GIB:.1f} GiB are free: use "
            "smaller cells, or fewer views or times"
        )
