"""Incremental structure from motion by pycolmap, from features and pairs in memory to plain arrays. Used by cameras.py.

Source: Schoenberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016; https://github.com/colmap/colmap.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bundle import Scene
from .matches import ERROR, FEWEST, Features, Pair


@dataclass(frozen=True)
class Attempt:
    """focal: the guess over the width; angle: least degrees between the rays of the first pair; inliers: that it needs."""

    focal: float
    angle: float
    inliers: int


ATTEMPTS = (Attempt(1.2, 3.0, 30), Attempt(0.7, 3.0, 30), Attempt(1.2, 1.0, 15), Attempt(2.2, 1.0, 15))


def import_pycolmap():
    """The package, silenced. ImportError when it is not installed or older than 4."""
    ended = signal.getsignal(signal.SIGTERM)
    import pycolmap

    if ended is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ended)  # importing it takes the signal over

    if not hasattr(pycolmap, "TwoViewGeometryOptions") or not hasattr(pycolmap.Database, "open"):
        raise ImportError(f"pycolmap {getattr(pycolmap, '__version__', '?')} is older than 4")
    pycolmap.logging.minloglevel = max(pycolmap.logging.minloglevel, 3)  # its errors come back as results
    return pycolmap


def simple_camera(pycolmap, focal: float, width: int, height: int):
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", focal * width, width, height)
    camera.has_prior_focal_length = False
    return camera


def map_frames(
    pycolmap,
    features: Sequence[Features],
    pairs: Sequence[Pair],
    camera,
    attempt: Attempt,
    seed: int,
    on_frame: Callable[[], None],
) -> tuple[Scene, tuple[int, ...]] | None:
    """(the largest scene found, the frames placed in it, in order), all with one focal length; None when there is none.

    on_frame is called after every frame that is placed; what it raises ends the mapping and is raised again.
    """
    raised: list[BaseException] = []
    token = pycolmap.CancellationToken() if hasattr(pycolmap, "CancellationToken") else None

    def placed() -> None:  # what a callback raises would get lost, or worse, on its way through C++
        try:
            if not raised:
                on_frame()
        except BaseException as problem:
            raised.append(problem)
            if token is not None:
                token.cancel()

    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "matches.db")
        _write_database(pycolmap, database, features, pairs, camera)
        options = _options(pycolmap, camera, attempt, seed)
        more = {"cancellation_token": token} if token is not None else {}
        found = {}
        try:
            found = pycolmap.incremental_mapping(database, folder, folder, options, next_image_callback=placed, **more)
        except InterruptedError:
            if not raised:
                raise
    if raised:
        raise raised[0]
    if not found:
        return None
    return _plain(max(found.values(), key=lambda scene: (scene.num_reg_images(), scene.num_points3D())), camera)


def _options(pycolmap, camera, attempt: Attempt, seed: int):
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = options.mapper.num_threads = 1  # or results would differ from run to run
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.min_num_matches, options.min_model_size = FEWEST, 2
    options.extract_colors = options.multiple_models = False
    options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = attempt.angle, attempt.inliers
    options.mapper.abs_pose_min_num_inliers = 12
    options.mapper.filter_min_tri_angle = options.triangulation.min_angle = min(1.0, attempt.angle)
    error = ERROR * camera.width
    options.mapper.init_max_error = options.mapper.filter_max_reproj_error = error
    options.mapper.abs_pose_max_error = 2 * error
    options.triangulation.merge_max_reproj_error = options.triangulation.complete_max_reproj_error = error
    return options


def _write_database(pycolmap, file: str, features: Sequence[Features], pairs: Sequence[Pair], camera) -> None:
    database = pycolmap.Database.open(file)
    database.write_camera(camera, use_camera_id=True)
    rig = pycolmap.Rig()
    rig.rig_id = 1
    rig.add_ref_sensor(camera.sensor_id)
    database.write_rig(rig, use_rig_id=True)
    for number, found in enumerate(features, start=1):
        image = pycolmap.Image(name=f"{number:05d}", camera_id=1, image_id=number)
        frame = pycolmap.Frame()
        frame.frame_id, frame.rig_id = number, 1
        frame.add_data_id(image.data_id)
        database.write_frame(frame, use_frame_id=True)
        image.frame_id = number
        database.write_image(image, use_image_id=True)
        database.write_keypoints(number, found.points)
    for pair in pairs:
        database.write_matches(pair.first + 1, pair.second + 1, pair.matches.astype(np.uint32))
        database.write_two_view_geometry(pair.first + 1, pair.second + 1, pair.geometry)
    database.close()


def _plain(found, camera) -> tuple[Scene, tuple[int, ...]] | None:
    images = sorted((image for image in found.images.values() if image.has_pose), key=lambda image: image.image_id)
    numbers = {image.image_id: number for number, image in enumerate(images)}
    ids = sorted(found.points3D)
    if len(images) < 2 or not ids:
        return None
    poses = np.tile(np.eye(4), (len(images), 1, 1))
    for pose, image in zip(poses, images):
        pose[:3] = image.cam_from_world().matrix()
    seen = [
        (numbers[element.image_id], number, found.images[element.image_id].point2D(element.point2D_idx).xy)
        for number, identity in enumerate(ids)
        for element in found.points3D[identity].track.elements
        if element.image_id in numbers
    ]
    scene = Scene(
        world_to_camera=poses,
        focals=np.full(len(images), found.cameras[1].params[0]),
        centre=np.array([camera.width / 2, camera.height / 2]),
        points=np.array([found.points3D[identity].xyz for identity in ids]),
        camera=np.array([camera for camera, _, _ in seen]),
        point=np.array([point for _, point, _ in seen]),
        pixel=np.array([pixel for _, _, pixel in seen], np.float64),
    )
    return scene, tuple(image.image_id - 1 for image in images)
