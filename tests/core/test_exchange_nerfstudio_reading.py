"""Datasets with poses read back as grids with cameras, and what is said about those that are no grid.

Letters: V = 3 views, T = 5 times, H = 8, W = 16.
"""

import json
from pathlib import Path

import pytest
import torch

from fourreal_core.exchange.nerfstudio import write_nerfstudio
from fourreal_core.exchange.rig import RigPick, plan_rig, read_rig
from fourreal_core.grid import Cameras, FrameGrid, task_known

V, T, H, W = 3, 5, 8, 16


def grid_with_cameras(shared_lens: bool = False) -> FrameGrid:
    frames = torch.randint(1, 256, (V, T, H, W, 3), generator=torch.Generator().manual_seed(0)).float() / 255
    poses = torch.eye(4).repeat(V, 1, 1)
    poses[:, :3, :3] = torch.linalg.qr(torch.randn(V, 3, 3, generator=torch.Generator().manual_seed(1)))[0]
    poses[:, :3, 3] = torch.tensor([[0.5, -1, 4], [1.5, 0, 3], [-2, 1, 5]])
    lenses = torch.stack(
        [torch.tensor([[20.0 + v * (not shared_lens), 0, 7], [0, 21, 4.5], [0, 0, 1]]) for v in range(V)]
    )
    return FrameGrid(frames, task_known(V, T), cameras=Cameras(poses, lenses))


@pytest.fixture
def dataset(tmp_path) -> Path:
    write_nerfstudio(grid_with_cameras(), tmp_path / "out")
    return tmp_path / "out"


def change(folder: Path, edit) -> None:
    described = json.loads((folder / "transforms.json").read_text())
    edit(described)
    (folder / "transforms.json").write_text(json.dumps(described))


def read(folder: Path, *, height=0, width=0, fit="crop", **pick) -> FrameGrid:
    return read_rig(plan_rig(folder, RigPick(**pick)), height, width, fit, 24.0)


@pytest.mark.parametrize("shared_lens", [False, True])
def test_a_written_dataset_comes_back_with_its_cameras(tmp_path, shared_lens):
    grid = grid_with_cameras(shared_lens)
    write_nerfstudio(grid, tmp_path / "out")
    again = read(tmp_path / "out")
    assert torch.equal(again.frames, grid.frames) and again.known.all()
    assert torch.allclose(again.cameras.world_to_camera, grid.cameras.world_to_camera, atol=1e-6)
    assert torch.equal(again.cameras.intrinsics, grid.cameras.intrinsics)


def test_the_order_of_the_file_does_not_matter(dataset):
    change(dataset, lambda described: described["frames"].reverse())
    assert torch.equal(read(dataset).frames, grid_with_cameras().frames)


def test_views_times_and_size_can_be_picked_and_cameras_follow(dataset):
    grid = grid_with_cameras()
    part = read(dataset, views=2, times=2, first_frame=1, stride=2, height=H, width=H)
    assert torch.equal(part.frames, grid.frames[::2, 1:4:2, :, 4:12])  # the middle is cut out
    assert torch.equal(part.cameras.world_to_camera, read(dataset).cameras.world_to_camera[::2])
    expected = grid.cameras.intrinsics[::2].clone()
    expected[:, 0, 2] -= 4
    assert torch.allclose(part.cameras.intrinsics, expected)
    half = read(dataset, height=H // 2)
    assert torch.allclose(half.cameras.intrinsics[:, :2], grid.cameras.intrinsics[:, :2] / 2)


def test_pictures_that_are_smaller_copies_have_cameras_of_their_size(dataset):
    def announce_twice_the_size(described):
        described.update(w=2 * W, h=2 * H)
        for frame in described["frames"]:
            frame.update({name: 2 * frame[name] for name in ("fl_x", "fl_y", "cx", "cy")})

    change(dataset, announce_twice_the_size)
    assert torch.allclose(read(dataset).cameras.intrinsics, grid_with_cameras().cameras.intrinsics)


def test_a_still_scene_is_a_grid_of_one_time(dataset):
    def still(described):
        described["frames"] = [
            {name: value for name, value in frame.items() if name != "time"} for frame in described["frames"][::T]
        ]

    change(dataset, still)
    assert torch.equal(read(dataset).frames, grid_with_cameras().frames[:, :1])


def test_lens_distortion_is_left_out_of_the_cameras_with_a_remark(dataset):
    assert plan_rig(dataset).remarks == []
    change(dataset, lambda described: described["frames"][4].update(k1=0.03))
    [remark] = plan_rig(dataset).remarks
    assert remark.startswith(
        "frame 4 of transforms.json has lens distortion (k1 = 0.03), which a grid's cameras ignore"
    )
    assert torch.equal(read(dataset).cameras.intrinsics, grid_with_cameras().cameras.intrinsics)


def remove_a_cell(described):
    described["frames"].pop(7)


def repeat_a_cell(described):
    described["frames"].append(described["frames"][7])


def move_every_camera(described):
    for number, frame in enumerate(described["frames"]):
        frame["transform_matrix"][0][3] += number


def leave_the_folder(described):
    described["frames"][4]["file_path"] = "../secret.png"


def lose_an_image(described):
    described["frames"][4]["file_path"] = "images/lost.png"


def lose_the_lens(described):
    del described["frames"][4]["fl_x"]


def write_text_as_pose(described):
    described["frames"][4]["transform_matrix"] = "identity"


def write_no_pose(described):
    for frame in described["frames"][:T]:
        frame["transform_matrix"] = [[0.0] * 4] * 4


def write_no_number(described):
    described["frames"][4]["time"] = float("nan")


def lose_all_frames(described):
    described["frames"] = []


def two_sizes(described):
    described["frames"] = [{**frame, "w": W + (number < T)} for number, frame in enumerate(described["frames"])]


BAD_DATASETS = {
    remove_a_cell: "expected every view at every time, but the view of view_0000_time_0000.png has 5 times and the view of view_0001_time_0000.png has 4",
    repeat_a_cell: "view_0001_time_0002.png and view_0001_time_0002.png have the same pose and time",
    move_every_camera: "only complete grids with static cameras can be read",
    leave_the_folder: "image of frame 4 of transforms.json, '../secret.png', is not in the folder",
    lose_an_image: "'images/lost.png', is not in the folder",
    lose_the_lens: "expected fl_x in frame 4 of transforms.json to be a number, got None",
    write_text_as_pose: "transform_matrix in frame 4 of transforms.json to be 4 lists of 4 numbers, got identity",
    write_no_pose: "every transform_matrix in transforms.json to be a pose, got one that cannot be inverted",
    write_no_number: "expected time in frame 4 of transforms.json to be a number, got nan",
    lose_all_frames: "found no list of frames in transforms.json of out",
    two_sizes: "all images in transforms.json to have one size, got w and h of 16x8 and 17x8",
}


@pytest.mark.parametrize("spoil", BAD_DATASETS, ids=lambda spoil: spoil.__name__)
def test_what_is_no_grid_gets_one_clear_sentence(dataset, spoil):
    (dataset.parent / "secret.png").write_bytes((dataset / "images" / "view_0000_time_0000.png").read_bytes())
    change(dataset, spoil)
    with pytest.raises(ValueError, match=BAD_DATASETS[spoil]) as caught:
        read(dataset)
    assert "\n" not in str(caught.value)


UNHOLDABLE = [
    {"file_path": "images/\0.png"},
    {"file_path": "n" * 5000},
    {"file_path": "\ud800.png"},
    {"time": 10**400},
    {"w": 10**400},
]


@pytest.mark.parametrize("values", UNHOLDABLE, ids=range(len(UNHOLDABLE)))
def test_names_and_numbers_that_no_machine_can_hold_get_one_clear_sentence(dataset, values):
    change(dataset, lambda described: described["frames"][1].update(values))
    with pytest.raises(ValueError, match="the image of frame|expected (time|w) in frame"):
        read(dataset)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_description_gets_one_clear_sentence(dataset, content):
    (dataset / "transforms.json").write_bytes(content)
    with pytest.raises(ValueError, match="cannot read transforms.json|found no list of frames"):
        read(dataset)
