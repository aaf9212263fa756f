"""How batches are cut from training grids: sequences for the base model, grids for the sync layers.

Everything is drawn from one torch.Generator, so a run is repeatable and resumable. Grids of any lengths and sizes may be mixed: a batch
is cut to the least that it holds.

Legend: N sequences, B grids in a batch, F frames, V views, T times, C channels, H W pixels, h w pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ...flow import to_model
from ...grid import task_known
from ...model.condition import guess_channels, known_channels
from ...model.dit import DYNAMIC, FREEZE_TIME
from ...transport import TransportGuess
from ...transport.fill import COPY_CONFIDENCE
from ..masks import sequence_known
from .mixture import Mixture
from .store import StoredGrid

BYTE = 255.0
CROP_CANDIDATES = 3
ONE_INPUT = 0.1  # share of draws from whole grids that see one input video only, each of the two half of the time


@dataclass(frozen=True)
class Batch:
    """x0 `[N, 3, F, h, w]` or `[B, V, 3, T, h, w]` in -1..1, condition likewise, weight with one channel, mode `[N]`."""

    x0: Tensor
    condition: Tensor
    weight: Tensor
    mode: Tensor | None = None


@dataclass(frozen=True)
class Look:
    """How an example is changed before it is seen: what is true of it stays true, and Transport's guess stays its guess."""

    mirrored: bool = False  # left and right
    upside_down: bool = False
    colours: tuple[int, ...] = (0, 1, 2)  # which colour channel each one is taken from
    contrast: float = 1.0  # around grey

    @classmethod
    def draw(cls, generator: Generator) -> Look:
        colours = tuple(torch.randperm(3, generator=generator).tolist())
        contrast = 1.0 - 0.5 * float(torch.rand((), generator=generator))
        return cls(_coin(generator), _coin(generator) and _coin(generator), colours, contrast)

    def frames(self, x_VTHWC: Tensor) -> Tensor:
        """Colours 0..1."""
        return self.turned((x_VTHWC[..., list(self.colours)] - 0.5) * self.contrast + 0.5)

    def displacements(self, back_VTHW2: Tensor) -> Tensor:
        signs = back_VTHW2.new_tensor([-1.0 if self.mirrored else 1.0, -1.0 if self.upside_down else 1.0])
        return self.turned(back_VTHW2) * signs

    def turned(self, x_VTHW: Tensor) -> Tensor:
        """Anything `[V, T, H, W, ...]`."""
        flipped = [axis for axis, on in ((2, self.upside_down), (3, self.mirrored)) if on]
        return x_VTHW.flip(flipped) if flipped else x_VTHW


def sequence_batch(store: Mixture, count: int, crop: tuple[int, int], use_guess: bool, generator: Generator) -> Batch:
    """Sequences along time (dynamic) and along views (freeze-time) with random known frames; of whole grids half each."""
    grids = [store.pick(generator) for _ in range(count)]
    modes = [_mode(stored, generator) for stored in grids]
    frames = min(stored.frames.shape[0 if mode == FREEZE_TIME else 1] for stored, mode in zip(grids, modes))
    size = _common_size(grids, crop)
    picks = [_sequence(stored, mode, frames, size, generator) for stored, mode in zip(grids, modes)]
    known = sequence_known(count, frames, generator)
    x0, guess, valid = (torch.cat(parts) for parts in zip(*picks))
    # sequences play the role of views here: [N, C, F, h, w] is a grid's layout with V = N
    condition = _condition(x0, known, guess if use_guess else None)
    return Batch(x0, condition, valid * ~known[:, None, :, None, None], torch.tensor(modes))


def grid_batch(store: Mixture, count: int, crop: tuple[int, int], use_guess: bool, generator: Generator) -> Batch:
    """Grids with the task's known cells; static scenes stand still at all times, and only view 0 is known of them.

    Time 0 of a static scene would be every other time as well, and the model would learn to copy it (PAPER "4D training": duplicated
    along t without frame conditioning).
    """
    grids = [store.pick(generator, views=True) for _ in range(count)]
    size = _common_size(grids, crop)
    views = min(stored.frames.shape[0] for stored in grids)
    times = min((stored.frames.shape[1] for stored in grids if not stored.is_line), default=views)
    batches = []
    for stored in grids:
        place, look = _crop(stored, size, generator), Look.draw(generator)
        if stored.is_line:
            cut, known = _static_scene(stored, views, times, generator), first_known(views, times, FREEZE_TIME)
        else:
            missing = _missing_input(generator)
            cut = [x[:views, :times] for x in _fields(stored, missing)]
            known = task_known(views, times) if missing is None else first_known(views, times, missing)
        batches.append(_with_condition(_channel_first(cut, *place, look), known, use_guess))
    return Batch(*(torch.stack(parts) for parts in zip(*batches)))


def whole_batch(stored: StoredGrid, use_guess: bool) -> Batch:
    """One stored grid as it is, uncut, with the task's known cells; of a single line only the first cell is known."""
    views, times = stored.frames.shape[:2]
    known = task_known(views, times)
    if stored.is_line:
        known = torch.zeros(views, times, dtype=torch.bool)
        known[0, 0] = True
    fields = _line_fields(stored.frames, stored.valid) if stored.is_line else _fields(stored)
    parts = _with_condition(_channel_first(fields, slice(None), slice(None)), known, use_guess)
    return Batch(*(part[None] for part in parts))


def _mode(stored: StoredGrid, generator: Generator) -> int:
    """Along which axis the sequence runs; a single line has one only."""
    views, times = stored.frames.shape[:2]
    freeze_time = _coin(generator)
    if stored.is_line:
        freeze_time = views > times
    return FREEZE_TIME if freeze_time else DYNAMIC


def _sequence(
    stored: StoredGrid, mode: int, frames: int, size: tuple[int, int], generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A stretch of one sequence: x0 `[1, 3, F, h, w]`, guess `[1, 18, F, h, w]`, valid `[1, 1, F, h, w]`."""
    top, left = _crop(stored, size, generator)
    fields = [stored.frames, stored.valid] if stored.is_line else _fields(stored, _missing_input(generator))
    if mode == FREEZE_TIME:  # the predictions keep their names: only the axis that the frames run along changes
        fields = [field.transpose(0, 1) for field in fields]
    line = (
        1 + _below(len(fields[0]) - 1, generator) if len(fields[0]) > 1 else 0
    )  # the first line is the task's own input
    first = _below(fields[0].shape[1] - frames + 1, generator)
    look, backwards = Look.draw(generator), _coin(generator)
    part = [field[line : line + 1, first : first + frames, top, left] for field in fields]
    if backwards:  # V2: views in reverse order at random; we do it for both axes
        part = [field.flip(1) for field in part]
    if stored.is_line:  # after the cut, because the guess starts from the first frame that was drawn
        part = _line_fields(*part)
    return _channel_first(part, slice(None), slice(None), look)


def _static_scene(stored: StoredGrid, views: int, times: int, generator: Generator) -> list[Tensor]:
    """Fields of a static scene at all times, views in either order. Transport's guess from view 0 is what `_line_fields` gives."""
    first = _below(len(stored.frames) - views + 1, generator)
    part = [field[first : first + views] for field in (stored.frames, stored.valid)]
    if _coin(generator):
        part = [field.flip(0) for field in part]
    return [field.expand(-1, times, *field.shape[2:]) for field in _line_fields(*part)]


def first_known(views: int, times: int, missing: int) -> Tensor:
    """Known cells `[V, T]` without the `missing` input: view 0 alone (FREEZE_TIME is missing) or time 0 alone (DYNAMIC is)."""
    known = torch.zeros(views, times, dtype=torch.bool)
    known[(0, slice(None)) if missing == FREEZE_TIME else (slice(None), 0)] = True
    return known


def _missing_input(generator: Generator) -> int | None:
    """Which of the two input videos a draw goes without, by its mode; mostly none."""
    draw = float(torch.rand((), generator=generator))
    return None if draw >= ONE_INPUT else FREEZE_TIME if draw < ONE_INPUT / 2 else DYNAMIC


def _fields(stored: StoredGrid, missing: int | None = None) -> list[Tensor]:
    """frames, then Transport's guess in the order of `TransportGuess`, then valid; the carried frames are views of `frames`.

    missing: the mode of an input that is not there; Transport can only copy the other one then (tested).
    """
    frames = stored.frames
    sources = frames[:, :1].expand_as(frames), frames[:1].expand_as(frames)
    if missing is not None:
        views, times = frames.shape[:2]
        steps = (
            torch.arange(views)[:, None].expand(views, times)
            if missing == FREEZE_TIME
            else torch.arange(times).expand(views, times)
        )
        return _copied(frames, sources[1 if missing == FREEZE_TIME else 0], steps, stored.valid)
    guess = stored.along_time, stored.along_view, stored.confidence_time, stored.confidence_view, *sources
    return [frames, *guess, stored.back_time, stored.back_view, stored.valid]


def _line_fields(frames: Tensor, valid: Tensor) -> list[Tensor]:
    """As `_fields` for a single line `[V, T, h, w, 3]` of which the first frame is known: Transport can only copy that (tested)."""
    views, times = frames.shape[:2]
    return _copied(frames, frames[:1, :1].expand_as(frames), torch.arange(views)[:, None] + torch.arange(times), valid)


def _copied(frames: Tensor, copies: Tensor, steps_VT: Tensor, valid: Tensor) -> list[Tensor]:
    """Fields of a grid whose guess is `copies`, made `steps_VT` cells away."""
    confidence = torch.where(steps_VT == 0, 1.0, COPY_CONFIDENCE / steps_VT.clamp_min(1))
    confidence = confidence[:, :, None, None].expand(frames.shape[:-1])
    still = torch.zeros(1).expand(*frames.shape[:-1], 2)
    return [frames, copies, copies, confidence, confidence, copies, copies, still, still, valid]


def _channel_first(fields: list[Tensor], top: slice, left: slice, look: Look = Look()) -> tuple[Tensor, Tensor, Tensor]:
    """Crop, change the look and convert: x0 `[V, 3, T, h, w]`, guess `[V, 18, T, h, w]`, valid `[V, 1, T, h, w]`."""
    parts = [field[:, :, top, left] for field in fields]
    parts = [part.float() / BYTE if part.dtype == torch.uint8 else part.float() for part in parts]
    frames, along_time, along_view, sure_time, sure_view, source_time, source_view, back_time, back_view, valid = parts
    guess = TransportGuess(
        *(look.frames(x) for x in (along_time, along_view)),
        *(look.turned(x) for x in (sure_time, sure_view)),
        *(look.frames(x) for x in (source_time, source_view)),
        *(look.displacements(x) for x in (back_time, back_view)),
    )
    return to_model(look.frames(frames)), guess_channels(guess), look.turned(valid)[:, None]


def _with_condition(
    parts: tuple[Tensor, Tensor, Tensor], known: Tensor, use_guess: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """x0, condition and weight of one grid."""
    x0, guess, valid = parts
    return x0, _condition(x0, known, guess if use_guess else None), valid * ~known[:, None, :, None, None]


def _condition(x0: Tensor, known: Tensor, guess: Tensor | None) -> Tensor:
    """Known channels and the guess; known frames are their own guess."""
    channels = known_channels(x0, known)
    if guess is None:
        return channels
    mask = channels[:, 3:4]
    still = torch.zeros_like(guess[:, -4:])
    certain = torch.cat([x0, x0, torch.ones_like(mask), torch.ones_like(mask), x0, x0, still], dim=1)
    return torch.cat([channels, torch.where(mask > 0.5, certain, guess)], dim=1)


def _common_size(grids: Sequence[StoredGrid], crop: tuple[int, int]) -> tuple[int, int]:
    """The crop, or what the smallest grid has of it."""
    height, width = (min(stored.frames.shape[axis] for stored in grids) for axis in (2, 3))
    return min(crop[0], height), min(crop[1], width)


def _crop(stored: StoredGrid, size: tuple[int, int], generator: Generator) -> tuple[slice, slice]:
    """The least certain of a few random crops: most of a picture stands still and teaches nothing."""
    height, width = stored.frames.shape[2:4]
    crops = []
    for _ in range(CROP_CANDIDATES):
        top, left = _below(height - size[0] + 1, generator), _below(width - size[1] + 1, generator)
        crops.append((slice(top, top + size[0]), slice(left, left + size[1])))
    if stored.is_line:
        return crops[0]
    certain = torch.maximum(stored.confidence_time[1:, 1:, ::4, ::4], stored.confidence_view[1:, 1:, ::4, ::4]).float()
    certain_hw = certain.mean(dim=(0, 1))
    return min(
        crops,
        key=lambda c: float(certain_hw[c[0].start // 4 : c[0].stop // 4, c[1].start // 4 : c[1].stop // 4].mean()),
    )


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (1,), generator=generator))


def _coin(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)
