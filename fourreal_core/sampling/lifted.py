"""A model that knows small cells only, used on large ones: it works on a small copy, and what it changes there is laid over the large fill.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import FrameGrid
from ..model.condition import check_guess
from ..model.config import PATCH
from ..side_by_side import ask
from ..transport import Direction, Predictions

HOME = (72, 128)  # height, width of the cells that the bundled model was trained on
MUCH_LARGER = 2.0  # times as many pixels, from which on a model is better served a small copy

FillSmall = Callable[[FrameGrid, Predictions, FrameGrid | None], FrameGrid]


def home_size(height: int, width: int) -> tuple[int, int]:
    """The size to work at for cells of this size: theirs, or for cells of more than twice `HOME`'s pixels about as many as it has.

    Keeps the aspect as far as sides that are multiples of 8 allow.
    """
    share = (HOME[0] * HOME[1] / (height * width)) ** 0.5
    if share >= MUCH_LARGER**-0.5:
        return height, width
    small = tuple(max(PATCH, round(side * share / PATCH) * PATCH) for side in (height, width))
    return min(small[0], height), min(small[1], width)


def lifted(grid: FrameGrid, predictions: Predictions, guess: FrameGrid | None, fill_small: FillSmall) -> FrameGrid:
    """The unknown cells of a grid, filled at `home_size`; known cells stay bit-exact. [ours]

    fill_small(small grid, its predictions, small guess) gives the small grid filled. What that adds to the small start (the guess,
    else the predictions' blend), enlarged, is added to the large start: its sharpness stays, and the model's corrections reach as
    deep as the model saw. ValueError for a guess of another size.
    """
    check_guess(grid, guess)
    size = home_size(grid.height, grid.width)
    small_guess = None if guess is None else guess.resized(*size, fit="stretch")
    small_predictions = shrunk(predictions, size)
    filled = fill_small(grid.resized(*size, fit="stretch"), small_predictions, small_guess)
    small_start = small_predictions.blend if small_guess is None else small_guess.frames
    start = predictions.blend if guess is None else guess.frames
    added = _resized(filled.frames - small_start, (grid.height, grid.width), "bicubic")
    return grid.filled((start + added).clamp_(0, 1))


def shrunk(predictions: Predictions, size: tuple[int, int]) -> Predictions:
    """Predictions at a smaller (height, width); displacements are in pixels of it."""

    def small(direction: Direction) -> Direction:
        height, width = direction.confidence.shape[-2:]
        frames, source, back = (_resized(part, size) for part in (direction.frames, direction.source, direction.back))
        confidence = _resized(direction.confidence[..., None], size)[..., 0]
        return Direction(frames, confidence, source, back * torch.tensor([size[1] / width, size[0] / height]))

    return Predictions(small(predictions.time), small(predictions.view))


def _resized(cells_VTHWC: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Cell by cell, so that no second copy of all is made on the way."""
    views, times, *_, channels = cells_VTHWC.shape
    resized_VTChw = cells_VTHWC.new_empty(views, times, channels, *size)
    for cell_HWC, made_Chw in zip(cells_VTHWC.flatten(0, 1), resized_VTChw.flatten(0, 1)):
        ask()
        cell_1CHW = cell_HWC.movedim(-1, 0)[None]
        made_Chw.copy_(
            functional.interpolate(cell_1CHW, size=size, mode=mode, align_corners=False, antialias=mode == "bilinear")[
                0
            ]
        )
    return resized_VTChw.movedim(2, -1)
