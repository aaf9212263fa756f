"""A cell in full size after a small picture of it: per pixel the candidates that agree with the picture, and what they leave open added.

The small picture decides what is shown where, whatever made it; the candidates, read from the frames of the two videos, bring the detail. [ours]
Shape suffixes: N candidates, H W pixels, h w small pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SOFT = 0.01  # colour difference, 0..1, by which a candidate must agree better to be taken alone
PLAIN = 0.05  # colour difference from the small picture up to which a sharp candidate is taken rather than the picture enlarged
WINDOW = 3  # small pixels over which agreement is averaged


def agreed(pictures_N3HW: Tensor, small_hw3: Tensor) -> tuple[Tensor, Tensor]:
    """The cell [H, W, 3] in 0..1, and the error expected of it [H, W], from its candidates in 0..1 and the small picture of it.

    Shrunk to the small picture's size, the cell is that picture nearly everywhere: the difference that is left is enlarged and added.
    """
    size = (pictures_N3HW.shape[-2], pictures_N3HW.shape[-1])
    small_size = (small_hw3.shape[0], small_hw3.shape[1])
    small_13hw = small_hw3.movedim(-1, 0)[None]
    enlarged_13HW = _enlarged(small_13hw, size).clamp(0, 1)
    squared_Nhw = (_shrunk(pictures_N3HW, small_size) - small_13hw).square().mean(1)
    squared_Nhw = functional.avg_pool2d(squared_Nhw, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    squared_Nhw = torch.cat([squared_Nhw, torch.full_like(squared_Nhw[:1], PLAIN**2)])
    weights_Nhw = (squared_Nhw / (-2 * SOFT**2)).softmax(0)
    weights_NHW = functional.interpolate(weights_Nhw[None], size=size, mode="bilinear", align_corners=False)[0]
    cell_13HW = weights_NHW[-1] * enlarged_13HW
    for weight_HW, picture_3HW in zip(weights_NHW, pictures_N3HW):
        cell_13HW += weight_HW * picture_3HW
    cell_13HW += _enlarged(small_13hw - _shrunk(cell_13HW, small_size), size)
    error_hw = (weights_Nhw * squared_Nhw).sum(0).sqrt()
    error_HW = functional.interpolate(error_hw[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return cell_13HW[0].clamp(0, 1).movedim(0, -1), error_HW


def _shrunk(pictures_N3HW: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(pictures_N3HW, size=size, mode="bilinear", align_corners=False, antialias=True)


def _enlarged(pictures_N3hw: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(pictures_N3hw, size=size, mode="bicubic", align_corners=False)
