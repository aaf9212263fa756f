"""A grid's cameras for Fun-camera weights: the host's own layout, fixed in the time stream, moving in the view stream.

Letters: V = 3 views, T = 5 times, H = 16, W = 32; L latent frames, 24 = 6 ray coordinates of 4 frames.
"""

import pytest
import tiny_backbones as tiny
import torch
from latent_fixtures import condition, sample, text, vae, videos, wan, watched  # noqa: F401


@pytest.fixture
def camera_model(comfy_inside):
    return tiny.wan("camera_2.2", layers=2, in_dim=36, in_dim_control_adapter=24)


@pytest.fixture
def filmed(comfy_inside, grid):
    """The grid with three cameras that step to the side and turn."""
    world_to_camera = torch.eye(4).repeat(3, 1, 1)
    for view, angle in enumerate((0.0, 0.2, 0.4)):
        turn = torch.tensor(angle)
        world_to_camera[view, 0, 0] = world_to_camera[view, 2, 2] = turn.cos()
        world_to_camera[view, 0, 2], world_to_camera[view, 2, 0] = turn.sin(), -turn.sin()
        world_to_camera[view, 0, 3] = -0.3 * view
    lens = torch.tensor([[20.0, 0, 16], [0, 20, 8], [0, 0, 1]]).repeat(3, 1, 1)
    return grid.replace(cameras=comfy_inside.core("grid").Cameras(world_to_camera, lens))


def hosts_rays(cameras):
    """Rays as the host's camera nodes make them, [V, 6, H, W]; one view at a time, because three take part in its cross product."""
    from comfy_extras.nodes_camera_trajectory import ray_condition

    lens = cameras.intrinsics
    numbers = torch.stack([lens[:, 0, 0], lens[:, 1, 1], lens[:, 0, 2], lens[:, 1, 2]], -1)
    to_first = cameras.world_to_camera[0] @ torch.linalg.inv(cameras.world_to_camera)
    views = [ray_condition(numbers[None, v : v + 1], to_first[None, v : v + 1], 16, 32, "cpu")[0] for v in range(3)]
    return torch.cat(views).permute(0, 3, 1, 2)


def test_rays_are_those_of_the_hosts_camera_nodes(comfy_inside, filmed):
    ours = comfy_inside.core("geometry.plucker").pluecker_rays(filmed.cameras, 16, 32)
    assert torch.allclose(ours, hosts_rays(filmed.cameras), atol=1e-5)
    assert not ours[0, :3].any() and ours[1:, :3].abs().max() > 0.1  # moments are those about the first view


def test_a_still_camera_is_laid_out_as_the_hosts_own_embedding(comfy_inside, camera_model, condition, filmed):
    """Static, of a lens of half the width: the host gives heights the shape of 16 : 9, hence a grid of that shape."""
    from comfy_extras.nodes_camera_trajectory import WanCameraEmbedding

    Cameras = comfy_inside.core("grid").Cameras
    lens = torch.tensor([[0.5 * 256, 0, 128], [0, 0.5 * 144, 72], [0, 0, 1]]).repeat(3, 1, 1)
    wide = comfy_inside.core("grid").FrameGrid(
        torch.zeros(3, 5, 144, 256, 3), filmed.known, cameras=Cameras(filmed.cameras.world_to_camera, lens)
    )
    positive, _, latent = condition(camera_model, grid=wide, encoding="native")
    host = WanCameraEmbedding.execute("Static", 256, 144, 5).result[0]
    ours = positive[0][1]["camera_conditions"]
    assert ours.shape == (3, 24, latent["samples"].shape[2], 144, 256)
    assert torch.allclose(ours[2:], host, atol=1e-4)


def test_each_stream_sees_its_own_camera(comfy_inside, camera_model, condition, filmed, two_streams):
    positive, negative, latent = condition(camera_model, grid=filmed, encoding="frame")
    told = positive[0][1]
    along_views = told["model_conds"]["fourreal_view_camera"].cond
    expected = hosts_rays(filmed.cameras).repeat_interleave(4, 1)[:, :, None].expand(-1, -1, 5, -1, -1)
    assert torch.allclose(along_views, expected, atol=1e-5)
    noise = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(4))

    def turned(prompt):
        [[words, values]] = prompt
        given = {name: tiny.exchanged(values[name]) for name in ("concat_latent_image",)}
        mask = values["concat_mask"].transpose(0, 2).contiguous()
        return [[words, {**given, "concat_mask": mask, "camera_conditions": tiny.exchanged(along_views)}]]

    host = tiny.exchanged(
        tiny.sample(camera_model, tiny.exchanged(noise), positive=turned(positive), negative=turned(negative))
    )
    ours = tiny.sample(
        two_streams(camera_model, sync="off", output="view only"), noise, positive=positive, negative=negative
    )
    assert torch.allclose(ours, host, atol=1e-5)
    over_time = tiny.sample(camera_model, noise, positive=positive, negative=negative)
    ours = tiny.sample(
        two_streams(camera_model, sync="off", output="time only"), noise, positive=positive, negative=negative
    )
    assert torch.equal(ours, over_time)


def test_other_weights_other_grids_and_cameras_of_ones_own_are_left_alone(
    camera_model, wan, condition, grid, filmed, text
):
    assert "camera_conditions" not in condition(wan, grid=filmed)[0][0][1]
    assert "camera_conditions" not in condition(camera_model, grid=grid)[0][0][1]
    own = torch.ones(1, 24, 5, 16, 32)
    positive, _, _ = condition(camera_model, grid=filmed, positive=tiny.text(1, camera_conditions=own))
    assert positive[0][1]["camera_conditions"] is own and "model_conds" not in positive[0][1]
