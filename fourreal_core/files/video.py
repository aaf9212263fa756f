"""Writing videos, and bringing frames to one length and size. Reading: recording.py; the grid they become: grid.py.

Shape suffixes: N frames, H W pixels, C = 3 colour channels (RGB).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.error import FFmpegError
from torch import Tensor

from ..side_by_side import ask
from .atomic import whole_file
from .sound import Sound

MAX_SIDE = 16384  # pixels
MIN_FPS = 1e-3  # less would be written as 0, and play at a player's own rate
MAX_FPS = 1e6  # video files count time in 32-bit numbers
VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".gif"}
FITS = ("crop", "pad", "stretch")
SPEAKERS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")  # FFmpeg's names by the number of channels
MOST_CUT = 0.1  # of a picture, without a remark
RANGE_TOLERANCE = (
    0.25  # bicubic resizing, as the host does it, overshoots 0..1; more than this means another value range
)


def frames_tensor(video, name: str) -> Tensor:
    """`video` as a tensor [N, H, W, 3] of uint8 or floats, sharing its memory; ValueError on anything else, `name` is in the sentence."""
    frames = video
    if isinstance(video, np.ndarray) and video.dtype.kind in "uif":
        frames = torch.from_numpy(np.ascontiguousarray(video))
    if not isinstance(frames, Tensor):
        raise ValueError(
            f"expected {name} to be a torch tensor or a numpy array of numbers, got {type(video).__name__}."
        )
    if frames.ndim != 4 or frames.shape[-1] != 3:
        hint = (
            ": flatten the transparency over a background first" if frames.ndim == 4 and frames.shape[-1] == 4 else ""
        )
        raise ValueError(f"expected {name} to have shape [frames, height, width, 3], got {list(frames.shape)}{hint}.")
    if frames.numel() == 0:
        raise ValueError(f"expected {name} to have frames and pixels, got shape {list(frames.shape)}.")
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise ValueError(f"expected {name} to be uint8 (0 to 255) or float (0 to 1), got {frames.dtype}.")
    return frames


def check_range(frames: Tensor, name: str) -> tuple[float, float]:
    """(lowest, highest) value of float frames; ValueError when one is not finite or more than a little beyond 0..1, `name` is in the sentence."""
    low, high = (bound.item() for bound in torch.aminmax(frames))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"expected finite pixel values in {name}, got NaN or infinity: an earlier step went wrong.")
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise ValueError(
            f"expected pixel values from 0 to 1 in {name}, got {low:.4g} to {high:.4g}: rescale them (uint8 "
            "frames are accepted as they are)."
        )
    return low, high


def pick_stride(length: int, count: int) -> int:
    """The spacing of pick_frames: the largest whole step that fits `count` frames into `length`. ValueError when there are too few."""
    if count < 1 or length < count:
        raise ValueError(
            f"expected at least {max(count, 1)} frames to pick {count} from, got {length}: ask for fewer, or "
            "use a longer video."
        )
    return (length - 1) // (count - 1) if count > 1 else 1


def pick_frames(video, count: int):
    """`count` items of `video` (anything that can be sliced), the first included, all the same step apart, so that motion stays even."""
    stride = pick_stride(len(video), count)
    return video[: (count - 1) * stride + 1 : stride]


def fit_scale_and_shift(
    height: int, width: int, new_height: int, new_width: int, fit: str
) -> tuple[float, float, float, float]:
    """(scale_y, scale_x, shift_y, shift_x) of fit_frames: new = old * scale + shift, in pixels measured from the image's corner."""
    (top, left, crop_height, crop_width), (inner_height, inner_width) = _fit_boxes(
        height, width, new_height, new_width, fit
    )
    scale_y, scale_x = inner_height / crop_height, inner_width / crop_width
    return (
        scale_y,
        scale_x,
        (new_height - inner_height) // 2 - top * scale_y,
        (new_width - inner_width) // 2 - left * scale_x,
    )


def cell_size(source_size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """(height, width) of cells: what is given; a 0 follows the other by the source's aspect ratio, two keep the source's size (height, width)."""
    source_height, source_width = source_size
    if height == 0 and width == 0:
        return source_height, source_width
    return (
        height or max(1, round(width * source_height / source_width)),
        width or max(1, round(height * source_width / source_height)),
    )


def crop_remark(name: str, source_size: tuple[int, int], size: tuple[int, int], fit: str) -> str:
    """What to tell of a crop that cuts off more than a tenth of a picture; empty for smaller ones. Sizes: (height, width)."""
    (_, _, height, width), _ = _fit_boxes(*source_size, *size, fit)
    lost = 1 - height * width / (source_size[0] * source_size[1])
    if lost <= MOST_CUT:
        return ""
    return (
        f"cells of {size[1]}x{size[0]} crop {lost:.0%} of {name} ({source_size[1]}x{source_size[0]}): set "
        "width or height to 0 to keep its aspect ratio, or choose another fit"
    )


def fit_frames(video, height: int, width: int, fit: str = "crop") -> Tensor:
    """`video` [N, H, W, 3] (numpy or torch; uint8 or float 0..1) brought to [N, height, width, 3] in its own dtype, always a copy.

    fit: "crop" fills the size and cuts what sticks out evenly, "pad" shows everything between black bars, "stretch" ignores the
    aspect ratio. Antialiased bicubic, clamped. Raises ValueError on other shapes, values, sizes or fits.
    """
    frames = frames_tensor(video, "the video to resize")
    if frames.is_floating_point():
        check_range(frames, "the video to resize")  # clamping would hide another value range
    box, inner = _fit_boxes(frames.shape[1], frames.shape[2], height, width, fit)
    top, left, crop_height, crop_width = box
    fitted_NHWC = torch.zeros(len(frames), height, width, 3, dtype=frames.dtype, device=frames.device)
    y, x = (height - inner[0]) // 2, (width - inner[1]) // 2
    for frame_HWC, fitted_HWC in zip(frames, fitted_NHWC):
        ask()
        cropped_HWC = frame_HWC[top : top + crop_height, left : left + crop_width]
        fitted_HWC[y : y + inner[0], x : x + inner[1]] = _resized(cropped_HWC, inner)
    return fitted_NHWC


def _fit_boxes(
    height: int, width: int, new_height: int, new_width: int, fit: str
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """What to cut from the source (top, left, height, width) and the size that it takes inside the result."""
    if fit not in FITS:
        raise ValueError(f"expected fit to be one of {', '.join(FITS)}, got {fit!r}.")
    if not (1 <= new_height <= MAX_SIDE and 1 <= new_width <= MAX_SIDE):
        raise ValueError(f"expected a size of 1 to {MAX_SIDE} pixels per side, got {new_width}x{new_height}.")
    if fit == "crop":
        crop_height = min(height, max(1, round(width * new_height / new_width)))
        crop_width = min(width, max(1, round(height * new_width / new_height)))
        return ((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width), (
            new_height,
            new_width,
        )
    inner = (new_height, new_width)
    if fit == "pad":
        inner = (
            min(new_height, max(1, round(new_width * height / width))),
            min(new_width, max(1, round(new_height * width / height))),
        )
    return (0, 0, height, width), inner


def fit_pixels(pixels_HW3: np.ndarray, height: int, width: int, fit: str = "crop") -> Tensor:
    """One decoded frame [H, W, 3], uint8 or uint16, brought to [height, width, 3] as fit_frames does it: uint8, or float32 in 0..1."""
    (top, left, crop_height, crop_width), inner = _fit_boxes(
        pixels_HW3.shape[0], pixels_HW3.shape[1], height, width, fit
    )
    cropped_HW3 = pixels_HW3[top : top + crop_height, left : left + crop_width]
    wide = pixels_HW3.dtype == np.uint16
    fitted_HW3 = torch.zeros(height, width, 3, dtype=torch.float32 if wide else torch.uint8)
    y, x = (height - inner[0]) // 2, (width - inner[1]) // 2
    for channel in range(3):  # one at a time, and a large frame's floats need a third of the memory
        part_HW1 = torch.from_numpy(cropped_HW3[..., channel : channel + 1].astype(np.float32 if wide else np.uint8))
        part_HW1 = _resized(part_HW1 / 65535 if wide else part_HW1, inner)
        fitted_HW3[y : y + inner[0], x : x + inner[1], channel : channel + 1] = part_HW1
    return fitted_HW3


def _resized(frame_HWC: Tensor, size: tuple[int, int]) -> Tensor:
    if frame_HWC.shape[:2] == size:
        return frame_HWC
    top = 255 if frame_HWC.dtype == torch.uint8 else 1
    resized_HWC = torch.empty(*size, frame_HWC.shape[-1], dtype=frame_HWC.dtype, device=frame_HWC.device)
    for channel in range(frame_HWC.shape[-1]):  # one at a time, see fit_pixels
        channel_HW = F.interpolate(
            frame_HWC[None, None, ..., channel].float(), size=size, mode="bicubic", antialias=True
        )[0, 0]
        channel_HW = channel_HW.clamp_(0, top)
        resized_HWC[..., channel] = channel_HW.round_() if top == 255 else channel_HW
    return resized_HWC


def write_video(
    path: str | Path,
    frames,
    fps: float,
    lossless: bool = False,
    order: Sequence[int] | None = None,
    sound: Sound | None = None,
) -> None:
    """Write `frames` [N, H, W, 3] (numpy or torch; uint8 or float 0..1) as H.264 (.mp4, .mov or .mkv), or lossless FFV1 RGB (.mkv).

    order: which frames come one after the other, each as often as wanted (None: each once). sound: begins with the first frame; as AAC,
    mixed down to stereo, or as it is beside lossless frames. H.264 stores colour at half size (about 35 dB): never measure or train on
    it. Nothing is left at `path` when writing fails.
    Raises ValueError on other frames or endings, odd sizes without `lossless`, fps outside of 0.001 to a million, or a folder that does not exist.
    """
    path = Path(path)
    frames_NHWC = frames_tensor(frames, "the video to write")
    height, width = frames_NHWC.shape[1:3]
    endings = (".mkv",) if lossless else (".mp4", ".mov", ".mkv")
    if path.suffix.lower() not in endings:
        raise ValueError(
            f"expected a {'lossless ' if lossless else ''}video name ending in {', '.join(endings)}, got {path.name}."
        )
    if not lossless and (height % 2 or width % 2):
        raise ValueError(
            f"H.264 needs an even width and height, got {width}x{height}: crop one pixel, or write lossless video."
        )
    rate = frame_rate(fps)
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}: create it first.")
    try:
        with whole_file(path, path.suffix) as part:
            _encode(part, frames_NHWC, rate, lossless, range(len(frames_NHWC)) if order is None else order, sound)
    except (FFmpegError, OSError) as error:
        raise ValueError(f"could not write {path.name}: {error}.") from error


def frame_rate(fps: float) -> Fraction:
    """Frames per second as video files hold them: a fraction with a denominator of at most 1001. ValueError outside of 0.001 to a million."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ValueError(
            f"expected fps (frames per second) to be from {MIN_FPS:g} to {MAX_FPS:g} for a video, got {fps:g}: "
            "choose another frame rate."
        )
    return Fraction(fps).limit_denominator(1001)


def _encode(
    path: Path, frames_NHWC: Tensor, fps: Fraction, lossless: bool, order: Sequence[int], sound: Sound | None
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if lossless else "libx264", rate=fps)
        stream.height, stream.width = frames_NHWC.shape[1:3]
        stream.pix_fmt = "bgr0" if lossless else "yuv420p"
        if not lossless:
            stream.options = {"crf": "16"}
        track = None if sound is None else _sound_track(container, sound, lossless)
        for frame_HWC in (frames_NHWC[index] for index in order):
            ask()
            bytes_HWC = (
                frame_HWC
                if frame_HWC.dtype == torch.uint8
                else (frame_HWC.float().clamp(0, 1) * 255).round().to(torch.uint8)
            )
            _mux(container, stream, av.VideoFrame.from_ndarray(bytes_HWC.cpu().contiguous().numpy(), format="rgb24"))
        _mux(container, stream, None)
        if sound is not None and track is not None:
            _encode_sound(container, track, sound)


def _mux(container, stream, frame: av.VideoFrame | None) -> None:
    """Encode a frame; None: the dozens that the encoder still holds back, each of which may take a second."""
    for packet in stream.codec_context.encode_lazy(frame):
        ask()
        packet.stream = stream
        container.mux(packet)


def _sound_track(container, sound: Sound, lossless: bool):
    if lossless:
        return container.add_stream("pcm_f32le", rate=sound.rate, layout=SPEAKERS[len(sound.samples) - 1])
    rates = av.Codec("aac", "w").audio_rates or [sound.rate]
    rate = min(rates, key=lambda rate: (rate < sound.rate, abs(rate - sound.rate)))  # AAC knows some only
    return container.add_stream("aac", rate=rate, layout=SPEAKERS[min(len(sound.samples), 2) - 1])


def _encode_sound(container, track, sound: Sound) -> None:
    layout, step = SPEAKERS[len(sound.samples) - 1], sound.rate  # a second at a time
    for first in range(0, sound.samples.shape[1], step):
        part = sound.samples[:, first : first + step].T.reshape(1, -1).numpy()
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, first, Fraction(1, sound.rate)
        container.mux(track.encode(frame))
    container.mux(track.encode())


def __getattr__(name: str):
    """`read_video` under the name of the module that it left, for one version."""
    if name != "read_video":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .recording import read_video

    warnings.warn(
        "read_video is now in fourreal_core.files.recording: the old name will be removed in version 0.3",
        DeprecationWarning,
        stacklevel=2,
    )
    return read_video
