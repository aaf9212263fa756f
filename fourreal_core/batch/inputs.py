"""Recordings on their way into ComfyUI's input folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..files.recording import Measured, Recording
from ..files.video import write_video

LARGEST = 1920  # pixels on the longer side of images that become a video


def lay_out(recording: Path, target: Path, link: bool = False) -> None:
    """Put a video, or a folder of images as a video without loss and of moderate size, at `target`; what it is, its bytes say.

    link: a hard link to a video rather than a copy of it, where both lie on one disk. Raises ValueError or OSError when it cannot be read.
    """
    if recording.is_dir():
        video = Measured(Recording.at(recording))
        height, width = video.size
        scale = min(1.0, LARGEST / max(height, width))
        frames, _ = video.read(range(video.length), (max(1, round(height * scale)), max(1, round(width * scale))))
        lossless = target.with_suffix(".mkv")
        write_video(lossless, frames, video.fps, lossless=True)
        os.replace(lossless, target)
        return
    target.unlink(missing_ok=True)
    try:
        if link:
            target.hardlink_to(recording.resolve())  # ComfyUI refuses symbolic ones that lead out of its folder
    except OSError:
        link = False
    if not link:
        shutil.copyfile(recording, target)
