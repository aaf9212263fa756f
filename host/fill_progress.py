"""Progress of a fill on a node: one bar over all stages, what is being done in words, and the cells done so far as a picture.

Letters: V views, T times, H W pixels.
"""

import itertools
import logging
import time
from collections.abc import Iterable

import comfy.model_management
import comfy.utils
import torch
import torch.nn.functional as F
from PIL import Image

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.show.contact_sheet import contact_sheet
from .preview import PREVIEW_SIDE
from .types import tell

STAGES = {  # name: share of the whole bar, and what is said
    "flow": (10, "Optical flow with RAFT"),
    "cameras": (20, "Estimating cameras"),
    "depth": (15, "Estimating depth"),
    "motion": (10, "Estimating motion"),
    "labels": (2, "Finding what moves in each view"),
    "following": (3, "Motion of hidden parts"),
    "transport": (15, "Transport"),
    "cells": (25, "Filling cells"),
}
FINENESS = 10
SECONDS = 1.0  # between two pictures
CELL_SIDE = 160  # pixels of the longer side of a cell in the picture


class StageBar:
    """One bar over the named stages of a fill on the running node; moving it also stops the work when the user cancels."""

    def __init__(self, names: Iterable[str]):
        shares = {name: STAGES[name][0] for name in STAGES if name in set(names)}
        self.ends = dict(zip(shares, itertools.accumulate(shares.values())))
        self.total = FINENESS * sum(shares.values())
        self.bar, self.done = comfy.utils.ProgressBar(self.total), 0

    def move(self, name: str, share: float, picture=None) -> None:
        """To where so much of a stage (0..1) is done. picture: what ComfyUI shows on the node meanwhile."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        reached = round(FINENESS * (self.ends[name] - (1 - share) * STAGES[name][0]))
        self.done = max(self.done, reached)  # a bar that runs backwards frightens
        self.bar.update_absolute(self.done, self.total, picture)


class FillProgress:
    """`on_stage` and `on_cell` for `fill_grid` on a running node; both stop the work when the user cancels."""

    def __init__(self, node, grid: FrameGrid, method: str):
        self.node, self.stage = node, None
        self.bar = StageBar(["transport"] if method == "transport" else STAGES)
        self.known, self.cells, self.drawn_at = grid.known, _shrunk(grid.frames.flatten(0, 1)), 0.0
        self.cells = self.cells.unflatten(0, grid.known.shape)

    def on_stage(self, name: str, share: float) -> None:
        if name != self.stage:
            self.stage = name
            tell(self.node, f"{STAGES[name][1]} ...", logging.DEBUG)
        self.bar.move(name, share, self._picture())

    def on_cell(self, view: int, moment: int, frame_HW3: torch.Tensor) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.cells[view, moment] = _shrunk(frame_HW3[None])[0]

    def _picture(self):
        """The cells so far as a JPEG, at most once a second; None in between."""
        now = time.monotonic()
        if self.stage != "cells" or now - self.drawn_at < SECONDS:
            return None
        self.drawn_at = now
        sheet_HWC = contact_sheet(self.cells, self.known, max_side=PREVIEW_SIDE)
        return "JPEG", Image.fromarray((sheet_HWC * 255).round().to(torch.uint8).numpy()), PREVIEW_SIDE


def _shrunk(frames_NHW3: torch.Tensor) -> torch.Tensor:
    """A copy at a size for the picture, frame by frame."""
    scale = min(1.0, CELL_SIDE / max(frames_NHW3.shape[1:3]))
    size = [max(1, round(side * scale)) for side in frames_NHW3.shape[1:3]]
    small = [
        F.interpolate(frame[None].movedim(-1, 1), size=size, mode="bilinear", antialias=True) for frame in frames_NHW3
    ]
    return torch.cat(small).movedim(1, -1).clone()
