"""Work spread over a local Ray of two workers: a killed one loses nothing, and all that can be spread gives what one process gives."""

import importlib.util
import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from batch_work import halved
from processes import command

from fourreal_core.__main__ import main
from fourreal_core.batch.spread import Cluster, spread
from fourreal_core.files.video import write_video
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import save_grid
from fourreal_core.training.footage import prepare as sources
from fourreal_core.training.footage.store import read_examples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"),
]


@pytest.fixture(scope="module", autouse=True)
def two_workers():
    import ray

    os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers stand back behind all else on a busy machine
    paths = os.pathsep.join(map(str, Path(__file__).parents[1:3]))
    environment = {"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}}
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment, object_store_memory=10**8
    )
    yield
    ray.shutdown()


def test_a_dead_worker_loses_no_job(tmp_path):
    found = dict(spread(partial(halved, folder=tmp_path, deadly=2), range(6), Cluster()))
    assert sorted(found) == list(range(6)) and str(found.pop(5)) == "five is odd"
    assert found == {job: job // 2 for job in range(5)}
    assert (tmp_path / "2.tries").read_text() == "xx" and (tmp_path / "3.tries").read_text() == "x"


def test_a_problem_is_the_jobs_own_and_a_fault_of_the_program_ends_all(tmp_path):
    ((_, problem),) = spread(partial(halved, folder=tmp_path / "missing", deadly=9), [1], Cluster())
    assert isinstance(problem, OSError)
    with pytest.raises(ZeroDivisionError):
        list(spread(lambda job: 1 // job, [0], Cluster()))


def test_a_job_that_kills_every_worker_is_given_up(tmp_path):
    ((_, problem),) = spread(lambda job: os._exit(1), [0], Cluster())
    assert isinstance(problem, RuntimeError)


def test_grids_are_filled_and_measured_as_one_process_does(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    (tmp_path / "truths").mkdir()
    for name in ("one", "two"):
        frames = torch.rand(2, 3, 24, 32, 3, generator=generator)
        save_grid(
            FrameGrid(frames, torch.ones(2, 3, dtype=torch.bool)), tmp_path / "truths" / f"{name}.grid.safetensors"
        )
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "--truths", "truths", "--fill", "copy", "--threads", "1", "--output"]
    assert main([*command, "alone"]) == 0 and main([*command, "spread", "--cluster"]) == 0
    alone, spread_out = (json.loads((tmp_path / name / "numbers.json").read_text()) for name in ("alone", "spread"))
    assert alone == spread_out and set(alone["grids"]["two"]) == {"truth", "copy"}
    assert (tmp_path / "alone/index.html").read_text() == (tmp_path / "spread/index.html").read_text()


def test_examples_are_prepared_as_one_process_does(tmp_path):
    frames = torch.rand(9, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    write_video(tmp_path / "walk.mkv", frames, 10, lossless=True)
    for name, cluster in (("alone", None), ("spread", Cluster(gpus=0))):
        jobs = sources.pseudo_jobs([tmp_path / "walk.mkv"], (2, 3, 16, 24), 2)
        assert sources.prepare(jobs, tmp_path / name, cluster=cluster) == 1
    one, two = (read_examples(tmp_path / name) for name in ("alone", "spread"))
    assert all(
        torch.equal(getattr(a, name), getattr(b, name)) for a, b in zip(one, two, strict=True) for name in vars(a)
    )


def test_grids_are_rendered_as_one_process_does(tmp_path, scene_files, renderer):
    _, folder = scene_files
    words = ["--models", f"{folder}/*.glb", "--env", folder, "--count", 3, "--per-shard", 2]
    words += ["--size", "36x64", "--views", 2, "--times", 2, "--output"]
    command("render.py", *words, tmp_path / "alone")
    command("render.py", *words, tmp_path / "spread", "--cluster")
    files = [sorted((tmp_path / name).iterdir()) for name in ("alone", "spread")]
    assert [file.name for file in files[0]] == ["shard_00000000.safetensors", "shard_00000002.safetensors"]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
