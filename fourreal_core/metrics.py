"""How close a filled grid is to the truth, in dB. Only unknown cells count; moving pixels tell more than the mostly still rest.

Shape suffixes: V views, T times, N compared cells, H W pixels, C = 3 colour channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .grid import FrameGrid

MOVING_THRESHOLD = 0.05  # of the range 0..1


def psnr(prediction: Tensor, truth: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1; infinite where the two are equal.

    mask: bool, shaped like the leading axes of `truth` ([V, T] or [V, T, H, W] for [V, T, H, W, 3]): which elements count (None: all).
    Raises ValueError on different shapes or a mask that selects nothing.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"expected a prediction of the truth's shape {list(truth.shape)}, got {list(prediction.shape)}.")
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != truth.shape[: mask.ndim]:
            raise ValueError(f"expected a bool mask shaped like the leading axes of {list(truth.shape)}, got {mask.dtype} {list(mask.shape)}.")
        prediction, truth = prediction[mask], truth[mask]
    if truth.numel() == 0:
        raise ValueError("expected at least one pixel to compare, got none: the mask selects nothing.")
    error = (prediction - truth).square().mean(dtype=torch.float64).item()
    return -10 * math.log10(error) if error > 0 else math.inf


def moving_pixels(truth_VTHWC: Tensor, threshold: float = MOVING_THRESHOLD) -> Tensor:
    """Bool [V, T, H, W]: pixels whose largest channel change since the first time, |x[v, t] - x[v, 0]|, exceeds `threshold` (0..1)."""
    return (truth_VTHWC - truth_VTHWC[:, :1]).abs().amax(-1) > threshold


def grid_psnr(prediction: FrameGrid | Sequence[FrameGrid], truth: FrameGrid | Sequence[FrameGrid]) -> dict[str, float]:
    """PSNR in dB over the cells that are unknown in `prediction` and known in `truth`: {"all": every pixel, "moving": moving ones}.

    With sequences of grids: the mean over grids of each grid's PSNR. A grid in which nothing moves has no "moving" value and is left
    out of that mean; NaN if no grid moves. Raises ValueError when no cell can be compared.
    """
    predictions, truths = ([grids] if isinstance(grids, FrameGrid) else list(grids) for grids in (prediction, truth))
    if len(predictions) != len(truths) or not truths:
        raise ValueError(f"expected one true grid per predicted grid, got {len(truths)} and {len(predictions)}.")
    scores = [_one_grid_psnr(*pair) for pair in zip(predictions, truths)]
    moving = [score["moving"] for score in scores if not math.isnan(score["moving"])]
    return {"all": sum(score["all"] for score in scores) / len(scores), "moving": sum(moving) / len(moving) if moving else math.nan}


def _one_grid_psnr(prediction: FrameGrid, truth: FrameGrid) -> dict[str, float]:
    if prediction.frames.shape != truth.frames.shape:
        raise ValueError(f"expected a predicted grid of the truth's shape {list(truth.frames.shape)}, got {list(prediction.frames.shape)}.")
    cells_VT = ~prediction.known & truth.known
    if not cells_VT.any():
        raise ValueError("expected cells that are unknown in the prediction and known in the truth, got none: there is nothing to compare.")
    predicted_NHWC, true_NHWC = prediction.frames[cells_VT], truth.frames[cells_VT]
    moving_NHW = moving_pixels(truth.frames)[cells_VT]
    return {"all": psnr(predicted_NHWC, true_NHWC), "moving": psnr(predicted_NHWC, true_NHWC, moving_NHW) if moving_NHW.any() else math.nan}
