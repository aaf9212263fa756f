"""The ladder on a scene whose exact geometry is known by construction: exact stages make no error of their own and help together."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from made_scenes import sliding_square

from fourreal_core.evaluation.ladder import RUNGS, Rise, climb, exact_motion, in_frame_of, measure_all, table, ways_up
from fourreal_core.evaluation.measure import hide
from fourreal_core.geometry.deformation import moved_by
from fourreal_core.geometry.networks import GeometryNetworks
from fourreal_core.grid import Cameras
from fourreal_core.transport import transport


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return GeometryNetworks().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def scene():
    return sliding_square(3, views=3, times=2)


def turned_cameras(frames) -> Cameras:
    """Side by side like the true ones, but a little turned more from view to view, and in other units."""
    angle = 0.02 * torch.arange(len(frames))
    pose = torch.eye(4).repeat(len(frames), 1, 1)
    pose[:, 0, 0] = pose[:, 2, 2] = angle.cos()
    pose[:, 0, 2], pose[:, 2, 0] = angle.sin(), -angle.sin()
    centres = torch.zeros(len(frames), 3)
    centres[:, 0] = 7.0 * torch.arange(len(frames))
    pose[:, :3, 3] = -torch.einsum("vij,vj->vi", pose[:, :3, :3], centres)
    height, width = frames.shape[1:3]
    return Cameras(pose, torch.tensor([[40.0, 0, width / 2], [0, 40, height / 2], [0, 0, 1]]).repeat(len(frames), 1, 1))


def test_the_ways_up():
    ways = ways_up()
    assert ways[0] == frozenset() and ways[-1] == frozenset(RUNGS) and len(ways) == len(set(ways)) == 2 * len(RUNGS)
    assert ways[1:9] == [frozenset([rung]) for rung in RUNGS]
    assert all(len(more - less) == 1 and less < more for less, more in pairwise(ways[9:]))


def test_estimated_cameras_are_brought_to_the_true_frame_and_scale(scene):
    turn = torch.linalg.matrix_exp(torch.tensor([[0, 0.3, -0.2], [-0.3, 0, 0.5], [0.2, -0.5, 0]]))
    other = torch.eye(4)
    other[:3, :3], other[:3, 3] = turn, torch.tensor([1.0, -2, 3])
    poses = scene.cameras.world_to_camera @ other  # another world
    poses[:, :3, 3] *= 5
    back = in_frame_of(Cameras(poses, scene.intrinsics_V33), scene.cameras)
    assert torch.allclose(back.world_to_camera, scene.world_to_camera_V44, atol=1e-5)


def test_exact_motion_moves_every_moving_point(scene):
    nodes, motions = exact_motion(scene)
    assert len(nodes) == int(scene.geometry.view_mover_VHW.sum()) and len(motions) == 2
    points = nodes[::7] + 0.001
    assert torch.allclose(moved_by(motions[1], points, nodes) - points, torch.tensor([0.3, 0, 0]), atol=1e-4)


def test_exact_stages_make_no_error_and_all_together_beat_none(networks, scene):
    predictions = transport(hide(scene.grid()))

    def rise(*swapped, estimate=turned_cameras) -> Rise:
        return climb(networks, scene, set(swapped), predictions, with_fusion=False, estimate=estimate)

    none, exact = rise(), rise(*RUNGS)
    assert none.errors["cameras"] == pytest.approx(math.degrees(0.02 * 1.5), abs=0.01)  # the mean of views 1 and 2
    assert none.errors["flow"] > 0.05 and none.errors["label"] < 0.5 and none.errors["choice"] > 0
    assert exact.errors["cameras"] == pytest.approx(0, abs=1e-2)
    for rung in ("depth", "flow", "depth later", "choice"):
        assert exact.errors[rung] == pytest.approx(0, abs=1e-3), rung
    assert exact.errors["label"] == 1 and exact.errors["visibility"] == 1
    assert exact.moving > none.moving + 3 and exact.all > none.all + 3 and 0.9 < exact.sharpness < 1.1
    for rung in ("depth", "label", "flow", "visibility"):
        alone = rise(rung, estimate=None).errors[rung]
        assert alone == pytest.approx(1 if rung in ("label", "visibility") else 0, abs=1e-3), rung


@pytest.mark.slow
def test_it_does_not_matter_where_the_scene_lies_and_in_which_unit(networks):
    """Turned, moved and ten times as large: exact answers are still exact, and the same is filled."""
    scene = sliding_square(3, views=3, times=2, height=24, width=40, side=6)
    turn = torch.linalg.matrix_exp(torch.tensor([[0, 0.3, -0.2], [-0.3, 0, 0.5], [0.2, -0.5, 0]]))
    poses = scene.world_to_camera_V44.clone()
    poses[:, :3, :3] = poses[:, :3, :3] @ turn.T
    poses[:, :3, 3] = 10 * poses[:, :3, 3] - poses[:, :3, :3] @ torch.tensor([1.0, -2, 3])
    geometry = replace(
        scene.geometry,
        view_depth_VHW=scene.geometry.view_depth_VHW / 10,
        time_depth_THW=scene.geometry.time_depth_THW / 10,
        motion_VTHW3=10 * scene.geometry.motion_VTHW3.float() @ turn.T,
    )
    elsewhere = replace(scene, world_to_camera_V44=poses, geometry=geometry)
    predictions = transport(hide(scene.grid()))
    for swapped in ({"depth", "label", "flow", "depth later"}, {"depth", "label", "hidden motion"}):
        here, there = (climb(networks, one, swapped, predictions, with_fusion=False) for one in (scene, elsewhere))
        assert there.all == pytest.approx(here.all, abs=0.1) and there.moving == pytest.approx(here.moving, abs=0.1)
        assert there.errors["depth"] == pytest.approx(0, abs=1e-2)


def test_frames_larger_than_the_networks_work_at_are_refused(networks):
    large = sliding_square(0, height=160, width=240)
    with pytest.raises(ValueError, match="the networks work on frames of 128 x 72, got 240 x 160"):
        climb(networks, large, set(), None, with_fusion=False)


@pytest.mark.slow
def test_results_are_kept_and_the_table_has_a_row_for_each_rung(networks, tmp_path, caplog):
    scene, told = sliding_square(3, views=2, times=2, height=16, width=30, side=4), []

    def measured(**options):
        scenes = [("square", scene)]
        tell = lambda name, rise: told.append((name, rise.swapped))
        return measure_all(networks, scenes, tmp_path / "ladder.jsonl", tell, with_fusion=True, **options)

    rises = measured()
    assert [swapped for _, swapped in told] == ways_up(RUNGS[1:]) == [rise.swapped for rise in rises]
    again = measured()
    assert len(told) == len(rises)  # nothing was measured again
    assert table(again) == table(rises)
    rows = table(rises).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {rung}" for rung in ("none", *RUNGS[1:])]
    none = rises[0]
    assert f"{none.all:.2f} / {none.moving:.2f}, {none.sharpness:.2f}" in rows[2]
    assert f"| {none.errors['flow']:.2f}, " in rows[4]

    def no_cameras(frames):
        raise ValueError("nothing moves here")

    assert measured(estimate=no_cameras) == [] and "square is left out: nothing moves here" in caplog.text
