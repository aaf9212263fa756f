"""The order of a condition's channels, here and nowhere else. Colours are model pixels, -1..1.

    0..2    known pixels, zero where unknown          12..14  frame that the prediction along time was read from
    3       known mask, 1 or 0                        15..17  frame that the prediction along view was read from
    4..6    prediction along time                     18..19  displacement to there along time, (x, y)
    7..9    prediction along view                     20..21  displacement to there along view, (x, y)
    10, 11  confidence along time, along view, 0..1           (both in `DISPLACEMENT_UNIT` pixels)

Models without a guess see the first four. Channels are axis 1 of every tensor here; what else there is does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..side_by_side import ask
from ..transport import Direction

DISPLACEMENT_UNIT = 8.0  # pixels: the unit of displacements in a condition and in the network's output
WIDTHS = (3, 1, 3, 2)  # channels of a direction's frames, confidence, source, back
KNOWN_CHANNELS = 4
GUESS_CHANNELS = 2 * sum(WIDTHS)
IN_PIECES = 2**24  # numbers from which on channels are joined in pieces


class Channels(NamedTuple):
    """A condition taken apart; the directions' parts have their channels on axis 1. Both directions are None without a guess."""

    pixels: Tensor
    mask: Tensor
    time: Direction | None = None
    view: Direction | None = None


def pack(channels: Channels) -> Tensor:
    """The condition, 4 or 22 channels."""
    known = [channels.pixels, channels.mask]
    if channels.time is None or channels.view is None:
        return _joined(known)
    return _joined([*known, pack_directions(channels.time, channels.view)])


def unpack(condition: Tensor) -> Channels:
    """Inverse of `pack`."""
    pixels, mask, guess = condition.split([3, 1, condition.shape[1] - KNOWN_CHANNELS], dim=1)
    return Channels(pixels, mask, *(unpack_directions(guess) if guess.shape[1] else ()))


def pack_directions(time: Direction, view: Direction) -> Tensor:
    """Channels 4..21."""
    return _joined([part for pair in zip(time, view) for part in pair])


def _joined(parts: list[Tensor]) -> Tensor:
    """All channels; large ones piece by piece, between which a cancel can end it."""
    if sum(part.numel() for part in parts) < IN_PIECES:
        return torch.cat(parts, dim=1)
    whole = parts[0].new_empty(len(parts[0]), sum(part.shape[1] for part in parts), *parts[0].shape[2:])
    for piece, one in zip(whole.split([part.shape[1] for part in parts], dim=1), parts):
        for target, source in zip(piece, one):
            ask()
            target.copy_(source)
    return whole


def unpack_directions(guess: Tensor) -> tuple[Direction, Direction]:
    """Inverse of `pack_directions`: (along time, along view)."""
    parts = guess.split([width for width in WIDTHS for _ in range(2)], dim=1)
    return Direction(*parts[0::2]), Direction(*parts[1::2])
