"""Grids written as folders of videos or images, whole or not at all. What is read back from such folders: rig.py.

Names count from 0 with four digits, so that they sort: view_0002.mp4, time_0007.mkv, view_0002/time_0007.png.

Shape suffixes: V views, T times, N frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files.atomic import save_picture
from ..files.video import write_video
from ..grid import FrameGrid
from .whole_folder import whole_folder

IMAGE_KINDS: dict[str, dict[str, Any]] = {"png": {"compress_level": 4}, "jpg": {"quality": 95, "subsampling": 0}}

OnFile = Callable[[int, int], None]  # (files written, files in all); what it raises ends the writing, and nothing stays


def view_name(view: int) -> str:
    return f"view_{view:04}"


def time_name(time: int) -> str:
    return f"time_{time:04}"


def write_view_videos(
    grid: FrameGrid, folder: str | Path, lossless: bool = False, on_file: OnFile | None = None
) -> None:
    """V fixed-view videos: H.264 in .mp4, or without loss in 8 bits (FFV1 in .mkv). Raises ValueError when `folder` exists or writing fails."""
    _write_videos(grid.frames, view_name, grid.fps, folder, lossless, on_file)


def write_time_videos(
    grid: FrameGrid, folder: str | Path, lossless: bool = False, on_file: OnFile | None = None
) -> None:
    """T freeze-time videos, at the grid's frames per second; otherwise as write_view_videos."""
    _write_videos(grid.frames.transpose(0, 1), time_name, grid.fps, folder, lossless, on_file)


def _write_videos(
    videos: Tensor, name: Callable[[int], str], fps: float, folder: str | Path, lossless: bool, on_file: OnFile | None
) -> None:
    with whole_folder(folder) as part:
        for index, video_NHWC in _counted(videos, on_file):
            if lossless:
                write_video(part / f"{name(index)}.mkv", video_NHWC, fps, lossless=True)
            else:
                write_video(part / f"{name(index)}.mp4", even_sized(video_NHWC), fps)


def write_images(grid: FrameGrid, folder: str | Path, kind: str = "png", on_file: OnFile | None = None) -> None:
    """A folder of images per view, one per time. kind: "png", without loss in 8 bits, or "jpg". Raises ValueError as write_view_videos does."""
    with whole_folder(folder) as part:
        for view in range(grid.views):
            (part / view_name(view)).mkdir()
        for index, frame_HWC in _counted(grid.frames.flatten(0, 1), on_file):
            write_image(part / view_name(index // grid.times) / f"{time_name(index % grid.times)}.{kind}", frame_HWC)


def write_image(file: Path, frame_HWC: Tensor) -> None:
    """One frame, 0..1, as an 8-bit image whose kind is the file's ending, whole or not at all.

    Raises ValueError on endings that are none of IMAGE_KINDS, and when writing fails.
    """
    kind = file.suffix.removeprefix(".")
    if kind not in IMAGE_KINDS:
        raise ValueError(f"expected the kind of images to be {' or '.join(IMAGE_KINDS)}, got {kind!r}.")
    bytes_HWC: np.ndarray = (frame_HWC.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    try:
        save_picture(Image.fromarray(bytes_HWC), file, tidy=False, **IMAGE_KINDS[kind])
    except OSError as error:
        raise ValueError(f"could not write {file.name}: {error}.") from error


def even_sized(video_NHWC: Tensor) -> Tensor:
    """The video with its last line of pixels repeated where a side is odd, because H.264 stores colour at half size."""
    height, width = video_NHWC.shape[1:3]
    video_NHWC = torch.cat([video_NHWC, video_NHWC[:, -1:]], dim=1) if height % 2 else video_NHWC
    return torch.cat([video_NHWC, video_NHWC[:, :, -1:]], dim=2) if width % 2 else video_NHWC


def _counted(items: Tensor, on_file: OnFile | None) -> Iterator[tuple[int, Tensor]]:
    for index, item in enumerate(items):
        yield index, item
        if on_file is not None:
            on_file(index + 1, len(items))
