"""Drawn paths: what they visit and when, with known answers; and the table of cases that the path editor is held to as well."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fourreal_core.paths import presets as paths
from fourreal_core.paths.drawn import ControlPoint, DrawnPath, positions_along
from fourreal_core.paths.drawn_text import FIRST, drawn_path_text, parse_drawn_path

V, T = 3, 5
TABLE = json.loads((Path(__file__).resolve().parents[1] / "camera_path_cases.json").read_text())


def drawn(*points, frames=9, loop="no", between="blend"):
    return DrawnPath(
        V,
        T,
        frames,
        24.0,
        loop,
        between,
        tuple(ControlPoint(*point) if isinstance(point, tuple) else point for point in points),
    )


BULLET = drawn((0, 0), (0, 2), (2, 2), (2, 4), frames=V + T - 1)


@pytest.mark.parametrize("case", TABLE["positions"], ids=lambda case: case["name"])
def test_positions_are_those_of_the_table(case):
    path = parse_drawn_path(json.dumps(case["path"]))
    assert positions_along(path, tuple(case["grid"])) == [tuple(position) for position in case["positions"]]


@pytest.mark.parametrize("case", TABLE["refused"], ids=lambda case: case["text"][-60:])
def test_bad_texts_get_the_sentence_of_the_table(case):
    with pytest.raises(ValueError) as caught:
        parse_drawn_path(case["text"])
    assert str(caught.value) == case["sentence"]


@pytest.mark.parametrize(
    "text", ['{"version": 1, "views": NaN}', "[" * 50_000, '{"version": 1e999}', " " * 200_001, '{"a": Infinity}']
)
def test_texts_that_only_python_reads_get_one_sentence_too(text):
    with pytest.raises(ValueError, match="expected") as caught:
        parse_drawn_path(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_drawn_presets_visit_the_same_cells_as_those_of_grid_to_video():
    assert positions_along(BULLET, (V, T)) == paths.bullet_time((V, T))
    assert positions_along(drawn((2, 0), (2, 4), frames=T), (V, T)) == paths.fixed_view((V, T), 2)
    assert positions_along(drawn((0, 0), (2, 4), frames=T), (V, T)) == paths.diagonal((V, T))
    assert positions_along(drawn((0, 0), (2, 4), frames=2 * T - 2, loop="back"), (V, T)) == paths.ping_pong((V, T))


@pytest.mark.parametrize("case", TABLE["positions"], ids=lambda case: case["name"])
def test_every_position_lies_in_the_grid(case):
    paths.parse_path(json.dumps(case["positions"]), tuple(case["grid"]))


def test_a_path_is_stretched_to_the_grid():
    assert positions_along(drawn((0, 0), (1, 2), (2, 4), frames=3), (7, 21)) == [(0, 0), (3, 10), (6, 20)]


def test_holds_take_whole_frames_and_ways_share_the_rest_by_length_over_speed():
    path = drawn((0, 0, 3), ControlPoint(0, 4, speed=0.5), (2, 4), frames=12)
    expected = [(0, 0)] * 4 + [(0, 1), (0, 2), (0, 3), (0, 4)] + [(0.5, 4), (1, 4), (1.5, 4), (2, 4)]
    assert positions_along(path, (V, T)) == expected


def test_easing_begins_or_ends_slowly():
    def first_and_last_step(ease):
        times = [time for _, time in positions_along(drawn(ControlPoint(0, 0, ease=ease), (0, 4), frames=9), (V, T))]
        return times[1] - times[0], times[-1] - times[-2]

    steps = {ease: first_and_last_step(ease) for ease in ("linear", "in", "out", "in-out")}
    assert steps["linear"] == (0.5, 0.5)
    assert steps["in"][0] < 0.1 < 0.9 < steps["in"][1] and steps["out"] == pytest.approx(steps["in"][::-1], abs=1e-6)
    assert steps["in-out"][0] < 0.2 and steps["in-out"][0] == pytest.approx(steps["in-out"][1], abs=1e-6)


def test_a_rounded_corner_is_cut_on_both_sides_alike_and_a_sharp_one_is_visited():
    sharp = positions_along(drawn((0, 0), (0, 2), (2, 2), frames=41), (V, T))
    round_ = positions_along(drawn((0, 0), ControlPoint(0, 2, rounding=1), (2, 2), frames=41), (V, T))
    assert sharp[20] == (0, 2) and (0, 2) not in round_
    assert round_[20] == (0.25, 1.75)
    assert round_ == [
        (pytest.approx(2 - time, abs=1e-5), pytest.approx(2 - view, abs=1e-5)) for view, time in reversed(round_)
    ]
    assert round_[0] == (0, 0) and round_[-1] == (2, 2)


def test_looped_videos_end_one_frame_before_their_start():
    ring = positions_along(drawn((0, 0), (0, 2), (2, 2), (2, 0), frames=16, loop="round"), (V, T))
    assert ring[0] == (0, 0) and ring[-1] == (0.5, 0)
    there_and_back = positions_along(drawn((0, 0), (0, 4), frames=16, loop="back"), (V, T))
    assert there_and_back[8] == (0, 4) and there_and_back[1:8] == there_and_back[:8:-1]


def test_once_gives_neighbouring_cells_whatever_the_length():
    cells = positions_along(replace(BULLET, between="once", frames=2), (V, T))
    assert cells == paths.bullet_time((V, T))
    around = positions_along(drawn((0, 0), (0, 2), (2, 2), (2, 0), loop="round", between="once"), (V, T))
    assert around == [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]


def test_nearest_gives_whole_cells_at_the_same_pace():
    blended = positions_along(drawn((0, 0), (2, 4), frames=9), (V, T))
    nearest = positions_along(drawn((0, 0), (2, 4), frames=9, between="nearest"), (V, T))
    assert len(nearest) == len(blended) and nearest[::2] != blended[::2]
    assert all(abs(v - w) <= 0.5 and v == int(v) for near, exact in zip(nearest, blended) for v, w in zip(near, exact))


def test_a_new_node_starts_with_the_text_of_the_table():
    assert drawn_path_text(FIRST) == TABLE["first"]


def test_text_and_path_go_into_each_other():
    for case in TABLE["positions"]:
        path = parse_drawn_path(json.dumps(case["path"]))
        assert parse_drawn_path(drawn_path_text(path)) == path
    assert drawn_path_text(drawn((0, 0), (1.5, 4, 2))).endswith(
        '"points":[{"view":0,"time":0},{"view":1.5,"time":4,"hold":2}]}'
    )
