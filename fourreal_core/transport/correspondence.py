"""Dense correspondences between cells of a grid (DIS optical flow), computed once each. Next to read: carry.py.

Shape suffixes: h w working pixels, H W frame pixels, C colours, 2 = (x, y) displacement in working pixels.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from .foreshorten import foreshortening

Cell = tuple[int, int]  # (view, time)
TRIP_DOUBT = 0.2  # per working pixel that a round trip ends away from its start


@dataclass(frozen=True)
class FlowSettings:
    """Numbers of the flow search; chosen by PSNR of the predicted cells on rendered training grids."""

    longest_side: int = 640  # working pixels; larger frames are matched smaller
    enlargement: int = 2  # small frames are matched at twice their size
    margin: int = 16  # replicated border around the working image; also makes the tiniest frame large enough for DIS
    refinements: int = 10  # variational refinement steps per scale
    still_window: int = 9  # working pixels over which standing still is compared with moving
    still_margin: float = 0.004  # colour error (0..1) that moving must save to be believed
    kept_bytes: int = 1 << 30  # computed flows kept at most; the oldest is computed again when needed


def working_scale(height: int, width: int, settings: FlowSettings) -> float:
    """Working pixels per frame pixel: an integer >= 1, or the fraction that keeps large frames within `longest_side`."""
    longest = max(height, width)
    if longest > settings.longest_side:
        return settings.longest_side / longest
    return float(min(settings.enlargement, settings.longest_side // longest))


def pixel_positions(height: int, width: int) -> np.ndarray:
    """[h, w, 2] float32: the (x, y) of every pixel."""
    y_hw, x_hw = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x_hw, y_hw], axis=-1)


def look_up(values: np.ndarray, positions_hw2: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """`values` [h', w'] or [h', w', C] read at (x, y) positions; outside, the border is repeated."""
    return cv2.remap(
        values, positions_hw2[..., 0], positions_hw2[..., 1], interpolation, borderMode=cv2.BORDER_REPLICATE
    )


class CellFlows:
    """Working-size pictures of the cells and the flow between any two of them, each computed once and kept. Several threads may ask.

    `frame(cell)` gives a cell as float32 [H, W, 3]; it is only read, and must always give the same for the same cell.
    `known_VT` bool [V, T]: the cells that a flow may pass through on its way.
    """

    def __init__(
        self,
        frame: Callable[[Cell], np.ndarray],
        size: tuple[int, int],
        known_VT: np.ndarray,
        settings: FlowSettings = FlowSettings(),
    ):
        self.frame = frame
        self.known_VT = known_VT
        self.settings = settings
        height, width = size
        self.scale = working_scale(height, width, settings)
        self.height, self.width = max(1, round(height * self.scale)), max(1, round(width * self.scale))
        self.positions_hw2 = pixel_positions(self.height, self.width)
        self._kept: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._kept_bytes = 0
        self._one_at_a_time = threading.RLock()
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._search.setFinestScale(0)
        self._search.setVariationalRefinementIterations(settings.refinements)

    def picture(self, cell: Cell) -> np.ndarray:
        """[h, w, 3] float32: the cell at working size."""
        return self._keep(("picture", cell), lambda: self._resized(cell))

    def flow(self, start: Cell, end: Cell) -> np.ndarray:
        """[h, w, 2]: pixel s of `start` is seen at s + flow(s) in `end`."""
        if start == end:
            return np.zeros((self.height, self.width, 2), np.float32)
        return self._keep(("settled", start, end), lambda: self._settled(self._chained_flow(start, end), start, end))

    def round_trip(self, start: Cell, end: Cell) -> np.ndarray:
        """[h, w]: distance in working pixels between s and where the flows to `end` and back put it."""
        return self._keep(("round trip", start, end), lambda: self._round_trip(start, end))

    def mismatch(self, start: Cell, end: Cell) -> np.ndarray:
        """[h, w]: mean absolute colour difference (0..1) between s in `start` and its partner in `end`."""
        return self._keep(("mismatch", start, end), lambda: self._mismatch(start, end))

    def changed(self, start: Cell, end: Cell) -> np.ndarray:
        """[h, w]: colour difference (0..1) of the two cells around each pixel, in the channel that differs most."""
        return self._keep(("changed", start, end), lambda: self._changed(start, end))

    def turned(self, corner: Cell, elsewhere: Cell, later: Cell) -> np.ndarray:
        """[h, w, 2]: what foreshortening adds to the motion of the pixels of `corner`, between its view and time and the other two's.

        `elsewhere` has the corner's time (parallax), `later` its view (motion). Not kept: it belongs to one cell.
        """
        motion_hw2 = self.flow(corner, later)
        trust_hw = np.exp(-TRIP_DOUBT * self.round_trip(corner, elsewhere))
        return motion_hw2 @ foreshortening(self.flow(corner, elsewhere), motion_hw2, trust_hw).T

    def find(self, corner: Cell, other: Cell) -> None:
        """What is asked of a corner and one of the other two cells of an L, so that it is there then."""
        for found in (self.round_trip, self.mismatch, self.changed):
            found(corner, other)
        self.round_trip(other, corner)

    def forget(self, *kinds: str) -> None:
        """Let go of what was kept of these kinds, or of everything; what is asked for again is computed again."""
        with self._one_at_a_time:
            for key in [key for key in self._kept if not kinds or key[0] in kinds]:
                self._kept_bytes -= self._kept.pop(key).nbytes

    def _keep(self, key: tuple, compute: Callable[[], np.ndarray]) -> np.ndarray:
        with self._one_at_a_time:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            value = compute()
            self._kept[key] = value
            self._kept_bytes += value.nbytes
            while self._kept_bytes > self.settings.kept_bytes and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
            return value

    def _resized(self, cell: Cell) -> np.ndarray:
        interpolation = cv2.INTER_CUBIC if self.scale > 1 else cv2.INTER_AREA
        return cv2.resize(self.frame(cell), (self.width, self.height), interpolation=interpolation)

    def _grey(self, cell: Cell) -> np.ndarray:
        grey = cv2.cvtColor(self.picture(cell), cv2.COLOR_RGB2GRAY)
        margin = self.settings.margin
        padded = cv2.copyMakeBorder(grey, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        return np.clip(np.rint(padded * 255), 0, 255).astype(np.uint8)

    def _chained_flow(self, start: Cell, end: Cell) -> np.ndarray:
        """Flows from known cell to known cell along the way, one after the other: short steps are found where long ones are not."""
        stops = [*self._on_the_way(start, end), end]
        total_hw2 = self._keep(("flow", start, stops[0]), lambda: self._search_flow(start, stops[0]))
        for last, stop in itertools.pairwise(stops):
            total_hw2 = self._keep(("flow", start, stop), partial(self._extended, total_hw2, last, stop))
        return total_hw2

    def _extended(self, so_far_hw2: np.ndarray, last: Cell, stop: Cell) -> np.ndarray:
        return so_far_hw2 + look_up(self._chained_flow(last, stop), self.positions_hw2 + so_far_hw2)

    def _settled(self, flow_hw2: np.ndarray, start: Cell, end: Cell) -> np.ndarray:
        """The flow, or zero where standing still explains the colours as well: chains must not drift through noise."""
        first, second = self.picture(start), self.picture(end)
        moved = colour_difference(look_up(second, self.positions_hw2 + flow_hw2), first)
        still = colour_difference(second, first)
        window = (self.settings.still_window,) * 2
        stays_hw = cv2.blur(still, window) <= cv2.blur(moved, window) + self.settings.still_margin
        return np.where(stays_hw[..., None], np.float32(0), flow_hw2)

    def _on_the_way(self, start: Cell, end: Cell) -> list[Cell]:
        """The known cells strictly between two cells of one view or of one time, in order."""
        (start_view, start_time), (end_view, end_time) = start, end
        if start_view == end_view:
            cells = [(start_view, time) for time in range(min(start_time, end_time) + 1, max(start_time, end_time))]
        elif start_time == end_time:
            cells = [(view, start_time) for view in range(min(start_view, end_view) + 1, max(start_view, end_view))]
        else:
            raise ValueError(f"expected two cells of one view or of one time, got {start} and {end}.")
        known = [cell for cell in cells if self.known_VT[cell]]
        return known if start < end else known[::-1]

    def _search_flow(self, start: Cell, end: Cell) -> np.ndarray:
        first, second = (self._keep(("grey", cell), partial(self._grey, cell)) for cell in (start, end))
        margin = self.settings.margin
        flow = self._search.calc(first, second, None)  # pyright: ignore[reportCallIssue, reportArgumentType]
        return np.ascontiguousarray(flow[margin:-margin, margin:-margin])

    def _round_trip(self, start: Cell, end: Cell) -> np.ndarray:
        there = self.flow(start, end)
        back = look_up(self.flow(end, start), self.positions_hw2 + there)
        return length(there + back)

    def _mismatch(self, start: Cell, end: Cell) -> np.ndarray:
        partner = look_up(self.picture(end), self.positions_hw2 + self.flow(start, end))
        return colour_difference(partner, self.picture(start))

    def _changed(self, start: Cell, end: Cell) -> np.ndarray:
        red, green, blue = np.moveaxis(np.abs(self.picture(start) - self.picture(end)), -1, 0)
        return cv2.blur(np.maximum(np.maximum(red, green), blue), (5, 5))


def length(vectors_hw2: np.ndarray) -> np.ndarray:
    """[h, w]: of vectors (x, y). NumPy's norm along a short last axis takes several times as long."""
    x, y = vectors_hw2[..., 0], vectors_hw2[..., 1]
    return np.sqrt(x * x + y * y)


def colour_difference(one_hw3: np.ndarray, other_hw3: np.ndarray) -> np.ndarray:
    """[h, w]: mean absolute difference of two pictures; likewise faster than NumPy's mean."""
    red, green, blue = (np.abs(one_hw3[..., channel] - other_hw3[..., channel]) for channel in range(3))
    return (red + green + blue) / np.float32(3)
