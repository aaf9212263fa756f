"""Predict one cell from three known ones by carrying a correspondence from one pair of cells to another.

The three known cells form an L with the wanted one: `base` (the picture that is warped), `corner`, and `side`. With
base = (v, t0), corner = (v0, t0), side = (v0, t) the motion corner -> side is carried to the base view: prediction "along time".
With base = (v0, t), corner = (v0, t0), side = (v, t0) the parallax is carried to the base time: prediction "along view".
The two directions are one function; in both, what moves is seen foreshortened from the other view (foreshorten.py). Next to read:
fill.py, which chooses the L and blends.

Shape suffixes: h w working pixels, H W frame pixels, 3 colours, 2 = (x, y) displacement in working pixels, K evidence channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .correspondence import TRIP_DOUBT, Cell, CellFlows, length, look_up


@dataclass(frozen=True)
class Carried:
    """One prediction of a cell and what is known about it, pixel by pixel."""

    picture_HW3: np.ndarray  # the base picture moved to the wanted cell, 0..1
    evidence_HWK: np.ndarray  # in the order of confidence.EVIDENCE, without the disagreement
    back_HW2: np.ndarray  # from each pixel of the wanted cell to where it came from in the base, (x, y) in frame pixels


def carry(flows: CellFlows, base: Cell, corner: Cell, side: Cell, turned_hw2: np.ndarray) -> Carried:
    """Move the base picture as `corner -> side` moves, foreshortened as seen from the base by `turned_hw2`, which `flows.turned` gives.

    Returns picture and evidence on the wanted cell's pixels."""
    partner_hw2 = flows.positions_hw2 + flows.flow(base, corner)
    motion_hw2 = look_up(flows.flow(corner, side) + turned_hw2, partner_hw2)
    trust_hw = np.exp(
        -TRIP_DOUBT * (flows.round_trip(base, corner) + look_up(flows.round_trip(corner, side), partner_hw2))
    )
    back_hw2, cover_hw = invert_displacement(motion_hw2, trust_hw)
    source_hw2 = flows.positions_hw2 + back_hw2
    picture_HW3 = sample_frame(flows.frame(base), back_hw2, flows.scale)
    evidence_hwK = _evidence(flows, base, corner, side, source_hw2, back_hw2, cover_hw)
    height, width = picture_HW3.shape[:2]
    evidence_HWK, back_HW2 = (
        cv2.resize(x, (width, height), interpolation=cv2.INTER_AREA) for x in (evidence_hwK, back_hw2)
    )
    return Carried(picture_HW3, evidence_HWK, back_HW2 / np.float32(flows.scale))


def _evidence(
    flows: CellFlows,
    base: Cell,
    corner: Cell,
    side: Cell,
    source_hw2: np.ndarray,
    back_hw2: np.ndarray,
    cover_hw: np.ndarray,
) -> np.ndarray:
    """[h, w, K]: what speaks against the prediction at each pixel of the wanted cell, read where the pixel came from."""
    partner_hw2 = source_hw2 + look_up(flows.flow(base, corner), source_hw2)
    kernel = np.ones((7, 7), np.uint8)
    spread_hw2 = cv2.dilate(back_hw2, kernel) - cv2.erode(back_hw2, kernel)
    channels = (
        length(back_hw2),
        length(spread_hw2),
        look_up(flows.round_trip(corner, side), partner_hw2),
        look_up(flows.mismatch(corner, side), partner_hw2),
        look_up(flows.changed(corner, side), partner_hw2),
        1.0 - np.clip(cover_hw, 0.0, 1.0),
    )
    return np.stack(channels, axis=-1).astype(np.float32)


def invert_displacement(motion_hw2: np.ndarray, trust_hw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacement from where things arrive back to where they came from, and how much arrived there (1 = one whole pixel).

    Forward splatting with bilinear weights; where several arrive the trusted and the faster win (things in front move);
    where none arrives the displacement is filled from around, preferring what moves least (the background is uncovered).
    """
    height, width = trust_hw.shape
    arrival_hw2 = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + motion_hw2
    rank_hw = (trust_hw + 1e-3) * (1.0 + length(motion_hw2))
    x0, y0 = np.floor(arrival_hw2[..., 0]).astype(np.int64), np.floor(arrival_hw2[..., 1]).astype(np.int64)
    amounts = (motion_hw2[..., 0] * rank_hw, motion_hw2[..., 1] * rank_hw, rank_hw, trust_hw)
    sums = np.zeros((len(amounts), (height + 2) * (width + 2)))  # with a border for what leaves the picture
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = x0 + dx, y0 + dy
            share = (1 - np.abs(arrival_hw2[..., 0] - x)) * (1 - np.abs(arrival_hw2[..., 1] - y))
            index = (np.clip(y, -1, height) + 1) * (width + 2) + np.clip(x, -1, width) + 1
            for total, amount in zip(sums, amounts):
                total += np.bincount(index.ravel(), (share * amount).ravel(), len(total))
    inner = sums.reshape(-1, height + 2, width + 2)[:, 1:-1, 1:-1]
    sum_x, sum_y, rank_sum_hw, cover_hw = inner.astype(np.float32)
    back_hw2 = -np.stack([sum_x, sum_y], axis=-1) / np.maximum(rank_sum_hw, 1e-6)[..., None]
    return fill_unknown(back_hw2, np.clip(2 * cover_hw, 0, 1)), cover_hw


def fill_unknown(values_hwC: np.ndarray, known_hw: np.ndarray) -> np.ndarray:
    """Where `known` (0..1) is low, replace by the average of the surroundings, small values preferred, coarse to fine."""
    weight_hw = known_hw / (1.0 + length(values_hwC)) ** 2 + 1e-12
    return _fill_level(values_hwC, weight_hw, known_hw)


def _fill_level(values_hwC: np.ndarray, weight_hw: np.ndarray, known_hw: np.ndarray) -> np.ndarray:
    height, width = known_hw.shape
    if min(height, width) < 2 or known_hw.min() >= 1.0:
        return values_hwC
    half = ((width + 1) // 2, (height + 1) // 2)
    small_weight = cv2.resize(weight_hw, half, interpolation=cv2.INTER_AREA)
    small_values = (
        cv2.resize(values_hwC * weight_hw[..., None], half, interpolation=cv2.INTER_AREA) / small_weight[..., None]
    )
    small_known = np.clip(2 * cv2.resize(known_hw, half, interpolation=cv2.INTER_AREA), 0, 1)
    filled = cv2.resize(
        _fill_level(small_values, small_weight, small_known), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return filled + known_hw[..., None] * (values_hwC - filled)


def sample_frame(frame_HW3: np.ndarray, back_hw2: np.ndarray, scale: float) -> np.ndarray:
    """The frame read at each pixel's displaced position; zero displacement gives the frame itself, bit for bit.

    When the displacement is finer than the frame (`scale` = n > 1) each frame pixel is the mean of its n x n samples, which
    softens the edges of moving things as a camera does.
    """
    height, width = frame_HW3.shape[:2]
    if scale < 1:
        back_hw2 = cv2.resize(back_hw2, (width, height), interpolation=cv2.INTER_LINEAR)
    fine = max(1, round(scale))
    y_HW, x_HW = np.mgrid[:height, :width].astype(np.float32)
    total_HW3 = np.zeros_like(frame_HW3)
    for dy in range(fine):
        for dx in range(fine):
            back_HW2 = back_hw2[dy::fine, dx::fine] / scale
            total_HW3 += cv2.remap(
                frame_HW3,
                x_HW + back_HW2[..., 0],
                y_HW + back_HW2[..., 1],
                cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REPLICATE,
            )
    return np.clip(total_HW3 / fine**2, 0.0, 1.0)
