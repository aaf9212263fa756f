"""Grids written as folders of videos, images and datasets, and as batches of images: exact where lossless, whole or not at all.

Letters: V = 3 views, T = 5 times, H = 8, W = 16.
"""

import json
import math

import pytest
import torch
from exchanging import exchanged

from fourreal_core.exchange.batch import ORDERS, grid_from_images, grid_images, grid_like
from fourreal_core.exchange.folders import write_images, write_time_videos, write_view_videos
from fourreal_core.exchange.nerfstudio import opengl_camera_to_world, write_nerfstudio
from fourreal_core.exchange.rig import RigPick, plan_rig, read_rig
from fourreal_core.files.recording import read_video
from fourreal_core.files.stills import read_picture
from fourreal_core.grid import Cameras, FrameGrid, task_known

V, T, H, W = 3, 5, 8, 16


def bytes_grid(height: int = H, width: int = W, **changes) -> FrameGrid:
    frames = torch.randint(1, 256, (V, T, height, width, 3), generator=torch.Generator().manual_seed(0)).float() / 255
    return FrameGrid(frames, task_known(V, T), fps=12.0, **changes)


def arc_cameras() -> Cameras:
    """Cameras on an arc around the origin, each with a lens of its own."""
    matrices = []
    for angle in torch.linspace(-0.5, 0.7, V):
        matrix = torch.eye(4)
        matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = angle.cos(), -angle.sin(), angle.sin(), angle.cos()
        matrix[:3, 3] = torch.tensor([0.1, -0.2, 4.0])
        matrices.append(matrix)
    lenses = torch.stack([torch.tensor([[20.0 + v, 0, 7.5], [0, 21.0, 4.25], [0, 0, 1]]) for v in range(V)])
    return Cameras(torch.stack(matrices), lenses)


WRITERS = {
    "view videos": lambda grid, folder, **options: write_view_videos(grid, folder, **options),
    "lossless view videos": lambda grid, folder, **options: write_view_videos(grid, folder, lossless=True, **options),
    "time videos": lambda grid, folder, **options: write_time_videos(grid, folder, **options),
    "images": lambda grid, folder, **options: write_images(grid, folder, **options),
    "nerfstudio": lambda grid, folder, **options: write_nerfstudio(
        grid.replace(cameras=arc_cameras()), folder, **options
    ),
}


def names(folder) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("writer", ["lossless view videos", "images"])
def test_what_is_lossless_comes_back_exactly(writer, tmp_path):
    grid = bytes_grid(7, 15)  # odd sizes too
    WRITERS[writer](grid, tmp_path / "out")
    again = read_rig(plan_rig(tmp_path / "out", RigPick()))
    assert torch.equal(again.frames, grid.frames)
    assert again.fps == (12.0 if "videos" in writer else 24.0)


def test_freeze_time_videos_are_the_grid_with_view_and_time_exchanged(tmp_path):
    grid = bytes_grid()
    write_time_videos(grid, tmp_path / "out", lossless=True)
    assert names(tmp_path / "out") == [f"time_000{t}.mkv" for t in range(T)]
    assert torch.equal(read_rig(plan_rig(tmp_path / "out", RigPick())).frames, exchanged(grid).frames)


def test_names_say_view_and_time(tmp_path):
    write_view_videos(bytes_grid(), tmp_path / "videos")
    assert names(tmp_path / "videos") == [f"view_000{v}.mp4" for v in range(V)]
    write_images(bytes_grid(), tmp_path / "images", "jpg")
    assert names(tmp_path / "images") == [f"view_000{v}/time_000{t}.jpg" for v in range(V) for t in range(T)]


def test_small_videos_and_photos_are_close_and_of_even_size(tmp_path):
    y, x = torch.meshgrid(torch.linspace(0.2, 0.8, 31), torch.linspace(0.2, 0.8, 47), indexing="ij")
    smooth = FrameGrid(
        torch.stack([y, x, (x + y) / 2], -1).expand(V, T, -1, -1, -1).contiguous(), task_known(V, T), fps=25.0
    )
    write_view_videos(smooth, tmp_path / "videos")
    video_THWC, fps = read_video(tmp_path / "videos" / "view_0001.mp4")
    assert video_THWC.shape == (T, 32, 48, 3) and fps == 25
    assert (video_THWC[:, :31, :47].float() / 255 - smooth.frames[1]).abs().mean() < 0.02
    write_images(smooth, tmp_path / "photos", "jpg")
    photo_HWC = torch.tensor(read_picture(tmp_path / "photos" / "view_0002" / "time_0003.jpg").pixels)
    assert (photo_HWC.float() / 255 - smooth.frames[2, 3]).abs().mean() < 0.01


@pytest.mark.parametrize("writer", WRITERS)
def test_progress_counts_files_and_a_cancelled_writing_leaves_nothing(writer, tmp_path):
    told = []
    WRITERS[writer](bytes_grid(), tmp_path / "whole", on_file=lambda *step: told.append(step))
    total = {"view videos": V, "lossless view videos": V, "time videos": T}.get(writer, V * T)
    assert told == [(done, total) for done in range(1, total + 1)]

    def cancel(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        WRITERS[writer](bytes_grid(), tmp_path / "part", on_file=cancel)
    assert [file.name for file in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_is_there_is_left_alone(writer, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="out already exists: choose another name"):
        WRITERS[writer](bytes_grid(), tmp_path / "out")
    with pytest.raises(ValueError, match="there is no folder .*nowhere: create it first"):
        WRITERS[writer](bytes_grid(), tmp_path / "nowhere" / "out")
    assert names(tmp_path) == ["out/mine.txt"]


def test_a_disk_that_refuses_gets_one_clear_sentence(tmp_path, monkeypatch):
    from PIL import Image

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ValueError, match="could not write time_0000.png: .*No space left"):
        write_images(bytes_grid(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_other_kinds_of_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="kind of images to be png or jpg, got 'exe'"):
        write_images(bytes_grid(), tmp_path / "out", "exe")
    assert not list(tmp_path.iterdir())


def dataset(grid, tmp_path) -> dict:
    write_nerfstudio(grid, tmp_path / "out")
    return json.loads((tmp_path / "out" / "transforms.json").read_text())


def test_a_dataset_projects_points_to_the_pixels_that_the_cameras_see(tmp_path):
    """Read as nerfstudio does: camera-to-world, -z forward, y up, intrinsics per frame."""
    grid = bytes_grid(cameras=arc_cameras())
    described = dataset(grid, tmp_path)
    point = torch.tensor([0.3, -0.4, 0.5, 1.0], dtype=torch.float64)
    assert (described["w"], described["h"], described["camera_model"], len(described["frames"])) == (
        W,
        H,
        "OPENCV",
        V * T,
    )
    for index, frame in enumerate(described["frames"]):
        view, time = divmod(index, T)
        x, y, z, _ = torch.linalg.inv(torch.tensor(frame["transform_matrix"], dtype=torch.float64)) @ point
        seen = frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z
        lens, pose = grid.cameras.intrinsics[view].double(), grid.cameras.world_to_camera[view].double()
        u, v, w = lens @ (pose @ point)[:3]
        assert seen == pytest.approx(((u / w).item(), (v / w).item()), abs=1e-4) and z < 0 < w
        assert frame["time"] == time / (T - 1)
        image_HWC = torch.tensor(read_picture(tmp_path / "out" / frame["file_path"]).pixels)
        assert torch.equal(image_HWC.float() / 255, grid.frames[view, time])


def test_a_camera_in_front_of_the_origin_has_the_pose_that_blender_would_write():
    world_to_camera = torch.eye(4)[None].clone()
    world_to_camera[0, 2, 3] = 5.0  # the camera stands at z = -5 and looks along +z; OpenCV: its y points down
    expected = [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, -5], [0, 0, 0, 1]]
    assert opengl_camera_to_world(Cameras(world_to_camera, torch.eye(3)[None])).tolist() == [expected]


def test_a_lens_that_all_views_share_is_written_once(tmp_path):
    cameras = Cameras(
        arc_cameras().world_to_camera, torch.tensor([[20.0, 0, 8], [0, 20, 4], [0, 0, 1]]).expand(V, 3, 3)
    )
    described = dataset(bytes_grid(cameras=cameras), tmp_path)
    assert (described["fl_x"], described["fl_y"], described["cx"], described["cy"]) == (20, 20, 8, 4)
    assert set(described["frames"][0]) == {"file_path", "time", "transform_matrix"}


def test_image_names_differ_between_views_and_empty_cells_are_left_out(tmp_path):
    grid = bytes_grid(cameras=arc_cameras())
    frames = grid.frames.clone()
    frames[1, 2:] = 0
    described = dataset(grid.replace(frames=frames), tmp_path)
    assert len(described["frames"]) == V * T - 3
    files = [frame["file_path"].rpartition("/")[2] for frame in described["frames"]]
    assert len(set(files)) == len(files) and files == sorted(files)
    assert names(tmp_path / "out") == [*(f"images/{file}" for file in files), "transforms.json"]


def test_a_dataset_of_one_time_is_a_still_scene(tmp_path):
    write_nerfstudio(bytes_grid(cameras=arc_cameras()), tmp_path / "out", time=2)
    assert names(tmp_path / "out") == [*(f"images/view_000{v}_time_0002.png" for v in range(V)), "transforms.json"]
    with pytest.raises(ValueError, match="expected time to be from 0 to 4 for this grid, got 5"):
        write_nerfstudio(bytes_grid(cameras=arc_cameras()), tmp_path / "late", time=5)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


BAD_DATASETS = {
    "no cameras": (
        bytes_grid(),
        "this grid has no cameras, .*: give it cameras, or write images and let nerfstudio's ns-process-data",
    ),
    "skew": (
        bytes_grid(
            cameras=Cameras(
                torch.eye(4).expand(V, 4, 4), torch.tensor([[20.0, 3, 8], [0, 20, 4], [0, 0, 1]]).expand(V, 3, 3)
            )
        ),
        "cannot store skew, but the camera of view 0 has 3 pixels of it",
    ),
    "empty": (
        FrameGrid(torch.zeros(V, T, H, W, 3), torch.zeros(V, T, dtype=torch.bool), cameras=arc_cameras()),
        "all cells of this grid are empty",
    ),
}


@pytest.mark.parametrize("name", BAD_DATASETS)
def test_what_is_no_dataset_gets_one_clear_sentence_and_leaves_nothing(name, tmp_path):
    grid, sentence = BAD_DATASETS[name]
    with pytest.raises(ValueError, match=sentence):
        write_nerfstudio(grid, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_of_images_comes_back_exactly_and_is_a_copy(order):
    grid = bytes_grid()
    images_NHWC = grid_images(grid, order)
    assert torch.equal(images_NHWC[1], grid.frames[0, 1] if order == "view by view" else grid.frames[1, 0])
    again = grid_from_images(images_NHWC, V, 12.0, order)
    assert torch.equal(again.frames, grid.frames) and again.known.all() and again.fps == 12
    before = grid.frames.clone()
    images_NHWC.zero_()
    assert torch.equal(grid.frames, before) and torch.equal(again.frames, before)


def test_changed_images_keep_all_else_of_their_grid():
    grid = bytes_grid(cameras=arc_cameras(), provenance={"seed": 3})
    larger_NHWC = grid_images(grid).repeat_interleave(2, 1).repeat_interleave(3, 2)
    again = grid_like(grid, larger_NHWC)
    assert again.frames.shape == (V, T, 2 * H, 3 * W, 3) and torch.equal(again.known, grid.known)
    assert again.fps == 12 and again.provenance == {"seed": 3}
    assert torch.allclose(again.cameras.intrinsics, torch.tensor([3.0, 2, 1])[:, None] * grid.cameras.intrinsics)
    assert math.isclose(again.cameras.intrinsics[1, 0, 2], 22.5)
    assert torch.equal(again.cameras.world_to_camera, grid.cameras.world_to_camera)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda images: grid_from_images(images[:-1], V), "divisible by 3 views, got 14"),
        (lambda images: grid_from_images(images, 0), "divisible by 0 views, got 15"),
        (
            lambda images: grid_from_images(images, V, order="random"),
            "order to be one of view by view, time by time, got 'random'",
        ),
        (lambda images: grid_like(bytes_grid(), images[:-1]), "expected 15 images for 3 views and 5 times, got 14"),
        (lambda images: grid_from_images(images + 1, V), "pixel values from 0 to 1 in the images"),
    ],
)
def test_batches_that_are_no_grid_get_one_clear_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(grid_images(bytes_grid()))
