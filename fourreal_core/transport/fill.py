"""Transport: predict every unknown cell by composing correspondences between known ones, without a model.

Pixel s of (v, t0) has a partner r in (v0, t0); r moves by F to time t in view v0; so s moves by about F between t0 and t in view v.
That gives two predictions of (v, t): the frame (v, t0) moved along time, and the frame (v0, t) moved along view. The first is right
wherever nothing moves, the second shows what moves as it looks at time t. Each comes with a confidence. Next to read: carry.py.

Shape suffixes: V views, T times, H W pixels, 3 colours, 2 = (x, y) in pixels, K evidence channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from ..files.room import copied, give_back, room
from ..grid import FrameGrid
from ..side_by_side import ask
from .predictions import LEAST_DOUBT, Direction, Predictions

if TYPE_CHECKING:
    from .carry import Carried

Cell = tuple[int, int]  # (view, time)
# of a frame copied from the next cell because nothing could be carried; divided by the distance in cells
COPY_CONFIDENCE = 0.1
PAIRS = 8  # of cells that are matched before memory is given back


def transport_fill(grid: FrameGrid, *, on_cell: Callable[[int, int], None] | None = None) -> tuple[FrameGrid, Tensor]:
    """The grid with every unknown cell predicted, known cells bit-exact, and the larger confidence [V, T, H, W] in 0..1.

    on_cell: as in `transport`. Raises ValueError when no cell is known.
    """
    predictor = Predictor(grid)
    frames, sure = copied(grid.frames), room(grid.frames.shape[:-1]).fill_(1.0)
    for done, at in enumerate(predictor.cells, start=1):
        ask()
        predicted = predictor.cell(at)
        frames[at], sure[at] = predicted.blend, predicted.confidence
        if on_cell is not None:
            on_cell(done, len(predictor.cells))
    return grid.replace(frames=frames), sure


def transport(grid: FrameGrid, *, on_cell: Callable[[int, int], None] | None = None) -> Predictions:
    """Predict the unknown cells of any grid, any known pattern, from the nearest L of known cells (v, t0), (v0, t0), (v0, t).

    Cells without such an L use cells predicted before them, at lower confidence, and at last copy the nearest known cell.
    on_cell(done, total) is called after each predicted cell; raising inside cancels. Deterministic; the grid is not written to.
    Raises ValueError when no cell is known.
    """
    return Predictor(grid).all_cells(on_cell)


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


def _room_for(cells: tuple[int, ...], size: tuple[int, int]) -> Direction:
    """One direction of a grid of [V, T] cells, to be written to."""
    confidence_VTHW = torch.empty(*cells, *size)
    frames, source, back = (confidence_VTHW.new_empty(*cells, *size, channels) for channels in (3, 3, 2))
    return Direction(frames, confidence_VTHW, source, back)


class Predictor:
    """What `transport` gives, each cell's made when it is asked for: all of them take several times the memory of the grid.

    Cells may be asked for in any order and by several threads; correspondences between cells are found once. The grid is neither
    written to nor kept, but its frames are. Raises ValueError when no cell is known.
    """

    def __init__(self, grid: FrameGrid):
        # Here, because the model needs `blend_predictions` but never OpenCV.
        from .correspondence import CellFlows

        if not bool(grid.known.any()):
            raise ValueError(
                "the grid has no known cells: build it from a fixed-view and a freeze-time video, or mark known cells."
            )
        self.frames_VTHW3, self.known_VT = grid.frames, grid.known.numpy()
        self._ells = dict(prediction_order(self.known_VT))
        used = {cell for ells in self._ells.values() for ell in ells for cell in ell}
        self._used = used & self._ells.keys()  # predicted cells that others are predicted from
        self._made: dict[Cell, tuple[np.ndarray, float]] = {}  # blend and reliance of those that are at hand
        self._size = grid.height, grid.width
        self._all: dict[tuple[int, int], Predictions] = {}  # by (height, width)
        # a function of these two alone: an object that keeps itself alive would keep all frames
        frame = partial(_frame, self.frames_VTHW3, self._made)
        self._flows = CellFlows(frame, (grid.height, grid.width), self.known_VT)

    @property
    def cells(self) -> list[Cell]:
        """The unknown cells, (view, time), in the order in which none is needed before it is made."""
        return list(self._ells)

    def find_flows(self, on_pair: Callable[[int, int], None]) -> None:
        """Find the correspondences between known cells before any cell is asked for. on_pair(done, total) may raise to cancel."""
        ells = [ell for ells in self._ells.values() for ell in ells if not self._used.intersection(ell)]
        pairs = dict.fromkeys((corner, other) for one, corner, two in ells for other in (one, two))
        for done, (corner, other) in enumerate(pairs, start=1):
            ask()
            self._flows.find(corner, other)
            if done % PAIRS == 0:
                give_back()
            on_pair(done, len(pairs))
        if not self._used:
            self._flows.forget("picture", "grey", "flow")
        give_back()

    def cell(self, at: Cell) -> Predictions:
        """Both predictions of one cell, `[H, W, ...]` each."""
        if self._size in self._all:
            return self._all[self._size].cell(at)
        if self.known_VT[at]:
            return itself(self.frames_VTHW3[at])
        sources = {cell for ell in self._ells[at] for cell in ell}
        for source in sources & self._used - self._made.keys():
            self.cell(source)
        predicted = self._carried(self._ells[at]) if self._ells[at] else self._nearest(at)
        if at in self._used:
            self._made[at] = predicted.blend.numpy(), float(predicted.confidence.mean())
        return predicted

    def all_cells(
        self, on_cell: Callable[[int, int], None] | None = None, size: tuple[int, int] | None = None
    ) -> Predictions:
        """Those of the whole grid, made once and kept from then on; on_cell as in `transport`.

        size: a smaller (height, width), to which each cell's are shrunk as they are made. At the grid's own they take 72 bytes per pixel
        of all cells.
        """
        size = size or self._size
        if size not in self._all:
            self._all[size] = gathered(self.known_VT, size, self.cells, self.cell, on_cell)
            if size == self._size:
                self._flows.forget()
                self._made.clear()
            elif not self._used:
                self._flows.forget("picture", "grey", "flow")
        return self._all[size]

    def has_all(self, size: tuple[int, int]) -> bool:
        """Whether `all_cells` of this size are at hand."""
        return size in self._all

    def _carried(self, ells: list[Ell]) -> Predictions:
        """A cell from its Ls in both directions; several Ls are averaged by the odds of their confidences."""
        from .carry import carry

        flows, for_time, for_view = self._flows, [], []
        for along_time_base, corner, along_view_base in ells:
            ask()
            turned_hw2 = flows.turned(corner, along_time_base, along_view_base)
            time_side = carry(flows, along_time_base, corner, along_view_base, turned_hw2)
            ask()
            view_side = carry(flows, along_view_base, corner, along_time_base, turned_hw2)
            sources = (along_time_base, corner, along_view_base)
            reliance = min(self._made[source][1] if source in self._used else 1.0 for source in sources)
            confidence_time, confidence_view = confidences(time_side, view_side)
            for_time.append(_prediction(time_side, reliance * confidence_time, flows.frame(along_time_base)))
            for_view.append(_prediction(view_side, reliance * confidence_view, flows.frame(along_view_base)))
        return Predictions(merge(for_time), merge(for_view))

    def _nearest(self, at: Cell) -> Predictions:
        """Copies of the nearest known cell of the same view and of the same time, or of the nearest of all."""
        view, time = at
        cells = np.argwhere(self.known_VT)
        distances = np.abs(cells - np.array(at)).sum(axis=1)
        copies = []
        for same in (cells[:, 0] == view, cells[:, 1] == time):
            distance = np.where(same, distances, distances.max() + 1) if same.any() else distances
            nearest = int(distance.argmin())
            frame_HW3 = self.frames_VTHW3[tuple(cells[nearest])]
            copies.append(_copied(frame_HW3, COPY_CONFIDENCE / distances[nearest]))
        return Predictions(*copies)


def _frame(frames_VTHW3: Tensor, made: dict[Cell, tuple[np.ndarray, float]], cell: Cell) -> np.ndarray:
    """[H, W, 3]: the known frame, or the blend of what was predicted before."""
    return made[cell][0] if cell in made else frames_VTHW3[cell].numpy()


def gathered(
    known_VT: np.ndarray,
    size: tuple[int, int],
    unknown: list[Cell],
    predict: Callable[[Cell], Predictions],
    on_cell: Callable[[int, int], None] | None,
) -> Predictions:
    """All cells of a grid as one, shrunk to (height, width) where predict gives larger ones: the known ones, then the unknown ones in this
    order. on_cell as in `transport`."""
    whole = Predictions(_room_for(known_VT.shape, size), _room_for(known_VT.shape, size))
    for done, at in enumerate([*_places(known_VT), *unknown], start=1 - int(known_VT.sum())):
        ask()
        predicted = predict(at)
        _write(whole, at, predicted if predicted.time.confidence.shape == size else predicted.shrunk(size))
        if on_cell is not None and done > 0:
            on_cell(done, len(unknown))
    return whole


def itself(frame_HW3: Tensor) -> Predictions:
    """A known cell."""
    own = _copied(frame_HW3, 1.0)
    return Predictions(own, own)


def _copied(frame_HW3: Tensor, confidence: float) -> Direction:
    """A frame as it is."""
    height, width, _ = frame_HW3.shape
    return Direction(frame_HW3, torch.full((height, width), confidence), frame_HW3, torch.zeros(height, width, 2))


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


def _write(whole: Predictions, at: Cell, predicted: Predictions) -> None:
    for direction, prediction in ((whole.time, predicted.time), (whole.view, predicted.view)):
        for every, part in zip(direction, prediction):
            every[at] = part


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
