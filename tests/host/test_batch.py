"""`fourreal batch` with a real ComfyUI: results, scores and a page; a batch goes on; on a Ray of two workers, one of which is killed, no shot is lost."""

import importlib.util
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from comfyui import FOLDER, install_pack, only_pack
from environment import PACK, Environment
from processes import comfyuis

from fourreal_core.__main__ import main
from fourreal_core.files.video import write_video
from fourreal_core.grid_file import load_grid

SETTINGS = {"FourRealBuildGrid.views": 2, "FourRealBuildGrid.times": 3, "FourRealBuildGrid.width": 48}


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


API = {
    "1": node("LoadVideo", file="a.mp4"),
    "2": node("LoadVideo", file="b.mp4"),
    "3": node(
        "FourRealBuildGrid",
        fixed_view=["1", 0],
        freeze_time=["2", 0],
        views=8,
        times=8,
        width=96,
        height=0,
        fit="crop",
        pick="even",
        fps=0.0,
    ),
    "4": node("FourRealTransportFill", grid=["3", 0], method="transport"),
    "5": node("FourRealSaveGrid", grid=["4", 0], filename_prefix="grids/4real"),
}


@pytest.fixture
def command(environment: Environment, tmp_path: Path):
    """command(workflow, number of shots): of one pair, with a ComfyUI that has this pack alone; results go to tmp_path / "out"."""
    wall = torch.rand(32, 60, 3, generator=torch.Generator().manual_seed(0))
    write_video(tmp_path / "a.mkv", torch.stack([wall[:, :48]] * 6), fps=12, lossless=True)
    write_video(tmp_path / "b.mkv", torch.stack([wall[:, i : 48 + i] for i in range(6)]), fps=12, lossless=True)
    install_pack(tmp_path / "base" / "custom_nodes" / FOLDER)
    options = ["--base-directory", str(tmp_path / "base"), *only_pack()]

    def words(workflow: dict, shots: int, **more) -> list[str]:
        settings = SETTINGS | more
        lines = [["name", "fixed_view", "freeze_time", *settings]]
        lines += [[f"shot_{index}", "a.mkv", "b.mkv", *map(str, settings.values())] for index in range(shots)]
        (tmp_path / "shots.csv").write_text("\n".join(map(",".join, lines)))
        (tmp_path / "workflow.json").write_text(json.dumps(workflow))
        files = ["--workflow", str(tmp_path / "workflow.json"), "--output", str(tmp_path / "out")]
        host = ["--comfyui", str(environment.comfyui), f"--options={' '.join(options)}"]
        return ["batch", str(tmp_path / "shots.csv"), *files, *host]

    return words


def whole(folder: Path) -> list[str]:
    return sorted(file.parent.name for file in folder.glob("shot_*/shot.json"))


def test_shots_run_one_after_the_other_and_a_batch_goes_on(command, tmp_path, capsys):
    out = tmp_path / "out"
    workflow = json.loads((PACK / "workflows" / "03_fill_without_a_video_model.json").read_text(encoding="utf-8"))
    words = command(workflow, 2, **{"FourRealTransportFill.method": "transport"})
    assert main(words) == 0 and whole(out) == ["shot_0", "shot_1"]
    assert (out / "shot_1" / "4real" / "transport_00001_.mp4").is_file()
    first = (out / "shot_0" / "shot.json").stat().st_mtime_ns
    words = command(workflow, 3, **{"FourRealTransportFill.method": "transport"})
    (tmp_path / "shots.csv").write_text(
        (tmp_path / "shots.csv").read_text().replace("shot_2,a.mkv", "shot_2,shots.csv")
    )
    capsys.readouterr()
    assert main(words) == 1
    told = capsys.readouterr()
    assert "2 of 3 shots are there already" in told.out and "shot_2: failed" in told.out and "1 of 3 shots" in told.err
    assert (out / "shot_0" / "shot.json").stat().st_mtime_ns == first and whole(out) == ["shot_0", "shot_1"]
    page = (out / "index.html").read_text()
    assert "2 of 3 shots" in page and "shot_1/4real/transport_00001_.mp4" in page and "failed: Node" in page


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_a_killed_worker_loses_no_shot_and_takes_its_comfyui_with_it(command, tmp_path, monkeypatch):
    import ray

    out, killed = tmp_path / "out", []
    monkeypatch.setenv("RAY_worker_niceness", "0")
    environment = {"env_vars": {"PYTHONPATH": str(PACK), "OMP_NUM_THREADS": "1"}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)

    def kill_one() -> None:
        """The worker of the first ComfyUI, once that has made its first shot and so is at its second."""
        while not whole(out):
            time.sleep(0.1)
        comfyui = comfyuis(tmp_path / "base")[0]
        worker = int(Path(f"/proc/{comfyui}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(worker, signal.SIGKILL)
        killed.append(comfyui)

    try:
        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        assert main([*command(API, 6), "--cluster"]) == 0
        killer.join(10)
    finally:
        ray.shutdown()
    assert killed and whole(out) == [f"shot_{index}" for index in range(6)]
    assert all(load_grid(out / name / "grids/4real_00001_.grid.safetensors").views == 2 for name in whole(out))
    assert "6 of 6 shots" in (out / "index.html").read_text() and (out / "shot_5" / "sheet.jpg").is_file()
    deadline = time.monotonic() + 60
    while comfyuis(tmp_path / "base") and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not comfyuis(tmp_path / "base")
