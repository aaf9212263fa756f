"""Grids from folders of recordings: which frames are taken, and what is said about bad folders.

Letters: V = 3 views, N frames of a recording, H = 8, W = 16. Pixel values tell view and frame.
"""

from pathlib import Path

import pytest
import torch
from PIL import Image

from fourreal_core.exchange.rig import RigPick, parse_offsets, plan_rig, read_rig
from fourreal_core.files.recording import Measured, Recording
from fourreal_core.files.video import write_video
from fourreal_core.grid import FrameGrid

V, N, H, W = 3, 13, 8, 16


def recording(view: int, length: int = N, height: int = H, width: int = W) -> torch.Tensor:
    """uint8 [N, H, W, 3]: red tells the frame, green the view, blue the place."""
    video_NHWC = torch.zeros(length, height, width, 3, dtype=torch.uint8)
    video_NHWC[..., 0] = 10 * torch.arange(length, dtype=torch.uint8)[:, None, None]
    video_NHWC[..., 1], video_NHWC[..., 2] = 50 * view, torch.arange(width, dtype=torch.uint8)
    return video_NHWC


def frame_numbers(grid: FrameGrid) -> list[list[int]]:
    return (grid.frames[..., 0].amax((2, 3)) * 25.5).round().int().tolist()


def view_numbers(grid: FrameGrid) -> list[int]:
    return (grid.frames[:, 0, 0, 0, 1] * 5.1).round().int().tolist()


@pytest.fixture
def rig(tmp_path) -> Path:
    """Three lossless videos of 13, 12 and 11 frames, whose names sort naturally only."""
    for view, name in enumerate(("cam1", "cam2", "cam10")):
        write_video(tmp_path / f"{name}.mkv", recording(view, N - view), 30.0, lossless=True)
    (tmp_path / "notes.txt").write_text("calibrated on Tuesday")
    return tmp_path


def read(folder, *, height=0, width=0, fit="crop", fps=0.0, **pick) -> FrameGrid:
    return read_rig(plan_rig(folder, RigPick(**pick)), height, width, fit, fps)


def test_views_come_in_natural_order_and_pixels_are_exact(rig):
    grid = read(rig, times=5)
    assert view_numbers(grid) == [0, 1, 2] and frame_numbers(grid) == [[0, 1, 2, 3, 4]] * V
    assert torch.equal(grid.frames[2], recording(2)[:5].float() / 255)
    assert grid.known.all() and grid.fps == 30
    assert grid.provenance["views"] == ["cam1.mkv", "cam2.mkv", "cam10.mkv"] and grid.provenance["folder"] == rig.name


def test_first_frame_stride_and_offsets_choose_the_frames(rig):
    grid = read(rig, times=3, first_frame=2, stride=3, offsets=(4, 0, -2))
    assert frame_numbers(grid) == [[6, 9, 12], [2, 5, 8], [0, 3, 6]] and grid.fps == 10
    assert grid.provenance["first_frames"] == [6, 2, 0] and grid.provenance["stride"] == 3


def test_stride_zero_spreads_the_times_over_what_all_views_have(rig):
    assert frame_numbers(read(rig, times=3, stride=0)) == [[0, 5, 10]] * V
    assert frame_numbers(read(rig, times=3, stride=0, offsets=(3, 2, 1))) == [[3, 7, 11], [2, 6, 10], [1, 5, 9]]
    assert frame_numbers(read(rig, times=1, stride=0, first_frame=4)) == [[4]] * V


def test_no_number_of_times_takes_what_all_views_have_and_says_so(rig):
    plan = plan_rig(rig, RigPick(first_frame=1, stride=2))
    assert frame_numbers(read_rig(plan)) == [[1, 3, 5, 7, 9]] * V
    assert plan.remarks == [
        "the recordings have between 11 (cam10.mkv) and 13 (cam1.mkv) frames: the grid keeps the 5 times that all of them cover"
    ]
    assert plan_rig(rig, RigPick(times=4)).remarks == []


def test_views_are_picked_evenly_and_keep_their_offsets(rig):
    grid = read(rig, views=2, times=2, offsets=(1, 2, 3))
    assert view_numbers(grid) == [0, 2] and frame_numbers(grid) == [[1, 2], [3, 4]]


def test_folders_of_images_are_recordings_too(tmp_path):
    for view, name in enumerate(("left", "right")):
        (tmp_path / name).mkdir()
        for frame, frame_HWC in enumerate(recording(view, 11)):
            Image.fromarray(frame_HWC.numpy()).save(tmp_path / name / f"f{frame}.png")  # f10 comes after f9
        (tmp_path / name / "._f0.png").write_bytes(b"a second file that some computers leave")
    grid = read(tmp_path, times=0, stride=2)
    assert frame_numbers(grid) == [[0, 2, 4, 6, 8, 10]] * 2 and view_numbers(grid) == [0, 1] and grid.fps == 12
    assert torch.equal(grid.frames[1, 3], recording(1)[6].float() / 255)


def test_a_folder_of_stills_has_a_view_each_in_natural_order(tmp_path):
    for view, name in enumerate(("cam1", "cam2", "cam10")):
        Image.fromarray(recording(view, 1)[0].numpy()).save(tmp_path / f"{name}.png")
    grid = read(tmp_path)
    assert view_numbers(grid) == [0, 1, 2] and grid.times == 1 and grid.provenance["views"][2] == "cam10.png"


def test_transparency_and_wide_crops_are_told(tmp_path):
    for view in range(2):
        Image.fromarray(recording(view, 1)[0].numpy()).convert("RGBA").save(tmp_path / f"{view}.png")
    Image.new("RGBA", (W, H), (200, 100, 50, 51)).save(tmp_path / "1.png")
    remarks = []
    grid = read_rig(plan_rig(tmp_path), H, H, remark=remarks.append)
    assert torch.equal((grid.frames[1, 0] * 255).round().unique(), torch.tensor([10.0, 20.0, 40.0]))
    assert "1.png has transparency, which was composited over black" in remarks
    assert "cells of 8x8 crop 50% of 0.png (16x8)" in remarks[0] and len(remarks) == 3


@pytest.mark.parametrize(("height", "width", "size"), [(0, 0, (H, W)), (4, 0, (4, 8)), (0, 8, (4, 8)), (6, 6, (6, 6))])
def test_sizes(rig, height, width, size):
    assert read(rig, times=2, height=height, width=width).frames.shape == (V, 2, *size, 3)


def test_views_of_other_sizes_are_fitted_to_the_first(rig):
    write_video(rig / "cam2.mkv", recording(1, height=16, width=32), 30.0, lossless=True)
    grid = read(rig, times=2)
    assert grid.frames.shape == (V, 2, H, W, 3) and view_numbers(grid) == [0, 1, 2]


def test_padding_keeps_the_whole_picture(rig):
    grid = read(rig, times=1, height=W, width=W, fit="pad")
    assert not grid.frames[1, 0, :4].any() and grid.frames[1, 0, 4:12].any(-1).all()


def test_fps_can_be_given(rig):
    assert read(rig, times=2, stride=2, fps=7.5).fps == 7.5


def test_progress_is_told_and_can_cancel(rig):
    told = []
    read_rig(plan_rig(rig, RigPick(times=2)), report=lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1 and {1 / 3, 2 / 3} <= set(told)

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_rig(plan_rig(rig, RigPick(times=2)), report=cancel)


def test_one_recording_is_counted_and_read_in_part(rig):
    one = Measured(Recording("cam10.mkv", rig / "cam10.mkv"))
    assert one.length == 11 and one.fps == 30 and one.size == (H, W)
    frames, remarks = one.read(range(3, 10, 3))
    assert torch.equal(frames, recording(2)[3:10:3]) and not remarks


@pytest.mark.parametrize(
    ("text", "offsets"), [("", ()), (" ", ()), ("0, 3, -2", (0, 3, -2)), ("0 3 -2", (0, 3, -2)), ("5,", (5,))]
)
def test_offsets_as_text(text, offsets):
    assert parse_offsets(text) == offsets


@pytest.mark.parametrize("text", ["a", "0.5", "1; 2", "[1, 2]"])
def test_other_offsets_get_one_clear_sentence(text):
    with pytest.raises(
        ValueError, match="expected offsets to be whole numbers of frames, one per view, such as 0, 3, -2"
    ):
        parse_offsets(text)


BAD_PICKS = {
    "too many views": ({"views": 4, "times": 1}, "at least 4 views in .*, got 3: ask for fewer views"),
    "too many times": ({"times": 12}, "at least 12 frames in cam10.mkv, got 11"),
    "too many spread": (
        {"times": 12, "stride": 0},
        "the shortest has 11: choose an earlier first frame or fewer times",
    ),
    "starts behind the end": ({"first_frame": 11}, "the shortest has 0: choose an earlier first frame"),
    "too few offsets": ({"times": 1, "offsets": (1, 2)}, "expected 3 offsets, one per recording, got 2"),
    "before the start": (
        {"times": 1, "offsets": (0, 0, -1)},
        "cam10.mkv would start before its first frame: first frame 0 and offset -1 give -1",
    ),
    "negative": ({"stride": -1}, "expected stride to be 0 or more, got -1"),
    "huge": ({"times": 5000}, "at most 1024 views and 1024 times, got 0 and 5000"),
}


@pytest.mark.parametrize("name", BAD_PICKS)
def test_what_does_not_fit_gets_one_clear_sentence(rig, name):
    pick, sentence = BAD_PICKS[name]
    with pytest.raises(ValueError, match=sentence) as caught:
        read(rig, **pick)
    assert "\n" not in str(caught.value)


def empty(folder):
    for file in folder.iterdir():
        file.unlink()


def missing(folder):
    empty(folder)
    folder.rmdir()


def with_text_as_video(folder):
    (folder / "cam2.mkv").write_text("no video at all")


def with_a_cut_video(folder):
    content = (folder / "cam2.mkv").read_bytes()
    (folder / "cam2.mkv").write_bytes(content[: len(content) // 3])


def with_another_rate(folder):
    write_video(folder / "cam2.mkv", recording(1), 25.0, lossless=True)


def with_empty_image_folders(folder):
    empty(folder)
    (folder / "left").mkdir()


def with_a_broken_image(folder):
    with_empty_image_folders(folder)
    (folder / "left" / "a.png").write_bytes(b"no picture")


BAD_FOLDERS = {
    missing: "there is no folder at .*",
    empty: "expected 1 to 1024 videos, image folders or images, one per view, in .*, found 0",
    with_text_as_video: "cannot decode cam2.mkv",
    with_a_cut_video: "cam2.mkv",
    with_another_rate: "one frame rate, got 30 in cam1.mkv and 25 in cam2.mkv",
    with_empty_image_folders: r"found no images \(.*\) in the folder .*left",
    with_a_broken_image: "cannot read the image a.png",
}


@pytest.mark.parametrize("spoil", BAD_FOLDERS, ids=lambda spoil: spoil.__name__)
def test_bad_folders_get_one_clear_sentence(rig, spoil):
    spoil(rig)
    with pytest.raises(ValueError, match=BAD_FOLDERS[spoil]) as caught:
        read(rig, times=1 if "image" in spoil.__name__ else 8)
    assert "\n" not in str(caught.value)
