"""Progress of a fill on a node: one bar over all stages, what is being done in words, and the cells done so far as a picture.

Letters: V views, T times, H W pixels.
"""

import time
from collections.abc import Iterable

import comfy.model_management
import torch
import torch.nn.functional as F
from PIL import Image

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.show.contact_sheet import contact_sheet
from .preview import PREVIEW_SIDE
from .stage_bar import StageBar

STAGES = {  # name: share of the whole bar, and what is said
    "given depth": (20, "Depth with Depth Anything 3"),
    "flow": (10, "Optical flow with RAFT"),
    "cameras": (20, "Estimating cameras"),
    "depth": (15, "Estimating depth"),
    "motion": (10, "Estimating motion"),
    "labels": (2, "Finding what moves in each view"),
    "following": (3, "Motion of hidden parts"),
    "transport": (15, "Transport"),
    "steps": (40, "Sampling"),
    "cells": (25, "Filling cells"),
}
OF_MODELS = ["given depth", "flow"]  # that are connected to a fill
OF_SOURCES = [name for name in STAGES if name not in (*OF_MODELS, "steps", "cells")]  # what find_sources tells of
SECONDS = 1.0  # between two pictures
CELL_SIDE = 160  # most pixels of the longer side of a cell that are kept for the picture


class FillProgress:
    """`on_stage` and `on_cell` for `fill_grid` on a running node; both stop the work when the user cancels. models: those of OF_MODELS that run before."""

    def __init__(self, node, grid: FrameGrid, method: str, models: Iterable[str] = ()):
        stages = ["transport"] if method == "transport" else [*models, *OF_SOURCES]
        self.bar = StageBar(STAGES, [*stages, "cells"], node)
        self.side = min(CELL_SIDE, 2 * PREVIEW_SIDE // max(grid.known.shape))  # twice what the picture has room for
        self.known, self.drawn_at = grid.known, 0.0
        self.cells = _shrunk(grid.frames.flatten(0, 1), self.side).unflatten(0, grid.known.shape)

    def on_stage(self, name: str, share: float) -> None:
        self.bar.move(name, share, self._picture(share >= 1) if name == "cells" else None)

    def on_cell(self, view: int, moment: int, frame_HW3: torch.Tensor) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.cells[view, moment] = _shrunk(frame_HW3[None], self.side)[0]

    def _picture(self, whole: bool):
        """The cells so far as a JPEG, at most once a second and once they are whole; None in between."""
        now = time.monotonic()
        if not whole and now - self.drawn_at < SECONDS:
            return None
        self.drawn_at = now
        sheet_HWC = contact_sheet(self.cells, self.known, max_side=PREVIEW_SIDE)
        return "JPEG", Image.fromarray((sheet_HWC * 255).round().to(torch.uint8).numpy()), PREVIEW_SIDE


def _shrunk(frames_NHW3: torch.Tensor, side: int) -> torch.Tensor:
    """A copy of at most so many pixels a side, frame by frame."""
    scale = min(1.0, side / max(frames_NHW3.shape[1:3]))
    size = [max(1, round(side * scale)) for side in frames_NHW3.shape[1:3]]
    small = [
        F.interpolate(frame[None].movedim(-1, 1), size=size, mode="bilinear", antialias=True) for frame in frames_NHW3
    ]
    return torch.cat(small).movedim(1, -1).clone()
