"""Reading, writing, picking and fitting frames."""

import struct

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fourreal_core.files.recording import Measured, Recording, read_video, view_recordings
from fourreal_core.files.video import (
    fit_frames,
    fit_scale_and_shift,
    frames_tensor,
    pick_frames,
    pick_stride,
    write_video,
)

N, H, W = 7, 10, 18


def noise(n=N, h=H, w=W):
    return torch.randint(0, 256, (n, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def smooth():
    y, x = torch.meshgrid(torch.linspace(0.2, 0.8, 32), torch.linspace(0.2, 0.8, 48), indexing="ij")
    return torch.stack([torch.stack([y, x, (x + y) / 2 + n / 50], -1) for n in range(N)])


def encode_alpha(path, alpha):
    """Write 3 frames of RGBA PNG in a mov, all with one alpha value."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = W, H, "rgba"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((H, W, 4), alpha, np.uint8), format="rgba")))
        container.mux(stream.encode())


def check_refused(path, sentence, **arguments):
    with pytest.raises(ValueError, match=sentence) as caught:
        read_video(path, **arguments)
    assert type(caught.value) is ValueError and "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(10, 18), (9, 17), (1, 1)])
def test_lossless_round_trip_is_exact(size, tmp_path):
    video = noise(N, *size)
    write_video(tmp_path / "a.mkv", video, 24000 / 1001, lossless=True)
    read, fps = read_video(tmp_path / "a.mkv")
    assert torch.equal(read, video) and read.dtype == torch.uint8 and fps == pytest.approx(24000 / 1001)
    write_video(tmp_path / "b.mkv", video.float() / 255, 10, lossless=True)
    assert torch.equal(read_video(tmp_path / "b.mkv")[0], video)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mkv", "b.mkv"]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_h264_is_close(ending, tmp_path):
    write_video(tmp_path / f"a.{ending}", smooth().numpy(), 30)
    read, fps = read_video(tmp_path / f"a.{ending}")
    assert read.shape == (N, 32, 48, 3) and fps == 30
    assert (read.float() / 255 - smooth()).abs().mean() < 0.02


def test_reading_a_part(tmp_path):
    video = noise()
    write_video(tmp_path / "a.mkv", video, 10, lossless=True)
    assert torch.equal(read_video(tmp_path / "a.mkv", frames=3)[0], video[:3])
    assert torch.equal(read_video(tmp_path / "a.mkv", frames=3, start=0.2)[0], video[2:5])
    assert torch.equal(read_video(tmp_path / "a.mkv", start=0.41)[0], video[5:])
    check_refused(tmp_path / "a.mkv", "at least 8 frames in a.mkv, got 7", frames=8)
    check_refused(tmp_path / "a.mkv", "found no frames in a.mkv", start=9.0)
    check_refused(tmp_path / "a.mkv", "at least 1 frame of a.mkv, got 0", frames=0)


@pytest.mark.parametrize("content", [b"", b"hello\n" * 99, b"\x00" * 5000])
def test_files_that_are_no_video(content, tmp_path):
    (tmp_path / "a.mp4").write_bytes(content)
    check_refused(tmp_path / "a.mp4", "cannot decode a.mp4")


def test_missing_and_truncated_files(tmp_path):
    check_refused(tmp_path / "a.mp4", "there is no video file")
    check_refused(tmp_path, "found no images")
    write_video(tmp_path / "a.mp4", smooth(), 24)
    (tmp_path / "a.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:-200])
    check_refused(tmp_path / "a.mp4", "a.mp4")


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    check_refused(tmp_path / "a.mkv", "no video stream")


def test_transparency_is_laid_over_black_with_a_remark(tmp_path):
    for name, alpha, level, remarks in (
        ("opaque.mov", 255, 255, []),
        ("clear.mov", 128, 64, ["clear.mov has transparency, which was composited over black"]),
    ):
        encode_alpha(tmp_path / name, alpha)
        clip = Measured(Recording.at(tmp_path / name))
        frames, said = clip.read(clip.pick(0))
        assert frames.shape == (3, H, W, 3) and (frames == level).all() and said == remarks


def test_phone_videos_are_turned_upright(tmp_path):
    """A phone held upright stores its frames lying, with a matrix in the track header that turns them a quarter clockwise."""
    write_video(tmp_path / "a.mp4", smooth(), 24)
    lying = read_video(tmp_path / "a.mp4")[0]
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    assert struct.unpack(">9i", content[matrix : matrix + 36]) == (2**16, 0, 0, 0, 2**16, 0, 0, 0, 2**30)
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 2**16, 0, -(2**16), 0, 0, 0, 0, 2**30)
    (tmp_path / "b.mp4").write_bytes(content)
    assert torch.equal(read_video(tmp_path / "b.mp4")[0], torch.rot90(lying, -1, (1, 2)))


def test_videos_larger_than_memory_are_refused(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mkv", noise(), 10, lossless=True)
    monkeypatch.setattr("fourreal_core.files.recording.MAX_BYTES", H * W * 3 * 4)
    check_refused(tmp_path / "a.mkv", "7 frames of 18x10 from a.mkv need")
    assert len(read_video(tmp_path / "a.mkv", frames=4)[0]) == 4


@pytest.mark.parametrize(
    "name, frames, fps, lossless, sentence",
    [
        ("a.mp4", noise(2, 9, 17), 24, False, "H.264 needs an even width and height, got 17x9"),
        ("a.mp4", noise(), 24, True, "lossless video name ending in .mkv"),
        ("a.exe", noise(), 24, False, "ending in .mp4, .mov, .mkv, got a.exe"),
        ("a.mp4", noise(), 0, False, "fps"),
        ("a.mp4", noise(), float("nan"), False, "fps"),
        ("a.mkv", noise(), 1e30, True, "0.001 to 1e"),
        ("a.mp4", noise(), 1e-5, False, "0.001 to 1e"),
        ("b/a.mp4", noise(), 24, False, "there is no folder .*: create it first"),
        ("a.mp4", noise()[..., :1], 24, False, "shape"),
        ("a.mp4", noise()[:0], 24, False, "frames and pixels"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(name, frames, fps, lossless, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        write_video(tmp_path / name, frames, fps, lossless=lossless)
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mkv", noise(), 10, lossless=True)

    def cancelled(path, *_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("fourreal_core.files.video._encode", cancelled)
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mkv", noise(), 10, lossless=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mkv"] and len(read_video(tmp_path / "a.mkv")[0]) == N


def test_picks_are_evenly_spaced_and_include_the_first():
    assert pick_frames(list(range(16)), 8) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert pick_frames(list(range(81)), 3) == [0, 40, 80]
    assert pick_frames(list(range(5)), 5) == [0, 1, 2, 3, 4] and pick_frames(list(range(5)), 1) == [0]
    assert torch.equal(pick_frames(noise(), 3), noise()[[0, 3, 6]])
    for length in range(1, 30):
        for count in range(1, length + 1):
            picks = pick_frames(range(length), count)
            assert len(picks) == count and picks[0] == 0
            assert length - 1 - picks[-1] < max(count - 1, 1) or count == 1
    for length, count in ((7, 8), (0, 1), (5, 0)):
        with pytest.raises(ValueError, match="to pick"):
            pick_stride(length, count)


def test_fitting_to_the_same_size_copies():
    video = noise()
    fitted = fit_frames(video, H, W)
    assert torch.equal(fitted, video)
    fitted.zero_()
    assert video.any()


def test_cropping_keeps_the_middle_and_padding_keeps_all():
    video = torch.zeros(1, 20, 40, 3)
    video[:, :, 10:30] = 0.75
    assert torch.allclose(fit_frames(video, 10, 10, "crop"), torch.tensor(0.75), atol=0.05)
    padded = fit_frames(video, 40, 40, "pad")
    assert not padded[:, :10].any() and not padded[:, 30:].any() and torch.equal(padded[:, 10:30], video)
    assert torch.allclose(fit_frames(video, 40, 20, "stretch")[0, 20, 8:12], torch.tensor(0.75), atol=0.01)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize(
    "size, new",
    [((10, 18), (9, 7)), ((10, 18), (33, 64)), ((1, 300), (20, 20)), ((300, 1), (20, 20)), ((1, 1), (5, 3))],
)
def test_every_size_can_be_fitted(fit, size, new):
    fitted = fit_frames(noise(2, *size), *new, fit)
    assert fitted.shape == (2, *new, 3) and fitted.dtype == torch.uint8
    flat = fit_frames(torch.full((1, *size, 3), 0.4), *new, fit)
    assert torch.allclose(flat[flat > 0], torch.tensor(0.4), atol=1e-5)


def test_scaling_down_is_antialiased_and_stays_in_range():
    stripes = torch.zeros(1, 64, 64, 3)
    stripes[:, :, ::2] = 1
    small = fit_frames(stripes, 16, 16)
    assert (small[:, 2:-2, 2:-2] - 0.5).abs().max() < 0.05
    sharp = fit_frames((noise() > 127).float(), 41, 77, "stretch")
    assert sharp.min() == 0 and sharp.max() == 1
    assert (fit_frames(noise(), 32, 64).float() - fit_frames(noise().float() / 255, 32, 64) * 255).abs().max() <= 0.501


def test_scale_and_shift_of_each_fit():
    assert fit_scale_and_shift(20, 40, 10, 10, "crop") == (0.5, 0.5, 0, -5)
    assert fit_scale_and_shift(20, 40, 40, 40, "pad") == (1, 1, 10, 0)
    assert fit_scale_and_shift(20, 40, 60, 20, "stretch") == (3, 0.5, 0, 0)


def test_bad_fits_are_refused():
    with pytest.raises(ValueError, match="one of crop, pad, stretch, got 'zoom'"):
        fit_frames(noise(), 4, 4, "zoom")
    for size in ((0, 4), (4, 16385)):
        with pytest.raises(ValueError, match="1 to 16384 pixels per side"):
            fit_frames(noise(), *size)
    with pytest.raises(ValueError, match="uint8 .* or float"):
        frames_tensor(noise().numpy().astype(np.int64), "the video")


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda video: video * 2 - 1, "values from 0 to 1"),
        (lambda video: video * 255, "values from 0 to 1"),
        (lambda video: video / 0, "finite"),
    ],
)
def test_another_value_range_is_not_clamped_away_by_fitting(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_frames(change(noise().float() / 255), 4, 4)


def test_folders_of_images_in_natural_order(tmp_path):
    for number in (1, 2, 10):
        Image.new("RGB", (W, H), (number, 0, 0)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    video, fps = read_video(tmp_path)
    assert video.shape == (3, H, W, 3) and video[:, 0, 0, 0].tolist() == [1, 2, 10] and fps == 24


@pytest.mark.parametrize(
    "image, sentence",
    [
        (Image.new("RGB", (W + 1, H)), "one size in .* got 18x10 and then 19x10"),
        (Image.new("I;16", (W, H)), "8-bit images"),
        (None, "cannot read the image b.png"),
    ],
)
def test_bad_images_in_a_folder(image, sentence, tmp_path):
    Image.new("RGBA", (W, H), (1, 2, 3, 255)).save(tmp_path / "a.png")
    if image is None:
        (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    else:
        image.save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=sentence):
        read_video(tmp_path)


def test_photos_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (W, H)).save(tmp_path / "a.jpg", exif=exif)
    assert read_video(tmp_path)[0].shape == (1, W, H, 3)


def test_the_views_of_a_folder(tmp_path):
    with pytest.raises(ValueError, match="found 0"):
        view_recordings(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        view_recordings(tmp_path / "missing")
    with pytest.raises(ValueError, match="found no images .* in the folder"):
        read_video(tmp_path)
    for name in ("v10", "V9", "v1", ".hidden"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (W, H)).save(tmp_path / name / "a.png")
    assert [source.name for source in view_recordings(tmp_path)] == ["v1", "V9", "v10"]
    write_video(tmp_path / "a.mkv", noise(), 10, lossless=True)
    assert [source.name for source in view_recordings(tmp_path)] == ["a.mkv"]
