"""Cameras estimated from freeze-time frames: right on scenes whose cameras are known, and a plain reason where none can be had."""

import sys
from functools import cache

import cv2
import numpy as np
import pytest
import torch

from fourreal_core.data.invented.scenes import procedural_frame_grids
from fourreal_core.geometry.bundle import Scene, refine
from fourreal_core.geometry.cameras import (
    CameraEstimate,
    CamerasNotFound,
    PycolmapMissing,
    estimate_cameras,
    frames_to_look_at,
)
from fourreal_core.geometry.gauge import aligned, arc_degrees, between, centres, in_gauge, path_error

H, W = 72, 128


def invented(seed: int, views: int = 8, height: int = H, width: int = W):
    """(frames [V, H, W, 3], true world-to-camera [V, 4, 4] float64, true intrinsics [V, 3, 3]) of a made-up scene."""
    grid = next(procedural_frame_grids(1, views=views, times=1, height=height, width=width, seed=seed))
    return grid.frames[:, 0], grid.cameras.world_to_camera.double().numpy(), grid.cameras.intrinsics.numpy()


def needs_pycolmap():
    pytest.importorskip("pycolmap", reason="pycolmap has no wheel for this system")


@pytest.fixture(scope="module")
def wallpaper() -> np.ndarray:
    """uint8 [800, 1600, 3]: soft noise with much to find."""
    noise = np.random.default_rng(0).uniform(0, 255, (800, 1600, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return ((soft - soft.min()) / np.ptp(soft) * 255).astype(np.uint8)


def on_the_wall(wallpaper: np.ndarray, degrees: float, way: float, focal: float = 150.0) -> np.ndarray:
    """uint8 [H, W, 3]: the wall at distance 1 seen by a camera turned by `degrees` that stands `way` to the right."""
    lens = np.array([[focal, 0, W / 2], [0, focal, H / 2], [0, 0, 1]])
    wall = np.array([[2 * focal, 0, 800], [0, 2 * focal, 400], [0, 0, 1]])
    turn = cv2.Rodrigues(np.radians([0, degrees, 0]))[0]
    shift = np.outer(-turn @ [way, 0, 0], [0, 0, 1])
    return cv2.warpPerspective(wallpaper, lens @ (turn + shift) @ np.linalg.inv(wall), (W, H))


@cache
def found_again(seed: int) -> CameraEstimate:
    return estimate_cameras(invented(seed)[0])


@pytest.mark.parametrize("seed", [0, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)])
def test_an_arc_is_found_again(seed):
    needs_pycolmap()
    _, true, lenses = invented(seed)
    found = found_again(seed)
    _, degrees, distance = aligned(found.cameras.world_to_camera.double().numpy(), true)
    assert degrees < 1.5 and distance < 0.02
    assert found.placed == found.looked_at == tuple(range(8)) and not found.guessed and found.error < 1
    assert (
        found.cameras.intrinsics[0, 0, 2] == W / 2 and 0.7 < found.cameras.intrinsics[0, 0, 0] / lenses[0, 0, 0] < 1.43
    )
    _check_gauge_and_points(found)


def _check_gauge_and_points(found):
    """View 0 is the world's frame at unit depth, and points are seen where the cameras say."""
    assert torch.allclose(found.cameras.world_to_camera[0], torch.eye(4), atol=1e-5)
    first = found.point[found.view == 0].unique()
    assert found.points[first, 2].median().item() == pytest.approx(1, abs=0.02)
    seen = found.points[found.point]
    pose, lens = found.cameras.world_to_camera[found.view], found.cameras.intrinsics[found.view]
    inside = (pose[:, :3, :3] @ seen[:, :, None])[..., 0] + pose[:, :3, 3]
    pixel = (lens @ inside[:, :, None])[..., 0]
    errors = (pixel[:, :2] / pixel[:, 2:] - found.pixel).norm(dim=1)
    assert errors.median() < 1 and inside[:, 2].min() > 0
    assert errors.mean().item() == pytest.approx(found.error, rel=0.2)


@pytest.mark.slow
def test_the_same_frames_and_seed_give_the_same_cameras_and_the_cells_size_scales_them():
    needs_pycolmap()
    frames, _, _ = invented(0)
    once, again = found_again(0), estimate_cameras((frames * 255).round().to(torch.uint8), size=(H // 2, 40))
    assert torch.equal(once.cameras.world_to_camera, again.cameras.world_to_camera) and torch.equal(
        once.points, again.points
    )
    assert again.cameras.intrinsics[0].tolist() == [
        [pytest.approx(once.cameras.intrinsics[0, 0, 0].item() / 2), 0, 20],
        [0, pytest.approx(once.cameras.intrinsics[0, 0, 0].item() / 2), 18],
        [0, 0, 1],
    ]


def test_views_are_some_of_the_frames():
    needs_pycolmap()
    frames, true, _ = invented(4, views=6)
    found = estimate_cameras(frames, views=[0, 3, 5])
    assert len(found.cameras.world_to_camera) == 3 and len(found.frame_cameras.world_to_camera) == 6
    assert torch.allclose(found.frame_cameras.world_to_camera[3], found.cameras.world_to_camera[1])
    _, degrees, distance = aligned(found.cameras.world_to_camera.double().numpy(), true[[0, 3, 5]])
    assert degrees < 2 and distance < 0.03
    assert set(found.view.tolist()) == {0, 1, 2} and len(found.point.unique()) == len(found.points)


def test_a_turning_camera_is_refused(wallpaper):
    needs_pycolmap()
    with pytest.raises(CamerasNotFound, match="only turns or zooms"):
        estimate_cameras(np.stack([on_the_wall(wallpaper, 6.0 * view - 9, 0.0) for view in range(4)]))


@pytest.mark.slow
def test_a_turning_camera_in_frames_that_contradict_one_another_is_refused(wallpaper):
    """Smooth random shifts, as in generated video, look like depth."""
    needs_pycolmap()
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:H, :W].astype(np.float32)
    frames = []
    for view in range(6):
        shift = cv2.resize(rng.normal(0, 0.3, (5, 7, 2)).astype(np.float32), (W, H), interpolation=cv2.INTER_CUBIC)
        frame = on_the_wall(wallpaper, 4.0 * view - 12, 0.0)
        frames.append(
            cv2.remap(frame, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        )
    with pytest.raises(CamerasNotFound, match="only turns and zooms|only turns or zooms"):
        estimate_cameras(np.stack(frames))


def test_cameras_in_front_of_a_wall_are_found_with_a_warning(wallpaper):
    """One plane gives the focal length too, once enough views see it from different sides (Triggs, ECCV 1998)."""
    needs_pycolmap()
    degrees, ways = 8.0 * np.arange(6) - 20, 0.14 * np.arange(6) - 0.35
    found = estimate_cameras(np.stack([on_the_wall(wallpaper, *place) for place in zip(degrees, ways)]))
    true = np.tile(np.eye(4), (6, 1, 1))
    for pose, angle, way in zip(true, degrees, ways):
        pose[:3, :3] = cv2.Rodrigues(np.radians([0, angle, 0]))[0]
        pose[:3, 3] = -pose[:3, :3] @ [way, 0, 0]
    _, turn, place = aligned(found.cameras.world_to_camera.double().numpy(), true)
    assert turn < 1 and place < 0.01 and found.cameras.intrinsics[0, 0, 0].item() == pytest.approx(150, rel=0.03)
    assert any("one plane" in note for note in found.notes)


def test_a_standing_camera_is_refused(wallpaper):
    needs_pycolmap()
    with pytest.raises(CamerasNotFound, match="does not move"):
        estimate_cameras(np.stack([on_the_wall(wallpaper, 0.0, 0.0)] * 4))


@pytest.mark.parametrize(
    "frames", [torch.full((4, H, W, 3), 0.5), torch.rand(2, H, W, 3, generator=torch.manual_seed(0))]
)
def test_frames_without_anything_in_common_are_refused(frames):
    needs_pycolmap()
    with pytest.raises(CamerasNotFound, match="Too few points"):
        estimate_cameras(frames)


def test_one_view_is_refused_with_or_without_pycolmap():
    with pytest.raises(CamerasNotFound, match="at least two views"):
        estimate_cameras(torch.rand(1, H, W, 3))
    with pytest.raises(CamerasNotFound, match="at least two views"):
        estimate_cameras(torch.rand(5, H, W, 3), views=[2])


def test_two_views_are_placed_with_a_guessed_focal_length_or_refused():
    needs_pycolmap()
    frames, _, _ = invented(0)
    try:
        found = estimate_cameras(frames[:2])
    except CamerasNotFound as problem:
        assert str(problem)
    else:
        assert found.placed == (0, 1) and any("focal length" in note for note in found.notes)


def test_without_pycolmap_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(PycolmapMissing, match="pip install pycolmap"):
        estimate_cameras(torch.rand(4, H, W, 3))


def test_progress_grows_and_raising_from_it_cancels(wallpaper):
    needs_pycolmap()
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_cameras(np.stack([on_the_wall(wallpaper, 0.0, 0.1 * view) for view in range(4)]), on_progress=stop)
    assert [done for done, _ in seen] == [1, 2, 3] and len({total for _, total in seen}) == 1


def test_raising_while_pycolmap_maps_cancels_too():
    needs_pycolmap()
    frames, _, _ = invented(0, views=5)
    before_mapping = 5 + 10

    def stop(done, total):
        if done > before_mapping:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_cameras(frames, on_progress=stop)


@pytest.mark.parametrize("views", [[0, 0], [2, 1], [0, 9], [-1, 2]])
def test_views_that_are_no_frames_are_refused(views):
    with pytest.raises(ValueError, match="increasing frame numbers"):
        estimate_cameras(torch.rand(4, H, W, 3), views=views)


def test_long_videos_are_looked_at_in_part_with_all_views():
    chosen = frames_to_look_at(300, [0, 100, 299])
    assert len(chosen) == 24 and {0, 100, 299} <= set(chosen) and chosen == sorted(set(chosen))
    assert frames_to_look_at(5, [0, 3]) == [0, 1, 2, 3, 4]
    assert frames_to_look_at(100, list(range(0, 100, 2))) == list(range(0, 100, 2))


def true_scene(cameras: int = 5, points: int = 60, zoom: float = 1.0) -> Scene:
    """An exact scene: cameras on an arc of 40 degrees round the middle of a cloud, all points seen by all."""
    rng = np.random.default_rng(1)
    cloud = rng.uniform(-1, 1, (points, 3))
    poses = np.tile(np.eye(4), (cameras, 1, 1))
    for pose, angle in zip(poses, np.linspace(-20, 20, cameras)):
        pose[:3, :3] = cv2.Rodrigues(np.radians([0, angle, 0]))[0]
        pose[:3, 3] = [0, 0, 4]
    camera, point = (index.ravel() for index in np.indices((cameras, points)))
    focals = 600 * np.linspace(1, zoom, cameras)
    exact = Scene(poses, focals, np.array([320.0, 180.0]), cloud, camera, point, np.zeros((cameras * points, 2)))
    seen = exact._in_camera()
    pixel = focals[camera][:, None] * seen[:, :2] / seen[:, 2:] + exact.centre
    return Scene(poses, focals, exact.centre, cloud, camera, point, pixel)


@pytest.mark.parametrize("zoom", [1.0, 1.3])
def test_bundle_adjustment_finds_an_exact_scene_again(zoom):
    exact, rng = true_scene(zoom=zoom), np.random.default_rng(2)
    poses = exact.world_to_camera.copy()
    for pose in poses:
        pose[:3, :3] = cv2.Rodrigues(rng.normal(0, 0.02, 3))[0] @ pose[:3, :3]
        pose[:3, 3] += rng.normal(0, 0.05, 3)
    start = Scene(
        poses, np.full(5, 650.0), exact.centre, exact.points + rng.normal(0, 0.05, exact.points.shape),
        exact.camera, exact.point, exact.pixel,
    )  # fmt: skip
    found, cost = refine(start, noise=0.5, zoom=0.5)
    assert found.errors().max() < 0.05 < start.errors().mean() and cost < 1e-2
    _, degrees, distance = aligned(found.world_to_camera, exact.world_to_camera)
    assert degrees < 0.05 and distance < 1e-3
    assert found.focals / found.focals[0] == pytest.approx(exact.focals / exact.focals[0], rel=0.01)


def test_outliers_hardly_matter_and_are_dropped_with_lonely_points():
    exact = true_scene()
    pixel = exact.pixel.copy()
    pixel[::50] += 40
    found, _ = refine(Scene(*[getattr(exact, name) for name in list(exact.__dict__)[:-1]], pixel), noise=0.5, zoom=1e-4)
    wrong = found.errors() > 5
    assert wrong.sum() == len(pixel[::50]) and wrong[::50].all() and np.median(found.errors()) < 0.05
    only_one = np.zeros(len(pixel), bool)
    only_one[(exact.point == 3) & (exact.camera > 0)] = True
    kept = exact.without(only_one)
    assert len(kept.points) == len(exact.points) - 1 and len(kept.pixel) == len(pixel) - 5
    assert kept.errors().max() < 1e-9


def test_points_are_seen_under_the_angle_between_the_first_and_the_last_camera():
    exact = true_scene(points=3)
    middle = Scene(
        *[getattr(exact, name) for name in list(exact.__dict__)[:3]],
        np.zeros((3, 3)),
        *list(exact.__dict__.values())[4:],
    )
    assert middle.angles() == pytest.approx([40, 40, 40])


def test_the_gauge_keeps_what_cameras_see():
    exact = true_scene()
    poses, again, points = in_gauge(
        exact.world_to_camera, exact.world_to_camera, exact.points, exact.camera, exact.point
    )
    assert (
        np.allclose(poses[0], np.eye(4)) and np.allclose(poses, again) and np.median(points[:, 2]) == pytest.approx(1)
    )
    moved = Scene(poses, exact.focals, exact.centre, points, exact.camera, exact.point, exact.pixel)
    assert moved.errors().max() < 1e-9
    _, degrees, distance = aligned(poses, exact.world_to_camera)
    assert degrees < 1e-4 and distance < 1e-9


def test_views_between_others_are_guessed_on_smooth_paths_only():
    exact = true_scene(cameras=7)
    poses, lenses = exact.world_to_camera, np.tile(np.eye(3), (7, 1, 1))
    frames = [0, 1, 2, 4, 5, 6]
    pose, _ = between(poses[frames], lenses[frames], frames, 3)
    way = np.linalg.norm(centres(poses[[2]]) - centres(poses[[4]]))
    assert np.linalg.norm(centres(pose[None]) - centres(poses[[3]])) < 0.05 * way
    assert np.allclose(pose[:3, :3], poses[3, :3, :3], atol=1e-9)
    assert path_error(poses[frames], frames) < 0.05
    rough = poses.copy()
    rough[::2, 1, 3] += 0.3
    assert path_error(rough[frames], frames) > 0.05


def test_the_arc_is_measured_between_the_ends():
    exact = true_scene()
    from fourreal_core.grid import Cameras

    cameras = Cameras(torch.from_numpy(exact.world_to_camera), torch.eye(3).repeat(5, 1, 1))
    assert arc_degrees(cameras) == pytest.approx(40, abs=1e-3)
