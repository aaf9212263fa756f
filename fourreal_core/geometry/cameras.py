"""Cameras from a freeze-time video alone: where each view stood, how wide it sees, and sparse points of the scene.

Features and matches (matches.py), incremental structure from motion by pycolmap (mapping.py), own bundle adjustment with a
slowly changing focal length (bundle.py), one gauge (gauge.py). A picture of the result: show/camera_path.py.
Letters: F frames of the video, H W pixels, V views, P points, O observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..files.video import fit_scale_and_shift, frames_tensor
from ..grid import Cameras
from .bundle import Scene, refine
from .gauge import between, in_gauge, path_error
from .mapping import ATTEMPTS, import_pycolmap, map_frames, simple_camera
from .matches import Features, Pair, choose_pairs, find_features, match_pair, working_frame, working_scale

MOST_FRAMES = 24  # that are looked at, unless there are more views
MOST_VIEWS = 96
FEWEST_POINTS = 20
STANDING = 0.004  # of the width: ways of matches below which the camera did not move
FLAT, RATHER_FLAT = 0.93, 0.8  # share of matches that one homography explains when there is no, or little depth
A_TURN = 0.06  # how far from a turn a homography may be that is called one
STEADY = 0.03  # a zoom is believed when it explains this share of the cost
ZOOM_PER_VIEW, NO_ZOOM = 0.02, 1e-4
LARGEST_ERROR = 1 / 64  # of the width: mean reprojection error above which nothing was understood
PARALLAX = 35  # angles under which points are seen over the errors of the frames, below which the camera may just turn
CONSISTENT = 0.25  # share of the matches that must fit one camera motion
SMOOTH = 0.05  # error of guessed views over the way between their neighbours, up to which guesses are made
MOST_GUESSED = 0.25  # share of the views
OnProgress = Callable[[int, int], None]


class CamerasNotFound(ValueError):
    """No cameras can be had from these frames; the message says why, in one sentence for the user."""


class PycolmapMissing(ImportError):
    """Estimating cameras needs the package pycolmap, which is not installed."""


@dataclass(frozen=True, eq=False)
class CameraEstimate:
    """Cameras of the views, in the gauge of docs/conventions.md: view 0 is the world's frame, its median point is at depth 1.

    cameras: of the V views, intrinsics in pixels of the cells. error: mean reprojection error, pixels of the cells.
    looked_at: numbers of the video's frames that were used; placed: those of them that got a camera, frame_cameras theirs,
    in that order. guessed: views, from 0, whose camera was put between its neighbours. points float32 [P, 3] in the world;
    observation o is point `point[o]` in view `view[o]` (int64) at `pixel[o]` (float32 [O, 2], x and y from the cell's
    corner). zoomed: the focal length changes along the video. notes: sentences for the user about what is doubtful.
    """

    cameras: Cameras
    error: float
    looked_at: tuple[int, ...]
    placed: tuple[int, ...]
    frame_cameras: Cameras
    guessed: tuple[int, ...]
    points: Tensor
    view: Tensor
    point: Tensor
    pixel: Tensor
    zoomed: bool
    notes: tuple[str, ...] = ()


def estimate_cameras(
    freeze_time_frames,
    *,
    views: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> CameraEstimate:
    """The cameras of the views of a still scene, from the frames of a video along which the camera moves.

    freeze_time_frames [F, H, W, 3], numpy or torch, uint8 or float 0..1: all frames there are, for more than the views help.
    views: which of them are the grid's views (None: all). size (height, width), fit: of the cells, when the frames were
    brought to another size as files.video.fit_frames does. on_progress(done, total) may raise to cancel.
    The same input and seed give the same result. Raises CamerasNotFound with the reason when the frames do not tell
    the cameras (too few matches, a standing or turning camera, a flat scene, a moving scene, views that could not be
    placed), PycolmapMissing without pycolmap, ValueError on bad input.
    """
    frames = frames_tensor(freeze_time_frames, "the freeze-time video")
    views = _checked_views(views, len(frames))
    pycolmap = _pycolmap()
    looked_at = frames_to_look_at(len(frames), views)
    scale = working_scale(*frames.shape[1:3])
    progress = _Progress(on_progress, len(looked_at))
    features = [_features(frames[frame], scale, progress) for frame in looked_at]
    height, width = (round(side * scale) for side in frames.shape[1:3])
    pairs = _pairs(pycolmap, features, width, height, seed, progress)
    _check_pairs(pairs, len(looked_at))
    scene, placed, zoomed = _best_scene(pycolmap, features, pairs, width, height, scale, seed, progress)
    _check_scene(scene, pairs, features, placed, width)
    estimate = _estimate(scene, [looked_at[number] for number in placed], views, frames.shape[1:3], size, fit, zoomed)
    progress.finish()
    return replace(estimate, looked_at=tuple(looked_at), notes=tuple(_notes(estimate, pairs, len(looked_at))))


def frames_to_look_at(frames: int, views: Sequence[int]) -> list[int]:
    """The views and, evenly between, so many other frames that there are at most MOST_FRAMES; in order."""
    others = [frame for frame in range(frames) if frame not in set(views)]
    room = max(MOST_FRAMES - len(views), 0)
    if len(others) > room:
        others = [others[(2 * number + 1) * len(others) // (2 * room)] for number in range(room)]
    return sorted({*views, *others})


def _checked_views(views: Sequence[int] | None, frames: int) -> list[int]:
    views = list(range(frames)) if views is None else [int(view) for view in views]
    if any(not 0 <= view < frames for view in views) or views != sorted(set(views)):
        raise ValueError(
            f"expected views to be increasing frame numbers from 0 to {frames - 1}, got {str(views)[:80]}."
        )
    if len(views) > MOST_VIEWS:
        raise ValueError(f"expected at most {MOST_VIEWS} views, got {len(views)}: pick fewer of the video's frames.")
    if len(views) < 2:
        raise CamerasNotFound("A single view shows no parallax: cameras need at least two views of the scene.")
    return views


def _pycolmap():
    try:
        return import_pycolmap()
    except ImportError as problem:
        raise PycolmapMissing(
            f"Estimating cameras needs the package pycolmap, version 4 or newer ({problem}): install it with "
            "`pip install pycolmap` into the Python that runs this, or give the grid cameras in another way."
        ) from problem


class _Progress:
    """Counts features, pairs and placed frames as one bar: done of total."""

    def __init__(self, on_progress: OnProgress | None, frames: int):
        self.on_progress, self.done = on_progress, 0
        self.total = frames + len(choose_pairs(frames)) + 2 * frames

    def step(self) -> None:
        self.done = min(self.done + 1, self.total - 1)
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)

    def finish(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.total, self.total)


def _features(frame_HWC: Tensor, scale: float, progress: _Progress) -> Features:
    progress.step()
    if frame_HWC.dtype != torch.uint8:
        frame_HWC = (frame_HWC.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return find_features(working_frame(np.ascontiguousarray(frame_HWC.cpu().numpy()), scale))


def _pairs(pycolmap, features: list[Features], width: int, height: int, seed: int, progress: _Progress) -> list[Pair]:
    camera, pairs = simple_camera(pycolmap, ATTEMPTS[0].focal, width, height), []
    for first, second in choose_pairs(len(features)):
        progress.step()
        pair = match_pair(pycolmap, features, first, second, camera, seed)
        pairs += [pair] if pair is not None else []
    return pairs


def _check_pairs(pairs: Sequence[Pair], frames: int) -> None:
    """CamerasNotFound when the matches alone say that no cameras can be had."""
    linked = _largest_group(pairs, frames)
    if linked < 2:
        raise CamerasNotFound(
            "Too few points match between frames: the frames are too blurred, show too little detail, or do "
            "not show the same place."
        )
    if max(pair.shift for pair in pairs) < STANDING:
        raise CamerasNotFound(
            f"The camera does not move: points shift by at most {max(pair.shift for pair in pairs):.2%} of "
            "the width from frame to frame."
        )
    wide = sorted(pairs, key=lambda pair: pair.shift)[len(pairs) // 2 :]
    if _flatness(pairs) > FLAT and np.median([pair.turn for pair in wide]) < A_TURN:
        raise CamerasNotFound(
            "The camera only turns or zooms: nothing shows parallax, so neither camera positions nor depth "
            "can be found."
        )


def _flatness(pairs: Sequence[Pair]) -> float:
    """The share of matches that one homography explains, in those pairs that show the most depth: the tenth part of all.

    Not in the median pair: where views lie far apart, often nothing but the ground or the distance is found again.
    """
    return float(np.quantile([pair.flat for pair in pairs if pair.shift > STANDING], 0.1))


def _largest_group(pairs: Sequence[Pair], frames: int) -> int:
    """How many frames hang together by pairs, at most."""
    group = list(range(frames))
    for pair in pairs:
        first, second = group[pair.first], group[pair.second]
        group = [first if one == second else one for one in group]
    return max(group.count(one) for one in set(group))


def _best_scene(pycolmap, features, pairs, width, height, scale, seed, progress) -> tuple[Scene, tuple[int, ...], bool]:
    """(scene, numbers of the frames placed, whether it zooms) of the attempt that explains the most matches."""
    best, best_score = None, (-1, -1.0)
    for attempt in ATTEMPTS:
        camera = simple_camera(pycolmap, attempt.focal, width, height)
        mapped = map_frames(pycolmap, features, pairs, camera, attempt, seed, progress.step)
        if mapped is None:
            continue
        scene, placed = mapped
        scene, zoomed = _refined(scene, scale, progress)
        if len(scene.points) < FEWEST_POINTS:
            continue
        score = len(placed), _consistent(scene, pairs, features, placed, width)
        if score > best_score:
            best, best_score = (scene, placed, zoomed), score
        if len(placed) == len(features) and score[1] > 2 * CONSISTENT:
            break
    if best is None:
        raise CamerasNotFound(
            "The matches between the frames fit no single camera motion around a static scene: the scene may "
            "move, the camera may hardly move, or the frames may be inconsistent."
        )
    return best


def _refined(scene: Scene, scale: float, progress: _Progress) -> tuple[Scene, bool]:
    """The scene after bundle adjustment without outliers, with the zoom that the frames ask for."""
    noise = 0.25 * scale
    steady, cost = refine(scene, noise, NO_ZOOM, progress.step)
    zoomed, zoomed_cost = (
        refine(steady, noise, ZOOM_PER_VIEW, progress.step) if len(scene.focals) > 2 else (steady, cost)
    )
    zooms = zoomed_cost < (1 - STEADY) * cost
    scene = zoomed if zooms else steady
    wrong = (scene.errors() > max(8 * noise, 4 * np.median(scene.errors()))) | (scene.depths() <= 0)
    if wrong.any() and (~wrong).sum() > 2 * FEWEST_POINTS:
        scene, _ = refine(scene.without(wrong), noise, ZOOM_PER_VIEW if zooms else NO_ZOOM, progress.step)
    behind = ~np.isfinite(scene.errors())
    return (scene.without(behind) if behind.any() else scene), bool(zooms)


def _consistent(scene: Scene, pairs, features, placed, width: int) -> float:
    """Share of all tried matches that fit the cameras found, within a 128th of the width of their epipolar lines."""
    numbers = {frame: number for number, frame in enumerate(placed)}
    good = tried = 0
    for pair in pairs:
        tried += pair.tried
        if pair.first in numbers and pair.second in numbers:
            fundamental = _fundamental(scene, numbers[pair.first], numbers[pair.second])
            a = np.c_[features[pair.first].points[pair.matches[:, 0]], np.ones(len(pair.matches))]
            b = np.c_[features[pair.second].points[pair.matches[:, 1]], np.ones(len(pair.matches))]
            line_b, line_a = a @ fundamental.T, b @ fundamental
            distance = np.abs((line_b * b).sum(1)) / np.maximum(
                np.minimum(np.hypot(*line_b[:, :2].T), np.hypot(*line_a[:, :2].T)), 1e-12
            )
            good += int((distance < width / 128).sum())
    return good / max(tried, 1)


def _fundamental(scene: Scene, first: int, second: int) -> np.ndarray:
    relative = scene.world_to_camera[second] @ np.linalg.inv(scene.world_to_camera[first])
    x, y, z = relative[:3, 3]
    lenses = [
        np.array([[f, 0, scene.centre[0]], [0, f, scene.centre[1]], [0, 0, 1]]) for f in scene.focals[[first, second]]
    ]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]
    return np.linalg.inv(lenses[1]).T @ essential @ np.linalg.inv(lenses[0])


def _check_scene(scene: Scene, pairs, features, placed, width: int) -> None:
    error = float(np.mean(scene.errors()))
    if error > LARGEST_ERROR * width:
        raise CamerasNotFound(
            f"The reprojection error is {error / width:.1%} of the width on average: the scene moves between "
            "the frames, or the frames are inconsistent."
        )
    angle = float(np.median(scene.angles()))
    if angle < PARALLAX * np.degrees(error / scene.focals.mean()):
        raise CamerasNotFound(
            f"The camera hardly moves, or only turns and zooms: points are seen under angles of {angle:.2g} "
            "degrees, no more than errors in the frames explain."
        )
    share = _consistent(scene, pairs, features, placed, width)
    if share < CONSISTENT:
        raise CamerasNotFound(
            f"Only {share:.0%} of the matches between the frames fit one camera motion: the scene moves "
            "between the frames, or few of the frames show the same scene."
        )


def _estimate(
    scene: Scene,
    placed: Sequence[int],
    views: Sequence[int],
    source: Sequence[int],
    size: tuple[int, int] | None,
    fit: str,
    zoomed: bool,
) -> CameraEstimate:
    """The scene in pixels of the cells and in our gauge; views that are missing are put between their neighbours."""
    height, width = source
    pixels = np.diag([width / (2 * scene.centre[0]), height / (2 * scene.centre[1]), 1.0])
    if size is not None:
        scale_y, scale_x, shift_y, shift_x = fit_scale_and_shift(height, width, size[0], size[1], fit)
        pixels = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]]) @ pixels
    lenses = np.stack([pixels @ [[f, 0, scene.centre[0]], [0, f, scene.centre[1]], [0, 0, 1]] for f in scene.focals])
    guessed = [number for number, view in enumerate(views) if view not in set(placed)]
    poses_V, lenses_V = _of_views(scene.world_to_camera, lenses, placed, views, guessed)
    of_view = {frame: number for number, frame in enumerate(views)}
    seen = np.array([placed[camera] in of_view for camera in scene.camera])
    view = np.array([of_view.get(placed[camera], -1) for camera in scene.camera])[seen]
    numbers, point = np.unique(scene.point[seen], return_inverse=True)
    pixel = scene.pixel[seen] @ pixels[:2, :2].T + pixels[:2, 2]
    poses_V, poses_F, points = in_gauge(poses_V, scene.world_to_camera, scene.points[numbers], view, point)
    return CameraEstimate(
        cameras=_cameras(poses_V, lenses_V),
        error=float(np.mean(scene.errors())) * float(np.sqrt(abs(np.linalg.det(pixels[:2, :2])))),
        looked_at=(),
        placed=tuple(placed),
        frame_cameras=_cameras(poses_F, lenses),
        guessed=tuple(guessed),
        points=torch.from_numpy(points).float(),
        view=torch.from_numpy(view).long(),
        point=torch.from_numpy(point).long(),
        pixel=torch.from_numpy(pixel).float(),
        zoomed=zoomed,
    )


def _of_views(poses, lenses, placed, views, guessed) -> tuple[np.ndarray, np.ndarray]:
    """The views' poses and lenses; CamerasNotFound when too many are missing or the path is too rough to guess them."""
    missing = ", ".join(str(view + 1) for view in guessed)
    found = f"Only {len(views) - len(guessed)} of {len(views)} views could be placed (not {missing}, counted from 1)"
    if guessed:
        inside = all(placed[0] < views[view] < placed[-1] for view in guessed)
        if not inside or len(guessed) > MOST_GUESSED * len(views) or len(placed) < 4:
            raise CamerasNotFound(
                f"{found}: the others share too few points with them. Use more or sharper frames, or smaller "
                "steps between them."
            )
        error = path_error(poses, placed)
        if error > SMOOTH:
            raise CamerasNotFound(f"{found}, and the camera's path is too uneven to guess the others.")
    numbers = {frame: number for number, frame in enumerate(placed)}
    pairs = [
        (poses[numbers[view]], lenses[numbers[view]]) if view in numbers else between(poses, lenses, placed, view)
        for view in views
    ]
    return np.stack([pose for pose, _ in pairs]), np.stack([lens for _, lens in pairs])


def _cameras(poses: np.ndarray, lenses: np.ndarray) -> Cameras:
    return Cameras(torch.from_numpy(poses).float(), torch.from_numpy(lenses).float())


def _notes(estimate: CameraEstimate, pairs: Sequence[Pair], looked_at: int) -> list[str]:
    notes = []
    if estimate.guessed:
        listed = ", ".join(str(view + 1) for view in estimate.guessed)
        notes.append(
            f"View {listed} (counted from 1) could not be placed; its camera was interpolated between its neighbours."
        )
    if len(estimate.placed) == 2:
        notes.append("Only two frames were placed: the focal length is a guess, and so is the scale of depth.")
    if _flatness(pairs) > RATHER_FLAT:
        notes.append("Nearly everything in view lies in one plane: the focal length and the path are less certain.")
    if len(estimate.points) < 5 * FEWEST_POINTS:
        notes.append(f"The cameras rest on only {len(estimate.points)} points: they are uncertain.")
    return notes
