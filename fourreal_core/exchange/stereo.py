"""Side-by-side stereo from two views of a grid: pictures and videos for headsets, 3D screens and bare eyes.

Shape suffixes: N frames, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..files.video import fit_frames
from ..grid import Cameras, FrameGrid
from ..paths.presets import Positions, diagonal, fixed_view, freeze_time, slice_grid

EVERY = -1  # all views or times in turn
VIEWINGS = ("parallel", "cross-eyed")


def stereo_paths(grid_shape: tuple[int, int], view: int, time: int, spacing: int) -> tuple[Positions, Positions]:
    """(the left eye's path, the right eye's) through a grid of (V, T); positions as in paths/presets.py.

    The eyes see views `view` and `view` + |spacing|; a positive spacing gives the higher one to the right eye, a negative one to the left.
    time EVERY: time runs; view EVERY: both eyes sweep over the views; both EVERY: the diagonal. Raises ValueError outside of the grid.
    """
    views, times = grid_shape
    apart = abs(spacing)
    if not 1 <= apart <= views - 1:
        raise ValueError(
            f"expected a spacing of 1 to {views - 1} views, or -1 to {1 - views} to swap the eyes, got "
            f"{spacing}: the grid has {views} views."
        )
    if view != EVERY and not 0 <= view <= views - 1 - apart:
        raise ValueError(
            f"expected view to be from 0 to {views - 1 - apart}, so that view + {apart} is one of the grid's "
            f"{views} views, or {EVERY} for all, got {view}."
        )
    if time != EVERY and not 0 <= time <= times - 1:
        raise ValueError(f"expected time to be from 0 to {times - 1}, or {EVERY} for all, got {time}.")
    lower = _path((views - apart, times), view, time)
    higher = [(position + apart, at) for position, at in lower]
    return (lower, higher) if spacing > 0 else (higher, lower)


def _path(grid_shape: tuple[int, int], view: int, time: int) -> Positions:
    if view == EVERY:
        return diagonal(grid_shape) if time == EVERY else freeze_time(grid_shape, time)
    return fixed_view(grid_shape, view) if time == EVERY else [(float(view), float(time))]


def stereo_video(
    grid: FrameGrid,
    view: int = 0,
    time: int = EVERY,
    spacing: int = 1,
    viewing: str = VIEWINGS[0],
    half_width: bool = False,
) -> Tensor:
    """float32 [N, H, 2 W, 3] in 0..1: both eyes side by side; [N, H, 2 (W // 2), 3] with half_width, where each eye is squeezed sideways.

    viewing: "parallel" puts the left eye's picture on the left, as headsets and 3D screens want it, "cross-eyed" on the right.
    view, time, spacing: see stereo_paths. Raises ValueError as it does.
    """
    if viewing not in VIEWINGS:
        raise ValueError(f"expected viewing to be one of {', '.join(VIEWINGS)}, got {viewing!r}.")
    left_NHWC, right_NHWC = (
        slice_grid(grid, path) for path in stereo_paths((grid.views, grid.times), view, time, spacing)
    )
    eyes = (left_NHWC, right_NHWC) if viewing == VIEWINGS[0] else (right_NHWC, left_NHWC)
    if half_width:
        eyes = tuple(fit_frames(eye_NHWC, grid.height, max(1, grid.width // 2), "stretch") for eye_NHWC in eyes)
    return torch.cat(eyes, dim=2)


def stands_right_of(cameras: Cameras, view: int, other: int) -> bool:
    """Whether the camera of `other` stands to the right of that of `view`, as seen from the latter (x to the right, OpenCV)."""
    centre = torch.linalg.inv(cameras.world_to_camera[other].double())[:, 3]
    return (cameras.world_to_camera[view].double() @ centre)[0].item() > 0
