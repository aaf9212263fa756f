"""What the model is told about a grid beside the noise: known cells, their mask, and Transport's guess.

The order of its channels is in channels.py.
Source: known frames enter as extra channels (PAPER, "Base video model"); the guess is [ours].

Legend: V views, T times, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..flow import to_model
from ..grid import FrameGrid
from ..transport import Direction, Predictions, transport
from .channels import DISPLACEMENT_UNIT, Channels, pack, pack_directions, unpack
from .config import ModelConfig


class Prepared(NamedTuple):
    """A grid as a model is asked to fill it."""

    condition_VCTHW: Tensor  # what the model is told, see `grid_condition`
    start_VTHWC: Tensor  # pixels 0..1 that the noise is mixed into, known cells as predicted


def prepare(
    grid: FrameGrid,
    config: ModelConfig,
    guess: FrameGrid | None = None,
    denoise: float = 1.0,
    *,
    predict: Callable[[FrameGrid], Predictions] = transport,
) -> Prepared:
    """What sampling starts from and is told: `guess`, a grid of one's own, or Transport's blend where there is none.

    denoise: how far the sampler will go from the start, 0..1; below 1 the model is told to expect the guess as well.
    predict: gives Transport's predictions of the grid, called where they are needed. ValueError for a guess of another size.
    """
    check_guess(grid, guess)
    if guess is None:
        predictions = predict(grid)
        return Prepared(grid_condition(grid, config, predictions), predictions.blend)
    predictions = lean_towards(predict(grid), guess.frames, denoise) if config.guess else None
    return Prepared(grid_condition(grid, config, predictions), guess.frames)


def check_guess(grid: FrameGrid, guess: FrameGrid | None) -> None:
    """ValueError unless a guess, if there is one, has the grid's size."""
    if guess is not None and guess.frames.shape != grid.frames.shape:
        raise ValueError(
            f"expected the guess to have the grid's size, {_size(grid)}, got {_size(guess)}: make both from the same videos"
        )


def _size(grid: FrameGrid) -> str:
    return f"{grid.views} views x {grid.times} times of {grid.width}x{grid.height} pixels"


def grid_condition(grid: FrameGrid, config: ModelConfig, predictions: Predictions | None = None) -> Tensor:
    """Condition `[V, C, T, H, W]`, float32, with C = config.condition_channels.

    predictions: Transport's of this grid; computed here when missing and `config.guess` asks for them.
    """
    channels = known_channels(to_model(grid.frames), grid.known)
    if config.guess:
        channels = torch.cat([channels, guess_channels(predictions or transport(grid))], dim=1)
    return channels


def lean_towards(predictions: Predictions, guess_VTHWC: Tensor, denoise: float) -> Predictions:
    """Predictions that slide from a user's own guess (denoise near 0) to Transport's (denoise 1), in pixels 0..1.

    The model only corrects what it is told to expect, so an own guess has to be in there to be kept. [ours] When the
    guess is Transport's blend, the blend stays what it was. Sources and displacements slide to the guess standing still.
    """

    def slid(direction: Direction) -> Direction:
        frames, source = (guess_VTHWC.lerp(frames, denoise) for frames in (direction.frames, direction.source))
        return Direction(frames, direction.confidence, source, denoise * direction.back)

    return Predictions(slid(predictions.time), slid(predictions.view))


def known_channels(pixels_VCTHW: Tensor, known_VT: Tensor) -> Tensor:
    """Known pixels and known mask `[V, 4, T, H, W]`."""
    mask = known_VT[:, None, :, None, None].to(pixels_VCTHW).expand(-1, 1, -1, *pixels_VCTHW.shape[-2:])
    return pack(Channels(pixels_VCTHW * mask, mask))


def guess_channels(predictions: Predictions) -> Tensor:
    """Transport's predictions, confidences, sources and displacements `[V, 18, T, H, W]`."""
    return pack_directions(_channel_first(predictions.time), _channel_first(predictions.view))


def unconditional(condition_VCTHW: Tensor) -> Tensor:
    """The same with no known cell: the negative of classifier-free guidance. The guess stays, as in training."""
    told = unpack(condition_VCTHW)
    return pack(told._replace(pixels=torch.zeros_like(told.pixels), mask=torch.zeros_like(told.mask)))


def _channel_first(direction: Direction) -> Direction:
    """A direction of a grid, pixels 0..1, as a condition holds it."""
    return Direction(
        to_model(direction.frames),
        direction.confidence[:, None],
        to_model(direction.source),
        direction.back.movedim(-1, 1) / DISPLACEMENT_UNIT,
    )
