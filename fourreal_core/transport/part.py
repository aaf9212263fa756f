"""A rectangle of a large grid as Transport predicts it from that grid's known cells; what else is known in the rectangle counts as known there.

Shape suffixes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from ..grid import FrameGrid
from .fill import Cell, Predictor, gathered, itself
from .predictions import Predictions


class PartPredictor:
    """Predictions for the cells of a part, by a `Predictor` of the whole grid, which is shared by all parts: nothing is searched in the part.

    part: the cells with the view and time `first` of the whole grid as their first; its known cells, such as those that a neighbouring
    part has filled, are their own prediction. The part is not kept, but its frames are.
    """

    def __init__(self, whole: Predictor, part: FrameGrid, first: Cell):
        self.whole, self.first = whole, first
        self.frames_VTHW3, self.known_VT = part.frames, part.known.numpy()
        self._size = part.height, part.width
        self._all: dict[tuple[int, int], Predictions] = {}  # by (height, width)

    def cell(self, at: Cell) -> Predictions:
        """Both predictions of one cell, (view, time) from 0 within the part, `[H, W, ...]` each."""
        if self._size in self._all:
            return self._all[self._size].cell(at)
        if self.known_VT[at]:
            return itself(self.frames_VTHW3[at])
        return self.whole.cell((at[0] + self.first[0], at[1] + self.first[1]))

    def all_cells(
        self, on_cell: Callable[[int, int], None] | None = None, size: tuple[int, int] | None = None
    ) -> Predictions:
        """Those of the whole part, as `Predictor.all_cells` gives them. on_cell(done, total) is called after each; raising inside cancels."""
        size = size or self._size
        if size not in self._all:
            unknown = [(int(view), int(time)) for view, time in zip(*(~self.known_VT).nonzero())]
            self._all[size] = gathered(self.known_VT, size, unknown, self.cell, on_cell)
        return self._all[size]

    def has_all(self, size: tuple[int, int]) -> bool:
        """Whether `all_cells` of this size are at hand."""
        return size in self._all
