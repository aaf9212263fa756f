"""Stereo pairs and light-field quilts: every pixel where the format wants it.

Letters: V = 4 views, T = 5 times, H = 8, W = 16. Pixel values tell view and time.
"""

import pytest
import torch

from fourreal_core.exchange.quilt import DEVICES, QuiltLayout, one_tile_per_view, quilts, view_positions, write_quilts
from fourreal_core.exchange.stereo import EVERY, stands_right_of, stereo_paths, stereo_video
from fourreal_core.files.recording import read_video
from fourreal_core.files.stills import read_picture
from fourreal_core.grid import Cameras, FrameGrid

V, T, H, W = 4, 5, 8, 16


def numbered_grid() -> FrameGrid:
    """Red tells the view, green the time, blue the place from left to right."""
    frames = torch.zeros(V, T, H, W, 3)
    frames[..., 0] = torch.arange(V)[:, None, None, None] / 10
    frames[..., 1] = torch.arange(T)[None, :, None, None] / 10
    frames[..., 2] = torch.arange(W) / W
    return FrameGrid(frames, torch.ones(V, T, dtype=torch.bool))


def cell(frame_HWC: torch.Tensor) -> tuple[int, int]:
    return tuple((10 * frame_HWC[0, 0, :2]).round().int().tolist())


EYES = {
    "one view, all times": ((1, EVERY, 2), [((1, t), (3, t)) for t in range(T)]),
    "one picture": ((0, 3, 1), [((0, 3), (1, 3))]),
    "all views at one time": ((EVERY, 2, 1), [((v, 2), (v + 1, 2)) for v in range(V - 1)]),
    "exchanged": ((1, 3, -2), [((3, 3), (1, 3))]),
    "diagonal, fractional": ((EVERY, EVERY, 3), [((0, t), (3, t)) for t in range(T)]),
}


@pytest.mark.parametrize("name", EYES)
def test_each_eye_sees_its_view(name):
    (view, time, spacing), expected = EYES[name]
    left, right = stereo_paths((V, T), view, time, spacing)
    assert list(zip(left, right)) == expected


@pytest.mark.parametrize(("viewing", "order"), [("parallel", (1, 2)), ("cross-eyed", (2, 1))])
def test_the_left_eye_is_on_the_left_unless_eyes_are_crossed(viewing, order):
    grid = numbered_grid()
    video_NHWC = stereo_video(grid, view=1, spacing=1, viewing=viewing)
    assert video_NHWC.shape == (T, H, 2 * W, 3)
    assert torch.equal(video_NHWC[:, :, :W], grid.frames[order[0]]) and torch.equal(
        video_NHWC[:, :, W:], grid.frames[order[1]]
    )


def test_half_width_squeezes_each_eye():
    video_NHWC = stereo_video(numbered_grid(), view=0, time=2, spacing=3, half_width=True)
    assert video_NHWC.shape == (1, H, W, 3)
    left_HWC, right_HWC = video_NHWC[0, :, : W // 2], video_NHWC[0, :, W // 2 :]
    assert cell(left_HWC) == (0, 2) and cell(right_HWC) == (3, 2)
    assert left_HWC[0, :, 2].mean().item() == pytest.approx(
        numbered_grid().frames[0, 0, 0, :, 2].mean().item(), abs=0.01
    )  # the whole picture is there


BAD_EYES = {
    "one view": ({"spacing": 0}, "spacing of 1 to 3 views, or -1 to -3 to swap the eyes, got 0"),
    "too far": ({"spacing": -4}, "got -4: the grid has 4 views"),
    "outside": (
        {"view": 2, "spacing": 2},
        "view to be from 0 to 1, so that view \\+ 2 is one of the grid's 4 views, or -1 for all, got 2",
    ),
    "time": ({"time": 5}, "time to be from 0 to 4, or -1 for all, got 5"),
    "viewing": ({"viewing": "red-cyan"}, "one of parallel, cross-eyed, got 'red-cyan'"),
}


@pytest.mark.parametrize("name", BAD_EYES)
def test_what_cannot_be_seen_gets_one_clear_sentence(name):
    settings, sentence = BAD_EYES[name]
    with pytest.raises(ValueError, match=sentence):
        stereo_video(numbered_grid(), **settings)


def test_cameras_tell_which_view_is_on_the_right():
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, 0, 3] = torch.tensor([0.0, -1.0, 2.0])  # cameras at x = 0, 1 and -2
    cameras = Cameras(poses, torch.eye(3).repeat(3, 1, 1))
    assert stands_right_of(cameras, 0, 1) and not stands_right_of(cameras, 0, 2) and stands_right_of(cameras, 2, 0)


def test_views_go_from_the_bottom_left_to_the_right_and_then_upwards():
    layout = QuiltLayout(across=2, up=2, tile_width=W, tile_height=H, aspect=2.0)
    quilt_NHWC = quilts(numbered_grid(), layout, views=range(V), times=[3])
    assert quilt_NHWC.shape == (1, 2 * H, 2 * W, 3)
    tiles = {
        "bottom left": quilt_NHWC[0, H:, :W],
        "bottom right": quilt_NHWC[0, H:, W:],
        "top left": quilt_NHWC[0, :H, :W],
        "top right": quilt_NHWC[0, :H, W:],
    }
    assert {name: cell(tile) for name, tile in tiles.items()} == {
        "bottom left": (0, 3),
        "bottom right": (1, 3),
        "top left": (2, 3),
        "top right": (3, 3),
    }
    assert torch.equal(tiles["top left"], numbered_grid().frames[2, 3])


def test_there_is_a_quilt_per_time_and_progress_is_told():
    told = []
    layout = QuiltLayout(3, 1, W, H, 2.0)
    quilts_NHWC = quilts(
        numbered_grid(), layout, views=[3, 2, 1], times=[4, 0], on_quilt=lambda *step: told.append(step)
    )
    assert [cell(quilt_HWC[:, 2 * W :]) for quilt_HWC in quilts_NHWC] == [(1, 4), (1, 0)] and cell(quilts_NHWC[0]) == (
        3,
        4,
    )
    assert told == [(1, 2), (2, 2)]


POSITIONS = {
    "as many": ((range(4), 4, False), [0, 1, 2, 3]),
    "from right to left": (([3, 2, 1, 0], 4, True), [3, 2, 1, 0]),
    "repeated": ((range(1, 3), 6, False), [1, 1, 1, 2, 2, 2]),
    "mixed": ((range(1, 3), 5, True), [1, 1.25, 1.5, 1.75, 2]),
    "left out": ((range(9), 3, False), [0, 4, 8]),
    "one tile": ((range(4), 1, False), [2]),
    "one view": (([2], 3, True), [2, 2, 2]),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_tiles_are_spread_over_the_views(name):
    (views, tiles, blend), expected = POSITIONS[name]
    assert view_positions(views, tiles, blend) == pytest.approx(expected)


def test_mixed_tiles_stay_inside_the_grid():
    layout = QuiltLayout(11, 1, W, H, 2.0)
    quilt_HWC = quilts(numbered_grid(), layout, views=range(V), times=[0], blend=True)[0]
    reds = quilt_HWC[0, ::W, 0]
    assert torch.allclose(reds, torch.linspace(0, 0.3, 11), atol=1e-6)


def test_tiles_are_cut_to_the_displays_aspect_before_they_are_stretched():
    """A display of aspect 1 with tiles of 16 x 8 pixels shows the middle half of each picture."""
    layout = QuiltLayout(1, 1, W, H, 1.0)
    blue = quilts(numbered_grid(), layout, views=[1], times=[0])[0, 4, :, 2]
    assert blue.min() > 0.2 and blue.max() < 0.75


def test_names_follow_the_vendors_convention():
    assert DEVICES["Looking Glass Portrait"].suffix == "_qs8x6a0.75"
    assert DEVICES["Looking Glass 16 inch landscape"].suffix == "_qs7x7a1.7778"
    assert {name: (each.width, each.height) for name, each in DEVICES.items()} == {
        "Looking Glass Go": (4092, 4092),
        "Looking Glass Portrait": (3360, 3360),
        "Looking Glass 16 inch landscape": (5992, 5992),
        "Looking Glass 32 inch landscape": (8190, 8190),
    }


def test_one_quilt_is_a_picture_and_several_are_a_video(tmp_path):
    layout = QuiltLayout(3, 1, W, 9, 2.0)
    several_NHWC = quilts(numbered_grid(), layout, views=[0, 1, 2], times=[4, 0])
    picture = write_quilts(tmp_path / "4real_00001", several_NHWC[:1], layout, 12.0)
    video = write_quilts(tmp_path / "4real_00002", several_NHWC, layout, 12.0)
    assert (picture.name, video.name) == ("4real_00001_qs3x1a2.png", "4real_00002_qs3x1a2.mp4")
    assert torch.equal(torch.tensor(read_picture(picture).pixels), (several_NHWC[0] * 255).round().to(torch.uint8))
    frames_NHWC, fps = read_video(video)
    assert frames_NHWC.shape == (2, 10, 3 * W, 3) and fps == 12
    assert sorted(tmp_path.iterdir()) == [picture, video]


@pytest.mark.parametrize(
    ("views", "size", "expected"),
    [(8, (72, 128), (2, 4)), (8, (128, 72), (4, 2)), (7, (72, 128), (1, 7)), (9, (15, 15), (3, 3))],
)
def test_one_tile_per_view_makes_the_squarest_quilt_of_even_size(views, size, expected):
    layout = one_tile_per_view(views, *size)
    assert (layout.across, layout.up) == expected and layout.tiles == views
    assert layout.tile_width % 2 == layout.tile_height % 2 == 0 and max(size) - max(
        layout.tile_width, layout.tile_height
    ) in (0, 1)


BAD_QUILTS = {
    "no tiles": (lambda: QuiltLayout(0, 2, W, H, 1.0), "at least one tile and one pixel"),
    "huge": (lambda: QuiltLayout(40, 2, 640, H, 1.0), "at most 16384 pixels per side, got 25600x16"),
    "too much": (
        lambda: quilts(numbered_grid(), QuiltLayout(1, 1, 16000, 16000, 1.0), [0], [0] * 40),
        "40 quilts of 16000x16000 need 114 GiB, more than the limit of 64 GiB",
    ),
    "outside": (
        lambda: quilts(numbered_grid(), QuiltLayout(1, 1, W, H, 2.0), [4], [0]),
        r"view of path position 0 to be from 0 to 3, got 4",
    ),
}


@pytest.mark.parametrize("name", BAD_QUILTS)
def test_impossible_quilts_get_one_clear_sentence(name):
    make, sentence = BAD_QUILTS[name]
    with pytest.raises(ValueError, match=sentence):
        make()
