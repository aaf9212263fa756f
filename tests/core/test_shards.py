"""Shards: what is written comes back, one grid at a time; broken files say so; nothing half-written stays behind."""

import pytest
import torch

from fourreal_core.data.shards import iterate_grids, read_shard, write_shard
from fourreal_core.grid import Cameras, FrameGrid

V, T, H, W = 3, 5, 8, 16


def make_grid(seed: int, cameras: bool = True) -> FrameGrid:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (V, T, H, W, 3), generator=generator).float() / 255
    poses = torch.eye(4).repeat(V, 1, 1)
    poses[:, :3, 3] = torch.rand(V, 3, generator=generator)
    intrinsics = torch.tensor([[20.0, 0, 8], [0, 20, 4], [0, 0, 1]]).repeat(V, 1, 1)
    known = torch.ones(V, T, dtype=torch.bool)
    return FrameGrid(
        frames,
        known,
        fps=10.0 + seed,
        cameras=Cameras(poses, intrinsics) if cameras else None,
        provenance={"model": f"model {seed}"},
    )


def test_grids_come_back_exactly(tmp_path):
    grids = [make_grid(seed) for seed in (1, 2)]
    write_shard(tmp_path / "a.safetensors", grids)
    shard = read_shard(tmp_path / "a.safetensors")
    assert (
        len(shard) == 2
        and shard.shape == (V, T, H, W, 3)
        and [about["model"] for about in shard.about] == ["model 1", "model 2"]
    )
    for index, grid in enumerate(grids):
        again = shard.grid(index)
        assert torch.equal(again.frames, grid.frames) and again.fps == grid.fps and again.known.all()
        assert torch.equal(again.cameras.world_to_camera, grid.cameras.world_to_camera)
        assert torch.equal(again.cameras.intrinsics, grid.cameras.intrinsics)
        assert shard.frames(index).dtype == torch.uint8


def test_iterate_follows_file_names_and_ignores_unfinished_files(tmp_path):
    write_shard(tmp_path / "b.safetensors", [make_grid(3)])
    write_shard(tmp_path / "a.safetensors", [make_grid(1), make_grid(2)])
    (tmp_path / ".c.safetensors.7.part").write_bytes(b"half")
    assert [grid.provenance["model"] for grid in iterate_grids(tmp_path)] == ["model 1", "model 2", "model 3"]
    with pytest.raises(ValueError, match="found no shards"):
        next(iterate_grids(tmp_path / "nowhere"))


def test_refused_grids_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="with cameras"):
        write_shard(tmp_path / "a.safetensors", [make_grid(1, cameras=False)])
    with pytest.raises(ValueError, match="one description per grid"):
        write_shard(tmp_path / "a.safetensors", [make_grid(1)], about=[])
    with pytest.raises(ValueError, match="all of one shape"):
        write_shard(tmp_path / "a.safetensors", [])
    assert not list(tmp_path.iterdir())


def test_broken_and_foreign_files_are_named(tmp_path):
    write_shard(tmp_path / "a.safetensors", [make_grid(1)])
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        read_shard(tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match="there is no shard"):
        read_shard(tmp_path / "missing.safetensors")
    from safetensors.torch import save_file

    save_file({"frames": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not a shard"):
        read_shard(tmp_path / "other.safetensors")
