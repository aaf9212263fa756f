"""Cameras for a grid: which of its cells are the freeze-time video, where they are in the whole video, and what came out in words.

Letters: V views, F frames of the video, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..files.video import FITS, fit_frames
from ..grid import Cameras, FrameGrid, float_frames
from .cameras import CameraEstimate, CamerasNotFound, OnProgress, estimate_cameras
from .gauge import arc_degrees, centres, field_of_view

LOOK = 48  # pixels of the longer side at which views are looked for in a video
SAME = 0.06  # mean absolute difference, 0..1, up to which a frame is the view that it should be


def estimate_grid_cameras(
    grid: FrameGrid, video=None, *, seed: int = 0, on_progress: OnProgress | None = None
) -> tuple[FrameGrid, CameraEstimate]:
    """(the grid with cameras, the estimate), from the earliest time at which every view is known.

    video [F, H, W, 3], numpy or torch, uint8 or float 0..1: the whole freeze-time video that the views were picked from,
    at its own size; more frames and pixels place the views better. Raises ValueError when the views are not in it, in
    order; CamerasNotFound and PycolmapMissing as estimate_cameras does.
    """
    whole = grid.known.all(0).nonzero()
    if len(whole) == 0:
        raise CamerasNotFound(
            "No time of this grid is known at every view: cameras are estimated from a freeze-time video, "
            "which shows one moment from all views."
        )
    frames_VHWC = grid.frames[:, int(whole[0])]
    if video is None:
        found = estimate_cameras(frames_VHWC, seed=seed, on_progress=on_progress)
    else:
        views, fit = find_views(frames_VHWC, video)
        size = grid.height, grid.width
        found = estimate_cameras(video, views=views, size=size, fit=fit, seed=seed, on_progress=on_progress)
    facts = {"cameras": {"estimated": True, "error": round(found.error, 4), "guessed": list(found.guessed)}}
    return grid.replace(cameras=found.cameras, provenance={**grid.provenance, **facts}), found


def find_views(frames_VHWC: Tensor, video) -> tuple[list[int], str]:
    """(numbers of the video's frames that the views are, growing; how they were fitted: crop, pad or stretch)."""
    height, width = frames_VHWC.shape[1:3]
    scale = LOOK / max(height, width)
    small = max(1, round(height * scale)), max(1, round(width * scale))
    if len(video) < len(frames_VHWC):
        raise ValueError(
            f"expected a freeze-time video that contains the frames of all {len(frames_VHWC)} views, got "
            f"{len(video)} frames: use the whole video."
        )
    wanted = fit_frames(frames_VHWC, *small, "stretch").flatten(1)
    best = (float("inf"), [], "")
    for fit in FITS:
        shown = torch.cat(
            [float_frames(fit_frames(video[at : at + 1], *small, fit), "the video") for at in range(len(video))]
        )
        differences = torch.cdist(wanted, shown.flatten(1), p=1).numpy() / wanted.shape[1]
        views = _growing(differences)
        mean = float(differences[np.arange(len(views)), views].mean())
        if mean < best[0]:
            best = (mean, views, fit)
    if best[0] > SAME:
        raise ValueError(
            "expected to find the grid's views among the frames of the freeze-time video, in order, but the "
            f"closest differ by {best[0]:.0%}: use the video that the grid was built from."
        )
    return best[1], best[2]


def _growing(differences: np.ndarray) -> list[int]:
    """One column per line of [V, F], each further right than the one before, with the smallest sum."""
    views, frames = differences.shape
    sums = np.full((views, frames), np.inf)
    sums[0] = differences[0]
    for view in range(1, views):
        sums[view, 1:] = differences[view, 1:] + np.minimum.accumulate(sums[view - 1])[:-1]
    chosen = [int(np.argmin(sums[-1]))]
    for view in range(views - 2, -1, -1):
        chosen.append(int(np.argmin(sums[view, : chosen[-1]])))
    return chosen[::-1]


def describe_cameras(cameras: Cameras, size: tuple[int, int], estimate: CameraEstimate | None = None) -> str:
    """A few lines for the user. size: (height, width) of the cells. estimate: None when the cameras were given."""
    across, upright = field_of_view(cameras, *size)
    way = float(np.linalg.norm(np.diff(centres(cameras.world_to_camera.double().numpy()), axis=0), axis=1).sum())
    views = len(cameras.world_to_camera)
    lines = [
        f"field of view: {across:.1f} x {upright:.1f} degrees",
        f"arc from the first to the last view: {arc_degrees(cameras):.1f} degrees, path of length {way:.3g}",
    ]
    if estimate is None:
        return "\n".join([f"{views} cameras came with the grid and were kept", *lines])
    placed = views - len(estimate.guessed)
    zoom = ", which changes along the path" if estimate.zoomed else ""
    first = [
        f"{placed} of {views} views placed, from {len(estimate.placed)} of {len(estimate.looked_at)} frames",
        f"reprojection error: {estimate.error:.2f} pixels of the cells, {len(estimate.points)} points",
    ]
    lines[0] += zoom
    lines[1] += " times the depth of the scene"
    return "\n".join([*first, *lines, *estimate.notes])
