"""Transport: predict every unknown cell by composing correspondences between known ones, without a model.

Pixel s of (v, t0) has a partner r in (v0, t0); r moves by F to time t in view v0; so s moves by about F between t0 and t in view v.
That gives two predictions of (v, t): the frame (v, t0) moved along time, and the frame (v0, t) moved along view. The first is right
wherever nothing moves, the second shows what moves as it looks at time t. Each comes with a confidence. Next to read: carry.py.

Shape suffixes: V views, T times, H W pixels, 3 colours, 2 = (x, y) in pixels, K evidence channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask
from .predictions import LEAST_DOUBT, Direction, Predictions

if TYPE_CHECKING:
    from .carry import Carried
    from .correspondence import CellFlows

Cell = tuple[int, int]  # (view, time)
# of a frame copied from the next cell because nothing could be carried; divided by the distance in cells
COPY_CONFIDENCE = 0.1


def transport_fill(grid: FrameGrid, *, on_cell: Callable[[int, int], None] | None = None) -> tuple[FrameGrid, Tensor]:
    """The grid with every unknown cell predicted, known cells bit-exact, and the larger confidence [V, T, H, W] in 0..1.

    on_cell: as in `transport`. Raises ValueError when no cell is known.
    """
    predictions = transport(grid, on_cell=on_cell)
    return grid.filled(predictions.blend), predictions.confidence


def transport(grid: FrameGrid, *, on_cell: Callable[[int, int], None] | None = None) -> Predictions:
    """Predict the unknown cells of any grid, any known pattern, from the nearest L of known cells (v, t0), (v0, t0), (v0, t).

    Cells without such an L use cells predicted before them, at lower confidence, and at last copy the nearest known cell.
    on_cell(done, total) is called after each predicted cell; raising inside cancels. Deterministic; the grid is not written to.
    Raises ValueError when no cell is known.
    """
    # Here, because the model needs `blend_predictions` but never OpenCV.
    from .correspondence import CellFlows

    if not bool(grid.known.any()):
        raise ValueError(
            "the grid has no known cells: build it from a fixed-view and a freeze-time video, or mark known cells."
        )
    draft = _Draft(grid)
    flows = CellFlows(draft.frame, (grid.height, grid.width), grid.known.numpy())
    total = int((~grid.known).sum())
    for done, (cell, ells) in enumerate(prediction_order(grid.known.numpy()), start=1):
        ask()
        if ells:
            draft.carry(flows, cell, ells)
        else:
            draft.copy(cell)
        if on_cell is not None:
            on_cell(done, total)
    return draft.predictions()


Ell = tuple[Cell, Cell, Cell]  # (v, t0), (v0, t0), (v0, t)


def prediction_order(known_VT: np.ndarray) -> Iterator[tuple[Cell, list[Ell]]]:
    """The unknown cells in the order of prediction, each with the Ls to predict it from (none: copy).

    Cells that see an L of known cells come first; what they give counts as known in the next round.
    """
    available_VT = known_VT.copy()
    while not available_VT.all():
        ready = [(cell, ells) for cell in _places(~available_VT) if (ells := nearest_ells(available_VT, cell))]
        yield from ready
        if not ready:
            yield from ((cell, []) for cell in _places(~available_VT))
            return
        for cell, _ in ready:
            available_VT[cell] = True


def _places(mask_VT: np.ndarray) -> list[Cell]:
    return [(view, time) for view, time in np.argwhere(mask_VT).tolist()]


def nearest_ells(available_VT: np.ndarray, cell: Cell) -> list[Ell]:
    """The L with the shortest legs towards each of the four sides (earlier or later, lower or higher view).

    Ls more than twice as long as the shortest are left out.
    """
    view, time = cell
    views, times = np.flatnonzero(available_VT[:, time]), np.flatnonzero(available_VT[view])
    best: dict[tuple[bool, bool], tuple[int, Cell]] = {}
    for v0, t0 in ((v0, t0) for v0 in views.tolist() for t0 in times.tolist() if available_VT[v0, t0]):
        side, length = (v0 > view, t0 > time), abs(v0 - view) + abs(t0 - time)
        if side not in best or length < best[side][0]:
            best[side] = (length, (v0, t0))
    shortest = min((length for length, _ in best.values()), default=0)
    return [((view, t0), (v0, t0), (v0, time)) for length, (v0, t0) in best.values() if length <= 2 * shortest]


def _known_cells(grid: FrameGrid) -> Direction:
    """One direction before anything is predicted: known cells are their own source, all else is zero."""
    frames = torch.where(grid.known[:, :, None, None, None], grid.frames, 0.0)
    confidence = grid.known[:, :, None, None].float().expand(frames.shape[:-1]).clone()
    return Direction(frames, confidence, frames.clone(), torch.zeros(*frames.shape[:-1], 2))


class _Draft:
    """The predictions while they are being made, cell by cell."""

    def __init__(self, grid: FrameGrid):
        self.known_VT = grid.known.numpy()
        self.time, self.view = _known_cells(grid), _known_cells(grid)

    def predictions(self) -> Predictions:
        return Predictions(self.time, self.view)

    def frame(self, cell: Cell) -> np.ndarray:
        """[H, W, 3]: the known frame, or the blend of what was predicted before."""
        if self.known_VT[cell]:
            return self.time.frames[cell].numpy()
        time, view = (Direction(*(part[cell] for part in direction)) for direction in (self.time, self.view))
        return Predictions(time, view).blend.numpy()

    def carry(self, flows: CellFlows, cell: Cell, ells: list[Ell]) -> None:
        """Predict a cell from its Ls in both directions; several Ls are averaged by the odds of their confidences."""
        from .carry import carry

        for_time, for_view = [], []
        for along_time_base, corner, along_view_base in ells:
            ask()
            time_side = carry(flows, along_time_base, corner, along_view_base)
            ask()
            view_side = carry(flows, along_view_base, corner, along_time_base)
            reliance = min(self._reliance(source) for source in (along_time_base, corner, along_view_base))
            confidence_time, confidence_view = confidences(time_side, view_side)
            for_time.append(_prediction(time_side, reliance * confidence_time, flows.frame(along_time_base)))
            for_view.append(_prediction(view_side, reliance * confidence_view, flows.frame(along_view_base)))
        _write(self.time, cell, merge(for_time))
        _write(self.view, cell, merge(for_view))

    def copy(self, cell: Cell) -> None:
        """Copy the nearest known cell of the same view and of the same time, or the nearest of all."""
        view, time = cell
        cells = np.argwhere(self.known_VT)
        distances = np.abs(cells - np.array(cell)).sum(axis=1)
        for direction, same in ((self.time, cells[:, 0] == view), (self.view, cells[:, 1] == time)):
            distance = np.where(same, distances, distances.max() + 1) if same.any() else distances
            nearest = int(distance.argmin())
            frame_HW3 = torch.from_numpy(self.frame(tuple(cells[nearest])))
            confidence_HW = torch.full(frame_HW3.shape[:2], COPY_CONFIDENCE / distances[nearest])
            still_HW2 = torch.zeros(*frame_HW3.shape[:2], 2)
            _write(direction, cell, Direction(frame_HW3, confidence_HW, frame_HW3, still_HW2))

    def _reliance(self, cell: Cell) -> float:
        """1 for a known cell, the mean of the larger confidence for a predicted one."""
        if self.known_VT[cell]:
            return 1.0
        return float(torch.maximum(self.time.confidence[cell], self.view.confidence[cell]).mean())


def confidences(time_side: Carried, view_side: Carried) -> tuple[np.ndarray, np.ndarray]:
    """Confidence [H, W] of each direction, from its own evidence and from how far the two pictures disagree."""
    import cv2

    from .confidence import confidence
    from .correspondence import colour_difference

    disagreement_HW = cv2.blur(colour_difference(time_side.picture_HW3, view_side.picture_HW3), (3, 3))
    found = []
    for side in (time_side, view_side):
        ask()
        found.append(confidence(np.dstack([side.evidence_HWK, disagreement_HW])))
    return found[0], found[1]


def _prediction(carried: Carried, confidence_HW: np.ndarray, source_HW3: np.ndarray) -> Direction:
    parts = (carried.picture_HW3, confidence_HW, source_HW3, carried.back_HW2)
    return Direction(*(torch.from_numpy(part) for part in parts))


def _write(direction: Direction, cell: Cell, prediction: Direction) -> None:
    for whole, part in zip(direction, prediction):
        whole[cell] = part


def merge(parts: list[Direction]) -> Direction:
    """Several predictions of one cell as one: mean weighted by the odds, largest confidence, the surest one's source."""
    if len(parts) == 1:
        return parts[0]
    sure = torch.stack([part.confidence for part in parts])
    odds = sure.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT)
    odds = (odds / (1 - odds))[..., None]
    weighted = [part.frames * weight for part, weight in zip(parts, odds)]
    frames = cast(torch.Tensor, sum(weighted)) / sum(odds)
    surest = parts[int(sure.numpy().mean(axis=(1, 2)).argmax())]
    return Direction(frames, sure.amax(0), surest.source, surest.back)
