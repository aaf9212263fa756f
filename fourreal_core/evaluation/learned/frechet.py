"""Distances between two sets of features: Frechet's for large sets, the kernel distance, which has no bias, for small ones.

With few samples the Frechet distance measures their number: of two samples of one Gaussian in 400 dimensions it is 126 % of the total variance with 16
samples, 72 % with 64 and 8 % with 1024. So below `FEWEST` there is none. Shape suffixes: N samples, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 64  # samples on each side, for a Frechet distance
FEWEST_KERNEL = 2


@dataclass(frozen=True)
class SetDistance:
    """name: "FVD" or "KVD"; value; counts: samples of the first and the second set."""

    name: str
    value: float
    counts: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} (n = {self.counts[0]} and {self.counts[1]})"


def set_distance(first_ND: np.ndarray, second_ND: np.ndarray) -> SetDistance:
    """FVD of two sets of video features, or, with fewer than 64 on a side, their KVD; the two are not on one scale.

    Raises ValueError on other shapes, features that are not finite, or fewer than two samples.
    """
    for features in (first_ND, second_ND):
        if features.ndim != 2 or features.shape[1] != first_ND.shape[1]:
            raise ValueError(
                f"expected two sets of features [N, D] of one D, got {first_ND.shape} and {second_ND.shape}."
            )
        if not np.isfinite(features).all():
            raise ValueError("expected finite features, got NaN or infinity: check the weights of the network.")
    counts = len(first_ND), len(second_ND)
    if min(counts) >= FEWEST:
        return SetDistance("FVD", frechet_distance(first_ND, second_ND), counts)
    if min(counts) < FEWEST_KERNEL:
        raise ValueError(
            f"expected at least {FEWEST_KERNEL} walks on each side, got {counts[0]} and {counts[1]}: measure more grids."
        )
    return SetDistance("KVD", kernel_distance(first_ND, second_ND), counts)


def frechet_distance(first_ND: np.ndarray, second_ND: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the Gaussians that fit two sets (Heusel et al., 2017; of videos: Unterthiner et al., 2018)."""
    first, second = first_ND.astype(np.float64), second_ND.astype(np.float64)
    means = first.mean(0), second.mean(0)
    one, other = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (first, second))
    root = _root(one)
    crossed = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other @ root), 0, None)).sum()  # tr (C1 C2)^(1/2)
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(one) + np.trace(other) - 2 * crossed)


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def kernel_distance(first_ND: np.ndarray, second_ND: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / D + 1)^3 (Binkowski et al., 2018); around 0 for equal sets, may be negative."""
    first, second = first_ND.astype(np.float64), second_ND.astype(np.float64)
    kernel = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    within = [_mean_off_diagonal(kernel(features, features)) for features in (first, second)]
    return float(within[0] + within[1] - 2 * kernel(first, second).mean())


def _mean_off_diagonal(matrix: np.ndarray) -> float:
    count = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (count * (count - 1)))
