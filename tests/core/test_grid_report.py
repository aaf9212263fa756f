"""Grids beside a truth, their heat, who wins, and how that is told; on grids made by hand."""

import json
import math

import pytest
import torch

from fourreal_core.evaluation import contest, reference
from fourreal_core.evaluation.agreement.metrics import METRICS
from fourreal_core.evaluation.heat import RAMP, Heat, heat, heat_plot, heat_sheet
from fourreal_core.evaluation.measured import Measured
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.side_by_side import asking

V, T, H, W = 3, 4, 24, 32


def truth(moving=True):
    frames = torch.full((V, T, H, W, 3), 0.5)
    if moving:
        for time in range(T):
            frames[:, time, 4:10, 2 + 5 * time : 8 + 5 * time] = 0.9
    return FrameGrid(frames, torch.ones(V, T, dtype=torch.bool))


def fill(error, cell=None):
    frames = truth().frames.clone()
    if cell is None:
        frames += error
    else:
        frames[cell] += error
    return FrameGrid(frames, task_known(V, T))


def test_psnr_per_cell_counts_filled_cells_only():
    found = reference.measure_reference(fill(0.1, (1, 2)), truth())
    assert found["psnr"].cells_VT[1, 2] == pytest.approx(20, abs=1e-3)
    assert found["psnr"].cells_VT[2, 3] == reference.MOST_DB
    assert found["psnr"].cells_VT[0].isnan().all() and found["psnr"].cells_VT[:, 0].isnan().all()
    assert found["psnr"].value == pytest.approx(20 + 10 * math.log10(6), abs=1e-3)  # one of six filled cells is off
    assert found["ssim"].cells_VT[1, 2] < found["ssim"].cells_VT[2, 3] == pytest.approx(1, abs=1e-6)


def test_where_all_cells_are_known_all_are_compared():
    whole = fill(0.1).replace(known=torch.ones(V, T, dtype=torch.bool))
    found = reference.measure_reference(whole, truth())
    assert found["psnr"].value == pytest.approx(20, abs=1e-3)
    assert not found["psnr"].cells_VT.isnan().any()


def test_moving_pixels_alone():
    wrong = truth().frames.clone()
    wrong[..., 20:, :, :] = 0.1  # below everything that moves
    found = reference.measure_reference(FrameGrid(wrong, task_known(V, T)), truth())
    assert found["psnr_moving"].value == reference.MOST_DB and found["psnr"].value < 20
    still = reference.measure_reference(fill(0.1), truth(moving=False))
    assert still["psnr_moving"].reason == "nothing moves in the reference"


def test_flip_of_a_large_cell_is_that_of_its_parts_and_asks_in_between(monkeypatch):
    evaluate = pytest.importorskip("flip_evaluator").evaluate
    generator = torch.Generator().manual_seed(0)
    wanted, made = (torch.rand(200, 60, 3, generator=generator).numpy() for _ in range(2))
    whole, asked = evaluate(wanted, made, "LDR", applyMagma=False, computeMeanError=False)[0][..., 0], []
    monkeypatch.setattr(reference, "BAND", 60 * 30)
    with asking(lambda: asked.append(1)):
        in_parts = reference._flip_of_cell(evaluate, wanted, made)
    assert (in_parts == whole).all() and len(asked) == 7


def test_flip_is_zero_where_equal_and_grows_with_the_error():
    pytest.importorskip("flip_evaluator")
    small, large = (reference.measure_reference(fill(error, (1, 2)), truth())["flip"] for error in (0.05, 0.3))
    assert small.cells_VT[2, 3] == 0 and 0 < small.cells_VT[1, 2] < large.cells_VT[1, 2] <= 1
    assert large.pixels_VThw.shape == (V, T, H, W)


def test_another_size_is_refused_in_the_artists_words():
    with pytest.raises(ValueError, match="the reference's 3 views and 4 times of 32x24, got 3 and 4 of 16x12"):
        reference.measure_reference(fill(0).resized(12, 16), truth())


def measured(**values):
    return {key: Measured(value) for key, value in values.items()}


def test_the_better_side_wins_and_near_values_tie():
    grids = {
        "a": measured(epipolar=0.9, commutation=0.2, drift=0.01),
        "b": measured(epipolar=0.5, commutation=0.1, drift=0.011),
    }
    winners = {each.metric: each.winner for each in contest.verdicts(grids)}
    assert winners == {"epipolar": "a", "commutation": "b", "drift": None}


def test_what_cannot_be_measured_wins_nothing():
    grids = {"a": measured(epipolar=math.nan, motion=1.0), "b": measured(epipolar=0.9, motion=1.0)}
    assert [each.winner for each in contest.verdicts(grids)] == [None, None]
    assert "n. m." in contest.contest_table(grids)


def test_a_winner_that_moves_less_is_doubted():
    grids = {"still": measured(warp_time=0.0, motion=0.0), "moving": measured(warp_time=3.0, motion=0.5)}
    table = contest.contest_table(grids)
    assert "still?" in table and "moving?" not in table
    assert "Beware: still moves less (0.000 %W, typical 0.250 %W)." in contest.contest_summary(grids)


def test_json_is_plain_and_tells_reasons():
    found = {
        "epipolar": Measured.not_measurable("one view only"),
        "motion": Measured(0.5, cells_VT=torch.tensor([[0.1, math.nan]])),
    }
    plain = json.loads(json.dumps(contest.as_json(found), allow_nan=False))
    assert plain["epipolar"] == {"value": None, "unit": "", "better": "higher", "reason": "one view only"}
    assert plain["motion"]["cells"] == [[0.1, None]]


def test_a_cell_is_hot_beyond_the_bounds_and_beyond_its_own_grid():
    good = truth().replace(known=task_known(V, T))
    cells = torch.full((V, T), METRICS["epipolar"].good)
    cells[1, 2], cells[2, 1] = METRICS["epipolar"].bad, math.nan
    found = heat(good, {"epipolar": Measured(0.8, cells_VT=cells)})
    assert found.cells[1, 2] == 1 and found.cells[2, 1] == 0 and found.cells.sum() == 1
    beside = {"epipolar": Measured(0.8, cells_VT=cells), "psnr": Measured(50.0, cells_VT=torch.full((V, T), 50.0))}
    assert heat(good, beside).cells.max() == 0  # where the truth is known, it decides
    uneven = torch.full((V, T), 5.0)  # a grid whose views are far apart, one cell being worse than the others
    uneven[2, 3] += METRICS["commutation"].bad - METRICS["commutation"].good
    found = heat(good, {"commutation": Measured(5.0, cells_VT=uneven)})
    assert found.worst(2, ~good.known)[0] == (2, 3) and found.cells[2, 3] == pytest.approx(1) and found.cells[1, 1] == 0


def test_heat_becomes_pictures_and_a_confidence():
    grid = fill(0)
    pixels = torch.zeros(V, T, H, W)
    pixels[1, 2] = 1
    found = Heat(pixels.flatten(2).amax(2), pixels)
    confidence = found.as_confidence()
    assert confidence.shape == (V * T, H, W, 3) and confidence[T + 2].max() == 0 and confidence[0].min() == 1
    sheet = heat_sheet(grid, found, max_side=4000)
    left, top = 2 * sheet.width // T, sheet.height // V
    red, green, blue = sheet.getpixel((left + W - 4, top + H - 4))
    hot = RAMP[-1][1]
    assert (
        abs(red - (0.25 * 127 + 0.75 * hot[0])) < 6
        and abs(green - 0.25 * 127) < 6
        and abs(blue - (0.25 * 127 + 0.75 * hot[2])) < 6
    )
    faults = {
        "epipolar": Measured(0.5, cells_VT=torch.full((V, T), 0.5)),
        "drift": Measured(0.0, cells_VT=torch.zeros(V, T)),
    }
    assert heat_plot(faults).size == heat_plot({}).size
