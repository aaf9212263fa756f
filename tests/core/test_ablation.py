"""The ablation measures each way once, keeps what it measured, and turns it into tables, plots and sheets."""

import json
import math

import pytest
import torch

from fourreal_core.evaluation import compare as ablation
from fourreal_core.evaluation import report
from fourreal_core.evaluation.compare import (
    CONDITIONS,
    LARGE,
    TASK,
    Results,
    known_cells,
    large_trials,
    missing,
    psnr_by_distance,
    run,
    stream_distances,
    trials,
    ways,
)
from fourreal_core.evaluation.measure import hide
from fourreal_core.evaluation.plots import line_plot, ticks
from fourreal_core.grid import FrameGrid
from fourreal_core.model.config import ModelConfig, tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.sampling.sample import sample_grid
from fourreal_core.transport import transport, transport_fill

V, T, H, W = 3, 4, 16, 24


@pytest.fixture(scope="module")
def truth():
    frames = torch.nn.functional.interpolate(
        torch.rand(V * T, 3, 4, 6, generator=torch.Generator().manual_seed(0)), (H, W), mode="bilinear"
    )
    frames = frames.view(V, T, 3, H, W).movedim(2, -1).contiguous()
    return FrameGrid(frames, torch.ones(V, T, dtype=torch.bool), provenance={"seed": 7, "model": "Fox"})


@pytest.fixture(scope="module")
def model():
    model = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.base.head.out.weight, std=0.02, generator=torch.Generator().manual_seed(1))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def measured(model, truth, tmp_path_factory):
    results = Results(tmp_path_factory.mktemp("ablation") / "deep" / "results.jsonl")
    todo = [
        trial for trial in trials(model, [1], [0, 1]) if trial.variant in ("copy", "transport", "off", "soft", "hard")
    ]
    done = list(run([*todo, *large_trials(model, [0])], [truth], "abc", results))
    return results, todo, done


@pytest.mark.slow
def test_untrained_ways_share_the_base_and_average(model, truth):
    named = ways(model)
    assert {
        "view stream only",
        "time stream only",
        "off",
        "hard, untrained",
        "sequential, untrained",
        "hard",
        "soft",
        "soft, from transport",
    } <= set(named)
    bare, options = named["hard, untrained"]
    assert bare.base is model.base and len(bare.sync) == 0 and options == {"sync": "hard"}
    task = hide(truth)
    fresh = initialize_grid_model(GridModel(tiny()))
    fresh.base = model.base  # its hard layers start as plain averaging
    one, other = (
        sample_grid(model, task, "hard", steps=1, predictions=transport(task)).frames for model in (bare, fresh)
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_kinds_without_trained_layers_are_named_and_left_out():
    model = initialize_grid_model(GridModel(ModelConfig(**{**vars(tiny()), "sync": ("soft",)})))
    assert "hard" in missing(model) and "soft" not in missing(model)
    assert "hard" not in ways(model) and "hard, untrained" in ways(model)


def test_transports_predictions_may_be_given_to_save_their_time(model, truth):
    task = hide(truth)
    predictions = transport(task)
    assert torch.equal(
        sample_grid(model, task, steps=1, predictions=predictions).frames, sample_grid(model, task, steps=1).frames
    )
    assert torch.equal(ablation.blend_fill(task, predictions).frames, transport_fill(task)[0].frames)


def test_everything_is_measured_once_and_kept(measured, truth):
    results, todo, done = measured
    assert len(done) == len(todo) + 3 == len(results.records)
    assert list(run(todo, [truth], "abc", results)) == []
    again = Results(results.path)
    assert json.dumps(again.records) == json.dumps(results.records)
    other = list(run(todo, [truth], "def", again))
    assert other and all(record["steps"] > 0 for record in other)  # another checkpoint leaves the baselines alone


def test_a_record_holds_quality_time_operations_and_distances(measured):
    record = next(record for record in measured[2] if record["variant"] == "soft" and record["condition"] == TASK)
    assert (
        record["grid"] == "7 Fox 3x4 16x24" and record["flops"] > 0 and record["seconds"] > 0 and 0 < record["ssim"] < 1
    )
    assert len(record["by_distance"]) == max(V, T) - 1


def test_a_cut_line_is_dropped(tmp_path):
    file = tmp_path / "results.jsonl"
    results = Results(file)
    results.add({"variant": "a"})
    with file.open("a") as stream:
        stream.write('{"variant": "b')
    assert Results(file).records == [{"variant": "a"}]
    Results(file).add({"variant": "c"})
    assert [record["variant"] for record in Results(file).records] == ["a", "c"]


def test_conditions_give_the_cells_they_name(truth):
    counts = [int(known_cells(condition, truth).sum()) for condition in (TASK, LARGE, *CONDITIONS)]
    assert counts == [V + T - 1, V + T - 1, T, V, V * T // 4]
    assert torch.equal(known_cells(CONDITIONS[2], truth), known_cells(CONDITIONS[2], truth))


def test_distance_counts_from_the_first_cell(truth):
    grey = truth.replace(frames=torch.full_like(truth.frames, 0.5))
    frames = grey.frames.clone()
    frames[1, 1] += 0.1
    frames[2, 3] += 0.01  # one of the two unknown cells at distance 3
    found = psnr_by_distance(grey.replace(frames=frames), grey)
    assert found == [pytest.approx(20, abs=0.01), math.inf, pytest.approx(40 + 10 * math.log10(2), abs=0.01)]


def test_streams_are_as_far_apart_as_their_tokens_differ(model, truth):
    assert ablation.relative_distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])) == pytest.approx(5 / 3.5)
    assert stream_distances(model, truth, "soft", (0.5,)) == [
        [0.0] * model.config.depth
    ]  # untrained blocks do nothing yet
    busy = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0))
    for parameter in busy.base.blocks.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(2))
    first, second = stream_distances(busy, truth, "hard", (1.0, 0.5))
    assert len(first) == busy.config.depth and min(first + second) > 0 and first != second


def test_paired_differences_are_over_grids():
    line = lambda variant, steps, seed, grid, value: {
        "variant": variant,
        "steps": steps,
        "seed": seed,
        "grid": grid,
        "all": value,
        "moving": math.nan,
    }
    records = [line("transport", 0, 0, grid, 20.0) for grid in "abc"]
    records += [
        line("soft", 4, seed, grid, 20.0 + gain + seed) for grid, gain in (("a", 0.5), ("b", 1.5)) for seed in (0, 1)
    ]
    assert report.paired(records, "soft", "transport", 4, "all") == (pytest.approx(1.5), pytest.approx(0.5), 2)
    assert report.paired(records, "soft", "transport", 8, "all") is None
    assert report.paired(records, "soft", "transport", 4, "moving") is None


def test_tables_say_what_was_measured(measured):
    text = report.tables(measured[0].records)
    for part in (
        "| transport |",
        "## 1 step",
        "| soft - transport | 1 |",
        "| soft - hard | 1 |",
        "| in tiles |",
        "## PSNR by distance",
    ):
        assert part in text
    assert report.tables([]).strip() == ""


def test_figures_and_sheets_are_written(measured, model, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "SHEET_STEPS", 1)
    report.write_figures(tmp_path, model, [truth], measured[0].records)
    report.write_sheets(tmp_path, model, [truth], seed=0)
    assert {file.name for file in tmp_path.iterdir()} == {
        "quality_by_steps.png",
        "larger_grids.png",
        "stream_distance.png",
        "grid_1.jpg",
    }


def test_ticks_are_round_and_enclose_the_values():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(23.4, 41.9) == [20, 25, 30, 35, 40, 45]
    assert ticks(5, 5)[0] <= 5 <= ticks(5, 5)[-1]


def test_a_plot_draws_its_lines_and_refuses_nothing():
    plot = line_plot({"a": [(0, 1.0), (1, math.nan), (2, 3.0)]}, title="t", x_label="x", size=(320, 200))
    assert plot.size == (320, 200) and len(plot.getcolors(100000)) > 10
    with pytest.raises(ValueError, match="no finite point to plot"):
        line_plot({"a": [(0, math.inf)]}, title="t", x_label="x")
