"""A grid as one batch of images and back, without loss: for nodes and functions that work on images.

Shape suffixes: V views, T times, N = V T images, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..files.video import fit_scale_and_shift
from ..grid import Cameras, FrameGrid, float_frames
from ..side_by_side import ask

ORDERS = ("view by view", "time by time")


def grid_images(grid: FrameGrid, order: str = ORDERS[0]) -> Tensor:
    """A copy of the cells as images [N, H, W, 3]; "view by view": all times of view 0 first, "time by time": all views of time 0 first."""
    _check_order(order)
    frames = grid.frames if order == ORDERS[0] else grid.frames.transpose(0, 1)
    return _copied(frames).flatten(0, 1)


def grid_from_images(images_NHWC: Tensor, views: int, fps: float = 24.0, order: str = ORDERS[0]) -> FrameGrid:
    """The grid of `views` views that `grid_images` would give as `images_NHWC`; numpy or torch, uint8 or float 0..1, copied. All cells known.

    Raises ValueError when the images cannot be shared out evenly.
    """
    _check_order(order)
    if views < 1 or len(images_NHWC) % views:
        raise ValueError(
            f"expected a number of images divisible by {views} views, got {len(images_NHWC)}: check the "
            "number of views, and that no earlier node dropped images."
        )
    frames_NHWC, times = float_frames(images_NHWC, "the images"), len(images_NHWC) // views
    lengths = (views, times) if order == ORDERS[0] else (times, views)
    frames = frames_NHWC.view(*lengths, *frames_NHWC.shape[1:])
    frames = frames if order == ORDERS[0] else _copied(frames.transpose(0, 1))
    return FrameGrid(frames, torch.ones(views, times, dtype=torch.bool), fps=fps)


def grid_like(like: FrameGrid, images_NHWC: Tensor, order: str = ORDERS[0]) -> FrameGrid:
    """The grid of these images with everything else as in `like`: known cells, fps, cameras (scaled to the new size) and provenance.

    For images that came from `like` and were changed one by one, upscaled for example. Raises ValueError when their number differs.
    """
    if len(images_NHWC) != like.views * like.times:
        raise ValueError(
            f"expected {like.views * like.times} images for {like.views} views and {like.times} times, got "
            f"{len(images_NHWC)}: check that no earlier node dropped or added images."
        )
    grid = grid_from_images(images_NHWC, like.views, like.fps, order)
    return grid.replace(known=like.known, provenance=like.provenance, cameras=_scaled(like, grid.height, grid.width))


def _scaled(like: FrameGrid, height: int, width: int) -> Cameras | None:
    if like.cameras is None:
        return None
    scale_y, scale_x, _, _ = fit_scale_and_shift(like.height, like.width, height, width, "stretch")
    return Cameras(
        like.cameras.world_to_camera, torch.diag(torch.tensor([scale_x, scale_y, 1.0])) @ like.cameras.intrinsics
    )


def _copied(frames: Tensor) -> Tensor:
    """[A, B, H, W, 3], cell by cell."""
    copied = torch.empty(frames.shape)
    for source, copy in ((frames[place], copied[place]) for place in np.ndindex(*frames.shape[:2])):
        ask()
        copy.copy_(source)
    return copied


def _check_order(order: str) -> None:
    if order not in ORDERS:
        raise ValueError(f"expected order to be one of {', '.join(ORDERS)}, got {order!r}.")
