"""Optical flow between neighbouring cells of a grid (OpenCV's DIS), as it was found: nothing is smoothed away that a metric should see.

Shape suffixes: V views, T times, h w pixels at which flow is searched, 2 = (x, y) displacement in these pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ...grid import FrameGrid
from ...side_by_side import ask
from ...transport.correspondence import look_up, pixel_positions

LONGEST_SIDE = 256  # pixels; smaller frames are enlarged to it, so that grids of different size compare
MARGIN = 16  # replicated border around the picture, in which DIS starts
REFINEMENTS = 5
CONSISTENT = (
    0.5,
    0.05,
)  # pixels, and share of the flow: how far a round trip of a pixel that is seen in both may end from its start


@dataclass(frozen=True)
class GridFlows:
    """Flows of a grid of V x T cells; `pictures` float32 [V, T, h, w, 3] in 0..1.

    later [V, T - 1, h, w, 2]: from (v, t) to (v, t + 1); earlier: back from (v, t + 1). beyond [V - 1, T, h, w, 2]: from (v, t) to (v + 1, t);
    before: back from (v + 1, t).
    """

    pictures: np.ndarray
    later: np.ndarray
    earlier: np.ndarray
    beyond: np.ndarray
    before: np.ndarray

    @property
    def percent(self) -> float:
        """What one pixel is in percent of the width."""
        return 100 / self.pictures.shape[3]


def grid_flows(grid: FrameGrid, on_progress: Callable[[float], None] | None = None) -> GridFlows:
    """All flows between neighbours of a whole grid. on_progress(share) after each view; an exception from it stops the work."""
    scale = LONGEST_SIDE / max(grid.height, grid.width)
    size = max(1, round(grid.width * scale)), max(1, round(grid.height * scale))
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    frames = grid.frames.numpy()
    pictures = np.stack(
        [[np.clip(cv2.resize(cell, size, interpolation=way), 0, 1) for cell in view] for view in frames]
    )
    grey = [[_grey(cell) for cell in view] for view in pictures]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(1)
    search.setVariationalRefinementIterations(REFINEMENTS)

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        ask()
        found = search.calc(first, second, None)  # pyright: ignore[reportCallIssue, reportArgumentType]
        return found[MARGIN:-MARGIN, MARGIN:-MARGIN]

    height, width = pictures.shape[2:4]
    later = np.zeros((grid.views, grid.times - 1, height, width, 2), np.float32)
    beyond = np.zeros((grid.views - 1, grid.times, height, width, 2), np.float32)
    earlier, before = np.zeros_like(later), np.zeros_like(beyond)
    for view in range(grid.views):
        for time in range(grid.times):
            if time + 1 < grid.times:
                later[view, time] = flow(grey[view][time], grey[view][time + 1])
                earlier[view, time] = flow(grey[view][time + 1], grey[view][time])
            if view + 1 < grid.views:
                beyond[view, time] = flow(grey[view][time], grey[view + 1][time])
                before[view, time] = flow(grey[view + 1][time], grey[view][time])
        if on_progress is not None:
            on_progress((view + 1) / grid.views)
    return GridFlows(pictures, later, earlier, beyond, before)


def _grey(cell: np.ndarray) -> np.ndarray:
    grey = np.rint(cv2.cvtColor(cell, cv2.COLOR_RGB2GRAY) * 255).astype(np.uint8)
    return cv2.copyMakeBorder(grey, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)


def carried(values: np.ndarray, flow_hw2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values [h, w, C] read at the ends of the flow, bool [h, w]: where that end lies inside the picture)."""
    ask()
    height, width = flow_hw2.shape[:2]
    ends = pixel_positions(height, width) + flow_hw2
    inside = (ends[..., 0] >= 0) & (ends[..., 0] <= width - 1) & (ends[..., 1] >= 0) & (ends[..., 1] <= height - 1)
    return look_up(values, ends), inside


def seen_in_both(there_hw2: np.ndarray, back_hw2: np.ndarray) -> np.ndarray:
    """Bool [h, w]: pixels whose round trip ends near its start (Sundaram, Brox, Keutzer, ECCV 2010), so that the flow can be judged."""
    returned, inside = carried(back_hw2, there_hw2)
    error = np.linalg.norm(there_hw2 + returned, axis=-1)
    return inside & (error < CONSISTENT[0] + CONSISTENT[1] * np.linalg.norm(there_hw2, axis=-1))
