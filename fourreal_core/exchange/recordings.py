"""One view's recording, a video file or a folder of images: how long it is, and some of its frames without keeping the others.

Shape suffixes: N frames, H W pixels. Whole videos: video.py; several views at once: rig.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from ..video import IMAGE_FOLDER_FPS, check_decoded, image_files, read_image, upright_rgb


def count_frames(source: Path) -> int:
    """How many frames the recording holds. Videos are decoded for it, because files lie about their length. ValueError: see read_frames."""
    if source.is_dir():
        return len(image_files(source))
    with _video(source) as (container, stream):
        return sum(1 for _ in container.decode(stream))


def read_frames(source: Path, wanted: range) -> tuple[Tensor, float]:
    """(uint8 [N, H, W, 3], frames per second) of the recording's frames `wanted`, counted from 0; folders of images have 24 per second.

    Raises ValueError when the recording is missing, broken or transparent, has frames of several sizes, holds fewer frames, or when they
    need more than 16 GiB.
    """
    if source.is_dir():
        files = image_files(source)
        _check_length(len(files), wanted, source.name)
        return _stacked((read_image(files[index]) for index in wanted), source.name), IMAGE_FOLDER_FPS
    with _video(source) as (container, stream):
        frames = _stacked((upright_rgb(frame, source.name) for frame in _picked(container, stream, wanted, source.name)), source.name)
        return frames, float(stream.average_rate or stream.guessed_rate or IMAGE_FOLDER_FPS)


@contextmanager
def _video(source: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    if not source.is_file():
        raise ValueError(f"expected a video file or a folder of images at {source}, found none: check the name.")
    try:
        with av.open(str(source)) as container:
            if not container.streams.video:
                raise ValueError(f"expected a video in {source.name}, found no video stream.")
            container.streams.video[0].thread_type = "AUTO"
            yield container, container.streams.video[0]
    except av.error.FFmpegError as error:
        raise ValueError(f"expected a readable video in {source.name}, decoding failed ({error.strerror}): "
                         "the file may be broken or no video.") from error


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
        raise ValueError(f"expected at least {wanted[-1] + 1} frames in {name}, got {length}: ask for fewer times, an earlier first frame or "
                         "smaller steps.")


def _stacked(frames: Iterator[np.ndarray], name: str) -> Tensor:
    decoded = []
    for frame_HWC in frames:
        decoded.append(frame_HWC)
        check_decoded(decoded, name)
    return torch.from_numpy(np.stack(decoded))
