"""How close a filled grid is to the truth: PSNR in dB, SSIM. Only unknown cells count; moving pixels tell more than the mostly still rest.

Shape suffixes: V views, T times, N compared cells, H W pixels, C = 3 colour channels, K side of the SSIM window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask

MOVING_THRESHOLD = 0.05  # of the range 0..1
BAND = 2**18  # pixels that are worked on at once
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels; these and the next two as in Wang et al. 2004
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for the range 0..1
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, Rec. 601


def psnr(prediction: Tensor, truth: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1; infinite where the two are equal.

    mask: bool, shaped like the leading axes of `truth` ([V, T] or [V, T, H, W] for [V, T, H, W, 3]): which elements count (None: all).
    Raises ValueError on different shapes or a mask that selects nothing.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"expected the prediction to have the truth's shape {list(truth.shape)}, got {list(prediction.shape)}."
        )
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != truth.shape[: mask.ndim]:
            raise ValueError(
                f"expected a bool mask shaped like the leading axes of {list(truth.shape)}, got {mask.dtype} {list(mask.shape)}."
            )
        prediction, truth = prediction[mask], truth[mask]
    if truth.numel() == 0:
        raise ValueError("expected at least one pixel to compare, got none: the mask selects nothing.")
    error = (prediction - truth).square().mean(dtype=torch.float64).item()
    return -10 * math.log10(error) if error > 0 else math.inf


def moving_pixels(truth_VTHWC: Tensor, threshold: float = MOVING_THRESHOLD) -> Tensor:
    """Bool [V, T, H, W]: pixels whose largest channel change since the first time, |x[v, t] - x[v, 0]|, exceeds `threshold` (0..1)."""
    return (truth_VTHWC - truth_VTHWC[:, :1]).abs().amax(-1) > threshold


def sharpness(prediction_NHWC: Tensor, truth_NHWC: Tensor, mask_NHW: Tensor) -> float:
    """How much fine detail the masked pixels have, relative to the truth: 1 where equal, less where blurred, more where noisy.

    The mean size of the Laplacian of the grey frames. NaN when the mask selects nothing, or the truth is flat there.
    """
    detail, wanted = (float(_laplacian(frames)[mask_NHW].mean()) for frames in (prediction_NHWC, truth_NHWC))
    return detail / wanted if wanted else math.nan


def _laplacian(frames_NHWC: Tensor) -> Tensor:
    """[N, H, W]: its size; borders repeated."""
    grey = F.pad(frames_NHWC.mean(-1)[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(grey, grey.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None])[:, 0].abs()


def ssim(prediction_NHWC: Tensor, truth_NHWC: Tensor) -> float:
    """Mean structural similarity of the luma of frames in 0..1: 1 where equal, around 0 where unrelated.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment", 2004: Gaussian window of 11 x 11 pixels with sigma 1.5,
    windows that fit into the frame. Raises ValueError on different shapes, no frame, or frames smaller than the window.
    """
    if prediction_NHWC.shape != truth_NHWC.shape:
        raise ValueError(
            f"expected the prediction to have the truth's shape {list(truth_NHWC.shape)}, got "
            f"{list(prediction_NHWC.shape)}."
        )
    if len(truth_NHWC) == 0 or min(truth_NHWC.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(
            f"expected at least one frame, of at least {SSIM_WINDOW} pixels per side, got {list(truth_NHWC.shape)}."
        )
    values = [
        _frame_ssim(*(frame_HWC.double() @ frame_HWC.new_tensor(LUMA).double() for frame_HWC in pair))
        for pair in zip(prediction_NHWC, truth_NHWC)
    ]
    return torch.stack(values).mean().item()


def _frame_ssim(a_HW: Tensor, b_HW: Tensor) -> Tensor:
    """Some lines of windows after the other: a large frame takes seconds."""
    height, width = a_HW.shape
    lines = max(1, BAND // width)
    bands = []
    for first in range(0, height - SSIM_WINDOW + 1, lines):
        ask()
        band = slice(first, first + lines + SSIM_WINDOW - 1)
        bands.append(_window_ssim(a_HW[band], b_HW[band]).flatten())
    return torch.cat(bands).mean()


def _window_ssim(a_HW: Tensor, b_HW: Tensor) -> Tensor:
    """Of every window that fits."""
    moments = torch.stack([a_HW, b_HW, a_HW * a_HW, b_HW * b_HW, a_HW * b_HW])
    mean_a, mean_b, square_a, square_b, product = _window_means(moments)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    alike = (2 * mean_a * mean_b + SSIM_C1) * (2 * covariance + SSIM_C2)
    return alike / ((mean_a**2 + mean_b**2 + SSIM_C1) * (variances + SSIM_C2))


def _window_means(maps_NHW: Tensor) -> Tensor:
    """Gaussian means `[N, H - K + 1, W - K + 1]` over all windows inside the frame, one axis after the other."""
    offsets_K = torch.arange(SSIM_WINDOW, dtype=maps_NHW.dtype, device=maps_NHW.device) - SSIM_WINDOW // 2
    weights_K = torch.exp(-offsets_K.square() / (2 * SSIM_SIGMA**2))
    weights_K = weights_K / weights_K.sum()
    downwards = F.conv2d(maps_NHW[:, None], weights_K.view(1, 1, -1, 1))
    return F.conv2d(downwards, weights_K.view(1, 1, 1, -1))[:, 0]


def grid_ssim(prediction: FrameGrid, truth: FrameGrid) -> float:
    """Mean SSIM over the cells that are unknown in `prediction` and known in `truth`. Raises ValueError when there is none."""
    cells_VT = _compared_cells(prediction, truth)
    return ssim(prediction.frames[cells_VT], truth.frames[cells_VT])


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
    return {
        "all": sum(score["all"] for score in scores) / len(scores),
        "moving": sum(moving) / len(moving) if moving else math.nan,
    }


def _one_grid_psnr(prediction: FrameGrid, truth: FrameGrid) -> dict[str, float]:
    cells_VT = _compared_cells(prediction, truth)
    predicted_NHWC, true_NHWC = prediction.frames[cells_VT], truth.frames[cells_VT]
    moving_NHW = moving_pixels(truth.frames)[cells_VT]
    return {
        "all": psnr(predicted_NHWC, true_NHWC),
        "moving": psnr(predicted_NHWC, true_NHWC, moving_NHW) if moving_NHW.any() else math.nan,
    }


def _compared_cells(prediction: FrameGrid, truth: FrameGrid) -> Tensor:
    if prediction.frames.shape != truth.frames.shape:
        raise ValueError(
            f"expected the predicted grid to have the truth's shape {list(truth.frames.shape)}, got "
            f"{list(prediction.frames.shape)}."
        )
    cells_VT = ~prediction.known & truth.known
    if not cells_VT.any():
        raise ValueError("no cell is unknown in the prediction and known in the truth: there is nothing to compare.")
    return cells_VT
