"""scripts/train.py as a user runs it: examples, stages, several processes, Ctrl-C, export."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from PIL import Image
from processes import SCRIPTS, command, script, started, together

from fourreal_core.data.shards import write_shard
from fourreal_core.evaluation.measure import matrix_peak
from fourreal_core.files.video import write_video
from fourreal_core.grid import Cameras, FrameGrid
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.model.weights import load_model
from fourreal_core.sampling.sample import sample_grid
from fourreal_core.training import run, speed
from fourreal_core.training.parts import find_set, read_set

SMALL = ("--config", "tiny", "--crop", "16x16", "--seed", "4")
train = partial(command, "train.py")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Examples of a video and of a shard with one grid, 8 views x 8 times of 16 x 24 pixels."""
    folder = tmp_path_factory.mktemp("command")
    ramp = torch.linspace(0, 1, 40)[None, None, :, None].expand(9, 32, 40, 3)
    write_video(folder / "ramp.mkv", ramp, 10, lossless=True)
    coarse = torch.rand(64, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    frames = torch.nn.functional.interpolate(coarse, (16, 24), mode="bilinear").view(8, 8, 3, 16, 24).movedim(2, -1)
    cameras = Cameras(torch.eye(4).expand(8, 4, 4).contiguous(), torch.eye(3).expand(8, 3, 3).contiguous())
    grid = FrameGrid(frames.contiguous(), torch.ones(8, 8, dtype=torch.bool), cameras=cameras)
    write_shard(folder / "shards" / "shard_00000000.safetensors", [grid])
    sources = ("--videos", folder / "ramp.mkv", "--count", 1, "--shards", folder / "shards")
    said = train("prepare", *sources, "--size", "16x24", "--output", folder / "out")
    assert "ramp.examples.safetensors: 1 grids" in said and "shard_00000000.examples.safetensors: 1 grids" in said
    return folder / "out"


@pytest.mark.slow
def test_from_a_video_and_a_shard_to_a_filled_grid(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "matrix_peak", partial(matrix_peak, size=256))  # instead of 2048
    folder, made = tmp_path / "run", tmp_path / "model.safetensors"
    said = train(
        "run", "--examples", examples, "--output", folder, *SMALL, "--steps", 10, "--batch", 2, "--checkpointing"
    )
    assert "base step 10/10  loss" in said and "GFLOP/s" in said
    train("run", "--examples", examples, "--output", folder, *SMALL, "--stage", "soft", "--steps", 1, "--batch", 1)
    for stage, step in (("base", 10), ("soft", 1)):
        assert Image.open(folder / f"{stage}.loss.png").size == (960, 640)
        assert Image.open(folder / f"{stage}.step-{step:06d}.png").width > 3 * 8 * 24
    train("export", "--config", "tiny", "--run", folder, "--output", made)
    model = load_model(made)
    assert model.config.sync == ("soft",)
    grid = FrameGrid.from_videos(torch.rand(3, 16, 24, 3), torch.rand(2, 16, 24, 3))
    filled = sample_grid(model, grid, sync="soft", steps=1)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known])


def two_forks(words, folder):
    return together(script, 2, "train.py", words, folder=folder)


def torchrun(words, folder):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    call = [*launcher, str(SCRIPTS / "train.py"), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("launch", [two_forks, pytest.param(torchrun, marks=pytest.mark.slow)])
def test_two_processes_train_what_one_trains(examples, tmp_path, launch):
    """Uneven shares (3 sequences for 2 processes) and unequal numbers of known cells: only the order of sums differs."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    words = ("--batch", 3, "--steps", 3, "--device", "cpu", "--precision", "float32", "--picture-every", 0)
    said = launch(("run", "--examples", examples, "--output", together, *SMALL, *words), tmp_path)
    assert said.count("base step 3/3") == 1
    plan = run.resume_plan(together, "base", {})
    assert plan.batch == 3 and plan.precision == "float32"
    run.train_stage(tiny(), plan, examples, alone, lambda state: None)
    (one, _), (two, _) = (read_set(find_set(folder, "base")) for folder in (alone, together))
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-4, atol=1e-7)
    start = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(plan.seed)).state_dict()
    names = [name for name in one if name.startswith("model.")]
    flat = lambda tensors, names: torch.cat([tensors[name].flatten() for name in names])
    moved = flat(one, names) - flat(start, [name.removeprefix("model.") for name in names])
    assert (flat(two, names) - flat(one, names)).norm() < 0.01 * moved.norm()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console, this test included")
def test_ctrl_c_finishes_the_step_and_saves(examples, tmp_path):
    words = ("run", "--examples", examples, "--output", tmp_path / "run", *SMALL, "--batch", 1, "--steps", 100000)
    log = tmp_path / "log"
    process = started(script, "train.py", (*words, "--picture-every", 0), output=log)
    began = time.monotonic()
    while not (log.exists() and "base step 1/" in log.read_text()):
        assert process.is_alive() and time.monotonic() - began < 60, log.read_text()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 1 and log.read_text().strip().endswith("stopped; run the same command to continue")
    tensors, header = read_set(find_set(tmp_path / "run", "base"))
    assert len(tensors["losses"]) == int(header["step"]) >= 1
