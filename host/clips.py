"""VIDEO and IMAGE inputs as plain frames of one length and size: the one place that reads the host's videos.

Letters: N frames of one video, H W pixels.
"""

from dataclasses import dataclass

import av
import torch
from comfy_api.latest import Input, InputImpl

from ..fourreal_core.files.video import fit_frames, pick_frames, pick_stride, read_video

IMAGE_FPS = 24.0
PICKS = ["even", "first"]
FITS = ["crop", "pad", "stretch"]


@dataclass(frozen=True)
class Clip:
    """One video. frames [N, H, W, 3], uint8 or float 0..1; fps in frames per second."""

    frames: torch.Tensor
    fps: float


def read_clip(value, name: str) -> Clip:
    """A VIDEO or IMAGE -> Clip. `name` says which one in the messages; ValueError for anything that is no video."""
    if isinstance(value, torch.Tensor):
        return Clip(_opaque(_filled(value, name), name), IMAGE_FPS)
    if not isinstance(value, Input.Video):
        raise ValueError(f"expected {name} as a VIDEO or an IMAGE batch, got {type(value).__name__}")
    if _is_whole_file(value):
        return Clip(
            *read_video(value.get_stream_source())
        )  # as bytes: a quarter of the memory that the host would take
    try:
        components = value.get_components()
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(
            f"expected {name} to be a readable video, decoding failed ({error}): is the file complete?"
        ) from error
    if components.images.shape[0] == 0:
        raise ValueError(f"expected {name} to have frames, got none: is the file a video?")
    frames = components.images if components.alpha is None else torch.cat([components.images, components.alpha], dim=-1)
    return Clip(_opaque(frames, name), float(components.frame_rate))


def _is_whole_file(video: Input.Video) -> bool:
    from_disk = isinstance(video, InputImpl.VideoFromFile) and isinstance(video.get_stream_source(), str)
    return from_disk and video.get_active_trim_window() == (0.0, 0.0)


def picked(clip: Clip, count: int, how: str, name: str) -> Clip:
    """`count` frames of the clip (0: all), evenly spread or the first ones; fps is what the picked frames play at."""
    length = len(clip.frames)
    if length < count:
        raise ValueError(
            f"expected at least {count} frames in {name}, got {length}: "
            "give a longer video, or ask for fewer frames on this node"
        )
    if count == 0:
        return clip
    if how == "first":
        return Clip(clip.frames[:count], clip.fps)
    return Clip(pick_frames(clip.frames, count), clip.fps / pick_stride(length, count))


def cell_size(clip: Clip, width: int, height: int) -> tuple[int, int]:
    """(height, width) of the cells; a 0 keeps the clip's aspect ratio, two keep its size."""
    clip_height, clip_width = clip.frames.shape[1:3]
    if width == 0 and height == 0:
        return clip_height, clip_width
    height = height or max(1, round(width * clip_height / clip_width))
    width = width or max(1, round(height * clip_width / clip_height))
    return height, width


def fitted(clip: Clip, size: tuple[int, int], fit: str) -> torch.Tensor:
    """The clip's frames at (height, width)."""
    return clip.frames if tuple(clip.frames.shape[1:3]) == size else fit_frames(clip.frames, *size, fit)


def _filled(frames: torch.Tensor, name: str) -> torch.Tensor:
    if frames.numel() == 0:
        raise ValueError(
            f"expected {name} to have frames and pixels, got an image batch of shape {list(frames.shape)}: check the node before"
        )
    return frames


def _opaque(frames: torch.Tensor, name: str) -> torch.Tensor:
    """The colours of frames whose fourth channel, if any, is opaque everywhere."""
    if frames.ndim == 4 and frames.shape[-1] == 4:
        if frames[..., 3].min() == 1:
            return frames[..., :3]
        raise ValueError(
            f"expected {name} without transparency, got transparent pixels: "
            "drop alpha first with the host's Split Image with Alpha, or lay it over a background"
        )
    return frames
