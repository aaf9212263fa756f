"""Videos and image folders in and out, and bringing frames to one length and size. The grid they become: grid.py.

Shape suffixes: N frames, H W pixels, C = 3 colour channels (RGB). Alpha is refused, never dropped: flatten over a background first.
"""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.error import FFmpegError
from PIL import Image, ImageOps
from torch import Tensor

MAX_VIDEO_BYTES = 16 * 2**30
MAX_VIEWS = 1024
MAX_SIDE = 16384  # pixels
MIN_FPS = 1e-3  # less would be written as 0, and play at a player's own rate
MAX_FPS = 1e6  # video files count time in 32-bit numbers
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".gif"}
IMAGE_FOLDER_FPS = 24.0
FITS = ("crop", "pad", "stretch")
RANGE_TOLERANCE = (
    0.25  # bicubic resizing, as the host does it, overshoots 0..1; more than this means another value range
)


def frames_tensor(video, name: str) -> Tensor:
    """`video` as a tensor [N, H, W, 3] of uint8 or floats, sharing its memory; ValueError on anything else, `name` is in the sentence."""
    frames = video
    if isinstance(video, np.ndarray) and video.dtype.kind in "uif":
        frames = torch.from_numpy(np.ascontiguousarray(video))
    if not isinstance(frames, Tensor):
        raise ValueError(f"expected {name} as a torch tensor or a numpy array of numbers, got {type(video).__name__}.")
    if frames.ndim != 4 or frames.shape[-1] != 3:
        hint = (
            ": flatten the transparency over a background first" if frames.ndim == 4 and frames.shape[-1] == 4 else ""
        )
        raise ValueError(f"expected {name} of shape [frames, height, width, 3], got {list(frames.shape)}{hint}.")
    if frames.numel() == 0:
        raise ValueError(f"expected {name} to have frames and pixels, got shape {list(frames.shape)}.")
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise ValueError(f"expected {name} as uint8 (0..255) or float (0..1), got {frames.dtype}.")
    return frames


def check_range(frames: Tensor, name: str) -> tuple[float, float]:
    """(lowest, highest) value of float frames; ValueError when one is not finite or more than a little beyond 0..1, `name` is in the sentence."""
    low, high = (bound.item() for bound in torch.aminmax(frames))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(
            f"expected finite pixel values in {name}, got NaN or infinity: the step before this one went wrong."
        )
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise ValueError(
            f"expected pixel values in 0..1 in {name}, got {low:.4g}..{high:.4g}: rescale them (uint8 frames are taken as they are)."
        )
    return low, high


def pick_stride(length: int, count: int) -> int:
    """The spacing of pick_frames: the largest whole step that fits `count` frames into `length`. ValueError when there are too few."""
    if count < 1 or length < count:
        raise ValueError(
            f"expected at least {max(count, 1)} frames to pick {count} from, got {length}: ask for fewer or give a longer video."
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
        raise ValueError(f"expected a size of 1 to {MAX_SIDE} pixels a side, got {new_width}x{new_height}.")
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


def _resized(frame_HWC: Tensor, size: tuple[int, int]) -> Tensor:
    if frame_HWC.shape[:2] == size:
        return frame_HWC
    top = 255 if frame_HWC.dtype == torch.uint8 else 1
    frame_CHW = F.interpolate(frame_HWC.permute(2, 0, 1)[None].float(), size=size, mode="bicubic", antialias=True)[
        0
    ].clamp(0, top)
    return (frame_CHW.round() if top == 255 else frame_CHW).permute(1, 2, 0).to(frame_HWC.dtype)


def read_video(path: str | Path, *, frames: int | None = None, start: float = 0.0) -> tuple[Tensor, float]:
    """(uint8 [N, H, W, 3], frames per second) of a video file, turned upright, as decoded: no frame dropped or repeated.

    frames: how many consecutive ones (None: all that follow). start: seconds to skip. Raises ValueError when the file is missing,
    no video, broken, transparent, or holds fewer frames than asked for, or when the frames need more than 16 GiB.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"expected a video file at {path}, found none: check the name.")
    if frames is not None and frames < 1:
        raise ValueError(f"expected to read at least 1 frame of {path.name}, got {frames}.")
    decoded = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"expected a video in {path.name}, found no video stream.")
            stream = container.streams.video[0]
            fps = float(stream.average_rate or stream.guessed_rate or IMAGE_FOLDER_FPS)
            for frame_HWC in _decoded_frames(container, stream, path.name, start):
                decoded.append(frame_HWC)
                check_decoded(decoded, path.name)
                if frames is not None and len(decoded) >= frames:
                    break
    except FFmpegError as error:
        raise ValueError(
            f"expected a readable video in {path.name}, decoding failed after {len(decoded)} frames ({error.strerror}): "
            "the file may be broken or no video."
        ) from error
    wanted = 1 if frames is None else frames
    if len(decoded) < wanted:
        raise ValueError(
            f"expected at least {wanted} frames in {path.name} from {start:g} s on, got {len(decoded)}: "
            "give a longer video or ask for fewer frames."
        )
    return torch.from_numpy(np.stack(decoded)), fps


def _decoded_frames(container, stream, name: str, start: float) -> Iterator[np.ndarray]:
    for frame in container.decode(stream):
        if frame.time is not None and frame.time < start - 1e-6:
            continue
        yield upright_rgb(frame, name)


def upright_rgb(frame: av.VideoFrame, name: str) -> np.ndarray:
    """uint8 [H, W, 3] of a decoded frame, turned upright; ValueError on transparency, `name` is in the sentence."""
    image = frame.to_ndarray(format="rgba" if any(part.is_alpha for part in frame.format.components) else "rgb24")
    if image.shape[-1] == 4 and image[..., 3].min() < 255:
        raise ValueError(
            f"expected opaque frames in {name}, got transparency: flatten the video over a background first."
        )
    # The display matrix turns by quarters, counter-clockwise.
    return np.ascontiguousarray(np.rot90(image[..., :3], k=round(frame.rotation / 90)))


def check_decoded(decoded: list[np.ndarray], name: str) -> None:
    """ValueError when the last frame has another size than the first, or all together need more than 16 GiB."""
    first, last = decoded[0], decoded[-1]
    if last.shape != first.shape:
        raise ValueError(
            f"expected frames of one size in {name}, got {first.shape[1]}x{first.shape[0]} and then {last.shape[1]}x{last.shape[0]}."
        )
    if len(decoded) * first.nbytes > MAX_VIDEO_BYTES:
        raise ValueError(
            f"expected at most {MAX_VIDEO_BYTES // 2**30} GiB of frames, {name} has more than {len(decoded) - 1} frames of "
            f"{first.shape[1]}x{first.shape[0]}: trim or shrink it."
        )


def write_video(path: str | Path, frames, fps: float, lossless: bool = False) -> None:
    """Write `frames` [N, H, W, 3] (numpy or torch; uint8 or float 0..1) as H.264 (.mp4, .mov or .mkv), or lossless FFV1 RGB (.mkv).

    H.264 stores colour at half size (about 35 dB): never measure or train on it. Nothing is left at `path` when writing fails.
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
            f"expected an even width and height for H.264, got {width}x{height}: crop one pixel or write it lossless."
        )
    rate = frame_rate(fps)
    if not path.parent.is_dir():
        raise ValueError(f"expected the folder {path.parent} to exist: create it first.")
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        _encode(part, frames_NHWC, rate, lossless)
        os.replace(part, path)
    except (FFmpegError, OSError) as error:
        raise ValueError(f"expected to write {path.name}, writing failed: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


def frame_rate(fps: float) -> Fraction:
    """Frames per second as video files hold them: a fraction with a denominator of at most 1001. ValueError outside of 0.001 to a million."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ValueError(
            f"expected fps (frames per second) of a video of {MIN_FPS:g} to {MAX_FPS:g}, got {fps:g}: choose another frame rate."
        )
    return Fraction(fps).limit_denominator(1001)


def _encode(path: Path, frames_NHWC: Tensor, fps: Fraction, lossless: bool) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if lossless else "libx264", rate=fps)
        stream.height, stream.width = frames_NHWC.shape[1:3]
        stream.pix_fmt = "bgr0" if lossless else "yuv420p"
        if not lossless:
            stream.options = {"crf": "16"}
        for frame_HWC in frames_NHWC:
            bytes_HWC = (
                frame_HWC
                if frame_HWC.dtype == torch.uint8
                else (frame_HWC.float().clamp(0, 1) * 255).round().to(torch.uint8)
            )
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(bytes_HWC.cpu().contiguous().numpy(), format="rgb24"))
            )
        container.mux(stream.encode())


def read_images(folder: str | Path) -> Tensor:
    """uint8 [N, H, W, 3] of the images in a folder, in natural order of their names. ValueError on none, mixed sizes, or transparency."""
    decoded = []
    for file in image_files(folder):
        decoded.append(read_image(file))
        check_decoded(decoded, Path(folder).name)
    return torch.from_numpy(np.stack(decoded))


def image_files(folder: str | Path) -> list[Path]:
    """The images in a folder, in natural order of their names; ValueError when there are none."""
    files = [
        file
        for file in _in_natural_order(Path(folder))
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise ValueError(f"expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in the folder {folder}, found none.")
    return files


def read_image(file: Path) -> np.ndarray:
    """uint8 [H, W, 3] of an image file, turned upright; ValueError when it cannot be read, has transparency or more than 8 bits."""
    try:
        with Image.open(file) as stored:
            image = ImageOps.exif_transpose(stored)
            opaque = not image.has_transparency_data or image.convert("RGBA").getchannel("A").getextrema()[0] == 255
            image_HWC = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a readable image in {file.name}, reading failed ({error}).") from error
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"expected 8-bit images, {file.name} holds wider numbers (mode {image.mode}): save it with 8 bits per channel."
        )
    if not opaque:
        raise ValueError(f"expected opaque images, {file.name} has transparency: flatten it over a background first.")
    return image_HWC


def view_sources(folder: str | Path) -> list[Path]:
    """The views in a folder, in natural order of their names (view2 before view10): its video files, or else its folders of images."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"expected a folder at {folder}, found none: check the name.")
    entries = [entry for entry in _in_natural_order(folder) if not entry.name.startswith(".")]
    videos = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES]
    sources = videos or [entry for entry in entries if entry.is_dir()]
    if not 1 <= len(sources) <= MAX_VIEWS:
        raise ValueError(
            f"expected 1 to {MAX_VIEWS} videos or image folders, one per view, in {folder}, found {len(sources)}."
        )
    return sources


def read_view(source: Path, most: int | None = None) -> tuple[Tensor, float]:
    """(uint8 [N, H, W, 3], fps) of one video file or image folder; ValueError when it holds more than `most` frames."""
    video_NHWC, fps = (read_images(source), IMAGE_FOLDER_FPS) if source.is_dir() else read_video(source)
    if most is not None and len(video_NHWC) > most:
        raise ValueError(
            f"expected at most {most} frames in {source.name}, got {len(video_NHWC)}: say how many times to pick."
        )
    return video_NHWC, fps


def _in_natural_order(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))


def natural_key(name: str) -> list:
    """To sort names by: numbers in them count as numbers, frame2 before frame10."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part.lower()) for part in re.split(r"(\d+)", name)
    ]
