"""scripts/train.py as a user runs it: examples, stages, several processes, Ctrl-C, export."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fourreal_core.data.shards import write_shard
from fourreal_core.files.video import write_video
from fourreal_core.grid import Cameras, FrameGrid
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.model.weights import load_model
from fourreal_core.sampling.sample import sample_grid
from fourreal_core.training import run
from fourreal_core.training.parts import find_set, read_set

SCRIPT = str(Path(__file__).resolve().parents[2] / "scripts" / "train.py")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
SMALL = ("--config", "tiny", "--crop", "16x16", "--seed", "4")


def train(*words, launcher=(sys.executable,)):
    done = subprocess.run(
        [*launcher, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=120, env=ONE_THREAD
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
    said = train(
        "prepare",
        "--videos",
        folder / "ramp.mkv",
        "--count",
        1,
        "--size",
        "16x24",
        "--shards",
        folder / "shards",
        "--output",
        folder / "out",
    )
    assert "ramp.examples.safetensors: 1 grids" in said and "shard_00000000.examples.safetensors: 1 grids" in said
    return folder / "out"


@pytest.mark.slow
def test_from_a_video_and_a_shard_to_a_filled_grid(examples, tmp_path):
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


@pytest.mark.slow
def test_two_processes_train_what_one_trains(examples, tmp_path):
    """Uneven shares (3 sequences for 2 processes) and unequal numbers of known cells: only the order of sums differs."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    words = ("--batch", 3, "--steps", 3, "--device", "cpu", "--precision", "float32", "--picture-every", 0)
    said = train("run", "--examples", examples, "--output", together, *SMALL, *words, launcher=torchrun)
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


@pytest.mark.slow
def test_ctrl_c_finishes_the_step_and_saves(examples, tmp_path):
    words = [
        sys.executable,
        SCRIPT,
        "run",
        "--examples",
        examples,
        "--output",
        tmp_path,
        *SMALL,
        "--batch",
        1,
        "--steps",
        100000,
    ]
    with subprocess.Popen(
        [*map(str, words), "--picture-every", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1 and complaint.strip().endswith("stopped; run the same command to go on")
    tensors, header = read_set(find_set(tmp_path, "base"))
    assert len(tensors["losses"]) == int(header["step"]) >= 1
