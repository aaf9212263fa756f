"""Pictures in files of their own, in natural order, and animations of the picture formats (WebP, PNG, AVIF), one frame at a time.

Shape suffixes: N frames, H W pixels, 3 colour channels (RGB). What to read next: recording.py.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, features
from torch import Tensor

from ..side_by_side import ask

WITH_AVIF = features.check("avif")  # from Pillow 11.3 on
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", *([".avif"] if WITH_AVIF else [])}
# Told by what is in a file, not by its name; never those for which Pillow starts other programs (EPS). JPEG includes the MPO of phones.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", *(["AVIF"] if WITH_AVIF else []))
IMAGE_FOLDER_FPS = 24.0
MAX_PIXELS = 2**27  # of one frame: 16384 x 8192
HEAD = 2**16  # bytes in which a file says what it is
TURNED = (5, 6, 7, 8)  # values of EXIF orientation that exchange width and height
FASTEST_DELAY = 0.011  # seconds; animations that ask for less are shown at 0.1 s, as browsers do
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Picture:
    """One decoded frame, upright. pixels: [H, W, 3] uint8, or uint16 that `finish` brings from the shrunk floats (0..1) to BT.709.

    remark: what the user should know of it, one sentence without its end; empty for most.
    """

    pixels: np.ndarray
    remark: str = ""
    finish: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Stills:
    """Image files as a video of one frame each, at 24 per second."""

    name: str
    files: tuple[Path, ...]
    fps: float = IMAGE_FOLDER_FPS
    times: None = None

    @property
    def length(self) -> int:
        return len(self.files)

    def size(self) -> tuple[int, int]:
        """(height, width) of the first, upright; ValueError when it is no image."""
        with _image(self.files[0]) as image:
            turned = image.getexif().get(0x0112) in TURNED
            return (image.width, image.height) if turned else (image.height, image.width)

    def frames(self, wanted: Sequence[int], side: int, report: Report | None = None) -> Iterator[Picture]:
        """The files `wanted`, in this order. side: pixels of the longest side that is needed; JPEGs are decoded no larger than twice that."""
        for done, index in enumerate(wanted, start=1):
            yield read_picture(self.files[index], 2 * side, self.name)
            if report is not None:
                report(done, len(wanted))


class Animation:
    """An animated WebP, PNG or AVIF. Raises ValueError when it cannot be read."""

    def __init__(self, source: Path | BinaryIO, name: str):
        self.source, self.name = source, name
        if _is_animated_avif(_head(source)) and not WITH_AVIF:
            raise ValueError(
                f"cannot read the animated AVIF {name}: install Pillow 11.3 or newer, or save it as WebP or MP4."
            )
        with _image(source, name) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(_too_large(name, image.width, image.height))
            self.length = getattr(image, "n_frames", 1)
            self._size = image.height, image.width
            starts = [0.0]
            for index in range(self.length):
                ask()
                image.seek(index)
                _load(image)
                delay = image.info.get("duration", 0) / 1000
                starts.append(starts[-1] + (delay if delay >= FASTEST_DELAY else 0.1))
        self.times = starts[:-1]
        self.fps = self.length / starts[-1]

    def size(self) -> tuple[int, int]:
        return self._size

    def frames(self, wanted: Sequence[int], side: int, report: Report | None = None) -> Iterator[Picture]:
        """The frames `wanted`, ascending."""
        with _image(self.source, self.name) as image:
            for done, index in enumerate(wanted, start=1):
                ask()
                image.seek(index)
                yield _picture(image, self.name, self.name)
                if report is not None:
                    report(done, len(wanted))


def is_animation(source: Path | BinaryIO) -> bool:
    """Whether a file's first bytes are those of an animated WebP, PNG or AVIF."""
    head = _head(source)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return b"acTL" in head.split(b"IDAT", 1)[0]
    return _is_animated_avif(head)


def _head(source: Path | BinaryIO) -> bytes:
    if isinstance(source, Path):
        with open(source, "rb") as opened:
            return opened.read(HEAD)
    source.seek(0)
    head = source.read(HEAD)
    source.seek(0)
    return head


def _is_animated_avif(head: bytes) -> bool:
    """By its major brand (AV1 Image File Format 1.1.0, 7.2): FFmpeg takes such a file for a picture and reads its first frame alone."""
    return head[4:12] == b"ftypavis"


def image_files(folder: str | Path) -> list[Path]:
    """The images in a folder, in natural order of their names (2 before 10), hidden ones left out.

    ValueError when there are none, or where one is a link to a file that is not there.
    """
    files = files_among(in_natural_order(folder), IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"found no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in the folder {folder}.")
    return files


def files_among(entries: Sequence[Path], suffixes: Set[str]) -> list[Path]:
    """The files with these endings, in lower case. ValueError where one is a link to a file that is not there: a video would lack it unnoticed."""
    named = [entry for entry in entries if entry.suffix.lower() in suffixes]
    for entry in named:
        if entry.is_symlink() and not entry.exists():
            raise ValueError(
                f"{entry.name} in the folder {entry.parent} is a link to a file that is not there: restore the file or delete the link."
            )
    return [entry for entry in named if entry.is_file()]


def in_natural_order(folder: str | Path) -> list[Path]:
    """What lies in a folder, hidden entries left out. ValueError when there is no such folder or it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise ValueError(f"cannot open the folder {folder} ({error.strerror}): check the name.") from error
    return [Path(folder) / name for name in sorted(names, key=natural_key)]


def natural_key(name: str) -> list:
    """To sort names by: numbers in them count as numbers, frame2 before frame10."""
    return [
        (not part.isdecimal(), _number(part) if part.isdecimal() else 0, part.lower())
        for part in re.split(r"(\d+)", name)
    ]


def _number(digits: str) -> int:
    return int(digits[:4000])  # Python refuses longer ones


def read_picture(file: Path, side: int = 0, of: str = "") -> Picture:
    """One image, upright, transparency laid over black. side: JPEGs are decoded no larger than needed for that many pixels (0: whole). of: what
    remarks call it instead of by its own name. Raises ValueError when it cannot be read, holds more than 8 bits a channel, or more than 134 million pixels.
    """
    with _image(file) as image:
        if side and image.format == "JPEG":
            image.draft("RGB", (side, side))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(_too_large(file.name, image.width, image.height))
        return _picture(image, file.name, of or file.name)


@contextmanager
def _image(source: Path | BinaryIO, name: str = "") -> Iterator[Image.Image]:
    name = name or getattr(source, "name", "the image")
    if isinstance(source, Path) and not source.is_file():
        raise ValueError(f"there is no image file at {source}: check the name.")
    if not isinstance(source, Path):
        source.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bounded here, by MAX_PIXELS
            with _opened(source) as image:
                yield image
    except (OSError, EOFError, SyntaxError, Image.DecompressionBombError, MemoryError) as error:
        raise ValueError(f"cannot read the image {name} ({error}).") from error


def _opened(source: Path | BinaryIO) -> Image.Image:
    try:
        return Image.open(source, formats=FORMATS)
    except ValueError as error:  # of some broken headers
        raise OSError(str(error)) from error


def _load(image: Image.Image) -> None:
    """Decode it. Raises OSError where it is broken, also where Pillow's words are a ValueError without the file's name."""
    try:
        image.load()
    except ValueError as error:
        raise OSError(str(error)) from error


def _picture(image: Image.Image, name: str, of: str) -> Picture:
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"expected 8-bit images, but {name} has more bits per channel (mode {image.mode}): save it with 8 "
            "bits per channel."
        )
    _load(image)
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return Picture(np.asarray(upright.convert("RGB")))
    return over_black(np.asarray(upright.convert("RGBA")), of)


def over_black(rgba_HW4: np.ndarray, name: str) -> Picture:
    """uint8 colours and alpha as a picture laid over black; without a remark where every pixel is opaque."""
    alpha_HW1 = rgba_HW4[..., 3:]
    if alpha_HW1.min() == 255:
        return Picture(np.ascontiguousarray(rgba_HW4[..., :3]))
    rgb_HW3 = np.empty((*rgba_HW4.shape[:2], 3), np.uint8)
    for channel in range(3):  # one at a time: 16-bit products of a whole frame would double its memory
        product_HW = rgba_HW4[..., channel].astype(np.uint16) * alpha_HW1[..., 0] + 127
        rgb_HW3[..., channel] = product_HW // 255
    return Picture(rgb_HW3, f"{name} has transparency, which was composited over black")


def _too_large(name: str, width: int, height: int) -> str:
    return (
        f"expected frames of at most {MAX_PIXELS // 10**6} million pixels, but {name} has {width}x{height}: scale "
        "it down first."
    )
