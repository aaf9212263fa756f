"""Grids from videos, views and folders: what they hold, what they refuse, and that nobody else's memory is shared."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from exchanging import exchanged

from fourreal_core.files.video import write_video
from fourreal_core.grid import Cameras, FrameGrid, first_frame_difference

V, T, H, W = 3, 5, 8, 16


def random_videos(seed=0):
    generator = torch.Generator().manual_seed(seed)
    fixed_THWC = torch.rand(T, H, W, 3, generator=generator)
    freeze_VHWC = torch.rand(V, H, W, 3, generator=generator)
    freeze_VHWC[0] = fixed_THWC[0]
    return fixed_THWC, freeze_VHWC


def random_grid(cameras=False):
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(1))
    matrices = Cameras(
        torch.eye(4).repeat(V, 1, 1), torch.tensor([[20.0, 0, W / 2], [0, 20, H / 2], [0, 0, 1]]).repeat(V, 1, 1)
    )
    return FrameGrid(
        frames, torch.rand(V, T) > 0.5, fps=12, cameras=matrices if cameras else None, provenance={"seed": 1}
    )


def test_two_videos_become_the_first_view_and_the_first_time():
    fixed_THWC, freeze_VHWC = random_videos()
    grid = FrameGrid.from_videos(fixed_THWC, freeze_VHWC, fps=30)
    assert (grid.views, grid.times, grid.height, grid.width, grid.fps) == (V, T, H, W, 30.0)
    assert torch.equal(grid.frames[0], fixed_THWC)
    assert torch.equal(grid.frames[:, 0], freeze_VHWC)
    assert grid.known[0].all() and grid.known[:, 0].all() and not grid.known[1:, 1:].any()
    assert not grid.frames[1:, 1:].any()


def test_the_shared_cell_is_the_fixed_view_videos():
    fixed_THWC, freeze_VHWC = random_videos()
    freeze_VHWC[0] = 1 - fixed_THWC[0]
    assert torch.equal(FrameGrid.from_videos(fixed_THWC, freeze_VHWC).frames[0, 0], fixed_THWC[0])


def test_uint8_is_divided_by_255_exactly():
    ramp_THWC = np.arange(2 * H * W * 3, dtype=np.uint8).reshape(2, H, W, 3)
    grid = FrameGrid.from_videos(ramp_THWC, ramp_THWC)
    assert np.array_equal(grid.frames[0].numpy(), ramp_THWC.astype(np.float32) / np.float32(255))
    assert grid.frames.max() == 1


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        torch.Tensor.double,
        torch.Tensor.numpy,
        lambda x: (x * 255).round().to(torch.uint8).numpy(),
        lambda x: x.numpy()[::-1, :, ::-1],
    ],
)
def test_grids_copy_their_inputs(convert):
    fixed, freeze = (convert(video) for video in random_videos())
    before = [np.copy(np.asarray(video)) for video in (fixed, freeze)]
    grids = [FrameGrid.from_videos(fixed, freeze), FrameGrid.from_views([fixed, fixed])]
    kept = [grid.frames.clone() for grid in grids]
    assert all(np.array_equal(np.asarray(video), copy) for video, copy in zip((fixed, freeze), before))
    fixed[:], freeze[:] = 0, 0
    assert all(torch.equal(grid.frames, copy) for grid, copy in zip(grids, kept))


def test_whole_views_are_all_known():
    videos = [torch.full((T, H, W, 3), view / V) for view in range(V)]
    grid = FrameGrid.from_views(videos)
    assert grid.known.all() and grid.frames.shape == (V, T, H, W, 3)
    assert torch.equal(grid.frames[:, 2, 3, 4, 0], torch.tensor([0, 1 / 3, 2 / 3]))


def test_what_a_resizer_overshoots_is_clamped_and_more_is_refused():
    fixed_THWC, freeze_VHWC = random_videos()
    fixed_THWC[1, 0, 0, 0], fixed_THWC[2, 0, 0, 0] = 1.2, -0.2
    grid = FrameGrid.from_videos(fixed_THWC, freeze_VHWC)
    assert grid.frames.min() == 0 and grid.frames.max() == 1
    fixed_THWC[1, 0, 0, 0] = 1.3
    with pytest.raises(ValueError, match=r"from 0 to 1 in the fixed-view video, got .* to 1\.3"):
        FrameGrid.from_videos(fixed_THWC, freeze_VHWC)


@pytest.mark.parametrize(
    "fixed, freeze, sentence",
    [
        (torch.rand(T, H, W, 4), torch.rand(V, H, W, 3), "fixed-view video to have shape .* flatten the transparency"),
        (torch.rand(T, H, W, 1), torch.rand(V, H, W, 3), "fixed-view video to have shape"),
        (torch.rand(H, W, 3), torch.rand(V, H, W, 3), "fixed-view video to have shape"),
        (torch.rand(1, H, W, 3), torch.rand(V, H, W, 3), "fixed-view video to have at least 2 frames, got 1"),
        (torch.rand(T, H, W, 3), torch.rand(1, H, W, 3), "freeze-time video to have at least 2 frames, got 1"),
        (torch.rand(0, H, W, 3), torch.rand(V, H, W, 3), "fixed-view video to have frames"),
        (torch.rand(T, H, W, 3), torch.rand(V, H, W + 2, 3), "one frame size, got 16x8 and 18x8"),
        (torch.rand(T, H, W, 3) * 255, torch.rand(V, H, W, 3), r"pixel values from 0 to 1"),
        (torch.full((T, H, W, 3), math.nan), torch.rand(V, H, W, 3), "finite pixel values in the fixed-view video"),
        (torch.rand(T, H, W, 3), torch.full((V, H, W, 3), math.inf), "finite pixel values in the freeze-time video"),
        (torch.ones(T, H, W, 3, dtype=torch.int32), torch.rand(V, H, W, 3), "uint8 .* or float"),
        ([[0]], torch.rand(V, H, W, 3), "torch tensor or a numpy array of numbers, got list"),
        (np.array([[None]]), torch.rand(V, H, W, 3), "numpy array of numbers"),
        (torch.zeros(1025, 1, 1, 3), torch.zeros(V, 1, 1, 3), "at most 1024 views and 1024 times, got 3 and 1025"),
    ],
)
def test_bad_videos_get_one_sentence(fixed, freeze, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        FrameGrid.from_videos(fixed, freeze)
    assert "\n" not in str(caught.value)


def test_views_of_different_length_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match="5 frames of 16x8 like view 0, got 4 frames of 16x8 at view 1"):
        FrameGrid.from_views([torch.rand(T, H, W, 3), torch.rand(T - 1, H, W, 3)])
    with pytest.raises(ValueError, match="at least one video"):
        FrameGrid.from_views([])


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"frames": torch.zeros(V, T, H, W, 4)}, "float32 tensor"),
        ({"frames": torch.zeros(V, T, H, W, 3).double()}, "float32 tensor"),
        ({"frames": torch.full((V, T, H, W, 3), math.nan)}, "finite pixel values"),
        ({"frames": torch.full((V, T, H, W, 3), 2.0)}, "from 0 to 1"),
        ({"known": torch.zeros(T, V, dtype=torch.bool)}, "known to be a bool tensor"),
        ({"known": torch.zeros(V, T)}, "known to be a bool tensor"),
        ({"fps": 0}, "fps"),
        ({"fps": math.nan}, "fps"),
        ({"fps": "fast"}, "fps"),
        ({"fps": 10**400}, "fps"),
        ({"fps": 1e30}, "at most 1e"),
        ({"provenance": {"when": object()}}, "provenance to contain only plain JSON"),
        ({"provenance": {"loss": math.nan}}, "provenance to contain only plain JSON"),
        ({"cameras": Cameras(torch.eye(4)[None], torch.eye(3)[None])}, r"one camera per view \(3\), got 1"),
    ],
)
def test_the_constructor_refuses_what_is_no_grid(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        random_grid().replace(**changes)


@pytest.mark.parametrize(
    "world_to_camera, intrinsics, sentence",
    [
        (torch.eye(3)[None], torch.eye(3)[None], r"\[V, 4, 4\]"),
        (torch.eye(4)[None], torch.eye(3).repeat(2, 1, 1), "as many intrinsics"),
        (torch.eye(4)[None] * math.nan, torch.eye(3)[None], "finite"),
        (torch.eye(4)[None] + torch.tensor([[0.0], [0], [0], [1]]), torch.eye(3)[None], "transposed"),
    ],
)
def test_bad_cameras_are_refused(world_to_camera, intrinsics, sentence):
    with pytest.raises(ValueError, match=sentence):
        Cameras(world_to_camera, intrinsics)


def test_provenance_is_copied():
    provenance = {"inputs": ["a.mp4"]}
    grid = random_grid().replace(provenance=provenance)
    provenance["inputs"].append("b.mp4")
    assert grid.provenance == {"inputs": ["a.mp4"]}


def test_fields_cannot_be_set():
    with pytest.raises(dataclasses.FrozenInstanceError):
        random_grid().fps = 3


@pytest.mark.filterwarnings("default:FrameGrid:DeprecationWarning")
def test_swapping_exchanges_view_and_time_for_one_more_version():
    grid = random_grid(cameras=True)
    with pytest.warns(DeprecationWarning, match="swapped will be removed in version 0.3"):
        swapped = grid.swapped()
    assert swapped.cameras is None and swapped.frames.is_contiguous()
    assert torch.equal(swapped.frames, exchanged(grid).frames) and torch.equal(swapped.known, grid.known.T)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_resizing_moves_the_cameras_with_the_picture(fit):
    """A bright dot stays where the resized camera projects the point that it shows."""
    frames = torch.zeros(1, 1, 40, 64, 3)
    frames[..., 15, 41, :] = 1
    camera = Cameras(torch.eye(4)[None], torch.tensor([[[50.0, 0, 32], [0, 50, 20], [0, 0, 1]]]))
    point = torch.linalg.inv(camera.intrinsics[0]) @ torch.tensor([41.5, 15.5, 1])
    grid = FrameGrid(frames, torch.ones(1, 1, dtype=torch.bool), cameras=camera)
    resized = grid.resized(100, 90, fit)
    x, y, _ = resized.cameras.intrinsics[0] @ point
    weight_HW = resized.frames[0, 0, ..., 0]
    ys, xs = torch.meshgrid(torch.arange(100) + 0.5, torch.arange(90) + 0.5, indexing="ij")
    assert resized.frames.shape == (1, 1, 100, 90, 3)
    assert (
        abs((weight_HW * xs).sum() / weight_HW.sum() - x) < 0.1
        and abs((weight_HW * ys).sum() / weight_HW.sum() - y) < 0.1
    )


def test_first_frame_difference():
    fixed_THWC, freeze_VHWC = random_videos()
    assert first_frame_difference(fixed_THWC, freeze_VHWC) == 0
    freeze_VHWC[0] = (fixed_THWC[0] + 0.5) % 1
    assert first_frame_difference(fixed_THWC, freeze_VHWC) == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(ValueError, match="one frame size"):
        first_frame_difference(fixed_THWC, freeze_VHWC[:, :4])


@pytest.mark.filterwarnings("ignore:FrameGrid.from_folder:DeprecationWarning")
def test_a_folder_of_videos_in_natural_order(tmp_path):
    for view in (1, 2, 10):
        video = (
            torch.full((9, H, W, 3), view * 10, dtype=torch.uint8)
            + torch.arange(9, dtype=torch.uint8)[:, None, None, None]
        )
        write_video(tmp_path / f"view{view}.mkv", video, 20, lossless=True)
    with pytest.warns(DeprecationWarning, match=r"from_folder will be removed in version 0.3: exchange.rig"):
        grid = FrameGrid.from_folder(tmp_path, times=T, size=(4, 6))
    assert grid.frames.shape == (3, T, 4, 6, 3) and grid.known.all() and grid.fps == 10
    assert (grid.frames[:, :, 0, 0, 0] * 255).round().int().tolist() == [
        [10 * view + time for time in (0, 2, 4, 6, 8)] for view in (1, 2, 10)
    ]
    assert FrameGrid.from_folder(tmp_path, views=2, fps=7).frames[1, 0, 0, 0, 0] * 255 == 100
    with pytest.raises(ValueError, match="at least 12 frames in view1.mkv, got 9"):
        FrameGrid.from_folder(tmp_path, times=12)
    with pytest.raises(ValueError, match="at least 4 frames to pick 4 from, got 3"):
        FrameGrid.from_folder(tmp_path, views=4)


@pytest.mark.filterwarnings("ignore:FrameGrid.from_folder:DeprecationWarning")
def test_a_grid_that_is_too_large_is_refused(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mkv", torch.zeros(T, H, W, 3), 24, lossless=True)
    monkeypatch.setattr("fourreal_core.grid.MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="1 views and 5 times of 16x8 need"):
        FrameGrid.from_folder(tmp_path)
    video_THWC = torch.zeros(T, H, W, 3)
    for make in (
        lambda: FrameGrid.from_videos(video_THWC, video_THWC[:V]),
        lambda: FrameGrid.from_views([video_THWC] * V),
    ):
        with pytest.raises(ValueError, match="3 views and 5 times of 16x8 need"):
            make()
