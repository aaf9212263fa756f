"""Which metric sees which fault: the table of damaged grids, from hand-made numbers, and its command's way to go on after a stop."""

import math

import pytest
import torch

from fourreal_core.evaluation.calibration import Calibration, blind_spots, damage_table, seen, seen_share
from fourreal_core.evaluation.damage import DAMAGES
from fourreal_core.evaluation.measured import Measured
from fourreal_core.grid import FrameGrid

WHOLE = {"epipolar": 0.9, "warp_time": 1.0, "motion": 0.5}
VALUES = {
    "one": {"none": WHOLE, "noise 8 %": {**WHOLE, "epipolar": 0.4, "warp_time": 7.0}, "frozen time": {**WHOLE, "motion": 0}},
    "two": {"none": WHOLE, "noise 8 %": {**WHOLE, "epipolar": None, "warp_time": 6.0}},
}  # fmt: skip


def test_a_fault_is_seen_where_a_number_gets_worse_by_a_fifth_of_the_way_from_good_to_bad():
    assert seen("epipolar", 0.9, 0.83) and not seen("epipolar", 0.9, 0.85)  # good 0.8, bad 0.5: a fifth is 0.06
    assert not seen("epipolar", 0.4, 0.9)  # better is no fault
    assert not seen("motion", 1.0, 0.0)  # an amount is neither better nor worse
    assert not seen("epipolar", 0.9, None)
    assert seen_share(VALUES, "noise 8 %", "epipolar") == 0.5 and seen_share(VALUES, "noise 8 %", "warp_time") == 1
    assert math.isnan(seen_share(VALUES, "blur 0.4 %W", "epipolar"))


def test_the_table_has_medians_and_bold_where_most_grids_show_the_fault():
    head, _, whole, noise, frozen = damage_table(VALUES).splitlines()
    assert head == "| fault | epipolar agreement | flicker along time, % | amount of motion, %W |"
    assert whole == "| none | 0.900 | 1.00 | 0.500 |"
    assert noise == "| noise 8 % | 0.400 | **6.50** | 0.500 |"
    assert frozen == "| frozen time | 0.900 | 1.00 | 0.000 |"
    assert "frozen time" in blind_spots(VALUES) and "noise 8 %" not in blind_spots(VALUES)


def test_a_stopped_calibration_goes_on(tmp_path):
    grid = FrameGrid(torch.rand(2, 3, 16, 20, 3), torch.ones(2, 3, dtype=torch.bool))
    asked = []

    def measure(damaged):
        asked.append(float((damaged.frames - grid.frames).abs().mean()))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"sharpness": Measured(float(len(asked))), "splat_fit": Measured.not_measurable("no cameras")}

    run = Calibration(tmp_path / "values.json").run({"a": grid}, ["none", "frozen time"], measure)
    assert next(run) == ("a", "none") and asked == [0.0]
    with pytest.raises(KeyboardInterrupt):
        next(run)
    again = Calibration(tmp_path / "values.json")
    assert list(again.run({"a": grid}, ["none", "frozen time"], measure)) == [("a", "frozen time")]
    assert again.values == Calibration(tmp_path / "values.json").values
    assert again.values["a"]["none"] == {"sharpness": 1.0, "splat_fit": None}
    assert set(again.values["a"]) < set(DAMAGES) and asked[2] > 0
