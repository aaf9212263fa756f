"""What two frames of a video have in common: features, their matches, and the geometry of a pair. Used by cameras.py.

Letters: K features of a frame, M matches of a pair. Points are in pixels of the frame, measured from its corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .products import product

SHORTEST_SIDE, LONGEST_SIDE = 512, 768  # of the longer side of frames in which features are sought; SIFT doubles it
MOST_FEATURES = 3000
CONTRAST = 0.004  # far below OpenCV's 0.04: small, soft and generated pictures have little
RATIO, GUIDED_RATIO = 0.85, 0.85  # of the distances to the best and the second best match
FARTHEST = 0.9  # of descriptors of length 1 that may match
FEWEST = 10  # matches of a pair
MOST_TRIALS = 2000
ERROR = 1 / 128  # of the width: how far a match may be from its epipolar line
EXACT = 1 / 400  # of the width: how far matches may be from a homography that explains them


@dataclass(frozen=True)
class Features:
    """points float32 [K, 2]; descriptors float32 [K, 128] of length 1."""

    points: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two frames that show the same things.

    matches int [M, 2]: numbers of features in the first and the second frame that fit one epipolar geometry. tried: how
    many were compared with it. geometry: pycolmap's. shift: median way of a match over the frame's width. flat: the
    share of matches that one homography explains. turn: how far that homography is from a turn of the camera, 0: it is one.
    """

    first: int
    second: int
    matches: np.ndarray
    tried: int
    geometry: object
    shift: float
    flat: float
    turn: float


def working_scale(height: int, width: int) -> float:
    """What frames are enlarged or shrunk by before features are sought."""
    side = max(height, width)
    return min(max(side, SHORTEST_SIDE), LONGEST_SIDE) / side


def working_frame(frame_HWC: np.ndarray, scale: float) -> np.ndarray:
    """uint8 grey [round(H scale), round(W scale)] of a uint8 RGB frame."""
    grey = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY)
    size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
    return (
        grey if scale == 1 else cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    )


def find_features(grey: np.ndarray) -> Features:
    """SIFT (Lowe 2004) with the square roots of Arandjelovic and Zisserman (CVPR 2012), at most MOST_FEATURES."""
    sift = cv2.SIFT.create(nfeatures=MOST_FEATURES, contrastThreshold=CONTRAST, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None or len(keypoints) == 0:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    points = (
        np.array([keypoint.pt for keypoint in keypoints], np.float32) + 0.5
    )  # OpenCV measures from the pixel's middle
    points, kept = np.unique(points, axis=0, return_index=True)  # several directions at one place are one point
    descriptors = np.sqrt(descriptors[kept] / np.maximum(descriptors[kept].sum(1, keepdims=True), 1e-9))
    return Features(points, descriptors.astype(np.float32))


def choose_pairs(frames: int) -> list[tuple[int, int]]:
    """Which of `frames` consecutive frames are compared: all while they are few, else neighbours at growing distances."""
    gaps = range(1, frames) if frames <= 16 else [1, 2, 3, 5, 8, 13, 21, 34, 55]
    return [(first, first + gap) for gap in gaps for first in range(frames - gap)]


def match_pair(pycolmap, features: Sequence[Features], first: int, second: int, camera, seed: int) -> Pair | None:
    """The pair's matches that fit one epipolar geometry, sought again along the epipolar lines; None when there are too few."""
    a, b = features[first], features[second]
    likeness = product(a.descriptors, b.descriptors.T)
    matches = _mutual_best(likeness, RATIO)
    if len(matches) < FEWEST:
        return None
    geometry = _geometry(pycolmap, a, b, matches, camera, seed)
    if geometry.F is not None and len(geometry.inlier_matches) >= FEWEST:
        likeness[_beside_the_line(a.points, b.points, np.asarray(geometry.F), ERROR / 2 * camera.width)] = -1
        guided = _mutual_best(likeness, GUIDED_RATIO)
        if len(guided) > len(geometry.inlier_matches):
            again = _geometry(pycolmap, a, b, guided, camera, seed)
            geometry = again if len(again.inlier_matches) > len(geometry.inlier_matches) else geometry
    inliers = np.asarray(geometry.inlier_matches).astype(np.int64).reshape(-1, 2)
    if len(inliers) < FEWEST:
        return None
    ends = a.points[inliers[:, 0]], b.points[inliers[:, 1]]
    shift = float(np.median(np.linalg.norm(ends[0] - ends[1], axis=1))) / camera.width
    return Pair(first, second, inliers, len(matches), geometry, shift, *_homography(*ends, camera.width, camera.height))


def _mutual_best(likeness: np.ndarray, ratio: float) -> np.ndarray:
    """int [M, 2]: pairs that are each other's best and clearly better than the second best."""
    if min(likeness.shape) < 2:
        return np.zeros((0, 2), np.int64)
    (forth, clear), (back, clear_back) = _best(likeness, ratio), _best(likeness.T, ratio)
    numbers = np.arange(len(likeness))
    kept = clear & (back[forth] == numbers) & clear_back[forth]
    return np.stack([numbers[kept], forth[kept]], 1)


def _best(likeness: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    rows, others = np.arange(len(likeness)), likeness.copy()
    best = others.argmax(1)
    others[rows, best] = -np.inf
    nearest, next_ = (np.sqrt(np.maximum(2 - 2 * values, 0)) for values in (likeness[rows, best], others.max(1)))
    return best, (nearest < ratio * next_) & (nearest < FARTHEST)


def _geometry(pycolmap, a: Features, b: Features, matches: np.ndarray, camera, seed: int):
    options = pycolmap.TwoViewGeometryOptions()
    options.min_num_inliers, options.detect_watermark = FEWEST, False
    options.ransac.max_error, options.ransac.random_seed = ERROR * camera.width, seed
    options.ransac.max_num_trials = MOST_TRIALS
    return pycolmap.estimate_two_view_geometry(camera, a.points, camera, b.points, matches.astype(np.uint32), options)


def _beside_the_line(a: np.ndarray, b: np.ndarray, fundamental: np.ndarray, most: float) -> np.ndarray:
    """Bool [K, K']: whether one of two points is more than `most` pixels from the other's epipolar line.

    Millions of pairs: lines of length 1 in single precision are exact to a thousandth of a pixel.
    """
    a1, b1 = np.c_[a, np.ones(len(a))], np.c_[b, np.ones(len(b))]
    lines_b, lines_a = a1 @ fundamental.T, b1 @ fundamental
    length_b, length_a = (np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12) for lines in (lines_b, lines_a))
    away = product((lines_b / length_b[:, None]).astype(np.float32), b1.T.astype(np.float32))
    np.abs(away, out=away)
    # the other point's line is as far as this one's times length_b / length_a
    ratio = (length_b[:, None].astype(np.float32) / length_a.astype(np.float32)).clip(1)
    return np.multiply(away, ratio, out=away) > most


def _homography(a: np.ndarray, b: np.ndarray, width: int, height: int) -> tuple[float, float]:
    """(share of matches that one homography explains within EXACT, how far it is from a turn of the camera)."""
    cv2.setRNGSeed(0)
    homography, inliers = cv2.findHomography(a, b, cv2.RANSAC, EXACT * width, maxIters=1000, confidence=0.999)
    if homography is None:
        return 0.0, 1.0
    return float(inliers.mean()), min(_distance_from_turn(homography, focal * width, width, height) for focal in FOCALS)


FOCALS = tuple(np.geomspace(0.4, 4.0, 25))  # over the width


def _distance_from_turn(homography: np.ndarray, focal: float, width: int, height: int) -> float:
    """How far the singular values of K^-1 H K are from one another: 0 when H is a turn of a camera of this focal length."""
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    values = np.linalg.svd(np.linalg.inv(lens) @ homography @ lens, compute_uv=False)
    return float(values[0] / max(values[2], 1e-12) - 1)
