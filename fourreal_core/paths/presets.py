"""Paths through view x time, and the video that a grid shows along one. A path is a list of (view, time) positions, fractions allowed.

Shape suffixes: V views, T times, N positions on the path, H W pixels, C = 3 colour channels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from numbers import Real

import torch
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask

Positions = list[tuple[float, float]]  # (view, time): view in 0..V-1, time in 0..T-1

MAX_POSITIONS = 100_000
MAX_PATH_TEXT = 8_000_000  # characters
MAX_SLICE_BYTES = 64 * 2**30


def fixed_view(grid_shape: tuple[int, int], view: float = 0) -> Positions:
    """Time runs from first to last as seen from one view: T positions. grid_shape: (V, T)."""
    return _checked([(view, time) for time in range(grid_shape[1])], grid_shape)


def freeze_time(grid_shape: tuple[int, int], time: float = 0) -> Positions:
    """The camera sweeps from the first view to the last at one time: V positions."""
    return _checked([(view, time) for view in range(grid_shape[0])], grid_shape)


def bullet_time(grid_shape: tuple[int, int], freeze_at: float | None = None) -> Positions:
    """Time runs at the first view, freezes while the camera sweeps to the last view, and runs on there: V + T - 1 positions.

    freeze_at: the time to freeze, 0..T-1 (None: the middle one, T // 2).
    """
    views, times = grid_shape
    freeze = times // 2 if freeze_at is None else freeze_at
    before = [(0, time) for time in range(times) if time < freeze]
    sweep = [(view, freeze) for view in range(views)]
    after = [(views - 1, time) for time in range(times) if time > freeze]
    return _checked(before + sweep + after, grid_shape)


def diagonal(grid_shape: tuple[int, int]) -> Positions:
    """The camera sweeps while time runs, both from first to last: max(V, T) positions, fractional along the shorter axis."""
    steps = max(grid_shape) - 1
    if steps == 0:
        return _checked([(0, 0)], grid_shape)
    views, times = grid_shape
    return _checked([(step * (views - 1) / steps, step * (times - 1) / steps) for step in range(steps + 1)], grid_shape)


def ping_pong(grid_shape: tuple[int, int]) -> Positions:
    """The diagonal and back again; the two ends are not repeated, so that the video loops without a stutter."""
    forth = diagonal(grid_shape)
    return forth + forth[-2:0:-1]


def parse_path(json_text: str, grid_shape: tuple[int, int]) -> Positions:
    """The path in a JSON text `[[view, time], ...]`. Raises ValueError on other JSON, positions outside the grid, or too many of them."""
    if len(json_text) > MAX_PATH_TEXT:
        raise ValueError(f"expected a path text of at most {MAX_PATH_TEXT} characters, got {len(json_text)}.")
    try:
        positions = json.loads(json_text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            "expected the path to be a JSON list of [view, time] pairs such as [[0, 0], [0.5, 1]], got "
            f"invalid JSON ({error})."
        ) from error
    if not isinstance(positions, list):
        raise ValueError(f"expected the path to be a JSON list of [view, time] pairs, got {type(positions).__name__}.")
    return _checked(positions, grid_shape)


OnFrame = Callable[[int, int], None]  # (frames done, of how many)


def slice_grid(grid: FrameGrid, path: Sequence[tuple[float, float]], on_frame: OnFrame | None = None) -> Tensor:
    """The video [N, H, W, 3], 0..1, that the grid shows along `path`: N (view, time) positions.

    A whole position gives its cell exactly; a fractional one blends its (up to four) neighbour cells bilinearly. Unknown cells are
    shown as they are. on_frame(done, total): progress; what it raises ends the work. Raises ValueError on positions outside the grid.
    """
    positions = check_video(grid, path)
    video_NHWC = torch.empty(len(positions), *grid.frames.shape[2:])
    for done, (position, frame_HWC) in enumerate(zip(positions, video_NHWC), start=1):
        ask()
        _blend_cells(grid.frames, *position, out=frame_HWC)
        if on_frame is not None:
            on_frame(done, len(positions))
    return video_NHWC


def check_video(grid: FrameGrid, path: Sequence[tuple[float, float]]) -> Positions:
    """The path as float pairs inside the grid. ValueError on positions outside of it, or a video of more than 64 GiB."""
    positions = _checked(path, (grid.views, grid.times))
    size = len(positions) * grid.frames[0, 0].numel() * 4
    if size > MAX_SLICE_BYTES:
        raise ValueError(
            f"a path of {len(positions)} positions at {grid.width}x{grid.height} needs {size / 2**30:.0f} "
            f"GiB, more than the limit of {MAX_SLICE_BYTES / 2**30:.0f} GiB: shorten the path or resize the "
            "grid."
        )
    return positions


def _blend_cells(frames_VTHWC: Tensor, view: float, time: float, out: Tensor) -> None:
    v, t = math.floor(view), math.floor(time)
    view_part, time_part = view - v, time - t
    out.copy_(frames_VTHWC[v, t]).mul_((1 - view_part) * (1 - time_part))
    for dv, dt, weight in (
        (1, 0, view_part * (1 - time_part)),
        (0, 1, (1 - view_part) * time_part),
        (1, 1, view_part * time_part),
    ):
        if weight > 0:
            out.add_(frames_VTHWC[v + dv, t + dt], alpha=weight)
    out.clamp_(0, 1)


def _checked(path: Sequence, grid_shape: tuple[int, int]) -> Positions:
    """The path as float pairs inside the grid; ValueError names the first position that is not."""
    if min(grid_shape) < 1:
        raise ValueError(f"expected a grid of at least 1 view and 1 time, got {grid_shape[0]} and {grid_shape[1]}.")
    if not 1 <= len(path) <= MAX_POSITIONS:
        raise ValueError(f"expected a path of 1 to {MAX_POSITIONS} positions, got {len(path)}.")
    checked = []
    for index, position in enumerate(path):
        if (
            not isinstance(position, (list, tuple))
            or len(position) != 2
            or not all(_is_number(value) for value in position)
        ):
            raise ValueError(
                f"expected position {index} of the path to be a pair of numbers [view, time], got {str(position)[:60]}."
            )
        for value, count, axis in zip(position, grid_shape, ("view", "time")):
            if not 0 <= value <= count - 1:
                raise ValueError(
                    f"expected the {axis} of path position {index} to be from 0 to {count - 1}, got "
                    f"{str(value)[:12]}: the grid has {grid_shape[0]} views and {grid_shape[1]} times."
                )
        checked.append((float(position[0]), float(position[1])))
    return checked


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
