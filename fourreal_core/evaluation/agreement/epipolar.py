"""Do the views show one rigid scene at each time, from cameras that stand still? One fundamental matrix per pair of views, shared by all times.

With a matrix per pair of frames, rigid jitter of single frames goes unseen, because each pair may have moved its cameras; pooled over times it
does not. It is the trick of pooling the frames of a view in structure from motion, used to judge.

Letters: V views, T times, K features, M matches. Points are in pixels of the enlarged frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ...grid import FrameGrid
from ...side_by_side import ask
from ..measured import Measured, nan_map

SIDE, ENLARGEMENT = (
    512,
    2,
)  # pixels of the longer side of the frames in which features are sought; small ones are enlarged by this at most
MOST_FEATURES = 1500
CONTRAST = 0.01  # below OpenCV's 0.04: rendered and generated frames are soft
RATIO = 0.8  # of the distances to the best and the second best match (Lowe 2004)
TOLERANCE = 1 / 400  # of the width: Sampson distance of a match that agrees
FEWEST = 50  # pooled matches of a pair of views
FEWEST_OF_CELL = 8  # matches for a number of a cell
FLAT = 0.9  # share of matches that one homography explains: then any fundamental matrix through it fits, and nothing can be told
GAPS = (1, 2, 4)  # between views; wider ones are tried where nearer ones show no parallax


@dataclass(frozen=True)
class ViewPair:
    """first, second: views. ends [M, 4]: (x, y) in each; times [M]. agrees bool [M], None when `reason` says why it cannot be told."""

    first: int
    second: int
    ends: np.ndarray
    times: np.ndarray
    agrees: np.ndarray | None
    reason: str


def epipolar_agreement(grid: FrameGrid) -> Measured:
    """Share of matches between neighbouring views within 0.25 % of the width of their epipolar line, mean over pairs of views.

    One fundamental matrix per pair of views for all times (MAGSAC++, Barath et al. 2020, on SIFT). Per cell: the share of its matches.
    Not measurable with one view, fewer than 50 matches, or a scene in which one homography explains 90 % of the matches.
    """
    if grid.views < 2:
        return Measured.not_measurable("one view only")
    scale = min(ENLARGEMENT, SIDE / max(grid.height, grid.width))
    features = [[_features(cell, scale) for cell in view] for view in grid.frames.numpy()]
    width = grid.width * scale
    reasons: list[str] = []
    for gap in GAPS:
        pairs = [_pair(features, first, first + gap, width) for first in range(grid.views - gap)]
        judged = [pair for pair in pairs if pair.agrees is not None]
        if judged:
            return _measured(grid, judged, len(pairs))
        reasons += [pair.reason for pair in pairs]
    return Measured.not_measurable(max(reasons, key=reasons.count))


def _measured(grid: FrameGrid, judged: list[ViewPair], tried: int) -> Measured:
    good, total = torch.zeros(grid.views, grid.times), torch.zeros(grid.views, grid.times)
    shares = []
    for pair in judged:
        agrees = pair.agrees
        assert agrees is not None
        shares.append(float(agrees.mean()))
        for view in (pair.first, pair.second):
            total[view] += torch.from_numpy(np.bincount(pair.times, minlength=grid.times)).float()
            good[view] += torch.from_numpy(np.bincount(pair.times[agrees], minlength=grid.times)).float()
    cells = torch.where(total >= FEWEST_OF_CELL, good / total.clamp(min=1), nan_map((grid.views, grid.times)))
    details = {"pairs": len(judged), "pairs_tried": tried, "matches": float(sum(len(pair.times) for pair in judged))}
    return Measured(float(np.mean(shares)), cells_VT=cells, details=details)


def _features(cell_HWC: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """(points [K, 2], descriptors [K, 128], square roots as of Arandjelovic and Zisserman 2012) of a frame in 0..1."""
    ask()
    grey = np.rint(np.clip(cv2.cvtColor(cell_HWC, cv2.COLOR_RGB2GRAY), 0, 1) * 255).astype(np.uint8)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    points, descriptors = cv2.SIFT.create(nfeatures=MOST_FEATURES, contrastThreshold=CONTRAST).detectAndCompute(
        grey, None
    )  # pyright: ignore[reportArgumentType, reportCallIssue]
    if descriptors is None or len(points) < 2:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    places = np.array([point.pt for point in points], np.float32)
    roots = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9))
    return places, roots.astype(np.float32)


def _pair(features, first: int, second: int, width: float) -> ViewPair:
    ask()
    ends, times = [], []
    for time, (one, other) in enumerate(zip(features[first], features[second])):
        found = _matches(one[1], other[1])
        ends.append(np.concatenate([one[0][found[:, 0]], other[0][found[:, 1]]], 1))
        times.append(np.full(len(found), time))
    ends, times = np.concatenate(ends), np.concatenate(times)
    return ViewPair(first, second, ends, times, *_judge(ends, width))


def _matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int [M, 2]: features that are each other's best match, and clearly better than the second best."""
    if min(len(first), len(second)) < 2:
        return np.zeros((0, 2), np.int64)
    likeness = first @ second.T
    best = likeness.argmax(1)
    back = likeness.argmax(0)
    numbers = np.arange(len(first))
    top = likeness[numbers, best]
    likeness[numbers, best] = -1
    distances = [np.sqrt(np.maximum(2 - 2 * value, 0)) for value in (top, likeness.max(1))]
    kept = (back[best] == numbers) & (distances[0] < RATIO * distances[1])
    return np.stack([numbers[kept], best[kept]], 1)


def _judge(ends: np.ndarray, width: float) -> tuple[np.ndarray | None, str]:
    """(which matches agree with one fundamental matrix, "") or (None, why that cannot be told)."""
    if len(ends) < FEWEST:
        return None, f"fewer than {FEWEST} matches between views"
    first, second = ends[:, :2], ends[:, 2:]
    flat = _share_of_homography(first, second, width)
    if flat > FLAT:
        return None, "no parallax: the views differ by no more than a flat picture could"
    matrix, _ = cv2.findFundamentalMat(first, second, cv2.USAC_MAGSAC, TOLERANCE * width, 0.9999, 5000)
    if matrix is None or matrix.shape != (3, 3):
        return None, "no camera motion was found that fits the matches"
    return sampson(matrix, first, second) < TOLERANCE * width, ""


def _share_of_homography(first: np.ndarray, second: np.ndarray, width: float) -> float:
    matrix, inliers = cv2.findHomography(first, second, cv2.USAC_MAGSAC, TOLERANCE * width, maxIters=2000)
    return 0.0 if matrix is None else float(inliers.mean())


def sampson(matrix: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sampson distance [M] in pixels of matches [M, 2] from a fundamental matrix (Hartley and Zisserman, 11.4.3)."""
    one, other = np.c_[first, np.ones(len(first))], np.c_[second, np.ones(len(second))]
    line, back = one @ matrix.T, other @ matrix
    product = np.abs((other * line).sum(1))
    return product / np.maximum(np.sqrt((line[:, :2] ** 2).sum(1) + (back[:, :2] ** 2).sum(1)), math.ulp(1.0))
