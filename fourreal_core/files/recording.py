"""One recording, whatever holds it (a video, an animation, images in order): how long and large it is, and some of its frames as cells.

A recording whose frames do not come at even times is read on an even clock at its average rate: each tick is the frame shown then.
Shape suffixes: N frames, H W pixels, 3 colour channels (RGB).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from .sound import Sound
from .stills import (
    IMAGE_SUFFIXES,
    Animation,
    Picture,
    Report,
    Stills,
    files_among,
    image_files,
    in_natural_order,
    is_animation,
)
from .stream import Stream
from .video import VIDEO_SUFFIXES, fit_pixels, pick_stride

MAX_BYTES = 16 * 2**30  # of the frames that are kept
MAX_VIEWS = 1024
STEPS = 1000  # of progress, for each part
UNEVEN = 0.5  # of a frame's time: further from its even place a frame may not be
ANIMATED = {".webp", ".png", ".apng", ".avif"}  # endings of pictures that may move


@dataclass(frozen=True)
class Recording:
    """What to read: the path or the bytes of a video, or image files in order. name: what messages call it.

    start, duration: which seconds of a video, 0 for its beginning and its end.
    """

    name: str
    video: Path | BinaryIO | None = None
    images: tuple[Path, ...] = ()
    start: float = 0.0
    duration: float = 0.0

    @classmethod
    def at(cls, path: str | Path) -> Recording:
        """The video file or the folder of images at `path`. ValueError when there is neither, or the folder holds no image."""
        path = Path(path)
        if path.is_dir():
            return cls(path.name, images=tuple(image_files(path)))
        return cls(path.name, path)


class Measured:
    """A recording that was looked through, but not yet decoded. Raises ValueError when it is missing, broken, empty or no video.

    length: frames, those of an even clock. fps: of them, per second.
    """

    def __init__(self, recording: Recording):
        self.name = recording.name
        self.source = _source(recording)
        if not self.source.length:
            raise ValueError(f"found no frames in {self.name}: is it a video, and does the trimming leave any?")
        self.order, self.fps = _even(self.source.times, self.source.length, self.source.fps)

    @property
    def length(self) -> int:
        return len(self.order)

    @property
    def remark(self) -> str:
        uneven = isinstance(self.order, list)
        return (
            f"the frames of {self.name} are unevenly spaced in time: they were picked by their time stamps"
            if uneven
            else ""
        )

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames, upright."""
        return self.source.size()

    def sound(self, seconds: float) -> Sound | None:
        """What is heard from the first frame on, for so long; None for pictures, and where no sound can be decoded."""
        return self.source.sound(seconds) if isinstance(self.source, Stream) else None

    def pick(self, count: int, how: str = "even") -> range:
        """`count` frames (0: all), "even" over all of it with the first included, or the "first" ones. ValueError when there are fewer."""
        return pick_range(self.length, count, how, self.name)

    def read(
        self,
        wanted: range,
        size: tuple[int, int] | None = None,
        fit: str = "crop",
        report: Report | None = None,
    ) -> tuple[Tensor, list[str]]:
        """(uint8 [N, H, W, 3], remarks): the frames `wanted`, each brought to size (height, width; None: its own) while it is decoded.

        report(done, total) is called as decoding goes on; what it raises ends it. Raises ValueError when there are fewer frames, some
        cannot be decoded or have another size than the first, or together they need more than 16 GiB.
        """
        if wanted[-1] >= self.length:
            raise ValueError(
                f"expected at least {wanted[-1] + 1} frames in {self.name}, got {self.length}: ask for fewer "
                "times, an earlier first frame or a smaller stride."
            )
        if size is not None:
            check_memory(len(wanted), *size, self.name)
        numbers = [self.order[tick] for tick in wanted]
        distinct = sorted(set(numbers))
        remarks, cells, shape = [self.remark] if self.remark else [], None, None
        for number, picture in zip(distinct, self.source.frames(distinct, max(size or (0, 0)), report)):
            height, width = picture.pixels.shape[:2]
            shape = shape or (height, width)
            if (height, width) != shape:
                raise ValueError(
                    f"expected frames of one size in {self.name}, got {shape[1]}x{shape[0]} and then {width}x{height}."
                )
            if cells is None:
                check_memory(len(wanted), *(size or shape), self.name)
                cells = torch.empty(len(wanted), *(size or shape), 3, dtype=torch.uint8)
            cells[[place for place, other in enumerate(numbers) if other == number]] = _fitted(
                picture, cells.shape[1], cells.shape[2], fit
            )
            if picture.remark and picture.remark not in remarks:
                remarks.append(picture.remark)
        assert cells is not None
        return cells, remarks


def pick_range(length: int, count: int, how: str, name: str) -> range:
    """See Measured.pick; `name` is in the sentence."""
    if length < count:
        raise ValueError(
            f"expected at least {count} frames in {name}, got {length}: use a longer video, or ask for fewer frames"
        )
    if not count:
        return range(length)
    step = pick_stride(length, count) if how == "even" else 1
    return range(0, (count - 1) * step + 1, step)


def share(report: Report, part: int, parts: int) -> Report:
    """Progress of one of several parts, told as progress of them all."""
    return lambda done, total: report(part * STEPS + done * STEPS // max(total, 1), parts * STEPS)


def view_recordings(folder: str | Path) -> list[Recording]:
    """One recording per view, in natural order of their names (view2 before view10): the video files of a folder (animated WebP, PNG and AVIF
    among them), or else its folders of images, or else its images, one per view, as a rig of still cameras leaves them.

    Raises ValueError when there are none, or more than 1024, or where one is a link to a file that is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder at {folder}: check the name.")
    entries = in_natural_order(folder)
    folders = [entry for entry in entries if entry.is_dir()]
    files = files_among(entries, VIDEO_SUFFIXES | IMAGE_SUFFIXES)
    videos = [entry for entry in files if entry.suffix.lower() in VIDEO_SUFFIXES]
    videos = videos or [entry for entry in files[:MAX_VIEWS] if is_video(entry)]
    sources: list[Path] = videos or folders or files
    if not 1 <= len(sources) <= MAX_VIEWS:
        raise ValueError(
            f"expected 1 to {MAX_VIEWS} videos, image folders or images, one per view, in {folder}, found {len(sources)}."
        )
    if videos or folders:
        return [Recording.at(source) for source in sources]
    return [Recording(source.name, images=(source,)) for source in sources]


def is_video(file: Path) -> bool:
    """Whether a file is a video by its name, or an animation by its first bytes; hidden files are none."""
    if file.name.startswith(".") or not file.is_file():
        return False
    suffix = file.suffix.lower()
    return suffix in VIDEO_SUFFIXES or (suffix in ANIMATED and is_animation(file))


def read_video(path: str | Path, *, frames: int | None = None, start: float = 0.0) -> tuple[Tensor, float]:
    """(uint8 [N, H, W, 3], frames per second) of a video file or a folder of images, turned upright, at its own size.

    frames: how many consecutive ones (None: all that follow). start: seconds to skip. Raises ValueError as Measured does.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"expected to read at least 1 frame of {Path(path).name}, got {frames}.")
    recording = Recording.at(path)
    measured = Measured(replace(recording, start=start))
    frames_NHW3, _ = measured.read(measured.pick(frames or 0, "first"))
    return frames_NHW3, measured.fps


def check_memory(count: int, height: int, width: int, name: str) -> None:
    """ValueError when so many frames need more than 16 GiB: call it before memory is asked for."""
    if count * height * width * 3 > MAX_BYTES:
        raise ValueError(
            f"{count} frames of {width}x{height} from {name} need {count * height * width * 3 / 2**30:.0f} "
            f"GiB, more than the limit of {MAX_BYTES // 2**30} GiB: pick fewer or choose a smaller size."
        )


def _source(recording: Recording) -> Stills | Animation | Stream:
    if recording.video is None:
        return Stills(recording.name, recording.images)
    is_file = not isinstance(recording.video, Path) or recording.video.is_file()
    if is_file and is_animation(recording.video):
        return Animation(recording.video, recording.name)
    return Stream(recording.video, recording.name, recording.start, recording.duration)


def _even(times: list[float] | None, length: int, fps: float) -> tuple[Sequence[int], float]:
    """(the frame shown at each tick of an even clock, ticks per second): every frame once where they come evenly anyway."""
    if times is None or length < 2 or times[-1] <= times[0]:
        return range(length), fps
    rate = (length - 1) / (times[-1] - times[0])
    if all(abs((time - times[0]) * rate - tick) <= UNEVEN for tick, time in enumerate(times)):
        return range(length), fps
    return [bisect_right(times, times[0] + tick / rate + 1e-6) - 1 for tick in range(length)], rate


def _fitted(picture: Picture, height: int, width: int, fit: str) -> Tensor:
    """uint8 [height, width, 3]; what HDR pictures need is done on the small picture."""
    fitted_HW3 = fit_pixels(picture.pixels, height, width, fit)
    return fitted_HW3 if picture.finish is None else (picture.finish(fitted_HW3) * 255).round().to(torch.uint8)
