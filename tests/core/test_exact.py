"""Exact geometry of rendered scenes against rays traced by hand through a cube that is pushed, and the files it is kept in."""

import dataclasses

import numpy as np
import pytest
import torch

from fourreal_core.data.rendered.exact import exact_geometry, render_exact
from fourreal_core.data.rendered.exact_files import exact_files, load_exact, render_folder, save_exact
from fourreal_core.data.rendered.render import look_at
from fourreal_core.data.rendered.scenes import random_scene, render_grid
from fourreal_core.data.rendered.shapes import box
from fourreal_core.data.rendered.triangles import GROUND_ENDS, TrianglePass

V, T, H, W = 3, 4, 36, 64
HALF, CENTRE, STEP = 0.4, np.array([0.7, 0.5, 0.0]), np.array([-0.3, 0.03, 0.1])  # the cube, and its way per time
RADIUS = 6.0
EYES = np.array([[0.9, 1.3, 2.6], [0.0, 1.4, 2.9], [-1.4, 1.2, 2.4]])
INTRINSICS = np.array([[60, 0, W / 2 - 3], [0, 66, H / 2 + 2], [0, 0, 1.0]])


def poses() -> np.ndarray:
    return np.stack([look_at(eye, np.array([0, 0.4, 0.0]), 0.05) for eye in EYES])


def pushed_cube() -> np.ndarray:
    positions, _, _, triangles = box()
    first = ((positions - (0, 0.5, 0)) * 2 * HALF + CENTRE)[triangles]
    return np.stack([first + time * STEP for time in range(T)]).astype(np.float32)


@pytest.fixture(scope="module")
def geometry(renderer):
    return exact_geometry(pushed_cube(), RADIUS, poses(), np.tile(INTRINSICS, (V, 1, 1)), TrianglePass(renderer))


def rays(view: int) -> tuple[np.ndarray, np.ndarray]:
    """(eye, rays [H, W, 3] that advance by 1 along the view axis)."""
    x, y = np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5)
    seen = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(INTRINSICS).T
    return EYES[view], seen @ poses()[view][:3, :3]


def way_to_cube(eye: np.ndarray, directions: np.ndarray, time: int) -> np.ndarray:
    """How many `directions` it is to the cube, infinite where it is missed: the slab method (Kay and Kajiya 1986)."""
    low, high = (CENTRE + time * STEP + side * HALF for side in (-1, 1))
    ends = np.sort(np.stack([(low - eye) / directions, (high - eye) / directions]), axis=0)
    enter, leave = ends[0].max(-1), ends[1].min(-1)
    return np.where((enter < leave) & (leave > 0), enter, np.inf)


def traced(view: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """(depth, the pixel shows the cube), of what the rays meet first: cube, ground disc or sky."""
    eye, directions = rays(view)
    cube = way_to_cube(eye, directions, time)
    ground = np.where(directions[..., 1] < 0, -eye[1] / directions[..., 1], np.inf)
    place = eye + np.where(np.isfinite(ground), ground, 0)[..., None] * directions
    ground = np.where(np.hypot(place[..., 0], place[..., 2]) < GROUND_ENDS * RADIUS, ground, np.inf)
    return np.minimum(cube, ground), cube < ground


def inner(mask: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours agree about the mask: the rest may fall to either side of an edge."""
    padded = np.pad(mask, 1, mode="edge")
    around = np.stack([padded[y : y + H, x : x + W] for y in range(3) for x in range(3)])
    return around.all(0) | ~around.any(0)


def project(points: np.ndarray, view: int) -> np.ndarray:
    seen = points @ poses()[view][:3, :3].T + poses()[view][:3, 3]
    pixels = seen @ INTRINSICS.T
    return pixels[..., :2] / pixels[..., 2:]


@pytest.mark.parametrize(("view", "time"), [(0, 0), (0, 1), (0, 3), (1, 0), (2, 0)])
def test_inverse_depth_is_that_of_the_ray_through_the_pixels_middle(geometry, view, time):
    depth, cube = traced(view, time)
    made = (geometry.time_depth_THW[time] if view == 0 else geometry.view_depth_VHW[view]).numpy()
    sure = inner(cube) & inner(np.isfinite(depth))
    assert sure.mean() > 0.8 and (np.isinf(depth) & sure).any() and (cube & sure).sum() > 100
    assert np.abs(made - 1 / depth)[sure].max() < 1e-4
    assert torch.equal(geometry.time_depth_THW[0], geometry.view_depth_VHW[0])


def test_flow_leads_to_where_the_pushed_cube_was_and_ground_and_sky_stay(geometry):
    eye, directions = rays(0)
    for time in range(T):
        depth, cube = traced(0, time)
        sure, flow = inner(cube), geometry.flow_THW2[time].numpy()
        points = eye + np.where(cube, depth, 1)[..., None] * directions
        here = project(points, 0)
        expected = project(points - time * STEP, 0) - here
        assert np.abs(flow - expected)[sure & cube].max() < 2e-3
        assert np.abs(flow[sure & ~cube]).max() < 1e-3
        assert time == 0 or np.abs(expected[cube]).max() > 2


def test_labels_tell_the_cube_from_what_stays(geometry):
    for time in range(T):
        _, cube = traced(0, time)
        sure = inner(cube)
        assert (geometry.mover_THW[time].numpy() == cube)[sure].all()
        assert (geometry.moving_THW[time].numpy() == (cube & (time > 0)))[sure].all()
    for view in range(V):
        _, cube = traced(view, 0)
        assert (geometry.view_mover_VHW[view].numpy() == cube)[inner(cube)].all()


def test_a_point_was_seen_if_its_side_faced_the_camera_and_no_cube_stood_before_it(geometry):
    eye, directions = rays(0)
    hidden_ground = hidden_cube = 0
    for time in range(1, T):
        depth, cube = traced(0, time)
        points = eye + np.where(np.isfinite(depth), depth, 1e4)[..., None] * directions
        before = points - np.where(cube[..., None], time * STEP, 0)
        outward = before - CENTRE  # the side of the cube that the point lies on: its largest coordinate
        normal = np.where(np.abs(outward) == np.abs(outward).max(-1, keepdims=True), np.sign(outward), 0)
        facing = (normal * (eye - before)).sum(-1) > 0
        blocked = way_to_cube(eye, before - eye, 0) < 1
        place = project(before, 0)
        inside = ((place > 0) & (place < (W, H))).all(-1)
        expected = np.where(cube, facing, ~blocked) & inside
        x, y = np.clip(place.astype(int), 0, (W - 1, H - 1)).transpose(2, 0, 1)
        sure = inner(cube) & inner(expected) & inner(traced(0, 0)[1])[y, x]  # not beside the cube's outline at time 0
        agree = geometry.seen_THW[time].numpy() == expected
        assert agree[sure].mean() > 0.998, (time, np.argwhere(sure & ~agree))
        hidden_ground += (sure & ~cube & ~expected).sum()
        hidden_cube += (sure & cube & ~expected).sum()
    assert hidden_ground > 10 and hidden_cube > 10
    assert geometry.seen_THW[0].all()


def test_motion_is_the_way_of_the_cube_and_nothing_elsewhere(geometry):
    motion = geometry.motion_VTHW3.numpy()
    assert motion.shape == (V, T, H, W, 3)
    for view in range(V):
        cube = geometry.view_mover_VHW[view].numpy()
        for time in range(T):
            assert np.allclose(motion[view, time][cube], time * STEP, atol=1e-5) and cube.sum() > 100
            assert not motion[view, time][~cube].any()


def test_a_scene_is_kept_bit_for_bit_and_its_pictures_are_those_of_the_grid(renderer, scene_files, tmp_path):
    models, folder = scene_files
    scene = random_scene(4, models, folder)
    made = render_exact(scene, renderer, TrianglePass(renderer), V, T, whole=True)
    grid = render_grid(scene, V, T, H, W, renderer)
    assert torch.equal(made.grid().frames, grid.frames) and torch.equal(made.grid().frames[0], made.fixed_THW3 / 255)
    assert made.grid().fps == grid.fps and made.about["model"] == scene.about["model"]
    assert made.geometry.mover_THW.any() and made.geometry.motion_VTHW3.any()
    save_exact(made, tmp_path / "scene.safetensors")
    expect_same(made, load_exact(tmp_path / "scene.safetensors"))


def expect_same(made, again) -> None:
    for field in dataclasses.fields(made):
        value, kept = getattr(made, field.name), getattr(again, field.name)
        if dataclasses.is_dataclass(value):
            expect_same(value, kept)
        else:
            assert torch.equal(value, kept) if isinstance(value, torch.Tensor) else value == kept, field.name


def test_rendering_goes_on_where_it_stopped_and_gives_the_same_files(renderer, scene_files, tmp_path):
    models, folder = scene_files
    render = {"models": models, "environments": folder, "renderer": renderer, "count": 3, "seed": 7, "views": 2}
    render |= {"times": 3, "whole_every": 2}
    render_folder(tmp_path / "whole", **render)
    render_folder(tmp_path / "parts", **render, report=lambda done, count: done == 2)
    first = exact_files(tmp_path / "parts")
    assert [file.name for file in first] == ["scene_00000007.safetensors", "scene_00000008.safetensors"]
    before = [file.stat().st_mtime_ns for file in first]
    render_folder(tmp_path / "parts", **render)
    assert [file.stat().st_mtime_ns for file in first] == before
    for one, other in zip(exact_files(tmp_path / "whole"), exact_files(tmp_path / "parts"), strict=True):
        assert one.name == other.name
        expect_same(load_exact(one), load_exact(other))
    kinds = [load_exact(file).frames_VTHW3 is not None for file in exact_files(tmp_path / "whole")]
    assert kinds == [True, False, True]
    with pytest.raises(ValueError, match="expected a scene with all cells rendered"):
        load_exact(exact_files(tmp_path / "whole")[1]).grid()


def test_what_is_no_scene_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found no rendered scenes"):
        exact_files(tmp_path)
    (tmp_path / "scene_00000000.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="cannot be read"):
        load_exact(tmp_path / "scene_00000000.safetensors")
