"""`fourreal evaluate`: what lies in a folder, measured and told in tables and a page that needs no network."""

import json
import re

import pytest
import torch

from fourreal_core.__main__ import main
from fourreal_core.commands import evaluate
from fourreal_core.data.invented.scenes import procedural_frame_grids
from fourreal_core.evaluation.agreement.measure import measure_agreement
from fourreal_core.evaluation.contest import as_json
from fourreal_core.evaluation.kept import measured_of
from fourreal_core.evaluation.measure import hide
from fourreal_core.evaluation.measured import Measured
from fourreal_core.evaluation.study import Study
from fourreal_core.evaluation.ways import ShippedWays
from fourreal_core.files.lock import held_alone
from fourreal_core.files.marked_part import write_part
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.grid_file import load_grid, save_grid
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.sampling.sample import sample_grid
from fourreal_core.transport import transport

V, T, H, W = 2, 3, 24, 32


@pytest.fixture
def truths(tmp_path):
    """A folder with one whole grid, in which a square slides before a wall."""
    generator = torch.Generator().manual_seed(0)
    wall, frames = torch.rand(H, W + 4, 3, generator=generator), torch.zeros(V, T, H, W, 3)
    for view in range(V):
        for time in range(T):
            frames[view, time] = wall[:, 2 * view : 2 * view + W]
            frames[view, time, 8:16, 4 + 5 * time : 12 + 5 * time] = 0.9
    folder = tmp_path / "truths"
    folder.mkdir()
    save_grid(FrameGrid(frames, torch.ones(V, T, dtype=torch.bool)), folder / "square.grid.safetensors")
    return folder


def test_shipped_fills_are_made_kept_and_measured_beside_the_truth(truths, tmp_path, capsys):
    out, document = tmp_path / "out", tmp_path / "results.md"
    parts = ("fills measured", "as published")
    document.write_text("".join(f"<!-- {part} -->\nold\n<!-- end of {part} -->\n" for part in parts))
    command = [
        "evaluate",
        "--truths",
        str(truths),
        "--fill",
        "copy",
        "--output",
        str(out),
        "--write",
        str(document),
        "--threads",
        "1",
    ]
    assert main(command) == 0
    kept = load_grid(out / "grids" / "copy" / "square.grid.safetensors")
    assert torch.equal(kept.known, task_known(V, T)) and torch.equal(
        kept.frames[1, 2], (kept.frames[1, 0] * 255).round() / 255
    )
    numbers = json.loads((out / "numbers.json").read_text())["grids"]["square"]
    assert set(numbers) == {"truth", "copy"}
    assert "psnr" not in numbers["truth"] and 0 < numbers["copy"]["psnr"]["value"] < 40
    assert numbers["copy"]["epipolar"]["value"] is None
    page = (out / "index.html").read_text()
    assert not re.search(r"(src|href)=\"?(http|//)", page) and page.count("data:image/jpeg;base64,") == 2
    assert "906.16" in page and "They do not compare" in page
    assert re.search(
        r"\| closeness to the truth \| PSNR, dB \|.*\n.*\n\| \*better\* \| \*higher\* \|.*\n\| copy \| \d+\.\d\d \|",
        (out / "table.md").read_text(),
    )
    text = document.read_text()
    assert "old" not in text and "| PSNR, dB |" in text and "906.16" in text
    assert re.search(r"Weights: two-stream [0-9a-f]{16}, geometry [0-9a-f]{16} \(SHA-256\)", text)
    assert "square: copy" in capsys.readouterr().out


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_was_stopped(truths, tmp_path, monkeypatch):
    command = [
        "evaluate",
        "--truths",
        str(truths),
        "--fill",
        "copy",
        "--output",
        str(tmp_path / "out"),
        "--threads",
        "1",
    ]
    assert main(command) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    measured = []
    monkeypatch.setattr(evaluate, "measure_agreement", lambda grid: measured.append(grid) or measure_agreement(grid))
    assert main(command) == 0
    assert measured == [] and (tmp_path / "out" / "index.html").read_text() == page
    truth = load_grid(truths / "square.grid.safetensors")
    save_grid(truth.replace(frames=1 - truth.frames), truths / "square.grid.safetensors")
    assert main(command) == 0
    assert len(measured) == 2  # another truth: it and its copy are measured anew


def test_a_grid_with_unknown_cells_is_a_task_without_a_truth(truths, tmp_path):
    truth = load_grid(truths / "square.grid.safetensors")
    save_grid(hide(truth), truths / "square.grid.safetensors")
    assert (
        main(["evaluate", "--truths", str(truths), "--fill", "copy", "--output", str(tmp_path), "--threads", "1"]) == 0
    )
    numbers = json.loads((tmp_path / "numbers.json").read_text())["grids"]["square"]
    assert (
        list(numbers) == ["copy"] and "psnr" not in numbers["copy"] and numbers["copy"]["motion"]["value"] is not None
    )


def test_what_is_read_back_is_what_was_measured():
    cells = torch.tensor([[0.5, float("nan")], [1.0, 2.0]])
    numbers = {
        "epipolar": Measured(0.7, cells_VT=cells, details={"matches": 60.0}),
        "motion": Measured.not_measurable("one time only"),
    }
    back = {key: measured_of(plain) for key, plain in json.loads(json.dumps(as_json(numbers))).items()}
    assert back["epipolar"].value == 0.7 and back["epipolar"].details == {"matches": 60.0}
    assert torch.equal(back["epipolar"].cells_VT.nan_to_num(-1), cells.nan_to_num(-1))
    assert (
        back["motion"].reason == "one time only" and back["motion"].cells_VT is None and not back["motion"].measurable
    )


def test_ways_with_the_model_are_what_the_sampler_gives():
    truth = next(procedural_frame_grids(1, views=2, times=3, height=24, width=32, seed=1, supersample=1))
    model, task = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0)), hide(truth)
    shipped = ShippedWays(model, steps=(1,))
    raw = shipped.fills["transport + soft, 1 step"](task)
    wanted = sample_grid(model, task, "soft", steps=1, predictions=transport(task))
    assert torch.equal(raw.frames, wanted.frames) and raw.provenance["steps"] == 1
    chosen = shipped.fills["auto + soft, 1 step"](task)
    assert torch.equal(chosen.frames, sample_grid(model, task, "soft", steps=1).frames)
    assert [name for name in shipped.fills if "+" not in name] == ["copy", "transport", "scene", "auto"]


def test_subfolders_are_ways(truths, tmp_path):
    truth = load_grid(truths / "square.grid.safetensors")
    for way, value in (("dark", 0.0), ("grey", 0.5)):
        (tmp_path / "made" / way).mkdir(parents=True)
        frames = truth.frames.clone()
        frames[1, 1:] = 0.01 + value
        save_grid(FrameGrid(frames, task_known(V, T)), tmp_path / "made" / way / "square.grid.safetensors")
    assert (
        main(
            [
                "evaluate",
                str(tmp_path / "made"),
                "--truths",
                str(truths),
                "--output",
                str(tmp_path / "out"),
                "--threads",
                "1",
            ]
        )
        == 0
    )
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())["grids"]["square"]
    assert list(numbers) == ["truth", "dark", "grey"]
    assert numbers["grey"]["psnr"]["value"] > numbers["dark"]["psnr"]["value"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name a folder of grids, or --fill with --truths"),
        (["nowhere"], "there is no folder nowhere"),
        (["--fill"], "expected --truths"),
        (["--truths", "TRUTHS", "--fill", "magic"], "expected ways among copy, transport, scene, auto, transport + "),
        (["TRUTHS", "--i3d", "none.pt"], "there is no file none.pt. FVD needs"),
        (["TRUTHS", "--videoscore", "x"], "expected --prompt beside --videoscore"),
    ],
)
def test_problems_are_one_sentence(words, sentence, truths, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *(str(truths) if word == "TRUTHS" else word for word in words)]) == 1
    told = capsys.readouterr().err
    assert sentence in told and told.startswith("fourreal evaluate: ") and told.count("\n") == 1


def test_one_evaluation_at_a_time_writes_to_a_folder(truths, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with held_alone(out / ".lock", "taken"):
        assert main(["evaluate", str(truths), "--output", str(out)]) == 1
    assert "another evaluation is writing to" in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == [".lock"]


def test_means_say_of_how_many_grids_they_are():
    study = Study()
    for name, value in (("a", 0.8), ("b", float("nan")), ("c", 0.6)):
        study.add(
            name,
            "way",
            {"epipolar": Measured(value, "" if value == value else "one view only"), "motion": Measured(1.0)},
        )
    assert study.mean("way", "epipolar") == (pytest.approx(0.7), 2)
    agreement, amounts = study.tables()
    assert "| agreement | Epipolar agreement |" in agreement and "| way | 0.700 (2) |" in agreement
    assert "| amounts | Amount of motion, %W |" in amounts and "| way | 1.000 |" in amounts
    assert study.told()[0] == "Means over 3 grids: a, b, c."
    assert study.reasons() == ["Epipolar agreement: one view only (1 times)"]


def test_a_document_without_the_part_is_left_alone(tmp_path):
    document = tmp_path / "page.md"
    document.write_text("text")
    with pytest.raises(ValueError, match="<!-- table --> and <!-- end of table -->"):
        write_part(document, "table", "new")
    assert document.read_text() == "text"
