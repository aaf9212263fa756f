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
CROP_CANDIDATES = 3


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
        x0, guess, valid = _channel_first(_fields(stored), *_crop(stored, crop, generator), _coin(generator))
        known = task_known(x0.shape[0], x0.shape[2])
        condition = _condition(x0, known, guess if use_guess else None)
        batches.append((x0, condition, valid * ~known[:, None, :, None, None]))
    return Batch(*(torch.stack(parts) for parts in zip(*batches)))


def _sequence(
    stored: StoredGrid, frames: int, crop: tuple[int, int], generator: Generator
) -> tuple[Tensor, Tensor, Tensor, int]:
    """A stretch of one sequence: x0 `[3, F, h, w]`, guess `[18, F, h, w]`, valid `[1, F, h, w]`, and its mode."""
    top, left = _crop(stored, crop, generator)
    mode = FREEZE_TIME if _coin(generator) else DYNAMIC
    fields = _fields(stored)
    if mode == FREEZE_TIME:  # the predictions keep their names: only the axis that the frames run along changes
        fields = [field.transpose(0, 1) for field in fields]
    line = 1 + _below(len(fields[0]) - 1, generator) if len(fields[0]) > 1 else 0  # the first line is the task's own input
    first = _below(fields[0].shape[1] - frames + 1, generator)
    part = [field[line : line + 1, first : first + frames] for field in fields]
    x0, guess, valid = _channel_first(part, top, left, _coin(generator))
    if _coin(generator):  # V2: views in reverse order at random; we do it for both axes
        x0, guess, valid = x0.flip(2), guess.flip(2), valid.flip(2)
    return x0[0], guess[0], valid[0], mode


def _fields(stored: StoredGrid) -> list[Tensor]:
    """frames, then Transport's guess in the order of `TransportGuess`, then valid; the carried frames are views of `frames`."""
    frames = stored.frames
    sources = frames[:, :1].expand_as(frames), frames[:1].expand_as(frames)
    guess = stored.along_time, stored.along_view, stored.confidence_time, stored.confidence_view, *sources
    return [frames, *guess, stored.back_time, stored.back_view, stored.valid]


def _channel_first(fields: list[Tensor], top: slice, left: slice, mirror: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Crop, mirror and convert: x0 `[V, 3, T, h, w]`, guess `[V, 18, T, h, w]`, valid `[V, 1, T, h, w]`."""
    parts = [field[:, :, top, left] for field in fields]
    parts = [part.float() / BYTE if part.dtype == torch.uint8 else part.float() for part in parts]
    if mirror:
        parts = [part.flip(3) for part in parts]
        parts[7:9] = [back * back.new_tensor([-1.0, 1.0]) for back in parts[7:9]]
    return to_model(parts[0]), guess_channels(TransportGuess(*parts[1:9])), parts[9][:, None]


def _condition(x0: Tensor, known: Tensor, guess: Tensor | None) -> Tensor:
    """Known channels and the guess; known frames are their own guess."""
    channels = known_channels(x0, known)
    if guess is None:
        return channels
    mask = channels[:, 3:4]
    still = torch.zeros_like(guess[:, -4:])
    certain = torch.cat([x0, x0, torch.ones_like(mask), torch.ones_like(mask), x0, x0, still], dim=1)
    return torch.cat([channels, torch.where(mask > 0.5, certain, guess)], dim=1)


def _crop(stored: StoredGrid, crop: tuple[int, int], generator: Generator) -> tuple[slice, slice]:
    """The least certain of a few random crops: most of a picture stands still and teaches nothing."""
    height, width = stored.frames.shape[2:4]
    crops = []
    for _ in range(CROP_CANDIDATES):
        top = _below(max(1, height - crop[0] + 1), generator)
        left = _below(max(1, width - crop[1] + 1), generator)
        crops.append((slice(top, top + crop[0]), slice(left, left + crop[1])))
    certain = torch.maximum(stored.confidence_time[1:, 1:, ::4, ::4], stored.confidence_view[1:, 1:, ::4, ::4]).float()
    if not certain.numel():
        return crops[0]
    certain_hw = certain.mean(dim=(0, 1))
    return min(crops, key=lambda c: float(certain_hw[c[0].start // 4 : c[0].stop // 4, c[1].start // 4 : c[1].stop // 4].mean()))


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (1,), generator=generator))


def _coin(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)
