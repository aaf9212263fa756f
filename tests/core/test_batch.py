"""Many shots: which there are, what each is given, that a dead worker loses none, and what the report says."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from batch_work import halved
from PIL import Image

from fourreal_core.__main__ import main
from fourreal_core.batch import run_shot as running
from fourreal_core.batch.page import write_page
from fourreal_core.batch.prompt import WorkflowProblem
from fourreal_core.batch.run_shot import Plan, facts_of, loader_of, prompt_for
from fourreal_core.batch.server import GUARD
from fourreal_core.batch.shots import Shot, find_shots
from fourreal_core.batch.spread import spread
from fourreal_core.evaluation.agreement.measure import measure_agreement
from fourreal_core.evaluation.contest import as_json
from fourreal_core.files.recording import read_video
from fourreal_core.files.video import write_video
from fourreal_core.grid import FrameGrid


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"video")
    return folder


def test_pairs_are_found_by_name_in_a_folder_and_its_subfolders(tmp_path):
    names = ["walk_10_fixed_view.mp4", "walk_10_freeze_time.mov", "walk_9-fixed_view.mp4", "walk_9-freeze_time.mp4"]
    touched(tmp_path, *names, "notes.txt", ".hidden_fixed_view.mp4", "dance/fixed_view.mkv", "dance/freeze_time/0.png")
    shots = find_shots(tmp_path)
    assert [shot.name for shot in shots] == ["dance", "walk_9", "walk_10"]
    assert shots[0].freeze_time == tmp_path / "dance" / "freeze_time" and shots[2].freeze_time.suffix == ".mov"


def test_a_table_names_pairs_and_settings(tmp_path):
    touched(tmp_path, "a.mp4", "b.mp4")
    table = tmp_path / "shots.csv"
    table.write_text(
        "\ufefffixed_view,freeze_time,name,FourRealSampler.seed,FourRealSampler.sync,FourRealBuildGrid.fps\n"
        "a.mp4,b.mp4,first,7,soft,\n"
        "b.mp4,a.mp4,,,,12.5\n",
        encoding="utf-8",
    )
    first, second = find_shots(table)
    assert first == Shot(
        "first",
        tmp_path / "a.mp4",
        tmp_path / "b.mp4",
        (("FourRealSampler", "seed", 7), ("FourRealSampler", "sync", "soft")),
    )
    assert second.name == "b_a" and second.settings == (("FourRealBuildGrid", "fps", 12.5),)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "found no pairs"),
        ({"walk_fixed_view.mp4": ""}, "walk in .* has no freeze_time beside its walk_fixed_view.mp4"),
        ({"a_fixed_view.mp4": "", "a-fixed_view.mkv": "", "a_freeze_time.mp4": ""}, "has two fixed_view"),
        ({"table.csv": "fixed_view\na.mp4\n"}, "no column freeze_time"),
        ({"table.csv": "fixed_view,freeze_time\n"}, "no line below"),
        ({"table.csv": "fixed_view,freeze_time\na.mp4,missing.mp4\n", "a.mp4": ""}, "line 2 .* freeze_time .*missing"),
        ({"table.csv": "fixed_view,freeze_time\na.mp4,a.mp4,9\n", "a.mp4": ""}, "more fields"),
        ({"table.csv": "fixed_view,freeze_time,seed\na.mp4,a.mp4,9\n", "a.mp4": ""}, "such as FourRealSampler.seed"),
        ({"table.csv": "fixed_view,freeze_time,name\na.mp4,a.mp4,../x\n", "a.mp4": ""}, "cannot be called"),
        ({"table.csv": "fixed_view,freeze_time,name\n" + "a.mp4,a.mp4,x\n" * 2, "a.mp4": ""}, "are called x"),
    ],
)
def test_what_is_no_list_of_shots_is_one_clear_error(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        find_shots(tmp_path / "table.csv" if "table.csv" in files else tmp_path)
    with pytest.raises(ValueError, match="there is no"):
        find_shots(tmp_path / "nothing")


def api_workflow() -> dict:
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    return {
        "1": node("LoadVideo", file="old.mp4"),
        "2": node("LoadVideo", file="old.mp4"),
        "3": node("Trim", video=["2", 0], seconds=2),
        "4": node("FourRealBuildGrid", fixed_view=["1", 0], freeze_time=["3", 0], views=8),
        "5": node("FourRealSaveGrid", grid=["4", 0], filename_prefix="grids/4real"),
    }


class StandIn:
    """Of a ComfyUI, only its folder."""

    def __init__(self, base: Path):
        self.base = base
        (base / "input").mkdir(parents=True)


def test_a_shots_recordings_reach_the_nodes_that_load_them_and_results_get_its_name(tmp_path):
    write_video(tmp_path / "a.mp4", torch.rand(3, 16, 16, 3), 8)
    (tmp_path / "b").mkdir()
    for number in range(2):
        Image.new("RGB", (24, 16), (90 * number, 20, 30)).save(tmp_path / "b" / f"{number}.png")
    workflow, host = api_workflow(), StandIn(tmp_path / "base")
    shot = Shot("walk", tmp_path / "a.mp4", tmp_path / "b", (("FourRealBuildGrid", "views", 5),))
    prompt = prompt_for(shot, workflow, host)
    assert prompt["1"]["inputs"]["file"] == "walk_fixed_view.mp4" and prompt["4"]["inputs"]["views"] == 5
    assert prompt["2"]["inputs"]["file"] == "walk_freeze_time.mkv" and prompt["3"]["inputs"]["video"] == ["2", 0]
    assert prompt["5"]["inputs"]["filename_prefix"] == "walk/grids/4real"
    assert (tmp_path / "base/input/walk_fixed_view.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    frames, _ = read_video(tmp_path / "base/input/walk_freeze_time.mkv")
    assert frames.shape == (2, 16, 24, 3) and frames[1, 0, 0].tolist() == [90, 20, 30]
    assert workflow == api_workflow()
    del workflow["4"]["inputs"]["freeze_time"]
    with pytest.raises(WorkflowProblem, match="freeze_time"):
        loader_of(workflow, "freeze_time")


def test_a_shot_is_done_anew_when_its_workflow_settings_or_recordings_changed(tmp_path):
    touched(tmp_path, "a.mp4", "b/0.png")
    shot, plan = Shot("x", tmp_path / "a.mp4", tmp_path / "b"), Plan(api_workflow(), tmp_path, tmp_path)
    digests = {plan.digest(shot), Plan({"1": {}}, tmp_path, tmp_path).digest(shot)}
    digests.add(plan.digest(Shot("x", shot.fixed_view, shot.freeze_time, (("A", "b", 1),))))
    touched(tmp_path, "b/1.png")
    digests.add(plan.digest(shot))
    assert len(digests) == 4
    assert Plan(api_workflow(), tmp_path / "elsewhere", tmp_path).digest(shot) in digests


def test_a_comfyui_that_dies_is_started_again_and_at_last_given_up(tmp_path, monkeypatch):
    touched(tmp_path, "a.mp4")
    deaths = []

    class Dying(StandIn):
        def run(self, prompt):
            deaths.append(prompt)
            if len(deaths) < dies:
                raise running.HostProblem("stopped")
            (self.base / "output" / "x" / "note.txt").write_text("made")
            return {}

        def files(self, outputs):
            return [self.base / "output" / "x" / "note.txt", self.base / "temp" / "preview.png"]

    host = Dying(tmp_path / "base")
    (host.base / "output").mkdir()
    monkeypatch.setattr(running.Servers, "running", lambda self, plan: host)
    shot = Shot("x", tmp_path / "a.mp4", tmp_path / "a.mp4")
    plan = Plan(api_workflow(), tmp_path, tmp_path / "out")
    dies = 3
    facts = running.run_shot(shot, plan)
    assert len(deaths) == 3 and facts["files"] == ["note.txt"] and facts["scores"] == {}
    assert (tmp_path / "out/x/note.txt").read_text() == "made" and facts_of(tmp_path / "out/x") == facts
    deaths.clear()
    dies = 9
    with pytest.raises(running.HostProblem):
        running.run_shot(shot, plan)
    assert len(deaths) == 3 and facts_of(tmp_path / "out/x") == facts
    assert sorted(os.listdir(tmp_path / "out")) == ["x"]


def checked(found: list) -> None:
    results = dict(found)
    assert sorted(results) == list(range(6)) and "five is odd" in str(results.pop(5))
    assert results == {job: job // 2 for job in range(5)}


def test_a_comfyui_that_does_not_start_ends_the_batch_at_its_first_shot(tmp_path, capsys):
    """And what it last said is told."""
    touched(tmp_path, "a_fixed_view.mp4", "a_freeze_time.mp4", "b_fixed_view.mp4", "b_freeze_time.mp4")
    (tmp_path / "workflow.json").write_text(json.dumps(api_workflow()))
    (tmp_path / "main.py").write_text("raise SystemExit('no graphics card')")
    words = ["batch", str(tmp_path), "--workflow", str(tmp_path / "workflow.json"), "--output", str(tmp_path / "out")]
    assert main([*words, "--comfyui", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "no graphics card" in told.err and "0 of 2 shots" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system for processes")
def test_a_guarded_program_ends_with_all_it_started_once_nobody_holds_its_input(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess, sys, time\n"
        "print(__name__, sys.argv[1:], sys.stdin.read(), subprocess.Popen(['sleep', '60']).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    words = [sys.executable, str(GUARD), str(program), "a", "b"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as guarded:
        said = guarded.stdout.readline().split()
        assert said[:3] == ["__main__", "['a',", "'b']"] and guarded.poll() is None
        guarded.stdin.close()
        assert guarded.wait(9) == -signal.SIGTERM  # before it is forced to
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(int(said[-1]), 0)
            time.sleep(0.1)


def test_work_in_this_process_goes_on_after_a_problem(tmp_path):
    checked(list(spread(partial(halved, folder=tmp_path, deadly=9), range(6))))
    with pytest.raises(ZeroDivisionError):  # a fault of the program ends it
        list(spread(lambda job: 1 // job, [0]))


def test_the_page_shows_every_shot_with_its_scores_and_files(tmp_path):
    frames = torch.rand(2, 3, 24, 32, 3, generator=torch.Generator().manual_seed(0))
    scores = as_json(measure_agreement(FrameGrid(frames, torch.ones(2, 3, dtype=torch.bool))))
    touched(tmp_path, "one/sheet.jpg", "one/plot.png")
    shots = [Shot(name, Path("a"), Path("b")) for name in ("one", "two & more", "three")]
    facts = {"one": {"seconds": 12.4, "files": ["4real/a b.mp4", "x.grid.safetensors"], "scores": scores}}
    page = write_page(tmp_path, shots, facts, {"two & more": "Node 3\nfailed | badly"}).read_text()
    assert "1 of 3 shots" in page and "two &amp; more" in page and "failed: Node 3 failed / badly" in page
    assert 'src="one/sheet.jpg"' in page and 'src="one/4real/a%20b.mp4"' in page and "not yet" in page
    assert "Sharpness" in page and "http" not in page


def test_bad_commands_are_one_clear_error(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    touched(tmp_path, "a_fixed_view.mp4", "a_freeze_time.mp4")
    workflow = tmp_path / "workflow.json"
    command = ["batch", str(tmp_path), "--workflow", str(workflow), "--output", str(tmp_path / "out")]
    for text, said in (("", "cannot be read"), ('{"a": 1}', "no workflow"), ("[]", "no workflow")):
        workflow.write_text(text)
        assert main(command) == 1 and said in capsys.readouterr().err
    workflow.write_text(json.dumps(api_workflow()))
    assert main([*command, "--comfyui", str(tmp_path)]) == 1 and "main.py" in capsys.readouterr().err
    monkeypatch.setattr("fourreal_core.batch.spread.importlib.util.find_spec", lambda name: None)
    assert main([*command, "--cluster"]) == 1 and "pip install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
