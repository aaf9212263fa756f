"""Plane sweep and depth: the true plane costs least, and a scene of planes gets its depths."""

import pytest
import torch
from planes import plane_cameras, plane_scene

from fourreal_core.geometry.depth import DepthNetwork, estimate_depths, nearest_inverse_depth, read_planes
from fourreal_core.geometry.scene import SceneUnknown
from fourreal_core.geometry.sweep import EDGES, TRUNCATED, features, neighbours, sweep_costs

H, W = 24, 40


def wall_views(inverse: float, views: int = 3):
    """A textured wall at one depth, seen by cameras side by side that look straight ahead; the picture shifts by whole pixels."""
    step = 2.0  # pixels per view
    lens = torch.tensor([[40.0, 0, W / 2], [0, 40, H / 2], [0, 0, 1]])
    poses = torch.eye(4).repeat(views, 1, 1)
    poses[:, 0, 3] = -torch.arange(views) * step / (40 * inverse)
    picture = torch.rand(H, W + 2 * views, 3, generator=torch.Generator().manual_seed(0))
    frames = torch.stack([picture[:, 2 * view : 2 * view + W] for view in range(views)])
    return frames, poses, lens.expand(views, 3, 3)


def test_the_true_plane_costs_nothing_and_all_others_more():
    frames, poses, lenses = wall_views(0.25)
    planes = torch.linspace(0, 0.5, 9)  # the fifth is the wall's
    costs = sweep_costs(features(frames), poses, lenses, 1, planes)
    assert costs.shape == (3, 9, H, W) and costs.min() >= 0 and costs.max() <= TRUNCATED + 1e-6
    inside = costs[..., 2:-2, 10:-10]
    assert inside[0, 4].max() < 1e-4
    assert (inside[0].argmin(0) == 4).all() and inside[0, [3, 5]].mean() > 0.2


def test_planes_are_read_between_two():
    logits = torch.full((1, 12, 2, 3), -20.0)
    logits[:, 4], logits[:, 5] = 10.0, 10.0
    position, sure = read_planes(logits)
    assert torch.allclose(position, torch.full_like(position, 4.5), atol=1e-4) and (sure > 0.99).all()
    logits[:, :] = 0.0
    assert torch.allclose(read_planes(logits)[1], torch.full((1, 2, 3), 3 / 12))  # the first plane has two neighbours


@pytest.mark.parametrize(
    ("view", "views", "groups"),
    [(0, 2, [[1], [1], [1]]), (1, 3, [[0, 2], [2], [0]]), (3, 8, [[2, 4], [1, 5], [7]]), (0, 8, [[1, 2], [3, 4], [4]])],
)
def test_neighbours_come_in_three_groups(view, views, groups):
    assert neighbours(view, views) == groups


def test_features_are_colours_and_slopes():
    ramp = (0.02 * torch.arange(W)).expand(1, H, W)[..., None].expand(-1, -1, -1, 3)
    seen = features(ramp)
    assert seen.shape == (1, 5, H, W) and torch.equal(seen[0, :3], ramp[0].movedim(-1, 0))
    assert torch.allclose(seen[0, 3, :, 1:-1], torch.full((H, W - 2), 2 * EDGES * 0.02), atol=1e-5)
    assert seen[0, 4].abs().max() < 1e-5


def test_depths_of_a_scene_of_planes():
    """Without training the least cost decides, which is right wherever all see the same."""
    torch.manual_seed(0)
    scene = plane_scene(4, 1, 36, 64)
    cameras = scene.cameras
    done = []
    inverse, sure, limit = estimate_depths(
        DepthNetwork(),
        scene.frames_VTHW3[:, 0],
        cameras.world_to_camera,
        cameras.intrinsics,
        on_view=lambda view, views: done.append((view, views)),
    )
    truth = scene.inverse_depth_VTHW[:, 0]
    assert limit > float(truth.max()) and done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    error = (inverse - truth).abs() / truth
    assert float(error.median()) < 0.04 and float((error < 0.15).float().mean()) > 0.75
    assert sure.min() >= 0 and sure.max() <= 1


def test_views_without_parallax_are_refused():
    scene = plane_scene(2, 1, H, W)
    cameras = plane_cameras(2, H, W)
    same = scene.frames_VTHW3[[0, 0], 0]
    with pytest.raises(SceneUnknown, match="no measurable parallax"):
        nearest_inverse_depth(same, cameras.world_to_camera, cameras.intrinsics)
    standing = cameras.world_to_camera[[0, 0]]
    with pytest.raises(SceneUnknown, match="no measurable parallax"):
        nearest_inverse_depth(scene.frames_VTHW3[:, 0], standing, cameras.intrinsics)
