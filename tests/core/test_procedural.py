"""Procedural grids: exact hits, cameras, shadows, and one scene per seed. Distinct sizes on every axis."""

import pytest
import torch

from fourreal_core import FrameGrid
from fourreal_core.data.invented import render as procedural_render
from fourreal_core.data.invented import scenes as procedural
from fourreal_core.data.invented.render import camera_rays, render_scenes
from fourreal_core.data.invented.scenes import procedural_frame_grids, procedural_grids, random_scenes
from fourreal_core.data.invented.shapes import MISS, Solids, box_hits, cone_hits, first_hits

SIZE = {"views": 3, "times": 5, "height": 18, "width": 32}


def balls(centres: list, radii: list, times: int = 1) -> Solids:
    """One scene of standing balls."""
    count = len(radii)
    centre = torch.tensor(centres, dtype=torch.float32)[None, None].repeat(1, times, 1, 1)
    frame = (torch.eye(3) * torch.tensor(radii)[:, None, None])[None, None].repeat(1, times, 1, 1, 1)
    off = torch.zeros(1, count, dtype=torch.bool)
    return Solids(centre, frame, torch.zeros(1, count), torch.ones(1, count), off, ~off)


@pytest.mark.parametrize(("length", "tip"), [(0.0, 1.0), (3.0, 0.4), (2.0, 1.0), (1.5, 1.7)])
def test_rays_enter_a_rounded_cone_where_the_first_of_the_balls_in_it_begins(length, tip):
    generator = torch.Generator().manual_seed(3)
    origin_3K = torch.randn(3, 150, generator=generator, dtype=torch.float64)
    origin_3K = 8 * origin_3K / origin_3K.norm(dim=0)
    aim_3K = (
        torch.randn(3, 150, generator=generator, dtype=torch.float64)
        + torch.tensor([[0], [length / 2], [0]])
        - origin_3K
    )
    direction_3K = aim_3K / aim_3K.norm(dim=0)
    t_K = cone_hits(origin_3K[None], direction_3K[None], torch.tensor([[length]]), torch.tensor([[tip]]))[0]
    # The hull of two balls is the union of all balls that slide from one to the other.
    share_J1 = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    arm_J3K = origin_3K - length * share_J1[..., None] * torch.tensor([[0.0], [1.0], [0.0]])
    b_JK = (arm_J3K * direction_3K).sum(1)
    inside_JK = b_JK.square() - arm_J3K.square().sum(1) + (1 + share_J1 * (tip - 1)).square()
    first_K = torch.where(inside_JK > 0, -b_JK - inside_JK.clamp_min(0).sqrt(), MISS).amin(0)
    sure_K = inside_JK.amax(0).abs() > 1e-3
    assert 20 < (first_K < MISS).sum() < 150
    assert torch.allclose(t_K[sure_K], first_K[sure_K], atol=2e-3)


def test_rays_enter_a_box_at_its_faces():
    origin = torch.tensor([[0.0, 0.0, -5.0], [0.5, 0.5, -5.0], [2.0, 0.0, -5.0], [-5.0, 0.9, 0.0]]).T[None]
    direction = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).T[None]
    assert box_hits(origin, direction)[0].tolist() == pytest.approx([4, 4, MISS, 4])


def test_the_nearer_solid_wins_then_the_ground_then_nothing():
    scenes = random_scenes([4], views=2, times=1, height=12, width=20)
    rays = camera_rays(scenes.pose_NV44, scenes.intrinsics_NV33, 12, 20, 1)
    distance, solid = first_hits(rays, balls([[0, 0.5, 0], [0, 0.5, 0]], [0.3, 0.4]))
    assert (solid == 1).any() and not (solid == 0).any()  # the smaller ball is inside the larger one
    assert ((solid == 3) == (distance > 5000)).all()
    direction = rays.direction_NGS3K[:, :, None]
    assert (direction[..., 1, :].expand_as(solid)[solid == 2] < 0).all()


def test_dropping_solids_per_tile_loses_no_hit(monkeypatch):
    scenes = random_scenes([7], **SIZE)
    rays = camera_rays(scenes.pose_NV44, scenes.intrinsics_NV33, SIZE["height"], SIZE["width"], 2)
    distance, solid = first_hits(rays, scenes.solids)
    everything = scenes.solids.shown_NP[:, None, None, None].expand(-1, 3, 5, rays.axis_NGS3.shape[2], -1)
    monkeypatch.setattr("fourreal_core.data.invented.shapes._touching", lambda rays, solids: everything)
    all_distance, all_solid = first_hits(rays, scenes.solids)
    assert torch.equal(solid, all_solid) and torch.equal(distance, all_distance)


def test_a_ball_is_seen_where_the_cameras_say():
    height, width = 36, 60
    scenes = random_scenes([11], views=4, times=1, height=height, width=width)
    centre = torch.tensor([0.1, 0.6, -0.05])
    rays = camera_rays(scenes.pose_NV44, scenes.intrinsics_NV33, height, width, 1)
    _, solid = first_hits(rays, balls([centre.tolist()], [0.08]))
    tiles = (
        (solid == 0)[0, :, 0].view(4, height // 4, width // 4, 4, 4).transpose(2, 3).reshape(4, height, width).float()
    )
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    for view in range(4):
        in_camera = scenes.pose_NV44[0, view] @ torch.cat([centre, torch.ones(1)])
        pixel = scenes.intrinsics_NV33[0, view] @ in_camera[:3]
        seen = torch.stack([(tiles[view] * x).sum(), (tiles[view] * y).sum()]) / tiles[view].sum()
        assert (seen - pixel[:2] / pixel[2]).abs().max() < 0.7


def test_a_scene_depends_on_its_seed_alone(monkeypatch):
    together = procedural_grids(3, seed=20, **SIZE)
    assert together.shape == (3, 3, 5, 18, 32, 3) and together.dtype == torch.float32
    assert 0 <= together.min() and together.max() <= 1
    assert torch.equal(procedural_grids(1, seed=20, **SIZE)[0], together[0])
    monkeypatch.setitem(procedural.SCENES_AT_ONCE, "cpu", 3)
    monkeypatch.setitem(procedural_render.SHADED_RAYS_AT_ONCE, "cpu", 5000)
    assert (procedural_grids(3, seed=20, **SIZE) - together).abs().max() < 1e-3
    assert (procedural_grids(1, seed=22, **SIZE)[0] - together[2]).abs().max() < 1e-3
    assert ((together[0] - together[1]).abs().mean() > 0.02) and (
        (together[0, :, 0] - together[0, :, -1]).abs().max() > 0.1
    )


def test_without_motion_all_times_are_equal():
    scenes = random_scenes([5], **SIZE)
    still = scenes.solids
    frozen = Solids(
        still.centre_NTP3[:, :1].expand_as(still.centre_NTP3),
        still.frame_NTP33[:, :1].expand_as(still.frame_NTP33),
        *list(vars(still).values())[2:],
    )
    scenes = procedural_render.Scenes(frozen, *list(vars(scenes).values())[1:])
    frames = render_scenes(scenes, 18, 32, 1)
    assert (frames - frames[:, :, :1]).abs().max() < 1e-5
    assert (frames[:, 0] - frames[:, -1]).abs().max() > 0.1  # the cameras still move


def test_the_ground_darkens_where_the_sun_is_hidden_and_nowhere_gets_lighter():
    scenes = random_scenes([9], views=1, times=1, height=24, width=40)
    shader_parts = scenes.materials, scenes.light
    size = scenes.solids.length_NP.shape[1]
    scenes.solids.shown_NP[:] = False
    bare = render_scenes(scenes, 24, 40, 1)
    shown = balls([[0.0, 0.45, 0.0]] * size, [0.4] * size)
    shaded = render_scenes(
        procedural_render.Scenes(shown, *shader_parts, scenes.pose_NV44, scenes.intrinsics_NV33), 24, 40, 1
    )
    rays = camera_rays(scenes.pose_NV44, scenes.intrinsics_NV33, 24, 40, 1)
    _, solid = first_hits(rays, shown)
    on_ground = (solid == size)[0, 0, 0].view(6, 10, 4, 4).transpose(1, 2).reshape(24, 40)
    change = (shaded - bare)[0, 0, 0].mean(-1)[on_ground]
    assert change.max() < 1e-4 and change.min() < -0.02


def test_grids_come_with_their_cameras():
    grids = list(procedural_frame_grids(2, seed=30, **SIZE))
    assert [grid.provenance["seed"] for grid in grids] == [30, 31]
    assert all(
        isinstance(grid, FrameGrid) and grid.known.all() and grid.cameras.world_to_camera.shape == (3, 4, 4)
        for grid in grids
    )
    assert torch.equal(grids[0].frames, procedural_grids(1, seed=30, **SIZE)[0])


def test_sizes_that_are_no_multiple_of_a_tile_are_cropped():
    frames = procedural_grids(1, seed=2, views=1, times=2, height=7, width=13, supersample=3)
    assert frames.shape == (1, 1, 2, 7, 13, 3) and torch.isfinite(frames).all()


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="expected views to be at least 1, got 0"):
        procedural_grids(1, views=0)
