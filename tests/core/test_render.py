"""Cameras, light, scene choice and drawing. What needs OpenGL skips only where no context can be made, and says why."""

import numpy as np
import pytest
import torch

from fourreal_core.data.rendered.actors import actor_surfaces
from fourreal_core.data.rendered.camera_arc import in_the_way, random_arc
from fourreal_core.data.rendered.render import Renderer, RendererUnavailable, Stage, Surface, look_at, projection
from fourreal_core.data.rendered.scenes import random_scene, render_grid
from fourreal_core.data.rendered.shapes import SOLIDS, ball, box, hue_matrix, noise_picture, tile_picture
from fourreal_core.data.rendered.sky import (
    brightest_direction,
    harmonics,
    irradiance_harmonics,
    panorama_directions,
    read_hdr,
)

V, T, H, W = 3, 5, 36, 64


def camera(eye=(0.4, 1.0, 3.0), target=(0, 0.3, 0), focal=60.0, roll=0.1) -> tuple[np.ndarray, np.ndarray]:
    intrinsics = np.array([[focal, 0, W / 2 - 3], [0, 1.2 * focal, H / 2 + 2], [0, 0, 1]])
    return look_at(np.array(eye, float), np.array(target, float), roll), intrinsics


def project(points, world_to_camera, intrinsics) -> tuple[np.ndarray, np.ndarray]:
    seen = np.asarray(points) @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    pixels = seen @ intrinsics.T
    return pixels[:, :2] / pixels[:, 2:], seen[:, 2]


def stage(**changes) -> Stage:
    values = {
        "panorama": np.full((8, 16, 3), 0.02),
        "sun_direction": np.array([0.0, 0.8, 0.6]),
        "sun_colour": np.full(3, 1.0),
    }
    return Stage(**(values | {"ground": np.full((1, 1, 3), 120, np.uint8)} | changes))


def cube(centre, size, colour) -> Surface:
    positions, normals, uv, triangles = box()
    return Surface(
        (positions - (0, 0.5, 0)) * size + centre, normals, np.tile(colour, (len(positions), 1)), uv, triangles
    )


def write_hdr(path, pixels: np.ndarray, run_length: bool):
    """Stores pixels [H, W, 4] of mantissas and exponent."""
    height, width = pixels.shape[:2]
    body = b""
    for line in pixels:
        if run_length:
            body += bytes([2, 2, width >> 8, width & 255])
            for channel in line.T:
                half = width // 2  # one literal stretch, one run
                body += bytes([half]) + channel[:half].tobytes() + bytes([128 + width - half, int(channel[-1])])
        else:
            body += line.tobytes()
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + f"-Y {height} +X {width}\n".encode() + body)
    return path


# ------------------------------------------------------------------------------------------------------- without OpenGL


def test_projection_equals_the_pinhole_camera():
    world_to_camera, intrinsics = camera()
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (7, 3))
    clip = np.concatenate([points, np.ones((7, 1))], 1) @ (projection(intrinsics, H, W) @ world_to_camera).T
    pixels, depth = project(points, world_to_camera, intrinsics)
    assert np.allclose((clip[:, 0] / clip[:, 3] + 1) / 2 * W, pixels[:, 0]) and np.allclose(
        (1 - clip[:, 1] / clip[:, 3]) / 2 * H, pixels[:, 1]
    )
    assert np.allclose(clip[:, 3], depth) and (np.abs(clip[:, 2]) < clip[:, 3]).all()


def test_look_at_is_an_opencv_camera():
    pose = look_at(np.array([0, 1.0, 5.0]), np.array([0, 1.0, 0]))
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3)) and np.isclose(np.linalg.det(pose[:3, :3]), 1)
    right_up_near = pose @ np.array([1.0, 3.0, 2.0, 1.0])
    assert np.allclose(right_up_near[:3], (1, -2, 3))  # x right, y down, z forward
    assert np.isfinite(look_at(np.array([0, 5.0, 0]), np.zeros(3))).all()


@pytest.mark.parametrize("run_length", [False, True])
def test_hdr_pictures_are_read_exactly(tmp_path, run_length):
    pixels = np.random.default_rng(1).integers(1, 200, (5, 12, 4)).astype(np.uint8)
    pixels[..., 3] = 130
    pixels[:, 6:] = pixels[:, -1:]
    read = read_hdr(write_hdr(tmp_path / "sky.hdr", pixels, run_length))
    assert read.shape == (5, 12, 3) and np.array_equal(read, pixels[..., :3].astype(np.float32) / 64)
    whole = (tmp_path / "sky.hdr").read_bytes()
    (tmp_path / "cut.hdr").write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_hdr(tmp_path / "cut.hdr")
    (tmp_path / "text.hdr").write_bytes(b"hello")
    with pytest.raises(ValueError, match="not a Radiance"):
        read_hdr(tmp_path / "text.hdr")


def test_light_of_an_even_sky_is_even_and_a_lamp_is_found():
    even = irradiance_harmonics(np.full((64, 128, 3), 0.7))
    normals = np.array([(1.0, 0, 0), (0, 1, 0), (0, 0.6, -0.8)])
    assert np.allclose(harmonics(normals) @ even, 0.7, atol=1e-3)
    lamp = np.zeros((64, 128, 3))
    lamp[10:12, 40:42] = 100
    towards = brightest_direction(lamp)
    assert np.dot(towards, panorama_directions(64, 128)[11, 41]) > 0.998
    light = irradiance_harmonics(lamp)
    assert (harmonics(towards) @ light > harmonics(np.array([0, -1.0, 0])) @ light).all()


def test_solids_stand_on_the_ground_and_are_closed_to_the_eye():
    for solid in SOLIDS:
        positions, normals, uv, triangles = solid()
        assert len(positions) == len(normals) == len(uv) and triangles.max() < len(positions)
        assert np.isclose(positions[:, 1].min(), 0) and np.isclose(positions[:, 1].max(), 1)
        assert np.allclose(np.linalg.norm(normals, axis=1), 1)
        assert ((positions - (0, 0.5, 0)) * normals).sum(1).min() > -1e-6  # outward
    assert np.allclose(np.linalg.norm(ball()[0] - (0, 0.5, 0), axis=1), 0.5)


def test_pictures_and_hues():
    rng = np.random.default_rng(2)
    for picture in (noise_picture(rng, 32), tile_picture(rng, 32)):
        assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8 and picture.std() > 3
    assert np.allclose(hue_matrix(0), np.eye(3)) and np.allclose(hue_matrix(2 * np.pi / 3) @ (1, 0, 0), (0, 1, 0))
    assert np.allclose(hue_matrix(1.0, saturation=0) @ (0.3, 0.6, 0.0), 0.3)


def test_arc_frames_its_target_and_keeps_the_way_free():
    arc = random_arc(np.random.default_rng(3), bottom=0.0, top=0.8, radius=0.4)
    poses, intrinsics = arc.cameras(V, H, W)
    assert poses.shape == (V, 4, 4) and intrinsics.shape == (V, 3, 3)
    for pose, matrix in zip(poses, intrinsics, strict=True):
        pixels, depth = project([(0, 0, 0), (0, 0.8, 0)], pose, matrix)
        assert (depth > 0.4).all() and (pixels > 0).all() and (pixels < (W, H)).all()
        assert 0.2 * H < pixels[0, 1] - pixels[1, 1] < 0.85 * H
    sweep = np.degrees(abs(arc.azimuth[1] - arc.azimuth[0]))
    assert 15 <= sweep <= 90
    middle = arc.eyes()[8][[0, 2]]
    assert in_the_way(0.5 * middle, 0.1, arc) and not in_the_way(-2.0 * middle, 0.1, arc)
    large = arc.cameras(V, 2 * H, 2 * W)[1]
    assert np.allclose(large[:, :2], 2 * intrinsics[:, :2])


def test_a_seed_is_one_scene_and_only_allowed_models_appear(scene_files):
    models, folder = scene_files
    for seed in range(6):
        scene, again = random_scene(seed, models[:1], folder), random_scene(seed, models[:1], folder)
        assert scene.about == again.about and {actor.model for actor in scene.actors} == {models[0]}
        assert np.array_equal(scene.arc.cameras(V, H, W)[0], again.arc.cameras(V, H, W)[0])
        assert 0.09 <= scene.seconds <= 1.2 and scene.about["clip"] == "Walk"
        for one, other in zip(actor_surfaces(scene.actors[0], 0.3), actor_surfaces(again.actors[0], 0.3), strict=True):
            assert np.array_equal(one.positions_N3, other.positions_N3)
    assert random_scene(0, models, folder).about != random_scene(1, models, folder).about
    assert random_scene(5, models[:1], folder, main=models[1]).about["model"] == "b"


def test_the_main_actor_stands_on_the_ground_in_the_middle(scene_files):
    models, folder = scene_files
    for seed in range(6):
        actor = random_scene(seed, models, folder).actors[0]
        played = np.concatenate([actor_surfaces(actor, s)[0].positions_N3 for s in (0, 0.5, 1)])
        low, high = played.min(0), played.max(0)
        assert abs(low[1]) < 1e-6 and 0.2 < high[1] < 1.01 and np.abs((low + high)[[0, 2]] / 2).max() < 0.15
        assert np.isclose(high[1], actor.height)


@pytest.mark.slow
def test_two_or_three_models_share_most_scenes_and_some_pass_through(scene_files):
    models, folder = scene_files
    scenes = [random_scene(seed, models, folder) for seed in range(40)]
    counts = np.array([len(scene.actors) for scene in scenes])
    assert counts.max() == 3 and (counts > 1).mean() > 0.6
    others = [(scene.arc, actor) for scene in scenes for actor in scene.actors[1:]]
    crossing = 0
    for arc, actor in others:
        poses, _ = arc.cameras(3, 2, 2)
        across = [poses[1][:3, :3] @ end + poses[1][:3, 3] for end in (actor.place, actor.place + actor.walk)]
        edge = np.tan(0.5 * arc.field) * W / H / (0.5 * sum(arc.zoom))
        outside = [abs(x) > z * edge for x, _, z in across]
        crossing += outside[0] != outside[1]
    assert 0.1 < crossing / len(others) < 0.7


def test_missing_files_are_named(scene_files, tmp_path):
    models, folder = scene_files
    with pytest.raises(ValueError, match="expected at least one model file"):
        random_scene(0, [], folder)
    with pytest.raises(ValueError, match="found no .hdr panoramas"):
        random_scene(0, models, tmp_path)


def test_a_machine_without_opengl_gets_one_clear_error(monkeypatch):
    import moderngl

    def refuse(**_):
        raise OSError("libEGL.so not found")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(RendererUnavailable, match="libEGL.so not found.*install libegl1"):
        Renderer(H, W)


# ---------------------------------------------------------------------------------------------------------- with OpenGL


def test_a_known_point_is_drawn_at_its_pixel_and_depth(renderer):
    world_to_camera, intrinsics = camera()
    for point in ((0.0, 0.5, 0.2), (0.7, 0.6, -0.4), (-0.6, 0.8, 0.1)):
        with_point, depth = renderer.render_with_depth(
            [cube(point, 0.12, (1, 0, 0))], stage(), world_to_camera[None], intrinsics[None]
        )
        _, empty_depth = renderer.render_with_depth([], stage(), world_to_camera[None], intrinsics[None])
        changed = depth[0] < empty_depth[0] - 0.05
        assert with_point.shape == (1, H, W, 3) and with_point.dtype == np.uint8
        assert with_point[0][changed][:, 0].mean() > with_point[0][changed][:, 1:].mean() + 30
        y, x = (places.mean() + 0.5 for places in np.nonzero(changed))
        pixels, expected_depth = project([point], world_to_camera, intrinsics)
        assert np.hypot(x - pixels[0, 0], y - pixels[0, 1]) < 0.6
        assert abs(depth[0][int(y), int(x)] - expected_depth[0]) < 0.12


def test_depth_of_the_ground_is_exact(renderer):
    world_to_camera, intrinsics = camera(roll=0.0)
    _, depth = renderer.render_with_depth([], stage(), world_to_camera[None], intrinsics[None])
    pixels, expected = project([(0.1, 0, 0.3)], world_to_camera, intrinsics)
    x, y = pixels[0].astype(int)
    assert depth[0, y + 1, x] < expected[0] < depth[0, y - 1, x] and abs(depth[0, y, x] / expected[0] - 1) < 0.05


def test_nearer_things_hide_farther_ones_and_sun_casts_shadows(renderer):
    world_to_camera, intrinsics = camera(eye=(0, 0.6, 3.0), roll=0.0)
    red, green = cube((0, 0.5, 0.5), 0.4, (1, 0, 0)), cube((0, 0.5, -0.8), 0.4, (0, 1, 0))
    for order in ([red, green], [green, red]):
        picture = renderer.render(order, stage(), world_to_camera[None], intrinsics[None])[0]
        x, y = project([(0, 0.5, 0.7)], world_to_camera, intrinsics)[0][0].astype(int)
        assert picture[y, x, 0] > picture[y, x, 1] + 30
    top_down = look_at(np.array([0, 4.0, 0.01]), np.zeros(3))
    floating = cube((0, 0.6, 0), 0.4, (1, 1, 1))
    lit = renderer.render([], stage(), top_down[None], intrinsics[None])[0].astype(int)
    shaded = renderer.render([floating], stage(), top_down[None], intrinsics[None])[0].astype(int)
    # The sun stands at (0, 0.8, 0.6): the shadow of height 0.6 falls 0.45 towards -z.
    x, y = project([(0, 0, -0.45)], top_down, intrinsics)[0][0].astype(int)
    assert lit[y, x].mean() - shaded[y, x].mean() > 25


def test_the_sky_is_where_the_panorama_says(renderer):
    panorama = np.full((32, 64, 3), 0.02)
    panorama[12:16, 46:50] = (4, 0, 0)  # azimuth 90 degrees: along +X, just above the horizon
    towards_x = look_at(np.array([0, 0.5, 0]), np.array([1.0, 0.65, 0]))
    intrinsics = np.array([[40.0, 0, W / 2], [0, 40.0, H / 2], [0, 0, 1]])
    views = np.stack([towards_x, look_at(np.array([0, 0.5, 0]), np.array([-1.0, 0.65, 0]))])
    seen = renderer.render([], stage(panorama=panorama), views, np.stack([intrinsics] * 2))
    centre = seen[:, H // 2, W // 2].astype(int)
    assert centre[0, 0] > centre[0, 1] + 80 and abs(centre[1, 0] - centre[1, 1]) < 10
    turned = renderer.render([], stage(panorama=panorama, sky_turn=np.pi), views, np.stack([intrinsics] * 2))
    assert np.abs(turned[::-1, H // 2, W // 2].astype(int) - centre).max() < 10


def test_mirrored_winding_looks_the_same(renderer):
    world_to_camera, intrinsics = camera()
    surface = cube((0, 0.5, 0), 0.5, (0.8, 0.5, 0.2))
    flipped = Surface(
        surface.positions_N3, -surface.normals_N3, surface.colours_N3, surface.uv_N2, surface.triangles_M3[:, ::-1]
    )
    one, other = (
        renderer.render([s], stage(), world_to_camera[None], intrinsics[None]).astype(int) for s in (surface, flipped)
    )
    assert np.abs(one - other).mean() < 0.5


def test_a_rendered_grid_is_whole_repeatable_and_moves_along_both_axes(renderer, scene_files):
    models, folder = scene_files
    scene = random_scene(4, models, folder)
    grid = render_grid(scene, V, T, H, W, renderer)
    assert (
        grid.frames.shape == (V, T, H, W, 3) and grid.known.all() and grid.provenance["model"] == scene.about["model"]
    )
    assert grid.cameras.world_to_camera.shape == (V, 4, 4) and np.isclose(grid.fps, (T - 1) / scene.seconds)
    assert torch.equal(grid.frames, render_grid(scene, V, T, H, W, renderer).frames)
    assert (grid.frames[:, -1] - grid.frames[:, 0]).abs().amax() > 0.05 and (
        grid.frames[-1] - grid.frames[0]
    ).abs().mean() > 0.02
    with pytest.raises(ValueError, match="expected a renderer for 32x18"):
        render_grid(scene, V, T, 18, 32, renderer)


def test_renderers_do_not_disturb_each_other(renderer, scene_files):
    models, folder = scene_files
    scene = random_scene(2, models, folder)
    before = render_grid(scene, 2, 2, H, W, renderer).frames
    with Renderer(18, 32) as other:
        assert render_grid(scene, 2, 2, 18, 32, other).height == 18
        assert torch.equal(render_grid(scene, 2, 2, H, W, renderer).frames, before)
        assert render_grid(scene, 2, 2, 18, 32, other).height == 18
    assert torch.equal(render_grid(scene, 2, 2, H, W, renderer).frames, before)
    assert torch.equal(render_grid(scene, 2, 2, H, W).frames, before)
