"""Files of trained synchronization layers: round trip, exact starts, and one clear sentence for everything else."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from fourreal_core.model.sync import average, view_by_view
from fourreal_core.model.sync_file import SyncConfig, SyncLayers, load_sync, save_sync
from fourreal_core.model.weights import CheckpointError

SHAPES = [("soft", 0), ("soft", 4), ("hard", 0), ("hard", 4)]


def config(**changes):
    return SyncConfig(
        **({"family": "wan", "width": 12, "depth": 3, "kind": "soft", "rank": 0, "sigma_width": 8} | changes)
    )


def random_layers(seed=0, **changes):
    layers, generator = SyncLayers(config(**changes)), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return layers


def tokens(seed, width=12):
    """[k, V, T, S, D]"""
    return torch.randn(2, 3, 5, 7, width, generator=torch.Generator().manual_seed(seed))


SIGMA = torch.tensor([0.25, 0.9])


@pytest.mark.parametrize("kind, rank", SHAPES)
def test_round_trip_is_exact(tmp_path, kind, rank):
    layers = random_layers(kind=kind, rank=rank)
    about = {"steps": 1200, "data": "orbit", "base": "wan2.1_t2v_1.3B.safetensors", "base_hash": "0123"}
    save_sync(layers, tmp_path / "a.safetensors", about)
    loaded = load_sync(tmp_path / "a.safetensors")
    assert loaded.config == layers.config and loaded.about == about and len(loaded.file_hash) == 16
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    for ours, theirs in zip(layers, loaded, strict=True):
        for x, y in zip(ours(tokens(1), tokens(2), SIGMA), theirs(tokens(1), tokens(2), SIGMA)):
            assert torch.equal(x, y)
    save_sync(loaded, tmp_path / "b.safetensors")
    assert load_sync(tmp_path / "b.safetensors").about == about
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.fixture
def memory_full_of_nan(monkeypatch):
    """New memory holds NaN until something is written there, instead of what it happened to hold."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind, rank", SHAPES)
def test_new_layers_are_finite_before_any_start_is_chosen(memory_full_of_nan, tmp_path, kind, rank):
    save_sync(SyncLayers(config(kind=kind, rank=rank)), tmp_path / "a.safetensors")
    load_sync(tmp_path / "a.safetensors")


def test_a_copy_in_bfloat16_is_half_the_size(tmp_path):
    layers = random_layers(width=128)
    for name, dtype in (("whole", None), ("half", torch.bfloat16)):
        save_sync(layers, tmp_path / name, dtype=dtype)
    assert (tmp_path / "half").stat().st_size < 0.51 * (tmp_path / "whole").stat().st_size
    half = load_sync(tmp_path / "half")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in load_sync(tmp_path / "half", dtype=torch.float32).parameters()} == {
        torch.float32
    }
    assert next(layers.parameters()).dtype == torch.float32
    x_time, x_view = half[0](tokens(1, 128).bfloat16(), tokens(2, 128).bfloat16(), SIGMA)
    assert x_time.dtype == x_view.dtype == torch.bfloat16


@pytest.mark.parametrize("kind, rank", SHAPES)
def test_fresh_layers_average(kind, rank):
    for layer in SyncLayers(config(kind=kind, rank=rank)).initialize():
        for x, mean in zip(layer(tokens(1), tokens(2), SIGMA), average(tokens(1), tokens(2), SIGMA)):
            assert torch.allclose(x, mean, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 4])
def test_soft_can_start_as_nothing_at_all(rank):
    for layer in SyncLayers(config(rank=rank)).initialize(averaging=False):
        x_time, x_view = layer(tokens(1), tokens(2), SIGMA)
        assert torch.equal(x_time, tokens(1)) and torch.equal(x_view, tokens(2))
    first, second = (
        SyncLayers(config(rank=4)).initialize(generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first[1].down.weight, second[1].down.weight) and first[1].down.weight.std() > 0.05
    with pytest.raises(ValueError, match="can only start as their average"):
        SyncLayers(config(kind="hard")).initialize(averaging=False)


def test_low_rank_hard_is_the_dense_layer_with_that_matrix():
    low, dense = random_layers(kind="hard", rank=4)[1], random_layers(kind="hard")[1]
    with torch.no_grad():
        matrix = torch.cat([torch.diag(a) / 2 for a in low.averaging], dim=1) + low.up.weight @ low.down.weight
        dense.time.weight.copy_(matrix[:, :12])
        dense.view.weight.copy_(matrix[:, 12:])
        dense.modulation.load_state_dict(low.modulation.state_dict())
    for x, y in zip(low(tokens(1), tokens(2), SIGMA), dense(tokens(1), tokens(2), SIGMA)):
        assert torch.allclose(x, y, atol=1e-5)


@pytest.mark.parametrize("kind, rank", SHAPES)
def test_one_view_at_a_time_is_the_same(kind, rank):
    layer, shapes = random_layers(kind=kind, rank=rank)[0], []
    hook = layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(inputs[0].shape)))
    with torch.no_grad():
        x_time, x_view = view_by_view(layer)(tokens(1), tokens(2).transpose(1, 2).contiguous().transpose(1, 2), SIGMA)
    assert shapes == [(2, 1, 5, 7, 12)] * 3
    view_by_view(layer)(tokens(1), tokens(2), SIGMA)[1].sum().backward()
    assert shapes[3:] == [(2, 3, 5, 7, 12)] and layer.modulation.weight.grad.abs().sum() > 0
    hook.remove()
    expected_time, expected_view = layer(tokens(1), tokens(2), SIGMA)
    assert torch.allclose(x_time, expected_time, atol=1e-6) and torch.allclose(x_view, expected_view, atol=1e-6)
    assert (x_time is x_view) == (kind == "hard")


def test_layers_are_one_per_block():
    layers = random_layers(depth=5)
    assert len(layers) == len(list(layers)) == 5 and layers[-1] is list(layers)[4]
    with pytest.raises(IndexError):
        layers[5]


def test_another_backbone_gets_one_sentence():
    layers = random_layers()
    layers.expect_backbone("wan", 12, 3)
    for other in (("ltxv", 12, 3), ("wan", 16, 3), ("wan", 12, 4)):
        with pytest.raises(ValueError, match="were trained on wan .width 12, 3 blocks., but"):
            layers.expect_backbone(*other)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"kind": "fused"}, "must be one of soft, hard, got 'fused'"),
        ({"rank": 13}, r"rank of synchronization layers must be a whole number from 0 to 12, got 13"),
        ({"rank": True}, "got True"),
        ({"width": 0}, "width of synchronization layers"),
        ({"depth": 10**9}, "depth of synchronization layers"),
        ({"sigma_width": 7}, "must be even, got 7"),
        ({"family": ""}, "model family must be a short name"),
    ],
)
def test_configs_that_make_no_sense(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        config(**changes)


def test_missing_extra_and_wrong_weights(tmp_path):
    layers, path = random_layers(), tmp_path / "bad.safetensors"
    save_sync(layers, path)
    good, key = layers.state_dict(), "1.delta.bias"
    header = {"format": "fourreal-sync-1", "config": json.dumps(vars(layers.config)), "about": "{}"}
    cases = (
        (
            {name: value for name, value in good.items() if name != key},
            "lacks weights, 1 in all, such as '1.delta.bias'",
        ),
        ({**good, "extra": torch.zeros(1)}, "has unknown weights, 1 in all, such as 'extra'"),
        ({**good, key: torch.zeros(5)}, r"'1.delta.bias' should have shape \[24\], got \[5\]"),
        ({**good, key: good[key].long()}, "should hold floating point numbers"),
        ({**good, key: torch.full((24,), torch.nan)}, "contains numbers that are not finite: its training diverged"),
    )
    for state, sentence in cases:
        save_file(state, path, header)
        with pytest.raises(CheckpointError, match=sentence):
            load_sync(path)
    save_file(good, path, header)
    assert load_sync(path).config == layers.config


def test_files_that_hold_no_layers(tmp_path):
    path = tmp_path / "bad.safetensors"
    with pytest.raises(CheckpointError, match="there are no synchronization layers at"):
        load_sync(path)
    save_sync(random_layers(), path)
    whole = path.read_bytes()
    for content in (b"", b"\x80\x04pickle", whole[: len(whole) // 2], struct.pack("<Q", 2**60) + whole[8:]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a complete safetensors file"):
            load_sync(path)
    good = {"format": "fourreal-sync-1", "config": json.dumps(vars(config())), "about": "{}"}
    cases = (
        (None, "holds no synchronization layers"),
        ({"format": "fourreal-model-1"}, "holds no synchronization layers"),
        ({"format": "fourreal-sync-1"}, "not valid JSON"),
        ({**good, "config": "["}, "not valid JSON"),
        ({**good, "config": "[" * 100_000}, "not valid JSON"),
        ({**good, "config": json.dumps({"width": 12})}, "should describe layers by depth, family"),
        ({**good, "about": "7"}, "should describe layers by"),
        ({**good, "config": json.dumps({**vars(config()), "width": "12"})}, "cannot be used"),
        (
            {**good, "config": json.dumps({**vars(config()), "kind": "off"})},
            "cannot be used: the kind of synchronization",
        ),
    )
    for metadata, sentence in cases:
        save_file({"a": torch.zeros(1)}, path, metadata)
        with pytest.raises(CheckpointError, match=sentence):
            load_sync(path)


def test_saving_refuses_and_leaves_the_older_file(tmp_path):
    layers, path = random_layers(), tmp_path / "layers.safetensors"
    save_sync(layers, path)
    before = path.read_bytes()
    diverged = random_layers()
    diverged[2].delta.weight.data[0, 0] = torch.inf
    for bad, about, sentence in (
        (diverged, None, "'2.delta.weight' contains numbers that are not finite"),
        (layers, {"steps": torch.zeros(1)}, "must consist of plain numbers"),
        (layers, {"loss": float("nan")}, "must consist of plain numbers"),
        (layers, {"note": "x" * 70_000}, "store less"),
    ):
        with pytest.raises(CheckpointError, match=sentence):
            save_sync(bad, path, about)
    with pytest.raises(CheckpointError, match="there is no folder .*nowhere: create it"):
        save_sync(layers, tmp_path / "nowhere" / "a.safetensors")
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["layers.safetensors"]
