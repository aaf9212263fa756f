"""Transport: predict every unknown cell by composing correspondences between known ones, without a model.

Pixel s of (v, t0) has a partner r in (v0, t0); r moves by F to time t in view v0; so s moves by about F between t0 and t in view v.
That gives two predictions of (v, t): the frame (v, t0) moved along time, and the frame (v0, t) moved along view. The first is right
wherever nothing moves, the second shows what moves as it looks at time t. Each comes with a confidence. Next to read: carry.py.

Shape suffixes: V views, T times, H W pixels, 3 colours, 2 = (x, y) in pixels, K evidence channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..grid import FrameGrid

if TYPE_CHECKING:
    from .carry import Carried
    from .correspondence import CellFlows

Cell = tuple[int, int]  # (view, time)
COPY_CONFIDENCE = (
    0.1  # of a frame copied from the next cell because nothing could be carried; divided by the distance in cells
)
LEAST_DOUBT = 1e-4  # confidences are kept this far from 0 and 1 when they are compared


@dataclass(frozen=True)
class TransportGuess:
    """Two predictions of every cell, their confidences, and what they were made from; float32 on the CPU.

    Known cells: the frame itself, confidence 1, its own source with displacement 0. Where several Ls were merged, source and
    displacement are those of the surest one.
    """

    along_time: Tensor  # [V, T, H, W, 3] 0..1: x[v, t0] moved by the motion seen from a known view
    along_view: Tensor  # [V, T, H, W, 3] 0..1: x[v0, t] moved by the parallax seen at a known time
    confidence_time: Tensor  # [V, T, H, W] 0..1
    confidence_view: Tensor  # [V, T, H, W] 0..1
    source_time: Tensor  # [V, T, H, W, 3] 0..1: the frame that `along_time` was read from
    source_view: Tensor  # [V, T, H, W, 3] 0..1: the frame that `along_view` was read from
    back_time: Tensor  # [V, T, H, W, 2] pixels: from each pixel to where `along_time` read it in `source_time`
    back_view: Tensor  # [V, T, H, W, 2] pixels: likewise for `along_view`

    @property
    def blend(self) -> Tensor:
        """[V, T, H, W, 3] 0..1: the final guess."""
        return blend_predictions(self.along_time, self.along_view, self.confidence_time, self.confidence_view)


def blend_predictions(
    along_time: Tensor, along_view: Tensor, confidence_time: Tensor, confidence_view: Tensor
) -> Tensor:
    """Mean of two predictions [..., 3] weighted by the odds of their confidences [...]; differentiable.

    Confidence c means an expected squared error proportional to (1 - c) / c, so the odds c / (1 - c) are the inverse variances
    of the best linear blend; at confidence 1 one prediction is taken alone. Lies between the two predictions.
    """
    sure_time = confidence_time.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT)
    sure_view = confidence_view.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT)
    pull_time, pull_view = sure_time * (1 - sure_view), sure_view * (1 - sure_time)
    share_time = (pull_time / (pull_time + pull_view)).unsqueeze(-1)
    return along_view + share_time * (along_time - along_view)


def transport_fill(grid: FrameGrid, *, on_cell: Callable[[int, int], None] | None = None) -> tuple[FrameGrid, Tensor]:
    """The grid with every unknown cell predicted, known cells bit-exact, and the larger confidence [V, T, H, W] in 0..1.

    on_cell: as in `transport`. Raises ValueError when no cell is known.
    """
    guess = transport(grid, on_cell=on_cell)
    frames = torch.where(grid.known[:, :, None, None, None], grid.frames, guess.blend)
    return grid.replace(frames=frames), torch.maximum(guess.confidence_time, guess.confidence_view)


def transport(grid: FrameGrid, *, on_cell: Callable[[int, int], None] | None = None) -> TransportGuess:
    """Predict the unknown cells of any grid, any known pattern, from the nearest L of known cells (v, t0), (v0, t0), (v0, t).

    Cells without such an L use cells predicted before them, at lower confidence, and at last copy the nearest known cell.
    on_cell(done, total) is called after each predicted cell; raising inside cancels. Deterministic; the grid is not written to.
    Raises ValueError when no cell is known.
    """
    # Here, because the model needs blend_predictions but never OpenCV.
    from .correspondence import CellFlows

    if not bool(grid.known.any()):
        raise ValueError(
            "expected at least one known cell, got a grid with none: give a fixed-view and a freeze-time video, or mark known cells."
        )
    draft = _Draft(grid)
    flows = CellFlows(draft.frame, (grid.height, grid.width), grid.known.numpy())
    total = int((~grid.known).sum())
    for done, (cell, ells) in enumerate(prediction_order(grid.known.numpy()), start=1):
        if ells:
            draft.carry(flows, cell, ells)
        else:
            draft.copy(cell)
        if on_cell is not None:
            on_cell(done, total)
    return draft.guess()


Ell = tuple[Cell, Cell, Cell]  # (v, t0), (v0, t0), (v0, t)


def prediction_order(known_VT: np.ndarray) -> Iterator[tuple[Cell, list[Ell]]]:
    """The unknown cells in the order of prediction, each with the Ls to predict it from (none: copy).

    Cells that see an L of known cells come first; what they give counts as known in the next round.
    """
    available_VT = known_VT.copy()
    while not available_VT.all():
        ready = [
            (cell, ells)
            for cell in map(tuple, np.argwhere(~available_VT).tolist())
            if (ells := nearest_ells(available_VT, cell))
        ]
        yield from ready
        if not ready:
            yield from ((tuple(cell), []) for cell in np.argwhere(~available_VT).tolist())
            return
        for cell, _ in ready:
            available_VT[cell] = True


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


@dataclass(frozen=True)
class Prediction:
    """One cell predicted in one direction."""

    picture_HW3: np.ndarray  # 0..1
    confidence_HW: np.ndarray  # 0..1
    source_HW3: np.ndarray  # 0..1: the frame that the picture was read from
    back_HW2: np.ndarray  # pixels: from each pixel to where it was read in the source


class _Direction:
    """One direction's predictions of all cells while they are being filled; known cells are their own source."""

    def __init__(self, grid: FrameGrid):
        known = grid.known[:, :, None, None, None]
        self.picture = torch.where(known, grid.frames, 0.0)
        self.confidence = known[..., 0].float().expand(grid.frames.shape[:-1]).clone()
        self.source = self.picture.clone()
        self.back = torch.zeros(*grid.frames.shape[:-1], 2)

    def write(self, cell: Cell, prediction: Prediction) -> None:
        self.picture[cell] = torch.from_numpy(prediction.picture_HW3)
        self.confidence[cell] = torch.from_numpy(prediction.confidence_HW)
        self.source[cell] = torch.from_numpy(prediction.source_HW3)
        self.back[cell] = torch.from_numpy(prediction.back_HW2)


class _Draft:
    """The guess while it is being filled, cell by cell."""

    def __init__(self, grid: FrameGrid):
        self.known_VT = grid.known.numpy()
        self.time, self.view = _Direction(grid), _Direction(grid)

    def guess(self) -> TransportGuess:
        time, view = self.time, self.view
        return TransportGuess(
            time.picture, view.picture, time.confidence, view.confidence, time.source, view.source, time.back, view.back
        )

    def frame(self, cell: Cell) -> np.ndarray:
        """[H, W, 3]: the known frame, or the blend of what was predicted before."""
        if self.known_VT[cell]:
            return self.time.picture[cell].numpy()
        parts = (self.time.picture, self.view.picture, self.time.confidence, self.view.confidence)
        return blend_predictions(*(part[cell] for part in parts)).numpy()

    def carry(self, flows: CellFlows, cell: Cell, ells: list[Ell]) -> None:
        """Predict a cell from its Ls in both directions; several Ls are averaged by the odds of their confidences."""
        from .carry import carry

        for_time, for_view = [], []
        for along_time_base, corner, along_view_base in ells:
            time_side = carry(flows, along_time_base, corner, along_view_base)
            view_side = carry(flows, along_view_base, corner, along_time_base)
            reliance = min(self._reliance(source) for source in (along_time_base, corner, along_view_base))
            confidence_time, confidence_view = confidences(time_side, view_side)
            for_time.append(
                Prediction(
                    time_side.picture_HW3, reliance * confidence_time, flows.frame(along_time_base), time_side.back_HW2
                )
            )
            for_view.append(
                Prediction(
                    view_side.picture_HW3, reliance * confidence_view, flows.frame(along_view_base), view_side.back_HW2
                )
            )
        self.time.write(cell, merge(for_time))
        self.view.write(cell, merge(for_view))

    def copy(self, cell: Cell) -> None:
        """Copy the nearest known cell of the same view and of the same time, or the nearest of all."""
        view, time = cell
        cells = np.argwhere(self.known_VT)
        distances = np.abs(cells - np.array(cell)).sum(axis=1)
        for direction, same in ((self.time, cells[:, 0] == view), (self.view, cells[:, 1] == time)):
            distance = np.where(same, distances, distances.max() + 1) if same.any() else distances
            nearest = int(distance.argmin())
            frame_HW3 = self.frame(tuple(cells[nearest]))
            confidence_HW = np.full(frame_HW3.shape[:2], COPY_CONFIDENCE / distances[nearest], np.float32)
            direction.write(
                cell, Prediction(frame_HW3, confidence_HW, frame_HW3, np.zeros((*frame_HW3.shape[:2], 2), np.float32))
            )

    def _reliance(self, cell: Cell) -> float:
        """1 for a known cell, the mean of the larger confidence for a predicted one."""
        if self.known_VT[cell]:
            return 1.0
        return float(torch.maximum(self.time.confidence[cell], self.view.confidence[cell]).mean())


def confidences(time_side: Carried, view_side: Carried) -> tuple[np.ndarray, np.ndarray]:
    """Confidence [H, W] of each direction, from its own evidence and from how far the two pictures disagree."""
    import cv2

    from .confidence import confidence

    disagreement_HW = cv2.blur(np.abs(time_side.picture_HW3 - view_side.picture_HW3).mean(axis=-1), (3, 3))
    return tuple(confidence(np.dstack([side.evidence_HWK, disagreement_HW])) for side in (time_side, view_side))


def merge(parts: list[Prediction]) -> Prediction:
    """Several predictions of one cell as one: mean weighted by the odds, largest confidence, the surest one's source."""
    if len(parts) == 1:
        return parts[0]
    pictures, sure = np.stack([part.picture_HW3 for part in parts]), np.stack([part.confidence_HW for part in parts])
    odds = np.clip(sure, LEAST_DOUBT, 1 - LEAST_DOUBT)
    odds = (odds / (1 - odds))[..., None]
    surest = parts[int(sure.mean(axis=(1, 2)).argmax())]
    return Prediction(
        (pictures * odds).sum(axis=0) / odds.sum(axis=0), sure.max(axis=0), surest.source_HW3, surest.back_HW2
    )
