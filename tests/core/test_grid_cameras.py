"""Cameras for grids: views found in their video, words for the user, and the picture of the path. Letters: V views, H W pixels."""

import pytest
import torch

from fourreal_core.files.video import fit_frames
from fourreal_core.geometry import grid_cameras
from fourreal_core.geometry.cameras import CameraEstimate, CamerasNotFound
from fourreal_core.geometry.grid_cameras import describe_cameras, estimate_grid_cameras, find_views
from fourreal_core.grid import Cameras, FrameGrid, task_known
from fourreal_core.grid_file import load_grid, save_grid
from fourreal_core.show.camera_path import FIRST, GUESSED, LAST, PAPER, draw_camera_path

V, T, H, W = 3, 2, 18, 32


def moving_video(frames: int = 12, height: int = 60, width: int = 80) -> torch.Tensor:
    """uint8 [F, H, W, 3]: a soft pattern that moves sideways."""
    pattern = torch.rand(1, 3, 12, 40, generator=torch.manual_seed(0))
    wide = torch.nn.functional.interpolate(pattern, (height, 3 * width), mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)
    return (torch.stack([wide[:, 4 * at : 4 * at + width] for at in range(frames)]) * 255).to(torch.uint8)


def arc(views: int = 4, sign: int = 1) -> Cameras:
    """Cameras side by side that look ahead, 10 degrees from one to the next."""
    poses = torch.eye(4).repeat(views, 1, 1)
    angles = torch.deg2rad(10.0 * torch.arange(views))
    poses[:, 0, 0], poses[:, 0, 2] = angles.cos(), -sign * angles.sin()
    poses[:, 2, 0], poses[:, 2, 2] = sign * angles.sin(), angles.cos()
    poses[:, 2, 3] = 1 - angles.cos()
    poses[:, 0, 3] = angles.sin()
    return Cameras(poses, torch.tensor([[30.0, 0, W / 2], [0, 30, H / 2], [0, 0, 1]]).repeat(views, 1, 1))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_views_are_found_in_their_video_however_they_were_fitted(fit):
    video = moving_video()
    views = fit_frames(video[[0, 5, 10]], H, W, fit).float() / 255
    assert find_views(views, video) == ([0, 5, 10], fit)


def test_a_video_without_the_views_is_refused():
    views = fit_frames(moving_video()[[0, 5, 10]], H, W).float() / 255
    with pytest.raises(ValueError, match="built from"):
        find_views(views, 255 - moving_video())
    with pytest.raises(ValueError, match="all 3 views, got 2"):
        find_views(views, moving_video(2))


def test_views_keep_their_order_where_frames_look_alike():
    video = moving_video()[:1].repeat(5, 1, 1, 1)
    views, _ = find_views(fit_frames(video[:3], H, W).float() / 255, video)
    assert views == sorted(set(views)) and len(views) == 3


def estimate(cameras: Cameras, **changes) -> CameraEstimate:
    count, none = len(cameras.world_to_camera), torch.zeros(0, dtype=torch.long)
    values = {
        "cameras": cameras, "error": 0.3, "looked_at": tuple(range(count)), "placed": tuple(range(count)), "frame_cameras": cameras,
        "guessed": (), "points": torch.rand(50, 3) + torch.tensor([0, 0, 1.0]), "view": none, "point": none,
        "pixel": torch.zeros(0, 2), "zoomed": False, "notes": (),
    }  # fmt: skip
    return CameraEstimate(**(values | changes))


def test_the_earliest_time_known_at_every_view_is_used_and_the_rest_of_the_grid_stays(monkeypatch, tmp_path):
    frames = torch.rand(V, T, H, W, 3)
    known = task_known(V, T)
    known[1, 0], known[:, 1] = False, True
    seen = []

    def found(frames_NHWC, **settings):
        seen.append(frames_NHWC)
        return estimate(arc(V))

    monkeypatch.setattr(grid_cameras, "estimate_cameras", found)
    grid = FrameGrid(frames, known, fps=12.0, provenance={"seed": 5})
    with_cameras, _ = estimate_grid_cameras(grid)
    assert torch.equal(seen[0], frames[:, 1]) and with_cameras.frames is not None
    assert torch.equal(with_cameras.frames, frames) and with_cameras.provenance["seed"] == 5 and grid.cameras is None
    save_grid(with_cameras, tmp_path / "a.grid.safetensors")
    assert torch.equal(load_grid(tmp_path / "a.grid.safetensors").cameras.world_to_camera, arc(V).world_to_camera)
    with pytest.raises(CamerasNotFound, match="No time of this grid"):
        estimate_grid_cameras(grid.replace(known=torch.eye(V, T, dtype=torch.bool)))


def test_the_report_says_what_matters():
    text = describe_cameras(arc(), (H, W), estimate(arc(), guessed=(2,), notes=("View 3 (counted from 1) ...",)))
    assert "3 of 4 views placed, from 4 of 4 frames" in text and "0.30 pixels" in text and "View 3" in text
    assert "arc from the first to the last view: 30.0 degrees" in text and "field of view: 56.1 x 33.4 degrees" in text
    given = describe_cameras(arc(), (H, W))
    assert "came with the grid" in given and "reprojection" not in given


def test_the_picture_shows_both_ends_and_guessed_views():
    picture = draw_camera_path(
        arc(), (H, W), torch.rand(40, 3) + torch.tensor([0, 0, 1.0]), guessed=[1], caption="4 views"
    )
    assert picture.shape == (576, 1024, 3) and picture.min() >= 0 and picture.max() <= 1
    for colour, least in ((FIRST, 15), (LAST, 15), (GUESSED, 5)):  # a guessed view is a ring and thin lines
        assert ((picture * 255 - torch.tensor(colour)).abs().amax(-1) < 12).sum() > least
    assert ((picture * 255 - torch.tensor(PAPER)).abs().amax(-1) < 2).float().mean() > 0.8


def test_from_above_the_cameras_look_upwards_and_the_first_one_stands_where_it_is():
    picture = draw_camera_path(arc(), (H, W)) * 255
    places = [
        ((picture[:, :512] - torch.tensor(colour)).abs().amax(-1) < 3).nonzero().float().mean(0)
        for colour in (FIRST, LAST)
    ]
    stands = arc().world_to_camera[:, :3, :3].transpose(1, 2) @ -arc().world_to_camera[:, :3, 3:]
    right_of = stands[3, 0].item() > stands[0, 0].item()
    assert (places[1][1] > places[0][1]).item() == right_of


def test_one_standing_camera_and_a_narrow_picture():
    one = Cameras(torch.eye(4)[None], arc(1).intrinsics)
    assert draw_camera_path(one, (H, W)).isfinite().all()
    with pytest.raises(ValueError, match="256"):
        draw_camera_path(one, (H, W), width=100)
