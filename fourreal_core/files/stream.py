"""One video stream: where its frames lie, and some of them, decoded one at a time so that memory does not grow with the file.

Two passes. The first reads packets without decoding them and learns the time of every frame and where decoding can start; the second
decodes from there to the frames that are wanted. Shape suffixes: H W pixels. What to read next: recording.py.
"""

from __future__ import annotations

import itertools
import logging
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition

from ..side_by_side import ask
from .hdr import NAMES, needs_mapping, to_bt709
from .sound import Sound, decoded_sound
from .stills import IMAGE_FOLDER_FPS, MAX_PIXELS, Picture, Report, over_black

log = logging.getLogger(__name__)

# What a video may be; playlists (hls, concat, dash) are not on the list, because they open other files and addresses.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,ivf,nut,h264,hevc,obu,m4v,dv,"
    "yuv4mpegpipe,mjpeg,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,mp3,wav,flac,aac,amr,rm,wtv,gxf,av1,vvc"
)
ONE_FRAME_A_PACKET = {
    "h264",
    "hevc",
    "av1",
    "vp9",
    "mpeg4",
    "prores",
    "ffv1",
    "mjpeg",
    "png",
    "apng",
    "gif",
    "qtrle",
    "rawvideo",
}
SEEKABLE = {"mov", "matroska"}  # where a key frame is found by its time
WORTH_A_SEEK = 4  # frames that need not be decoded
THREADS = 4  # each holds frames of its own
THREADED_PIXELS = 2**25  # frames larger than this are decoded by one thread
SAME_RATE = 0.01
SQUARE, MOST_STRETCHED = (
    0.01,
    5.0,
)  # pixels that are this little, or this much, wider than high are taken for square ones


@dataclass(frozen=True)
class _Index:
    """stamps: of the frames in the order shown, in units of the stream; None where only decoding tells them. keys: of those at which
    decoding can start."""

    stamps: tuple[int, ...] | None
    keys: tuple[int, ...] = ()

    def key_before(self, stamp: int) -> int | None:
        place = bisect_right(self.keys, stamp)
        return self.keys[place - 1] if place else None


class Stream:
    """A video file, or the bytes of one, between `start` and `start + duration` seconds (0: to its end).

    length: frames. times: seconds of each, None where the file does not say. fps: frames per second on average. Raises ValueError when it
    is missing, broken or no video, or has frames of more than 134 million pixels.
    """

    def __init__(self, source: Path | BinaryIO, name: str, start: float = 0.0, duration: float = 0.0):
        self.source, self.name, self.start, self.duration = source, name, start, duration
        with self._open() as (container, stream):
            unit = self.unit = stream.time_base
            self.shape = float(stream.sample_aspect_ratio or 1)
            rate = stream.average_rate or stream.guessed_rate
            self.alpha = stream.metadata.get("alpha_mode") == "1"
            stamps = _packet_index(container, stream) if stream.codec_context.name in ONE_FRAME_A_PACKET else None
        self.index = stamps or self._decoded_index()
        kept = self.index.stamps
        if kept is not None:
            first, last = self._window(unit)
            kept = tuple(stamp for stamp in kept if first <= stamp < last)
            self.index = _Index(kept, self.index.keys)
        self.times = None if kept is None else [float(stamp * unit) for stamp in kept]
        self.length = self.counted if kept is None else len(kept)
        self.fps = _rate(self.times, float(rate) if rate else 0.0)

    def size(self) -> tuple[int, int]:
        """(height, width) of the first frame, upright; a ValueError when it cannot be decoded."""
        first = next(iter(self.frames(range(1), 0)))
        return first.pixels.shape[0], first.pixels.shape[1]

    def sound(self, seconds: float) -> Sound | None:
        """What is heard from the first frame on, for so long; None where there is none or, with a warning in the log, none can be decoded."""
        try:
            with self._open() as (container, _):
                return decoded_sound(container, self.times[0] if self.times else self.start, seconds)
        except ValueError as problem:
            log.warning("The sound of %s cannot be decoded and is left out: %s", self.name, problem)
            return None

    def frames(self, wanted: Sequence[int], side: int, report: Report | None = None) -> Iterator[Picture]:
        """The frames `wanted`, counted from 0 and ascending. report(frames passed, frames to pass)."""
        if self.index.stamps is None:
            yield from self._counted_frames(wanted, report)
        else:
            yield from self._frames_at([self.index.stamps[number] for number in wanted], wanted[-1] + 1, report)

    def _frames_at(self, stamps: Sequence[int], total: int, report: Report | None) -> Iterator[Picture]:
        found = 0
        with self._open() as (container, stream):
            for seek, due in self._runs(stamps, container):
                if seek is not None:
                    container.seek(seek, stream=stream, backward=True)
                before = found
                for frame in self._run(container, stream, due, total, report):
                    found += 1
                    yield self._picture(frame)
                if found < before + len(due):
                    break
        left = stamps[found:]
        if left and self.index.keys:  # once more, from the beginning: the file's own index is wrong
            self.index = _Index(self.index.stamps)
            yield from self._frames_at(left, total, report)
        elif left:
            raise ValueError(
                f"cannot decode the frame at {float(left[0] * self.unit):.2f} s of {self.name}: the file may "
                "be damaged, convert it first."
            )

    def _run(self, container, stream, due: Sequence[int], total: int, report: Report | None) -> Iterator[av.VideoFrame]:
        """The frames with the stamps `due`, from here on; it ends at the first that does not come."""
        remaining = iter(due)
        stamp = next(remaining)
        for frame in self._decode(container, stream):
            if frame.pts is None or frame.pts > stamp:
                return
            if report is not None:
                report(min(self._number(frame.pts) + 1, total), total)
            if frame.pts == stamp:
                yield frame
                if stamp == due[-1]:
                    return
                stamp = next(remaining)

    def _runs(self, stamps: Sequence[int], container) -> list[tuple[int | None, list[int]]]:
        """(where to seek to first, frames to decode from there on), so that as few frames as can be are decoded."""
        runs: list[tuple[int | None, list[int]]] = [(None, [])]
        seekable = not self.alpha and container.format.name.split(",")[0] in SEEKABLE
        here = -1
        for stamp in stamps:
            key = self.index.key_before(stamp) if seekable else None
            if key is not None and self._number(key) - here > WORTH_A_SEEK:
                runs.append((key, []))
            runs[-1][1].append(stamp)
            here = self._number(stamp)
        return [run for run in runs if run[1]]

    def _number(self, stamp: int) -> int:
        """Of the last frame that is shown at this stamp or before, -1 for none."""
        return bisect_right(self.index.stamps or (), stamp) - 1

    def _counted_frames(self, wanted: Sequence[int], report: Report | None) -> Iterator[Picture]:
        numbers, last = iter(wanted), wanted[-1]
        due = next(numbers)
        with self._open() as (container, stream):
            for number, frame in enumerate(self._inside(container, stream)):
                if report is not None:
                    report(number + 1, last + 1)
                if number == due:
                    yield self._picture(frame)
                    if number == last:
                        return
                    due = next(numbers)
        raise ValueError(f"expected {last + 1} frames in {self.name}, but fewer can be decoded: is the file complete?")

    def _decoded_index(self) -> _Index:
        """By decoding every frame and keeping none."""
        with self._open() as (container, stream):
            found = [frame.pts for frame in self._inside(container, stream)]
        self.counted = len(found)
        stamps = tuple(stamp for stamp in found if stamp is not None)
        ordered = len(stamps) == len(found) and all(earlier < later for earlier, later in itertools.pairwise(stamps))
        return _Index(stamps if ordered and stamps else None)

    def _inside(self, container, stream) -> Iterator[av.VideoFrame]:
        first, last = self._window(stream.time_base)
        for frame in self._decode(container, stream):
            if frame.pts is None or first <= frame.pts < last:
                yield frame

    def _window(self, unit) -> tuple[float, float]:
        """(first, last) stamp, as ComfyUI's own trimming rounds them."""
        first = int(self.start / unit) if self.start else float("-inf")
        return first, int((self.start + self.duration) / unit) if self.duration else float("inf")

    def _decode(self, container, stream) -> Iterator[av.VideoFrame]:
        if not self.alpha:
            for frame in container.decode(stream):
                ask()
                yield frame
            return
        # FFmpeg's own decoders of VP8 and VP9 drop the alpha channel, libvpx keeps it.
        library = "libvpx-vp9" if stream.codec_context.name == "vp9" else "libvpx"
        decoder = av.CodecContext.create(library, "r")
        decoder.extradata = stream.codec_context.extradata
        for packet in container.demux(stream):
            for frame in decoder.decode(packet if packet.size else None):
                ask()
                frame.time_base = stream.time_base
                yield frame

    @contextmanager
    def _open(self) -> Iterator[tuple]:
        if isinstance(self.source, Path):
            if not self.source.is_file():
                raise ValueError(f"there is no video file at {self.source}: check the name.")
        else:
            self.source.seek(0)
        source = str(self.source) if isinstance(self.source, Path) else self.source
        try:
            # Titles may be in any encoding; nothing here reads them.
            with av.open(
                source, metadata_errors="replace", container_options={"format_whitelist": FORMATS}
            ) as container:
                yield container, self._video_stream(container)
        except FFmpegError as error:
            raise ValueError(
                f"cannot decode {self.name} ({error.strerror}): the file may be damaged or not a video."
            ) from error

    def _video_stream(self, container):
        streams = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not streams:
            raise ValueError(f"found no video stream in {self.name}.")
        stream = streams[0]
        if stream.codec_context is None:
            raise ValueError(f"there is no decoder for the video {self.name}: convert it to H.264.")
        pixels = stream.codec_context.width * stream.codec_context.height
        if pixels > MAX_PIXELS:
            raise ValueError(
                f"expected frames of at most {MAX_PIXELS // 10**6} million pixels, but {self.name} has "
                f"{stream.codec_context.width}x{stream.codec_context.height}: scale it down first."
            )
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1) if pixels <= THREADED_PIXELS else 1
        return stream

    def _picture(self, frame: av.VideoFrame) -> Picture:
        if frame.width * frame.height > MAX_PIXELS:
            raise ValueError(f"expected frames of one size in {self.name}, got one of {frame.width}x{frame.height}.")
        transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
        size: dict[str, Any] = {}
        if abs(self.shape - 1) > SQUARE and 1 / MOST_STRETCHED < self.shape < MOST_STRETCHED:
            size = {"width": max(1, round(frame.width * self.shape)), "height": frame.height}
        if any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8":
            picture = over_black(frame.to_ndarray(format="rgba", **size), self.name)
        elif needs_mapping(transfer, primaries):
            picture = Picture(
                frame.to_ndarray(format="rgb48le", **size),
                _hdr_remark(self.name, transfer),
                lambda coded_HW3: to_bt709(coded_HW3, transfer, primaries),
            )
        else:
            picture = Picture(frame.to_ndarray(format="rgb24", **size))
        # The display matrix turns by quarters, counter-clockwise.
        turns = round(frame.rotation / 90) % 4
        if not turns:
            return picture
        return Picture(np.ascontiguousarray(np.rot90(picture.pixels, k=turns)), picture.remark, picture.finish)


def _packet_index(container, stream) -> _Index | None:
    """From the packets alone; None when they do not tell the time of every frame."""
    if container.format.name == "avi" and stream.codec_context.has_b_frames:
        return None  # AVI keeps no times, and what FFmpeg makes of frames out of order is wrong for H.264
    stamps, keys = [], []
    for packet in container.demux(stream):
        ask()
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.pts is None:
            return None
        stamps.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
    stamps.sort()
    if any(earlier == later for earlier, later in itertools.pairwise(stamps)) or not stamps:
        return None
    return _Index(tuple(stamps), tuple(sorted(keys)))


def _rate(times: list[float] | None, said: float) -> float:
    """Frames per second: what the file says, unless its frames' times say something else."""
    if times is None or len(times) < 2 or times[-1] <= times[0]:
        return said or IMAGE_FOLDER_FPS
    measured = (len(times) - 1) / (times[-1] - times[0])
    return said if said and abs(said / measured - 1) <= SAME_RATE else measured


def _is_cover(stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _hdr_remark(name: str, transfer: int) -> str:
    kind = NAMES.get(transfer, "BT.2020")
    return f"{name} is {'HDR' if transfer in NAMES else 'wide-gamut'} video ({kind}): it was converted to BT.709"
