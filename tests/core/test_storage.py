"""Grid files: exact round trips, nothing half-written, and one sentence for every broken or hostile file."""

import json
import struct

import pytest
import torch
from processes import branch, killed_while_writing
from safetensors.torch import save_file

from fourreal_core.grid import Cameras, FrameGrid
from fourreal_core.grid_file import GridFileError, load_grid, save_grid

V, T, H, W = 3, 5, 8, 16
METADATA = {"format": "fourreal.grid", "version": "1", "grid": '{"fps": 24.0, "provenance": {}}'}


def float_grid():
    generator = torch.Generator().manual_seed(0)
    world_to_camera, intrinsics = torch.rand(V, 4, 4, generator=generator), torch.rand(V, 3, 3, generator=generator)
    world_to_camera[:, 3], intrinsics[:, 2] = torch.eye(4)[3], torch.eye(3)[2]
    provenance = {
        "model": "sha256:ab",
        "trained": False,
        "seed": 2**63,
        "loss": 0.1 + 0.2,
        "inputs": ["größe.mp4", None],
        "sync": {"kind": "soft"},
    }
    return FrameGrid(
        torch.rand(V, T, H, W, 3, generator=generator),
        torch.rand(V, T, generator=generator) > 0.5,
        fps=30000 / 1001,
        cameras=Cameras(world_to_camera, intrinsics),
        provenance=provenance,
    )


def byte_grid():
    frames = torch.randint(0, 256, (V, T, H, W, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frames[0, 0] = torch.arange(H * W * 3).reshape(H, W, 3) % 256
    return FrameGrid(frames.float() / 255, torch.ones(V, T, dtype=torch.bool))


def tensors(**changes):
    valid = {"frames": torch.zeros(V, T, H, W, 3, dtype=torch.uint8), "known": torch.ones(V, T, dtype=torch.uint8)}
    return {name: tensor for name, tensor in (valid | changes).items() if tensor is not None}


@pytest.mark.parametrize("make", [float_grid, byte_grid])
def test_round_trip_is_exact(make, tmp_path):
    grid, file = make(), tmp_path / "a.grid.safetensors"
    save_grid(grid, file)
    loaded = load_grid(file)
    assert torch.equal(loaded.frames, grid.frames) and torch.equal(loaded.known, grid.known)
    assert loaded.fps == grid.fps and loaded.provenance == grid.provenance
    assert (loaded.cameras is None) == (grid.cameras is None)
    if grid.cameras is not None:
        assert torch.equal(loaded.cameras.world_to_camera, grid.cameras.world_to_camera)
        assert torch.equal(loaded.cameras.intrinsics, grid.cameras.intrinsics)


def test_frames_that_came_from_bytes_are_stored_as_bytes(tmp_path):
    save_grid(byte_grid(), tmp_path / "bytes")
    save_grid(float_grid(), tmp_path / "floats")
    assert (tmp_path / "bytes").stat().st_size < V * T * H * W * 3 + 1000 < (tmp_path / "floats").stat().st_size


def test_one_value_between_bytes_keeps_all_floats(tmp_path):
    frames = byte_grid().frames.clone()
    frames[2, 4, 7, 15, 2] = 0.5
    save_grid(byte_grid().replace(frames=frames), tmp_path / "a")
    assert torch.equal(load_grid(tmp_path / "a").frames, frames)


def test_a_loaded_grid_does_not_hang_on_its_file(tmp_path):
    file = tmp_path / "a"
    save_grid(float_grid(), file)
    loaded = load_grid(file)
    with open(file, "r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    assert torch.equal(loaded.frames, float_grid().frames)


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path):
    file = tmp_path / "a.grid.safetensors"
    save_grid(float_grid(), file)
    save_grid(byte_grid(), file)
    assert torch.equal(load_grid(file).frames, byte_grid().frames) and list(tmp_path.iterdir()) == [file]


def test_a_failed_save_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "a.grid.safetensors"
    save_grid(byte_grid(), file)
    content = file.read_bytes()

    def disk_full(tensor):
        raise OSError("No space left on device")

    monkeypatch.setattr("fourreal_core.grid_file.checksum", lambda *of: "")
    monkeypatch.setattr("fourreal_core.files.atomic.tensor_bytes", disk_full)
    with pytest.raises(GridFileError, match="No space left on device"):
        save_grid(float_grid(), file)
    assert list(tmp_path.iterdir()) == [file] and file.read_bytes() == content


def test_saving_where_nothing_can_be_saved(tmp_path):
    with pytest.raises(GridFileError, match="there is no folder .*missing"):
        save_grid(byte_grid(), tmp_path / "missing" / "a")
    with pytest.raises(GridFileError, match="got the folder"):
        save_grid(byte_grid(), tmp_path)
    with pytest.raises(GridFileError, match="at most 1048576 characters"):
        save_grid(byte_grid().replace(provenance={"log": "x" * 2**20}), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_the_largest_provenance_that_can_be_saved_can_be_loaded(tmp_path):
    provenance = {"log": '"' * (2**19 - 50)}
    save_grid(byte_grid().replace(provenance=provenance), tmp_path / "a")
    assert load_grid(tmp_path / "a").provenance == provenance


def check_refused(file, sentence):
    with pytest.raises(GridFileError, match=sentence) as caught:
        load_grid(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"\x00" * 100,
        b"\xff" * 100,
        b"not a grid at all " * 50,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 90) + b"{" * 90,
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 3_000_000) + b" " * 3_000_000,
    ],
)
def test_garbage_is_refused(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    check_refused(tmp_path / "a", "cannot read a")


def test_every_truncation_is_refused(tmp_path):
    save_grid(byte_grid(), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for length in (0, 7, 8, 9, 100, 400, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a").write_bytes(whole[:length])
        check_refused(tmp_path / "a", "damaged, incomplete, or not a grid file")
    (tmp_path / "a").write_bytes(whole + b"x")
    check_refused(tmp_path / "a", "damaged, incomplete, or not a grid file")


def test_missing_files_and_folders_are_refused(tmp_path):
    check_refused(tmp_path / "missing", "there is no grid file")
    check_refused(tmp_path, "there is no grid file")


@pytest.mark.parametrize(
    "metadata, sentence",
    [
        (None, "another kind"),
        ({}, "another kind"),
        (METADATA | {"format": "pt"}, "another kind .*'pt'"),
        (METADATA | {"version": "2"}, "version 1 of grid files, but a has version '2'"),
        (METADATA | {"grid": ""}, "to be JSON, got something else"),
        (METADATA | {"grid": "[]"}, "to be JSON, got something else"),
        (METADATA | {"grid": "{}"}, "to be JSON, got something else"),
        (METADATA | {"grid": "[" * 100_000}, "to be JSON, got something else"),
        (
            METADATA | {"grid": '{"fps": 24, "provenance": ' + '{"a":' * 50_000 + "1" + "}" * 50_001},
            "to be JSON, got something else",
        ),
        (METADATA | {"grid": '{"fps": NaN, "provenance": {}}'}, "NaN is not a JSON number"),
        (METADATA | {"grid": '{"fps": 1e999, "provenance": {}}'}, "fps"),
        (METADATA | {"grid": '{"fps": -1, "provenance": {}}'}, "fps"),
        (METADATA | {"grid": f'{{"fps": {10**400}, "provenance": {{}}}}'}, "fps"),
        (METADATA | {"grid": '{"fps": "24", "provenance": {}}'}, "fps to be a number"),
        (METADATA | {"grid": '{"fps": true, "provenance": {}}'}, "fps to be a number"),
        (METADATA | {"grid": '{"fps": 24, "provenance": []}'}, "provenance an object"),
        (METADATA | {"grid": json.dumps({"fps": 24, "provenance": {"a": "x" * 2**20}})}, "at most 1048576 characters"),
    ],
)
def test_bad_metadata_is_refused(metadata, sentence, tmp_path):
    save_file(tensors(), tmp_path / "a", metadata=metadata)
    check_refused(tmp_path / "a", sentence)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"frames": None}, "expected the tensors .* got known"),
        ({"known": None}, "expected the tensors .* got frames"),
        ({"extra": torch.zeros(1)}, "got extra, frames, known"),
        ({"intrinsics": torch.eye(3).repeat(V, 1, 1)}, "expected the tensors"),
        ({"frames": torch.zeros(V, T, H, W, 4, dtype=torch.uint8)}, "frames of shape"),
        ({"frames": torch.zeros(V, T, H, W, dtype=torch.uint8)}, "frames of shape"),
        ({"frames": torch.zeros(V, 0, H, W, 3)}, "frames of shape"),
        ({"frames": torch.zeros(1025, T, 1, 1, 3)}, "at most 1024 views"),
        ({"frames": torch.zeros(1, 1, 1, 16385, 3)}, "16384 pixels per side"),
        ({"frames": torch.zeros(V, T, H, W, 3).double()}, "frames to be U8 or F32"),
        ({"frames": torch.zeros(V, T, H, W, 3).half()}, "frames to be U8 or F32"),
        ({"known": torch.ones(T, V, dtype=torch.uint8)}, r"known to be U8 \[3, 5\]"),
        ({"known": torch.ones(V, T)}, "known to be U8"),
        ({"known": torch.full((V, T), 2, dtype=torch.uint8)}, "0 or 1 for every known cell, got 2"),
        ({"frames": torch.full((V, T, H, W, 3), float("nan"))}, "finite pixel values"),
        ({"frames": torch.full((V, T, H, W, 3), 2.0)}, "from 0 to 1"),
        (
            {"world_to_camera": torch.eye(4).repeat(V, 1, 1), "intrinsics": torch.eye(3).repeat(2, 1, 1)},
            r"intrinsics to be F32 \[3, 3, 3\]",
        ),
        (
            {
                "world_to_camera": torch.eye(4).repeat(V, 1, 1) * float("nan"),
                "intrinsics": torch.eye(3).repeat(V, 1, 1),
            },
            "finite numbers in cameras",
        ),
    ],
)
def test_bad_tensors_are_refused(changes, sentence, tmp_path):
    save_file(tensors(**changes), tmp_path / "a", metadata=METADATA)
    check_refused(tmp_path / "a", sentence)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "U8", "shape": [1024, 1024, 16384, 16384, 3], "data_offsets": [0, 1024 * 1024 * 16384 * 16384 * 3]},
        {"dtype": "U8", "shape": [1024, 1024, 16384, 16384, 3], "data_offsets": [0, 15]},
        {"dtype": "U8", "shape": [2**62, 2**62, 1, 1, 3], "data_offsets": [0, 15]},
        {"dtype": "U8", "shape": [1, 5, 1, 1, 3], "data_offsets": [15, 0]},
        {"dtype": "U8", "shape": [-1, 5, 1, 1, 3], "data_offsets": [0, 15]},
        {"dtype": "PICKLE", "shape": [1, 5, 1, 1, 3], "data_offsets": [0, 15]},
    ],
)
def test_headers_that_lie_about_the_data_are_refused_before_any_is_read(entry, tmp_path):
    header = json.dumps(
        {"__metadata__": METADATA, "frames": entry, "known": {"dtype": "U8", "shape": [1, 5], "data_offsets": [15, 20]}}
    ).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(header)) + header + bytes(20))
    check_refused(tmp_path / "a", "damaged, incomplete, or not a grid file")


def test_a_saved_grid_is_as_readable_as_other_files(tmp_path):
    (tmp_path / "other").touch()
    save_grid(
        FrameGrid(torch.zeros(2, 3, 4, 6, 3), torch.ones(2, 3, dtype=torch.bool)), tmp_path / "a.grid.safetensors"
    )
    assert (tmp_path / "a.grid.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_equal_grids_give_equal_files_and_damage_is_found(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    save_grid(byte_grid().replace(provenance={"a": 1, "b": 2}), first)
    save_grid(byte_grid().replace(provenance={"b": 2, "a": 1}), second)
    content = first.read_bytes()
    assert content == second.read_bytes()
    first.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    with pytest.raises(GridFileError, match="is damaged .its checksum does not match"):
        load_grid(first)


def test_a_description_that_could_not_be_saved_again_is_refused_at_the_door(tmp_path):
    numbers = ",".join(["1e5"] * 150_000)  # each becomes 100000.0
    metadata = {**METADATA, "grid": '{"fps": 12, "provenance": {"k": [' + numbers + "]}}"}
    save_file(tensors(), tmp_path / "a", metadata=metadata)
    with pytest.raises(GridFileError, match="at most 1048576 characters"):
        load_grid(tmp_path / "a")


def test_what_a_killed_process_left_is_removed_at_the_next_write(tmp_path):
    writer = branch(killed_while_writing, tmp_path / "a")
    writer.join()
    assert writer.exitcode
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".a.") and left.name.endswith(".part")
    alive = left.with_name(left.name.replace(left.name.split("-")[1], "1"))  # another process, which still writes
    alive.write_bytes(b"half")
    save_grid(byte_grid(), tmp_path / "b.grid.safetensors")
    assert {file.name for file in tmp_path.iterdir()} == {"b.grid.safetensors", alive.name}
