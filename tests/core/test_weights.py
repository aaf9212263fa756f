"""Checkpoints: round trip, and one clear sentence for everything a stranger's file can be."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.model.weights import (
    CheckpointError,
    default_checkpoint,
    load_checkpoint,
    load_model,
    save_checkpoint,
)


@pytest.fixture
def model():
    return initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0))


@pytest.fixture
def file(model, tmp_path):
    save_checkpoint(tmp_path / "model.safetensors", model, {"trained_steps": "base=3"})
    return tmp_path / "model.safetensors"


def header(model):
    return {"format": "fourreal-model-1", "config": model.config.to_json()}


def test_round_trip(model, file):
    state, config, metadata = load_checkpoint(file)
    assert config == tiny() and metadata["trained_steps"] == "base=3"
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    loaded = load_model(file, dtype=torch.float32)
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert len(loaded.checkpoint_hash) == 16


def test_the_bundled_model_is_there_and_small():
    model = load_model()
    assert default_checkpoint().stat().st_size <= 16 * 2**20
    assert model.config.guess and {"hard", "soft"} <= set(model.sync_kinds)


def test_missing_extra_and_wrong_weights(model, tmp_path):
    path = tmp_path / "bad.safetensors"
    good = {key: value.contiguous() for key, value in model.state_dict().items()}
    key = "base.mode.weight"
    cases = (
        (
            {name: value for name, value in good.items() if name != key},
            "lacks weights, 1 in all, such as 'base.mode.weight'",
        ),
        ({**good, "extra": torch.zeros(1)}, "has unknown weights, 1 in all, such as 'extra'"),
        ({**good, key: torch.zeros(3, 5)}, r"'base.mode.weight' should have shape \[2, 32\], got \[3, 5\]"),
        ({**good, key: good[key].long()}, "should hold floating point numbers"),
    )
    for state, sentence in cases:
        save_file(state, path, header(model))
        with pytest.raises(CheckpointError, match=sentence):
            load_checkpoint(path)


def test_files_that_are_no_checkpoints(model, file, tmp_path):
    path = tmp_path / "bad.safetensors"
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        load_checkpoint(path)
    whole = file.read_bytes()
    huge = struct.pack("<Q", 2**60) + whole[8:]
    for content in (b"", b"\x80\x04pickle", whole[: len(whole) // 2], huge, b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a complete safetensors file"):
            load_checkpoint(path)
    for metadata in (
        None,
        {"format": "other"},
        {**header(model), "config": "{"},
        {**header(model), "config": json.dumps({"width": 1})},
    ):
        save_file({"a": torch.zeros(1)}, path, metadata)
        with pytest.raises(CheckpointError, match="is not a 4Real model|cannot be used"):
            load_checkpoint(path)


def test_weights_of_a_training_that_diverged(model, tmp_path):
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    key = max(state)
    state[key].view(-1)[-1] = float("nan")
    broken = GridModel(model.config)
    broken.load_state_dict(state)
    save_checkpoint(tmp_path / "a.safetensors", broken)
    with pytest.raises(CheckpointError, match=f"{key}' contains numbers that are not finite"):
        load_model(tmp_path / "a.safetensors")


def test_saving_leaves_no_part_file(model, tmp_path):
    with pytest.raises(CheckpointError, match="could not write"):
        save_checkpoint(tmp_path / "nowhere" / "model.safetensors", model)
    assert list(tmp_path.iterdir()) == []
