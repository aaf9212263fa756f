"""4Real Estimate Cameras inside ComfyUI: cameras that came with a grid are kept, and a grid from a video gets its own."""

import pytest
import torch


@pytest.fixture
def with_cameras(comfy_inside):
    """A grid of 3 views and 2 times whose cameras stand side by side."""
    core = comfy_inside.core("grid")
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, 0, 3] = -torch.arange(3.0)
    lenses = torch.tensor([[30.0, 0, 16], [0, 30, 9], [0, 0, 1]]).repeat(3, 1, 1)
    frames = torch.rand(3, 2, 18, 32, 3, generator=torch.manual_seed(0))
    return core.FrameGrid(frames, torch.ones(3, 2, dtype=torch.bool), cameras=core.Cameras(poses, lenses))


def test_given_cameras_are_kept_and_drawn(comfy_inside, with_cameras):
    grid, picture, report = comfy_inside.call("FourRealEstimateCameras", grid=with_cameras)
    assert grid is with_cameras and picture.shape == (1, 576, 1024, 3) and "came with the grid" in report


def test_frames_that_tell_no_cameras_give_the_reason(comfy_inside, with_cameras):
    pytest.importorskip("pycolmap", reason="pycolmap has no wheel for this system")
    with pytest.raises(ValueError, match="Too few points"):
        comfy_inside.call("FourRealEstimateCameras", grid=with_cameras, replace=True)


@pytest.mark.slow
def test_the_whole_video_places_the_grids_views(comfy_inside):
    pytest.importorskip("pycolmap", reason="pycolmap has no wheel for this system")
    made = comfy_inside.core("data.invented.scenes").procedural_frame_grids(
        1, views=9, times=1, height=72, width=128, seed=8
    )
    video = next(iter(made)).frames[:, 0]
    core = comfy_inside.core("grid")
    grid = core.FrameGrid(video[::4, None].contiguous(), torch.ones(3, 1, dtype=torch.bool))
    placed, _, report = comfy_inside.call("FourRealEstimateCameras", grid=grid, freeze_time=video)
    assert placed.cameras.world_to_camera.shape == (3, 4, 4) and grid.cameras is None
    assert "3 of 3 views placed, from 9 of 9 frames" in report and placed.provenance["cameras"]["estimated"]
