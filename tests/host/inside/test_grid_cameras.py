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


def embedding(comfy_inside, grid, **changed):
    settings = {"width": 32, "height": 16, "length": 9, "scale": 1.0}
    return comfy_inside.call("FourRealCameraEmbedding", grid=grid, **settings | changed)


def test_a_path_of_equal_cameras_is_the_hosts_static_embedding(comfy_inside, grid):
    from comfy_extras.nodes_camera_trajectory import WanCameraEmbedding

    lens = torch.tensor([[0.5 * 256, 0, 128], [0, 0.5 * 144, 72], [0, 0, 1]]).repeat(3, 1, 1)
    cameras = comfy_inside.core("grid").Cameras(torch.eye(4).repeat(3, 1, 1), lens)
    wide = comfy_inside.core("grid").FrameGrid(torch.zeros(3, 5, 144, 256, 3), grid.known, cameras=cameras)
    ours, *sizes = embedding(comfy_inside, wide, width=0, height=0, length=13)
    assert sizes == [256, 144, 13]
    host = WanCameraEmbedding.execute("Static", 256, 144, 13).result[0]
    assert ours.shape == host.shape and torch.allclose(ours, host, atol=1e-4)


def test_a_path_goes_through_every_view_at_even_steps(comfy_inside, filmed):
    ours = embedding(comfy_inside, filmed)[0]
    frames = ours[0].unflatten(0, (6, 4)).permute(2, 1, 0, 3, 4).flatten(0, 1)
    frames = frames[3:]  # without the first one's copies
    rays = hosts_rays(filmed.cameras)
    for frame, view in ((0, 0), (4, 1), (8, 2)):
        assert torch.allclose(frames[frame], rays[view], atol=1e-5)
    steps = frames[1:, 3:].sub(frames[:-1, 3:]).flatten(1).norm(dim=1)
    assert steps.max() / steps.min() < 1.2  # equal turns between equally turned views
    twice = embedding(comfy_inside, filmed, scale=2.0)[0].unflatten(1, (6, 4))
    once = ours.unflatten(1, (6, 4))
    assert torch.allclose(twice[:, :3], 2 * once[:, :3], atol=1e-5) and torch.allclose(twice[:, 3:], once[:, 3:])


def test_a_path_for_a_video_of_another_size_looks_the_same_way(comfy_inside, filmed):
    small, large = (embedding(comfy_inside, filmed, **size)[0] for size in ({}, {"width": 64, "height": 32}))
    assert large.shape[-2:] == (32, 64)
    assert torch.allclose(torch.nn.functional.avg_pool2d(large[0], 2), small[0], atol=2e-3)


def test_the_hosts_camera_node_takes_the_path(comfy_inside, camera_model, filmed, vae):
    from comfy_extras.nodes_wan import WanCameraImageToVideo

    def made(grid):
        path = embedding(comfy_inside, grid)[0]
        positive, negative, latent = WanCameraImageToVideo.execute(
            tiny.text(1), tiny.text(2), vae, 32, 16, 9, 1, start_image=filmed.frames[0, :1], camera_conditions=path
        ).result
        noise = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(4))
        return tiny.sample(camera_model, noise, positive=positive, negative=negative)

    still = filmed.replace(
        cameras=comfy_inside.core("grid").Cameras(torch.eye(4).repeat(3, 1, 1), filmed.cameras.intrinsics)
    )
    moving = made(filmed)
    assert moving.isfinite().all() and (moving - made(still)).abs().max() > 1e-3


@pytest.mark.parametrize(("changed", "reason"), [({"length": 10}, r"expected 4 n \+ 1 frames, got 10: choose 9")])
def test_lengths_that_the_weights_do_not_take_are_refused(comfy_inside, filmed, changed, reason):
    with pytest.raises(ValueError, match=reason):
        embedding(comfy_inside, filmed, **changed)


def test_a_grid_without_cameras_is_refused(comfy_inside, grid):
    with pytest.raises(ValueError, match="expected a grid of at least 2 views with cameras: connect 4Real Estimate"):
        embedding(comfy_inside, grid.replace(cameras=None))
