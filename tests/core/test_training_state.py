"""Saved states: small enough to travel, whole or refused, and synchronization layers never on a foreign base."""

import os
from dataclasses import replace

import pytest
import torch

from fourreal_core.files.video import write_video
from fourreal_core.model.config import bundled, tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.model.weights import load_checkpoint, load_model
from fourreal_core.training import parts, run
from fourreal_core.training.footage.prepare import prepare, pseudo_jobs
from fourreal_core.training.footage.store import ENDING
from fourreal_core.training.loop import TrainingPlan, start
from fourreal_core.training.optimizers import optimizer_step
from fourreal_core.training.parts import find_set, read_set, write_set
from fourreal_core.training.state import Losses, save_state


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    ramp = torch.linspace(0, 1, 40)[None, None, :, None].expand(6, 32, 40, 3)
    write_video(folder / "ramp.mkv", ramp, 10, lossless=True)
    prepare(pseudo_jobs([folder / "ramp.mkv"], (3, 3, 16, 24), 2), folder)
    assert (folder / ("ramp" + ENDING)).exists()
    return folder


def stage(kind, examples, folder, steps=1, **more):
    plan = TrainingPlan(stage=kind, steps=steps, batch=2, crop=(16, 16), warmup=2)
    run.train_stage(tiny(), plan, examples, folder, lambda state: None, **more)


def test_the_bundled_size_fits_in_four_files_of_16_megabytes(tmp_path):
    plan = TrainingPlan(steps=20000)
    state = start(GridModel(bundled()), plan, tmp_path)
    for parameter in state.model.base.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer_step(state.optimizers, 0.0)  # makes the moments
    state.step, state.losses = 20000, [Losses(0.1, 0.2, 0.3)] * 20000
    save_state(tmp_path, "base", state, vars(plan))
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) <= 4 and max(sizes) <= 16_000_000


def test_a_set_of_files_is_one_state(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    tensors = {name: torch.full((10,), float(number)) for number, name in enumerate("abcde")}
    old = write_set(tmp_path, "base", 1, tensors, {"step": "1"})
    assert [path.name for path in old] == [f"base.state-000001-{part}-of-3.safetensors" for part in (1, 2, 3)]
    write_set(tmp_path, "soft", 7, tensors, {})
    kept = {path: path.read_bytes() for path in old}
    new = write_set(tmp_path, "base", 2, tensors, {"step": "2"})
    assert find_set(tmp_path, "base") == new and len(list(tmp_path.iterdir())) == 6
    found, header = read_set(new)
    assert header["step"] == "2" and all(torch.equal(found[name], tensors[name]) for name in tensors)

    # as if killed after the first of the new files
    for path, content in kept.items():
        path.write_bytes(content)
    foreign = new[1].read_bytes()
    for path in new[1:]:
        path.unlink()
    assert find_set(tmp_path, "base") == old
    # and as if someone copied files of two runs together, or not all of them
    os.replace(new[0], old[1])
    with pytest.raises(ValueError, match="the 3 files of step 1 were not saved together"):
        find_set(tmp_path, "base")
    old[1].unlink()
    with pytest.raises(ValueError, match="only 2 of 3 files of step 1 are there"):
        find_set(tmp_path, "base")
    old[1].write_bytes(foreign[:50])
    with pytest.raises(ValueError, match="a file of step 1 is damaged"):
        find_set(tmp_path, "base")


def test_the_chosen_plan_is_kept(examples, tmp_path):
    stage("base", examples, tmp_path)
    plan = run.resume_plan(tmp_path, "base", {"steps": 5})
    assert plan.precision in ("float32", "bfloat16")  # measured once, then kept
    assert replace(plan, precision="auto") == TrainingPlan(steps=5, batch=2, crop=(16, 16), warmup=2)
    assert run.resume_plan(tmp_path, "soft", {}) == TrainingPlan(stage="soft")


def test_layers_are_refused_when_their_base_was_trained_further(examples, tmp_path):
    stage("base", examples, tmp_path)
    stage("soft", examples, tmp_path)
    stage("base", examples, tmp_path, steps=2)
    with pytest.raises(ValueError, match="'soft' .* were trained on another base, .* delete soft.state"):
        stage("soft", examples, tmp_path, steps=2)
    with pytest.raises(ValueError, match="'soft' .* were trained on another base"):
        run.export(tiny(), tmp_path, tmp_path / "model.safetensors")


def test_layers_for_the_base_of_a_checkpoint(examples, tmp_path):
    first, second, made = tmp_path / "first", tmp_path / "second", tmp_path / "made.safetensors"
    stage("base", examples, first)
    stage("hard", examples, first)
    run.export(tiny(), first, made)
    stage("soft", examples, second, base=made)
    stage("soft", examples, second, steps=2)  # goes on with the base it began with
    run.export(tiny(), second, tmp_path / "both.safetensors")
    old, new = load_checkpoint(made), load_checkpoint(tmp_path / "both.safetensors")
    assert new[1].sync == ("hard", "soft") and new[2]["trained_steps"] == "base=1 hard=1 soft=2"
    assert all(torch.equal(weight, new[0][name]) for name, weight in old[0].items())
    assert load_model(tmp_path / "both.safetensors").best_sync


def test_a_stage_starts_from_the_layers_of_a_checkpoint(examples, tmp_path):
    made = tmp_path / "made.safetensors"
    stage("base", examples, tmp_path)
    stage("soft", examples, tmp_path, steps=2)
    run.export(tiny(), tmp_path, made)
    fresh = TrainingPlan(stage="soft", seed=3)
    model, _ = run.build_model(tiny(), fresh, tmp_path, made, None)
    layers = {name: weight for name, weight in load_checkpoint(made)[0].items() if name.startswith("sync.soft.")}
    assert layers and all(torch.equal(model.state_dict()[name], weight.float()) for name, weight in layers.items())
    unlike = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(3)).state_dict()
    assert any(not torch.equal(unlike[name], weight.float()) for name, weight in layers.items())
