"""A drawn path from the JSON text that the path editor keeps, checked; what the values mean is in drawn.py.

web/path_editor/path_text.mjs checks the same and says the same sentences; tests/camera_path_cases.json holds both to them.
"""

from __future__ import annotations

import json
from numbers import Real

from ..files.header import strict_json
from ..grid import MAX_LENGTH
from ..moved import renamed
from .drawn import BETWEENS, EASES, LOOPS, MAX_FRAMES, MAX_POINTS, MAX_TEXT, ControlPoint, DrawnPath

REMEDY = "correct it, or choose a preset in 4Real Path to start over."
PATH_NAMES = ("version", "views", "times", "frames", "fps", "loop", "between", "points")
POINT_NAMES = ("view", "time", "hold", "speed", "ease", "rounding")

FIRST = DrawnPath(
    8, 8, 49, 24.0, "no", "blend", (ControlPoint(0, 0), ControlPoint(0, 4), ControlPoint(7, 4), ControlPoint(7, 7))
)  # bullet time


def parse_drawn_path(text: str) -> DrawnPath:
    """The path in a JSON text. Raises ValueError with one sentence on anything else."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"expected the path as JSON text of at most {MAX_TEXT} characters, got {len(text)}: {REMEDY}")
    try:
        data = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"expected the path as JSON from the path editor, got text that is not valid JSON: {REMEDY}"
        ) from error
    _expect_object(data, "the path", PATH_NAMES)
    _check(data.get("version") == 1 and not isinstance(data["version"], bool), "path.version", "1", data, "version")
    views = _whole(data, "views", "path", 1, MAX_LENGTH)
    times = _whole(data, "times", "path", 1, MAX_LENGTH)
    frames = _whole(data, "frames", "path", 1, MAX_FRAMES)
    fps = _number(data, "fps", "path", 1, 240)
    loop = _one_of(data, "loop", "path", LOOPS, "no")
    blending = _one_of(data, "between", "path", BETWEENS, "blend")
    points = data.get("points")
    _check(
        isinstance(points, list) and 1 <= len(points) <= MAX_POINTS,
        "path.points",
        f"a list of 1 to {MAX_POINTS} points",
        data,
        "points",
    )
    path = DrawnPath(
        views,
        times,
        frames,
        fps,
        loop,
        blending,
        tuple(_point(point, index, views, times) for index, point in enumerate(points)),
    )
    _check_holds(path)
    return path


def drawn_path_text(path: DrawnPath) -> str:
    """The shortest text that parse_drawn_path takes back to this path: values at their defaults are left out."""
    points = []
    for point in path.points:
        rest = {
            name: _plain(getattr(point, name))
            for name in POINT_NAMES[2:]
            if getattr(point, name) != getattr(ControlPoint, name)
        }
        points.append({"view": _plain(point.view), "time": _plain(point.time), **rest})
    data = {name: _plain(getattr(path, name)) for name in PATH_NAMES[1:-1]}
    return json.dumps({"version": 1, **data, "points": points}, separators=(",", ":"))


def _plain(value):
    """Whole numbers without ".0", as JavaScript writes them."""
    return int(value) if _is_number(value) and value == int(value) else value


def _point(data, index: int, views: int, times: int) -> ControlPoint:
    where = f"path.points[{index}]"
    _expect_object(data, where, POINT_NAMES)
    return ControlPoint(
        view=_number(data, "view", where, 0, views - 1),
        time=_number(data, "time", where, 0, times - 1),
        hold=_whole(data, "hold", where, 0, MAX_FRAMES, 0),
        speed=_number(data, "speed", where, 0.05, 20, 1),
        ease=_one_of(data, "ease", where, tuple(EASES), "linear"),
        rounding=_number(data, "rounding", where, 0, 1, 0),
    )


def _check_holds(path: DrawnPath) -> None:
    """Something has to be left to move in, in the video as a whole: with loop "back" the points between the ends are held twice."""
    twice = path.points[1:-1] if path.loop == "back" else ()
    held = sum(point.hold for point in path.points) + sum(point.hold for point in twice)
    if held and held > path.frames - 2:
        raise ValueError(
            f"expected the holds to leave at least 2 of the path's {path.frames} frames, got {held} held frames: "
            "make the video longer or the holds shorter."
        )


def _expect_object(data, what: str, names: tuple[str, ...]) -> None:
    if not isinstance(data, dict):
        raise ValueError(f"expected {what} to be a JSON object, got {_shown(data)}: {REMEDY}")
    unknown = next((name for name in data if name not in names), None)
    if unknown is not None:
        raise ValueError(f"expected {what} to contain only {', '.join(names)}, got {_shown(unknown)}: {REMEDY}")


def _whole(data: dict, name: str, where: str, least: int, most: int, default: int | None = None) -> int:
    value = data.get(name, default)
    fits = _is_number(value) and least <= value <= most and value == int(value)
    _check(fits, f"{where}.{name}", f"a whole number from {least} to {most}", data, name)
    return int(value)


def _number(data: dict, name: str, where: str, least: float, most: float, default: float | None = None) -> float:
    value = data.get(name, default)
    _check(
        _is_number(value) and least <= value <= most, f"{where}.{name}", f"a number from {least} to {most}", data, name
    )
    return float(value)


def _one_of(data: dict, name: str, where: str, allowed: tuple[str, ...], default: str) -> str:
    value = data.get(name, default)
    _check(isinstance(value, str) and value in allowed, f"{where}.{name}", f"one of {', '.join(allowed)}", data, name)
    return value


def _check(fits: bool, what: str, wanted: str, data: dict, name: str) -> None:
    if not fits:
        raise ValueError(
            f"expected {what} to be {wanted}, got {_shown(data[name]) if name in data else 'nothing'}: {REMEDY}"
        )


def _shown(value) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)[:40]


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


__getattr__ = renamed(__name__, {"parse_camera_path": "parse_drawn_path", "camera_path_text": "drawn_path_text"})
