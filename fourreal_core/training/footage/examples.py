"""How batches are cut from training grids: sequences for the base model, grids for the sync layers.

Everything is drawn from one torch.Generator, so a run is repeatable and resumable. Grids of any lengths and sizes may be mixed: a batch
is cut to the least that it holds.

Legend: N sequences, B grids in a batch, F frames, V views, T times, C channels, H W pixels, h w pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ...flow import to_model
from ...grid import task_known
from ...model.channels import pack_directions, unpack
from ...model.condition import guess_channels, known_channels
from ...model.dit import DYNAMIC, FREEZE_TIME
from ...transport import Direction, Predictions
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

    def direction(self, direction: Direction) -> Direction:
        """A direction of a grid, colours 0..1."""
        frames, source = self.frames(direction.frames), self.frames(direction.source)
        return Direction(frames, self.turned(direction.confidence), source, self.displacements(direction.back))

    def turned(self, x_VTHW: Tensor) -> Tensor:
        """Anything `[V, T, H, W, ...]`."""
        flipped = [axis for axis, on in ((2, self.upside_down), (3, self.mirrored)) if on]
        return x_VTHW.flip(flipped) if flipped else x_VTHW


class Fields(NamedTuple):
    """A grid, or a part of one, with Transport's predictions: frames `[V, T, H, W, 3]`, valid `[V, T, H, W]`; bytes or numbers."""

    frames: Tensor
    time: Direction
    view: Direction
    valid: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Fields:
        """All of it changed in the same way."""
        time, view = (Direction(*map(change, direction)) for direction in (self.time, self.view))
        return Fields(change(self.frames), time, view, change(self.valid))


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
    times = min((stored.frames.shape[1] for stored in grids if not stored.is_sequence), default=views)
    batches = []
    for stored in grids:
        place, look = _crop(stored, size, generator), Look.draw(generator)
        if stored.is_sequence:
            fields, known = _static_scene(stored, views, times, generator), first_known(views, times, FREEZE_TIME)
        else:
            missing = _missing_input(generator)
            fields = _fields(stored, missing).each(lambda field: field[:views, :times])
            known = task_known(views, times) if missing is None else first_known(views, times, missing)
        batches.append(_with_condition(_channel_first(fields, *place, look), known, use_guess))
    return Batch(*(torch.stack(parts) for parts in zip(*batches)))


def whole_batch(stored: StoredGrid, use_guess: bool) -> Batch:
    """One stored grid as it is, uncut, with the task's known cells; of a single sequence only the first cell is known."""
    views, times = stored.frames.shape[:2]
    known = task_known(views, times)
    if stored.is_sequence:
        known = torch.zeros(views, times, dtype=torch.bool)
        known[0, 0] = True
    fields = _lone_sequence(stored.frames, stored.valid) if stored.is_sequence else _fields(stored)
    parts = _with_condition(_channel_first(fields, slice(None), slice(None)), known, use_guess)
    return Batch(*(part[None] for part in parts))


def _mode(stored: StoredGrid, generator: Generator) -> int:
    """Along which axis the sequence runs; a single sequence has one only."""
    views, times = stored.frames.shape[:2]
    freeze_time = _coin(generator)
    if stored.is_sequence:
        freeze_time = views > times
    return FREEZE_TIME if freeze_time else DYNAMIC


def _sequence(
    stored: StoredGrid, mode: int, frames: int, size: tuple[int, int], generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A stretch of one sequence: x0 `[1, 3, F, h, w]`, guess `[1, 18, F, h, w]`, valid `[1, 1, F, h, w]`."""
    top, left = _crop(stored, size, generator)
    fields = (
        _lone_sequence(stored.frames, stored.valid)
        if stored.is_sequence
        else _fields(stored, _missing_input(generator))
    )
    if mode == FREEZE_TIME:  # the predictions keep their names: only the axis that the frames run along changes
        fields = fields.each(lambda field: field.transpose(0, 1))
    sequences, length = fields.frames.shape[:2]
    chosen = 1 + _below(sequences - 1, generator) if sequences > 1 else 0  # the first is the task's own input
    first = _below(length - frames + 1, generator)
    look, backwards = Look.draw(generator), _coin(generator)
    fields = fields.each(lambda field: field[chosen : chosen + 1, first : first + frames, top, left])
    if backwards:  # V2: views in reverse order at random; we do it for both axes
        fields = fields.each(lambda field: field.flip(1))
    if stored.is_sequence:  # after the cut, because the guess starts from the first frame that was drawn
        fields = _lone_sequence(fields.frames, fields.valid)
    return _channel_first(fields, slice(None), slice(None), look)


def _static_scene(stored: StoredGrid, views: int, times: int, generator: Generator) -> Fields:
    """A static scene at all times, views in either order. Transport's guess from view 0 is what `_lone_sequence` gives."""
    first = _below(len(stored.frames) - views + 1, generator)
    frames, valid = (field[first : first + views] for field in (stored.frames, stored.valid))
    if _coin(generator):
        frames, valid = frames.flip(0), valid.flip(0)
    return _lone_sequence(frames, valid).each(lambda field: field.expand(-1, times, *field.shape[2:]))


def first_known(views: int, times: int, missing: int) -> Tensor:
    """Known cells `[V, T]` without the `missing` input: view 0 alone (FREEZE_TIME is missing) or time 0 alone (DYNAMIC is)."""
    known = torch.zeros(views, times, dtype=torch.bool)
    known[(0, slice(None)) if missing == FREEZE_TIME else (slice(None), 0)] = True
    return known


def _missing_input(generator: Generator) -> int | None:
    """Which of the two input videos a draw goes without, by its mode; mostly none."""
    draw = float(torch.rand((), generator=generator))
    return None if draw >= ONE_INPUT else FREEZE_TIME if draw < ONE_INPUT / 2 else DYNAMIC


def _fields(stored: StoredGrid, missing: int | None = None) -> Fields:
    """A stored grid with Transport's predictions; the frames that they were read from are views of `frames`.

    missing: the mode of an input that is not there; Transport can only copy the other one then (tested).
    """
    frames = stored.frames
    sources = frames[:, :1].expand_as(frames), frames[:1].expand_as(frames)
    if missing is not None:
        views, times = frames.shape[:2]
        views_away, times_away = torch.arange(views)[:, None], torch.arange(times)
        steps = (views_away if missing == FREEZE_TIME else times_away).expand(views, times)
        return _copied(frames, sources[1 if missing == FREEZE_TIME else 0], steps, stored.valid)
    time = Direction(_there(stored.along_time), _there(stored.confidence_time), sources[0], _there(stored.back_time))
    view = Direction(_there(stored.along_view), _there(stored.confidence_view), sources[1], _there(stored.back_view))
    return Fields(frames, time, view, stored.valid)


def _there(part: Tensor | None) -> Tensor:
    if part is None:
        raise ValueError("expected a stored grid with Transport's predictions, got a single sequence")
    return part


def _lone_sequence(frames: Tensor, valid: Tensor) -> Fields:
    """A single sequence `[V, T, h, w, 3]` of which the first frame is known: Transport can only copy that (tested)."""
    views, times = frames.shape[:2]
    return _copied(frames, frames[:1, :1].expand_as(frames), torch.arange(views)[:, None] + torch.arange(times), valid)


def _copied(frames: Tensor, copies: Tensor, steps_VT: Tensor, valid: Tensor) -> Fields:
    """A grid whose predictions are `copies`, made `steps_VT` cells away."""
    confidence = torch.where(steps_VT == 0, 1.0, COPY_CONFIDENCE / steps_VT.clamp_min(1))
    confidence = confidence[:, :, None, None].expand(frames.shape[:-1])
    copied = Direction(copies, confidence, copies, torch.zeros(1).expand(*frames.shape[:-1], 2))
    return Fields(frames, copied, copied, valid)


def _channel_first(fields: Fields, top: slice, left: slice, look: Look = Look()) -> tuple[Tensor, Tensor, Tensor]:
    """Crop, change the look and convert: x0 `[V, 3, T, h, w]`, guess `[V, 18, T, h, w]`, valid `[V, 1, T, h, w]`."""
    fields = fields.each(lambda field: _numbers(field[:, :, top, left]))
    predictions = Predictions(look.direction(fields.time), look.direction(fields.view))
    return to_model(look.frames(fields.frames)), guess_channels(predictions), look.turned(fields.valid)[:, None]


def _numbers(field: Tensor) -> Tensor:
    """Bytes as 0..1, all else as it is, float32."""
    return field.float() / BYTE if field.dtype == torch.uint8 else field.float()


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
    mask = unpack(channels).mask
    certain = Direction(x0, torch.ones_like(mask), x0, torch.zeros_like(x0[:, :2]))
    return torch.cat([channels, torch.where(mask > 0.5, pack_directions(certain, certain), guess)], dim=1)


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
    if stored.is_sequence:
        return crops[0]
    sure_time, sure_view = _there(stored.confidence_time), _there(stored.confidence_view)
    certain = torch.maximum(sure_time[1:, 1:, ::4, ::4], sure_view[1:, 1:, ::4, ::4]).float()
    certain_hw = certain.mean(dim=(0, 1))
    return min(
        crops,
        key=lambda c: float(certain_hw[c[0].start // 4 : c[0].stop // 4, c[1].start // 4 : c[1].stop // 4].mean()),
    )


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (1,), generator=generator))


def _coin(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)
