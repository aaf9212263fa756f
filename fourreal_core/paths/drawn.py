"""A path as an artist draws it: points on the view x time plane, with holds, speeds, easing and rounded corners; and the positions it visits, one per frame.

web/path_editor/camera_path.mjs computes the same in the browser, to draw it; tests/camera_path_cases.json holds both to the same numbers, so
every sum is written in the same order there. What a grid shows along the positions: presets.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..moved import renamed
from .presets import Positions

Place = tuple[float, float]  # (view, time) in cells

MAX_TEXT = 200_000  # characters
MAX_POINTS = 200
MAX_FRAMES = 10_000
CURVE_STEPS = 12  # straight pieces of half a rounded corner
STEPS_PER_CELL = 8  # how finely the cells on the way are looked for
GRAIN = 1_000_000  # positions are whole multiples of 1 / GRAIN, so that sums that should give a whole cell do

EASES = {
    "linear": lambda x: x,
    "in": lambda x: x * x,
    "out": lambda x: x * (2 - x),
    "in-out": lambda x: x * x * (3 - 2 * x),
}
LOOPS = ("no", "round", "back")
BETWEENS = ("blend", "nearest", "once")


@dataclass(frozen=True)
class ControlPoint:
    """A place where the path turns. `speed` and `ease` belong to the way from here to the next point."""

    view: float  # 0..views - 1 of the plane
    time: float  # 0..times - 1
    hold: int = 0  # frames to stay
    speed: float = 1.0  # relative to the other ways, 0.05..20
    ease: str = "linear"
    rounding: float = 0.0  # 0: a corner, 1: as round as its neighbours leave room for


@dataclass(frozen=True)
class DrawnPath:
    """A drawn path. loop: "no", "round" (on to the first point), "back" (the same way back); looped videos end one frame before their start.

    between: what a frame between cells shows: "blend" of the cells around, the "nearest" cell, or each cell on the way "once", for frame
    interpolation; `frames`, holds, speeds and easing do not matter then.
    """

    views: int  # the plane it was drawn on; on a grid of another size it is stretched
    times: int
    frames: int
    fps: float
    loop: str
    between: str
    points: tuple[ControlPoint, ...]


@dataclass(frozen=True)
class Leg:
    """The way from one point to the next as straight pieces. distances[i]: length of the way to places[i], in cells."""

    places: tuple[Place, ...]
    distances: tuple[float, ...]

    @property
    def length(self) -> float:
        return self.distances[-1]


@dataclass(frozen=True)
class Stretch:
    """A leg, or a stay (a leg of one place), and how long it takes, in frames."""

    leg: Leg
    frames: float
    ease: str = "linear"
    backwards: bool = False


def positions_along(path: DrawnPath, grid_shape: tuple[int, int]) -> Positions:
    """The (view, time) positions of the video's frames on a grid of (V, T): `path.frames` of them, or as many as there are cells with "once"."""
    legs = legs_of(path, grid_shape)
    if path.between == "once":
        return cells_on_the_way(legs, path.loop)
    stretches = stretches_of(path, legs)
    places = [snapped(place, grid_shape) for place in places_over_time(stretches, path.frames)]
    return [nearest_cell(place) for place in places] if path.between == "nearest" else places


def legs_of(path: DrawnPath, grid_shape: tuple[int, int]) -> list[Leg]:
    """The way from each point to the next, with rounded corners; with loop "round" the last one leads to the first point. One point: one leg of one place."""
    places = [
        (stretched(point.view, path.views, grid_shape[0]), stretched(point.time, path.times, grid_shape[1]))
        for point in path.points
    ]
    count, closed = len(places), path.loop == "round" and len(places) > 1
    corners = []
    for index, (place, point) in enumerate(zip(places, path.points)):
        inner = closed or 0 < index < count - 1
        corners.append(
            corner(places[index - 1], place, places[(index + 1) % count], point.rounding)
            if inner
            else ([place], [place])
        )
    if count == 1:
        return [leg_through(corners[0][0])]
    return [
        leg_through(corners[index][1] + corners[(index + 1) % count][0])
        for index in range(count if closed else count - 1)
    ]


def stretched(value: float, drawn: int, count: int) -> float:
    """A coordinate on an axis of `drawn` cells taken to one of `count`: first to first, last to last."""
    return value if drawn == count else value * (count - 1) / max(drawn - 1, 1)


def corner(before: Place, at: Place, after: Place, rounding: float) -> tuple[list[Place], list[Place]]:
    """(arriving, leaving): the two halves of a quadratic Bezier curve that cuts the corner, both with its middle, where the point is reached.

    It begins and ends at equal distances from `at`, at most half way to the nearer neighbour.
    """
    arriving, leaving = distance(before, at), distance(at, after)
    reach = rounding * min(arriving, leaving) / 2
    if reach == 0:
        return [at], [at]
    entry, exit_ = part_way(at, before, reach / arriving), part_way(at, after, reach / leaving)
    middle = part_way(part_way(entry, at, 0.5), part_way(at, exit_, 0.5), 0.5)
    return curve(entry, part_way(entry, at, 0.5), middle), curve(middle, part_way(at, exit_, 0.5), exit_)


def curve(start: Place, control: Place, end: Place) -> list[Place]:
    shares = [step / CURVE_STEPS for step in range(CURVE_STEPS + 1)]
    return [part_way(part_way(start, control, share), part_way(control, end, share), share) for share in shares]


def leg_through(places: Sequence[Place]) -> Leg:
    distances = [0.0]
    for start, end in itertools.pairwise(places):
        distances.append(distances[-1] + distance(start, end))
    return Leg(tuple(places), tuple(distances))


def distance(start: Place, end: Place) -> float:
    views, times = end[0] - start[0], end[1] - start[1]
    return math.sqrt(views * views + times * times)


def part_way(start: Place, end: Place, share: float) -> Place:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def place_at(leg: Leg, length: float) -> Place:
    """The place this far along a leg; its end beyond."""
    for index in range(1, len(leg.places)):
        if length < leg.distances[index]:
            start = leg.distances[index - 1]
            return part_way(leg.places[index - 1], leg.places[index], (length - start) / (leg.distances[index] - start))
    return leg.places[-1]


def stretches_of(path: DrawnPath, legs: Sequence[Leg]) -> list[Stretch]:
    """Stays and ways in the order of the video. What the holds leave of its frames is shared by the ways, by length over speed."""
    order: list[Stretch] = []  # ways with their cost instead of frames
    for index, point in enumerate(path.points):
        order.append(Stretch(stay(legs, index), point.hold))
        if index < len(legs) and len(path.points) > 1:
            order.append(Stretch(legs[index], legs[index].length / point.speed, point.ease))
    if path.loop == "back":
        for index in reversed(range(len(path.points) - 1)):
            point = path.points[index]
            order.append(Stretch(legs[index], legs[index].length / point.speed, point.ease, backwards=True))
            if index > 0:
                order.append(Stretch(stay(legs, index), point.hold))
    holds = sum(stretch.frames for stretch in order if is_stay(stretch))
    cost = sum(stretch.frames for stretch in order if not is_stay(stretch))
    moving = max(
        (path.frames - 1 if path.loop == "no" else path.frames) - holds, 1
    )  # a video of one frame shows the start
    return [
        stretch
        if is_stay(stretch)
        else Stretch(stretch.leg, moving * stretch.frames / cost if cost > 0 else 0.0, stretch.ease, stretch.backwards)
        for stretch in order
    ]


def stay(legs: Sequence[Leg], index: int) -> Leg:
    """The leg of one place where point `index` is reached."""
    place = legs[index].places[0] if index < len(legs) else legs[-1].places[-1]
    return Leg((place,), (0.0,))


def is_stay(stretch: Stretch) -> bool:
    return len(stretch.leg.places) == 1


def places_over_time(stretches: Sequence[Stretch], frames: int) -> list[Place]:
    places, current, start = [], 0, 0.0
    for frame in range(frames):
        while current < len(stretches) - 1 and frame >= start + stretches[current].frames:
            start += stretches[current].frames
            current += 1
        stretch = stretches[current]
        share = min((frame - start) / stretch.frames, 1.0) if stretch.frames > 0 else 0.0
        eased = EASES[stretch.ease](1 - share if stretch.backwards else share)
        places.append(place_at(stretch.leg, eased * stretch.leg.length))
    return places


def cells_on_the_way(legs: Sequence[Leg], loop: str) -> Positions:
    """Every cell that the path goes through, in order, none twice in succession; looped paths do not come back to their first cell."""
    cells: Positions = []
    for leg in legs:
        steps = math.ceil(leg.length * STEPS_PER_CELL)
        for step in range(steps + 1):
            cell = nearest_cell(place_at(leg, leg.length * step / max(steps, 1)))
            if not cells or cells[-1] != cell:
                cells.append(cell)
    if loop == "back":
        cells += cells[-2:0:-1]
    elif loop == "round" and len(cells) > 1 and cells[-1] == cells[0]:
        cells.pop()
    return cells


def nearest_cell(place: Place) -> Place:
    return float(math.floor(place[0] + 0.5)), float(math.floor(place[1] + 0.5))


def snapped(place: Place, grid_shape: tuple[int, int]) -> Place:
    view, time = (
        min(max(math.floor(value * GRAIN + 0.5) / GRAIN, 0.0), count - 1.0) for value, count in zip(place, grid_shape)
    )
    return view, time


__getattr__ = renamed(__name__, {"CameraPath": "DrawnPath", "camera_positions": "positions_along"})
