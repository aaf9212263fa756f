"""Training grids in memory and how batches are cut from them: sequences for the base model, grids for the sync layers.

Everything is drawn from one torch.Generator, so a run is repeatable and resumable.

Legend: G grids in the store, N sequences, B grids in a batch, F frames, V views, T times, C channels, H W pixels,
h w pixels of the crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..conditioning import guess_channels, known_channels
from ..flow import to_model
from ..grid import task_known
from ..model.dit import DYNAMIC, FREEZE_TIME
from ..transport import TransportGuess
from .masks import sequence_known
from .store import StoredGrid

BYTE = 255.0


@dataclass(frozen=True)
class Batch:
    """x0 `[N, 3, F, h, w]` or `[B, V, 3, T, h, w]` in -1..1, condition likewise, weight with one channel, mode `[N]`."""

    x0: Tensor
    condition: Tensor
    weight: Tensor
    mode: Tensor | None = None


def sequence_batch(
    store: list[StoredGrid], count: int, crop: tuple[int, int], use_guess: bool, generator: Generator
) -> Batch:
    """Sequences along time (dynamic) and along views (freeze-time), half each, with random known frames."""
    frames = min(min(stored.frames.shape[:2]) for stored in store)
    picks = [_sequence(store[_below(len(store), generator)], frames, crop, generator) for _ in range(count)]
    known = sequence_known(count, frames, generator)
    x0, guess, valid = (torch.stack(parts) for parts in list(zip(*picks))[:3])
    mode = torch.tensor([pick[3] for pick in picks])
    # sequences play the role of views here: [N, C, F, h, w] is a grid's layout with V = N
    condition = _condition(x0, known, guess if use_guess else None)
    return Batch(x0, condition, valid * ~known[:, None, :, None, None], mode)


def grid_batch(
    store: list[StoredGrid], count: int, crop: tuple[int, int], use_guess: bool, generator: Generator
) -> Batch:
    """Whole grids with the task's known cells."""
    batches = []
    for _ in range(count):
        stored = store[_below(len(store), generator)]
        x0, guess, valid = _channel_first(stored, *_crop(stored, crop, generator), _coin(generator))
        known = task_known(x0.shape[0], x0.shape[2])
        condition = _condition(x0, known, guess if use_guess else None)
        batches.append((x0, condition, valid * ~known[:, None, :, None, None]))
    return Batch(*(torch.stack(parts) for parts in zip(*batches)))


def _sequence(
    stored: StoredGrid, frames: int, crop: tuple[int, int], generator: Generator
) -> tuple[Tensor, Tensor, Tensor, int]:
    """A stretch of one sequence: x0 `[3, F, h, w]`, guess `[8, F, h, w]`, valid `[1, F, h, w]`, and its mode."""
    top, left = _crop(stored, crop, generator)
    mode = FREEZE_TIME if _coin(generator) else DYNAMIC
    fields = list(vars(stored).values())
    if mode == FREEZE_TIME:  # the predictions keep their names: only the axis that the frames run along changes
        fields = [field.transpose(0, 1) for field in fields]
    line = _below(len(fields[0]), generator)
    first = _below(fields[0].shape[1] - frames + 1, generator)
    part = [field[line : line + 1, first : first + frames] for field in fields]
    x0, guess, valid = _channel_first(StoredGrid(*part), top, left, _coin(generator))
    if _coin(generator):  # V2: views in reverse order at random; we do it for both axes
        x0, guess, valid = x0.flip(2), guess.flip(2), valid.flip(2)
    return x0[0], guess[0], valid[0], mode


def _channel_first(stored: StoredGrid, top: slice, left: slice, mirror: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Crop, mirror and convert: x0 `[V, 3, T, h, w]`, guess `[V, 8, T, h, w]`, valid `[V, 1, T, h, w]`."""
    parts = [field[:, :, top, left].float() / BYTE for field in vars(stored).values()]
    if mirror:
        parts = [part.flip(3) for part in parts]
    return to_model(parts[0]), guess_channels(TransportGuess(*parts[1:5])), parts[5][:, None]


def _condition(x0: Tensor, known: Tensor, guess: Tensor | None) -> Tensor:
    """Known channels and the guess; known frames are their own guess."""
    channels = known_channels(x0, known)
    if guess is None:
        return channels
    mask = channels[:, 3:4]
    certain = torch.cat([x0, x0, torch.ones_like(mask), torch.ones_like(mask)], dim=1)
    return torch.cat([channels, torch.where(mask > 0.5, certain, guess)], dim=1)


def _crop(stored: StoredGrid, crop: tuple[int, int], generator: Generator) -> tuple[slice, slice]:
    height, width = stored.frames.shape[2:4]
    top = _below(max(1, height - crop[0] + 1), generator)
    left = _below(max(1, width - crop[1] + 1), generator)
    return slice(top, top + crop[0]), slice(left, left + crop[1])


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (1,), generator=generator))


def _coin(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)
