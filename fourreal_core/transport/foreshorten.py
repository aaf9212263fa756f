"""How a motion seen from one view looks from another: turning the camera shortens and shears it. Next to read: carry.py.

Around a moving thing the parallax from view v0 to v is nearly an affine map, p -> p + P(p), whose linear part is the upper left of the
turn between two scaled orthographic cameras. What moves by F in v0 therefore moves by (1 + dP/dp) F in v, but for its motion in depth,
which one view cannot see. [ours]

Shape suffixes: h w working pixels, 2 = (x, y) displacement in working pixels.
"""

from __future__ import annotations

import numpy as np

STRIDE = 3  # every third pixel is enough for six numbers
ROUNDS = 6  # of reweighting
TOLERANCE = 2.0  # working pixels: a pixel this far off the affine map counts half
FULL_MOTION = 2.0  # working pixels from which on a pixel counts as moving
FEWEST = 30.0  # moving pixels that balance the belief that nothing is shortened
SPREAD = 10.0  # working pixels: how widely those imagined pixels are spread


def foreshortening(parallax_hw2: np.ndarray, motion_hw2: np.ndarray, trust_hw: np.ndarray) -> np.ndarray:
    """[2, 2]: how the parallax (x, y) changes with the position (x, y), fitted to what moves; zero where nothing does.

    Robust least squares (Cauchy weights). trust_hw: 0..1, how much a pixel's parallax is believed.
    """
    y, x = np.mgrid[: parallax_hw2.shape[0] : STRIDE, : parallax_hw2.shape[1] : STRIDE].astype(np.float64)
    positions = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    parallax = parallax_hw2[::STRIDE, ::STRIDE].reshape(-1, 2).astype(np.float64)
    speed = np.linalg.norm(motion_hw2[::STRIDE, ::STRIDE], axis=-1).ravel()
    belief = trust_hw[::STRIDE, ::STRIDE].ravel() * np.minimum(speed / FULL_MOTION, 1.0)
    if belief.sum() <= 0:
        return np.zeros((2, 2), np.float32)
    weight = belief
    for _ in range(ROUNDS):
        centre = weight @ positions / weight.sum()
        offsets = positions[:, :2] - centre[:2]
        middle = weight @ parallax / weight.sum()
        scatter = (offsets * weight[:, None]).T @ offsets + FEWEST * SPREAD**2 * np.eye(2)
        slope = np.linalg.solve(scatter, (offsets * weight[:, None]).T @ (parallax - middle))
        off = np.linalg.norm(parallax - middle - offsets @ slope, axis=1)
        weight = belief / (1.0 + (off / TOLERANCE) ** 2)
    return np.clip(slope.T, -1.0, 1.0).astype(np.float32)
