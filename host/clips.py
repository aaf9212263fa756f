"""VIDEO and IMAGE inputs as plain frames of one length and size, shrunk while they are decoded: the one place that reads ComfyUI's videos.

Letters: N frames of one video, H W pixels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from comfy_api.v0_0_2 import Input, InputImpl

from ..fourreal_core.files.recording import Measured, Recording, pick_range
from ..fourreal_core.files.sound import MOST_CHANNELS, Sound
from ..fourreal_core.files.stills import IMAGE_FOLDER_FPS
from ..fourreal_core.files.video import crop_remark, fit_frames

PICKS = ["even", "first"]
FITS = ["crop", "pad", "stretch"]


class Clip:
    """One video, whose frames are taken from a file or from memory.

    name: what messages call it. length: frames. size: (height, width), upright. fps: frames per second.
    """

    def __init__(self, source: Measured | Images):
        self.source, self.name, self.length, self.fps = source, source.name, source.length, source.fps

    @property
    def size(self) -> tuple[int, int]:
        return self.source.size

    def sound(self, seconds: float) -> Sound | None:
        """What is heard from its first frame on, for so long; None where it has none."""
        return self.source.sound(seconds)

    def take(self, count: int, how: str, size: tuple[int, int], fit: str, report=None) -> Taken:
        """`count` frames (0: all) at (height, width), "even" over the whole clip or the "first" ones.

        report(done, total): progress; what it raises ends the decoding. Raises ValueError when the clip is shorter or broken.
        """
        wanted = self.source.pick(count, how)
        frames, remarks = self.source.read(wanted, size, fit, report)
        return Taken(frames, self.fps / wanted.step, [*remarks, crop_remark(self.name, self.size, size, fit)])


@dataclass(frozen=True)
class Taken:
    """frames [N, H, W, 3], uint8 or float 0..1; fps: what they play at; remarks: for the user, some may be empty."""

    frames: torch.Tensor
    fps: float
    remarks: list[str]


class Images:
    """Frames in memory with the interface of Measured: one batch [N, H, W, C], or a list of them, of any sizes."""

    def __init__(
        self, batches: list[torch.Tensor], name: str, fps: float = IMAGE_FOLDER_FPS, heard: Sound | None = None
    ):
        for batch in batches:
            if batch.ndim != 4 or batch.numel() == 0:
                raise ValueError(
                    f"expected {name} to have frames and pixels, got an image batch of shape "
                    f"{list(batch.shape)}: check the node that makes it"
                )
        self.batches, self.name, self.fps, self.heard = batches, name, fps, heard
        self.places = [(batch, index) for batch, images in enumerate(batches) for index in range(len(images))]
        self.length, self.size = len(self.places), (batches[0].shape[1], batches[0].shape[2])

    def sound(self, seconds: float) -> Sound | None:
        return self.heard and self.heard.cut(0, seconds)

    def pick(self, count: int, how: str) -> range:
        return pick_range(self.length, count, how, self.name)

    def read(self, wanted: range, size: tuple[int, int], fit: str, report=None) -> tuple[torch.Tensor, list[str]]:
        if len(self.batches) == 1:
            frames, transparent = _over_black(self.batches[0][wanted.start : wanted.stop : wanted.step])
            fitted = frames if tuple(frames.shape[1:3]) == size else fit_frames(frames, *size, fit)
        else:
            chosen = [self.batches[batch][index : index + 1] for batch, index in (self.places[i] for i in wanted)]
            frames, flags = zip(*map(_over_black, chosen))
            fitted, transparent = torch.cat([fit_frames(frame, *size, fit) for frame in frames]), any(flags)
        return fitted, [f"{self.name} has transparency, which was composited over black"] if transparent else []


def open_clip(value, name: str) -> Clip:
    """A VIDEO, an IMAGE batch or a list of images -> Clip. `name` says which one in messages; ValueError for anything that is no video."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, torch.Tensor) for part in value):
        return Clip(Images(list(value), name))
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, torch.Tensor):
        return Clip(Images([value], name))
    if not isinstance(value, Input.Video):
        raise ValueError(f"expected {name} to be a VIDEO or an IMAGE batch, got {type(value).__name__}")
    try:
        if isinstance(value, InputImpl.VideoFromFile):
            return Clip(Measured(_recording(value, name)))
        components = value.get_components()
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot decode {name} ({error}): is the file complete?") from error
    frames = components.images if components.alpha is None else torch.cat([components.images, components.alpha], dim=-1)
    return Clip(Images([frames], name, float(components.frame_rate), _heard(components.audio)))


def _heard(audio) -> Sound | None:
    """ComfyUI's AUDIO of a video as Sound; None where there is none, or none that a video can carry."""
    if audio is None or not audio["waveform"].numel():
        return None
    return Sound(audio["waveform"][0][:MOST_CHANNELS], int(audio["sample_rate"]))


def _recording(video: InputImpl.VideoFromFile, name: str) -> Recording:
    """Read from the file itself, since ComfyUI would decode all of it at full size, as floats."""
    source = video.get_stream_source()
    start, duration = video.get_active_trim_window()
    if isinstance(source, str):
        return Recording(f"{name} ({os.path.basename(source)})", Path(source), start=start, duration=duration)
    return Recording(name, source, start=start, duration=duration)


def _over_black(frames: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """(colours, whether any pixel was transparent) of frames with a fourth channel; others as they are."""
    if frames.shape[-1] != 4:
        return frames, False
    alpha = frames[..., 3:]
    return (frames[..., :3], False) if alpha.min() == 1 else (frames[..., :3] * alpha, True)


def as_bytes(frames: torch.Tensor) -> torch.Tensor:
    """Frames as uint8, whatever they were taken from."""
    return frames if frames.dtype == torch.uint8 else (frames.float().clamp(0, 1) * 255).round().to(torch.uint8)
