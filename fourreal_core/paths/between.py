"""Frames between cells: what moves is moved there, where presets.py shows it twice, half transparent. And how long a path takes.

Shape suffixes: V views, T times, N positions on the path, H W pixels, h w working pixels, 3 colours, 2 = (x, y).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask, side_by_side
from ..transport.carry import invert_displacement, sample_frame
from ..transport.correspondence import TRIP_DOUBT, Cell, CellFlows, FlowSettings
from .presets import MAX_POSITIONS, OnFrame, Positions, check_video

SETTINGS = FlowSettings(longest_side=384, enlargement=1, kept_bytes=1 << 28)
MOST_WORKERS = 8  # that draw frames at once
LEAST_FRAMES = 4  # for each of them
LEAST_WEIGHT = 1e-3  # of a picture that reaches a pixel from nowhere


def paced(path: Sequence[tuple[float, float]], frames: int) -> Positions:
    """The path followed at even speed in `frames` frames: first to first, last to last, each of its steps equally long.

    Raises ValueError for an empty path, or a number of frames that is no whole number from 1 to 100,000.
    """
    if not path:
        raise ValueError("expected a path of at least 1 position, got none.")
    if not isinstance(frames, int) or not 1 <= frames <= MAX_POSITIONS:
        raise ValueError(f"expected a video of 1 to {MAX_POSITIONS} frames, got {frames}.")
    places = []
    for frame in range(frames):
        at = frame * (len(path) - 1) / (frames - 1) if frames > 1 else 0.0
        before = min(math.floor(at + 1e-9), len(path) - 1)
        share = max(at - before, 0.0)
        after = path[min(before + 1, len(path) - 1)]
        places.append(tuple(a if share < 1e-6 else a + share * (b - a) for a, b in zip(path[before], after)))
    return places


def there_and_back(path: Sequence[tuple[float, float]]) -> Positions:
    """The path and its way back; the two ends are not repeated, so that the video loops without a stutter."""
    return [*path, *path[-2:0:-1]]


def moved_slice(grid: FrameGrid, path: Sequence[tuple[float, float]], on_frame: OnFrame | None = None) -> Tensor:
    """As `slice_grid`, the video [N, H, W, 3] in 0..1 along N (view, time) positions, but what moves between two cells is moved.

    A whole position gives its cell exactly. A fractional one: both cells are carried towards each other along the optical flow
    between them (forward splatting, as in `carry`), and each counts by its nearness and by how much of it arrives there; between four cells
    first along time, then along views. Places that the path meets again are drawn once, and several parts of it at a time; how many changes
    nothing. on_frame(done, total): progress; what it raises ends the work. ValueError as `slice_grid`.
    """
    positions = check_video(grid, path)
    video_NHWC = torch.empty(len(positions), *grid.frames.shape[2:])
    first = {}  # the frame of each place that the path meets, which it may meet again on its way back
    for number, place in enumerate(positions):
        first.setdefault(_rounded(place), number)
    numbers, made = list(first.values()), itertools.count(1)
    done = [0]

    def draw(part: Sequence[int]) -> None:
        pictures = _Between(grid, workers)
        for number in part:
            video_NHWC[number] = torch.from_numpy(pictures.at(*positions[number]))
            done[0] = next(made)
            ask()

    def told() -> None:
        if on_frame is not None:
            on_frame(done[0] * len(positions) // len(numbers), len(positions))

    workers = max(1, min(torch.get_num_threads(), MOST_WORKERS, len(numbers) // LEAST_FRAMES))
    shares = [round(part * len(numbers) / workers) for part in range(workers + 1)]
    parts = [numbers[start:end] for start, end in itertools.pairwise(shares)]
    side_by_side(parts, draw, workers, on_result=lambda *_: None, waiting=told)
    for number, place in enumerate(positions):
        if first[_rounded(place)] != number:
            video_NHWC[number] = video_NHWC[first[_rounded(place)]]
    if on_frame is not None:
        on_frame(len(positions), len(positions))
    return video_NHWC


def _rounded(place: tuple[float, float]) -> tuple[float, float]:
    return round(place[0], 9), round(place[1], 9)


class _Between:
    """Pictures of a grid at any position. Flows between neighbouring cells are kept; of several that work at once, each keeps its share."""

    def __init__(self, grid: FrameGrid, workers: int):
        self.settings = replace(SETTINGS, kept_bytes=SETTINGS.kept_bytes // workers)
        self.frames_VTHW3 = grid.frames.numpy()
        self.size = grid.height, grid.width
        self.flows = self._flows(self.frames_VTHW3.__getitem__)

    def _flows(self, frame: Callable[[Cell], np.ndarray]) -> CellFlows:
        return CellFlows(frame, self.size, np.zeros(self.frames_VTHW3.shape[:2], bool), self.settings)

    def at(self, view: float, time: float) -> np.ndarray:
        """[H, W, 3] float32, 0..1."""
        above, view_share = math.floor(view), view - math.floor(view)
        upper_HW3 = self._along_time(above, time)
        if view_share == 0:
            return upper_HW3
        if time == math.floor(time):
            return moved_between(self.flows, (above, int(time)), (above + 1, int(time)), view_share)
        pair = {(0, 0): upper_HW3, (1, 0): self._along_time(above + 1, time)}
        return moved_between(self._flows(pair.__getitem__), (0, 0), (1, 0), view_share)

    def _along_time(self, view: int, time: float) -> np.ndarray:
        before, share = math.floor(time), time - math.floor(time)
        if share == 0:
            return self.frames_VTHW3[view, before]
        return moved_between(self.flows, (view, before), (view, before + 1), share)


def moved_between(flows: CellFlows, first: Cell, second: Cell, share: float) -> np.ndarray:
    """[H, W, 3] float32, 0..1: the picture `share` (0..1) of the way from one cell to another."""
    total_HW3, weights_HW1 = np.zeros(()), np.zeros(())
    for start, end, way in ((first, second, share), (second, first, 1 - share)):
        ask()
        trust_hw = np.exp(-TRIP_DOUBT * flows.round_trip(start, end))
        back_hw2, cover_hw = invert_displacement(way * flows.flow(start, end), trust_hw)
        picture_HW3 = sample_frame(flows.frame(start), back_hw2, flows.scale)
        weight_HW1 = _enlarged((1 - way) * (np.clip(cover_hw, 0, 1) ** 2 + LEAST_WEIGHT), picture_HW3.shape[:2])
        ask()
        total_HW3, weights_HW1 = total_HW3 + weight_HW1 * picture_HW3, weights_HW1 + weight_HW1
    return np.clip(total_HW3 / weights_HW1, 0, 1).astype(np.float32)


def _enlarged(values_hw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(values_hw.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)[..., None]
