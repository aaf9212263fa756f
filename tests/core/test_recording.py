"""Frames of any real file: right, or one clear error. Every input is made here.

Letters: N frames, H = 64, W = 96. The red of the lower right corner tells the frame, ten for each.
"""

import struct
import sys
import zlib
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fourreal_core.files import stills
from fourreal_core.files.recording import Measured, Recording, share, view_recordings
from fourreal_core.files.stream import Stream

N, H, W = 16, 64, 96  # x265 writes beyond its memory on frames of 32 lines


def picture(number: int, height: int = H, width: int = W) -> np.ndarray:
    frame_HW3 = np.full((height, width, 3), (10 * number, 128, 50), np.uint8)
    frame_HW3[: height // 4, : width // 4] = 255
    return frame_HW3


def with_alpha(number: int, height: int = H, width: int = W) -> np.ndarray:
    return np.dstack([picture(number, height, width), np.full((height, width), 255 if number < 8 else 128, np.uint8)])


def encode(
    path, codec, pix_fmt="yuv420p", *, count=N, stamps=None, unit=None, source=picture, size=(H, W), title="", **options
):
    with av.open(str(path), "w") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt, stream.options = *size, pix_fmt, options
        if unit:
            stream.codec_context.time_base = unit
        for number in range(count):
            pixels = source(number, *size)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[-1] == 4 else "rgb24")
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = unit or Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path, count=0, size=None, how="even", **trim):
    """(numbers of the frames, their tensor, the recording, remarks)"""
    recording = Recording(path.name, path, **trim) if trim else Recording.at(path)
    measured = Measured(recording)
    frames_NHW3, remarks = measured.read(measured.pick(count, how), size)
    numbers = (frames_NHW3[:, -3, -3, 0].float() / 10).round().int().tolist()
    return numbers, frames_NHW3, measured, remarks


KINDS = {
    "a.mp4": ("libx264", "yuv420p", {}),
    "keys.mp4": ("libx264", "yuv420p", {"g": "4"}),
    "keys.mkv": ("libx264", "yuv420p", {"g": "4"}),
    "open.mp4": ("libx264", "yuv420p", {"g": "6", "x264-params": "open-gop=1:bframes=3"}),
    "ten.mp4": ("libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
    "eight.webm": ("libvpx", "yuv420p", {}),
    "nine.webm": ("libvpx-vp9", "yuv420p", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
    "old.avi": ("mpeg4", "yuv420p", {}),
    "reordered.avi": ("libx264", "yuv420p", {"bf": "2"}),
    "broadcast.ts": ("libx264", "yuv420p", {}),
    "odd.mp4": ("libx264", "yuv444p", {}),
    "moving.apng": ("apng", "rgb24", {}),
    "moving.gif": ("gif", "rgb8", {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_right_frames(name, tmp_path):
    codec, pix_fmt, options = KINDS[name]
    size = (65, 97) if name == "odd.mp4" else (H, W)
    path = encode(tmp_path / name, codec, pix_fmt, size=size, **options)
    numbers, frames, measured, remarks = read(path)
    tolerance = 3 if name.endswith("gif") else 1
    assert frames.shape == (N, *size, 3) and measured.fps == pytest.approx(10) and not remarks
    assert all(abs(number - expected) <= tolerance for expected, number in enumerate(numbers))
    several, shrunk, _, _ = read(path, count=4, size=(16, 24))
    assert all(abs(number - expected) <= tolerance for number, expected in zip(several, (0, 5, 10, 15)))
    assert shrunk.shape == (4, 16, 24, 3) and read(path, count=3, how="first")[0] == numbers[:3]


def test_far_frames_are_found_without_decoding_what_lies_between(tmp_path, monkeypatch):
    path, decoded = encode(tmp_path / "a.mp4", "libx264", count=25, g="5"), []
    decode = Stream._decode
    monkeypatch.setattr(Stream, "_decode", lambda *of: (decoded.append(frame.pts) or frame for frame in decode(*of)))
    measured = Measured(Recording.at(path))
    frames, _ = measured.read(range(1, 25, 22))
    assert (frames[:, -3, -3, 0].float() / 10).round().tolist() == [1, 23] and len(decoded) <= 7


def test_an_index_that_leads_astray_costs_time_only(tmp_path):
    measured = Measured(Recording.at(encode(tmp_path / "a.mp4", "libx264", count=25, g="5")))
    index = measured.source.index
    measured.source.index = type(index)(index.stamps, index.stamps[1::2])
    assert (measured.read(range(0, 25, 12))[0][:, -3, -3, 0].float() / 10).round().tolist() == [0, 12, 24]


UNEVEN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 32, 40, 48, 56, 64]  # eightieths of a second


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_frames_at_uneven_times_are_taken_by_their_time_stamps(ending, tmp_path):
    path = encode(tmp_path / f"a.{ending}", "libx264", stamps=UNEVEN, unit=Fraction(1, 80))
    numbers, _, measured, [remark] = read(path)
    at = [80 * tick / measured.fps for tick in range(N)]
    assert measured.fps == pytest.approx(15 / 0.8)
    assert numbers == [sum(stamp <= time + 0.1 for stamp in UNEVEN) - 1 for time in at]
    assert remark == f"the frames of a.{ending} are unevenly spaced in time: they were picked by their time stamps"


def test_small_unevenness_loses_no_frame(tmp_path):
    jitter = [10 * number + (-3, 2, 0, 3)[number % 4] + 3 for number in range(N)]
    numbers, _, _, remarks = read(encode(tmp_path / "a.mp4", "libx264", stamps=jitter, unit=Fraction(1, 100)))
    assert numbers == list(range(N)) and not remarks


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p", {}),
        ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("b.mov", "qtrle", "argb", {}),
    ],
)
def test_transparent_video_is_laid_over_black(name, codec, pix_fmt, options, tmp_path):
    path = encode(tmp_path / name, codec, pix_fmt, source=with_alpha, **options)
    _, frames, _, remarks = read(path)
    assert frames[:, 2, 2, 1].float().numpy() == pytest.approx([255] * 8 + [128] * 8, abs=4)
    assert remarks == [f"{name} has transparency, which was composited over black"]


def test_animated_pictures_are_videos(tmp_path):
    images = [Image.fromarray(picture(number)) for number in range(N)]
    names = ["a.webp", "b.png", *(["c.avif"] if stills.WITH_AVIF else [])]
    for name in names:
        how = {"quality": 90, "speed": 10} if name == "c.avif" else {"lossless": True}
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=40, **how)
        numbers, _, measured, _ = read(tmp_path / name, count=4)
        assert numbers == [0, 5, 10, 15] and measured.fps == pytest.approx(25)
        assert Measured(Recording(name, BytesIO((tmp_path / name).read_bytes()))).length == N
    assert [view.name for view in view_recordings(tmp_path)] == names
    assert all(view.video for view in view_recordings(tmp_path))


@pytest.mark.skipif(not stills.WITH_AVIF, reason="Pillow without AVIF")
def test_an_animated_avif_is_no_single_picture(tmp_path, monkeypatch):
    """FFmpeg reads its first frame alone; so does whoever has a Pillow without AVIF, who is told."""
    images = [Image.fromarray(picture(number)) for number in range(4)]
    images[0].save(tmp_path / "a.avif", save_all=True, append_images=images[1:])
    images[0].save(tmp_path / "still.avif")
    assert Measured(Recording.at(tmp_path / "a.avif")).length == 4
    assert Measured(Recording.at(tmp_path / "still.avif")).length == 1
    monkeypatch.setattr("fourreal_core.files.stills.WITH_AVIF", False)
    with pytest.raises(ValueError, match=r"animated AVIF a.avif: install Pillow 11.3 or newer"):
        Measured(Recording.at(tmp_path / "a.avif"))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_a_picture_that_is_gone_is_no_gap(tmp_path):
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    for read_folder in (Recording.at, view_recordings):
        with pytest.raises(ValueError, match=r"1.png in the folder .* is a link to a file that is not there"):
            read_folder(tmp_path)
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.txt").symlink_to(tmp_path / "gone.txt")  # no picture anyway
    assert Measured(Recording.at(tmp_path)).length == 2


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", title="Caf#")
    path.write_bytes(path.read_bytes().replace(b"Caf#", b"Caf\xe9"))
    assert read(path)[0] == list(range(N))


@pytest.mark.parametrize(
    ("start", "duration", "expected"), [(0.5, 0, range(5, N)), (0, 0.3, range(3)), (0.35, 0.4, range(4, 8))]
)
def test_trimming_takes_what_lies_inside(start, duration, expected, tmp_path):
    path = encode(tmp_path / "a.mkv", "libx264", g="4")
    assert read(path, start=start, duration=duration)[0] == list(expected)
    with pytest.raises(ValueError, match="found no frames in a.mkv: .* trimming"):
        read(path, start=9.0)


def test_wide_pixels_are_made_square(tmp_path):
    path = encode(tmp_path / "a.mkv", "libx264", **{"x264-params": "sar=4/3"})
    assert Measured(Recording.at(path)).size == (H, W * 4 // 3)


def test_a_playlist_opens_no_other_file(tmp_path):
    other = encode(tmp_path / "other.ts", "libx264")
    (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n")
    with pytest.raises(ValueError, match="cannot decode a.mp4"):
        read(tmp_path / "a.mp4")


def spoilt(content: bytes, how: str) -> bytes:
    third = len(content) // 3
    return {
        "cut": content[: 2 * third],
        "zeros": content[:third] + bytes(third) + content[2 * third :],
        "flipped": bytes(
            byte ^ 255 if place > third and place % 37 == 0 else byte for place, byte in enumerate(content)
        ),
        "head": content[third:],
    }[how]


@pytest.mark.parametrize("how", ["cut", "zeros", "flipped", "head"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif", "a.webp", "a.png", "a.jpg"])
def test_broken_files_are_read_in_part_or_get_one_clear_error(name, how, tmp_path):
    path = tmp_path / name
    images = [Image.fromarray(picture(number)) for number in range(4)]
    if name in ("a.webp", "a.png"):
        images[0].save(path, save_all=True, append_images=images[1:])
    elif name == "a.jpg":
        images[1].save(path)
    else:
        encode(path, *{"a.avi": ("mpeg4",), "a.gif": ("gif", "rgb8")}.get(name, ("libx264",)))
    path.write_bytes(spoilt(path.read_bytes(), how))
    recording = Recording(name, images=(path,)) if name == "a.jpg" else Recording.at(path)
    try:
        measured = Measured(recording)
        frames, _ = measured.read(measured.pick(0))
    except ValueError as error:
        assert type(error) is ValueError and name in str(error) and "\n" not in str(error)
    else:
        assert frames.shape[1:] == (H, W, 3) and len(frames) == measured.length


@pytest.mark.parametrize(
    ("width", "height", "sentence"),
    [
        (40000, 26000, r"cannot read the image a\.png .*decompression bomb"),
        (12000, 12000, r"at most 134 million pixels, but a\.png has 12000x12000"),
    ],
)
def test_an_image_of_gigapixels_is_refused_before_it_is_decoded(tmp_path, width, height, sentence):
    (tmp_path / "a.png").write_bytes(black_png(width, height))
    assert (tmp_path / "a.png").stat().st_size < 300_000
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


HEAD_OF_PNG = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 1, 0, 0, 0, 0))
BROKEN_IMAGES = {  # what Pillow has only words of its own for, without the file's name
    "a text of many megabytes": HEAD_OF_PNG + png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2**25))),
    "a header that is too short": b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0\0\0\x08"),
    "a program for a printer": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
}


@pytest.mark.parametrize("name", BROKEN_IMAGES)
def test_a_broken_image_is_named_and_no_other_program_started(tmp_path, monkeypatch, name):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started"))
    (tmp_path / "a.png").write_bytes(BROKEN_IMAGES[name])
    with pytest.raises(ValueError, match=r"cannot read the image a\.png"):
        read(tmp_path)


def black_png(width: int, height: int) -> bytes:
    """One bit a pixel; no more than a line of it is ever in memory."""
    packer, line = zlib.compressobj(), bytes(1 + width // 8)
    pixels = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0), b"IDAT": pixels, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks.items())


def test_large_photos_are_decoded_no_larger_than_needed(tmp_path, monkeypatch):
    Image.fromarray(picture(5, 2400, 3200)).save(tmp_path / "a.jpg", quality=95)
    sizes, convert = [], stills._picture
    monkeypatch.setattr(stills, "_picture", lambda image, *names: sizes.append(image.size) or convert(image, *names))
    numbers, frames, measured, _ = read(tmp_path, size=(60, 80))
    assert measured.size == (2400, 3200) and frames.shape == (1, 60, 80, 3) and numbers == [5]
    assert sizes == [(400, 300)]


def test_progress_counts_the_frames_that_pass(tmp_path):
    told, measured = [], Measured(Recording.at(encode(tmp_path / "a.mp4", "libx264")))
    measured.read(range(0, 16, 5), report=share(lambda *step: told.append(step), 1, 2))
    assert told[-1] == (2000, 2000) and len(told) == 16 and told == sorted(told)

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured.read(range(16), report=cancel)


def test_frames_of_files_are_those_of_fit_frames(tmp_path):
    from fourreal_core.files.video import fit_frames

    path = encode(tmp_path / "a.mkv", "ffv1", "bgr0")
    whole = read(path)[1]
    for fit in ("crop", "pad", "stretch"):
        measured = Measured(Recording.at(path))
        assert torch.equal(measured.read(range(N), (40, 40), fit)[0], fit_frames(whole, 40, 40, fit))
