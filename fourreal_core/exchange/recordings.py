"""One view's recording, a video file or images in order: how long it is, and some of its frames without keeping the others.

Shape suffixes: N frames, H W pixels. Whole videos: video.py; several views at once: rig.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from torch import Tensor

from ..files.video import IMAGE_FOLDER_FPS, check_decoded, image_files, read_image, upright_rgb, view_sources


@dataclass(frozen=True)
class Recording:
    """One view's frames: a video file, or image files in order. name: what messages call it."""

    name: str
    video: Path | None = None
    images: tuple[Path, ...] = ()


def folder_recordings(folder: str | Path) -> list[Recording]:
    """One recording per video file, or else per folder of images, in natural order of their names. ValueError when there are none."""
    sources = view_sources(folder)
    return [
        Recording(source.name, images=tuple(image_files(source))) if source.is_dir() else Recording(source.name, source)
        for source in sources
    ]


def count_frames(recording: Recording) -> int:
    """How many frames the recording holds. Videos are decoded for it, because files lie about their length. ValueError: see read_frames."""
    if recording.video is None:
        return len(recording.images)
    with _video(recording.video) as (container, stream):
        return sum(1 for _ in container.decode(stream))


def read_frames(recording: Recording, wanted: range) -> tuple[Tensor, float]:
    """(uint8 [N, H, W, 3], frames per second) of the recording's frames `wanted`, counted from 0; images have 24 per second.

    Raises ValueError when the recording is missing, broken or transparent, has frames of several sizes, holds fewer frames, or when they
    need more than 16 GiB.
    """
    name = recording.name
    if recording.video is None:
        _check_length(len(recording.images), wanted, name)
        return _stacked((read_image(recording.images[index]) for index in wanted), name), IMAGE_FOLDER_FPS
    with _video(recording.video) as (container, stream):
        frames = _stacked((upright_rgb(frame, name) for frame in _picked(container, stream, wanted, name)), name)
        return frames, float(stream.average_rate or stream.guessed_rate or IMAGE_FOLDER_FPS)


@contextmanager
def _video(source: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    try:
        with av.open(str(source)) as container:
            if not container.streams.video:
                raise ValueError(f"expected a video in {source.name}, found no video stream.")
            container.streams.video[0].thread_type = "AUTO"
            yield container, container.streams.video[0]
    except FFmpegError as error:
        raise ValueError(
            f"expected a readable video in {source.name}, decoding failed ({error.strerror}): "
            "the file may be broken or no video."
        ) from error


def _picked(container, stream, wanted: range, name: str) -> Iterator[av.VideoFrame]:
    count = 0
    for index, frame in enumerate(container.decode(stream)):
        count = index + 1
        if index in wanted:
            yield frame
        if index == wanted[-1]:
            return
    _check_length(count, wanted, name)


def _check_length(length: int, wanted: range, name: str) -> None:
    if length <= wanted[-1]:
        raise ValueError(
            f"expected at least {wanted[-1] + 1} frames in {name}, got {length}: ask for fewer times, an earlier first frame or "
            "smaller steps."
        )


def _stacked(frames: Iterator[np.ndarray], name: str) -> Tensor:
    decoded = []
    for frame_HWC in frames:
        decoded.append(frame_HWC)
        check_decoded(decoded, name)
    return torch.from_numpy(np.stack(decoded))
