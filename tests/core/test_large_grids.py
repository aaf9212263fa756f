"""Grids larger than memory: they pass through a process that may take less than they have, and a run in tiles that was killed goes on."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from large_grid import mean_fill, pass_through
from processes import PROCESSES

from fourreal_core import fill_grid, transport_fill
from fourreal_core.files import room
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.grid_file import load_grid, save_grid
from fourreal_core.sampling.kept_tiles import FRAMES, RECORDS
from fourreal_core.sampling.tiles import fill_in_tiles

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are measured on Linux")
V, T, H, W = 9, 10, 8, 16
ROOM_GB = 40  # of disk for 9.2 GB of frames, built, filled and saved


def task(seed: int = 0) -> FrameGrid:
    known = task_known(V, T)
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(seed))
    return FrameGrid(frames * known[..., None, None, None], known)


def told_of(size: tuple[int, int, int, int], most: int, in_memory: int, folder) -> tuple:
    answer, told = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=pass_through, args=(size, most, in_memory, folder, told))
    process.start()
    told.close()
    process.join()
    assert process.exitcode == 0, "see the process's error above"
    return answer.recv()


@linux
def test_a_grid_passes_through_a_process_with_less_memory_than_it_has(tmp_path):
    size = (20, 24, 72, 128)  # 53 MB, as floats; two of them are at hand at once
    strips, _, video, same = told_of(size, 44, 2**18, tmp_path)
    assert strips == 20 and video[1:] == (72, 128, 3) and same
    assert [file.name for file in tmp_path.iterdir()] == ["large.grid.safetensors"]  # mapped files have no names


@linux
@pytest.mark.slow
@pytest.mark.skipif(
    shutil.disk_usage(tempfile.gettempdir()).free < ROOM_GB * 1e9, reason=f"needs {ROOM_GB} GB of free disk"
)
def test_64_views_of_81_times_of_512x288_pass_through_4_gib(tmp_path):
    strips, _, video, same = told_of((64, 81, 288, 512), 2600, room.IN_MEMORY, tmp_path)
    assert strips == 64 and video[1:] == (288, 512, 3) and same


def test_all_that_grows_with_the_cells_of_a_fill_lies_in_files(tmp_path, monkeypatch):
    """At once, without tiles: the frames that come out and how sure they are."""
    grid = task()
    usual = fill_grid(grid, method="transport")
    monkeypatch.setattr(room, "IN_MEMORY", 100)
    room.map_large_frames_in(tmp_path)
    try:
        filled, (carried, sure) = fill_grid(grid, method="transport"), transport_fill(grid)
        for tensor in (filled.grid.frames, filled.confidence, carried.frames, sure):
            assert tensor.is_shared()  # mapped
        assert torch.equal(filled.grid.frames, usual.grid.frames) and torch.equal(filled.confidence, usual.confidence)
    finally:
        room._folder.clear()


def test_frames_in_files_are_those_in_memory(tmp_path, monkeypatch):
    grid = task()
    usual = fill_in_tiles(grid, mean_fill, tile=(4, 4))
    save_grid(usual, tmp_path / "a.grid.safetensors")
    monkeypatch.setattr(room, "IN_MEMORY", 100)
    room.map_large_frames_in(tmp_path / "mapped")
    try:
        mapped = fill_in_tiles(grid, mean_fill, tile=(4, 4))
        loaded = load_grid(tmp_path / "a.grid.safetensors")
        assert torch.equal(mapped.frames, usual.frames) and torch.equal(loaded.frames, usual.frames)
        assert torch.equal(grid.filled(usual.frames).frames, usual.frames)
        save_grid(loaded, tmp_path / "b.grid.safetensors")
        assert (tmp_path / "a.grid.safetensors").read_bytes() == (tmp_path / "b.grid.safetensors").read_bytes()
    finally:
        room._folder.clear()


@linux
def test_a_disk_without_room_gets_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "IN_MEMORY", 100)
    room.map_large_frames_in(tmp_path)
    try:
        with pytest.raises(OSError, match="no room for 4096000.0 GiB of frames in"):
            room.room((4_000, 1024, 1024, 2**20), torch.uint8)
        assert not list(tmp_path.iterdir())
    finally:
        room._folder.clear()


@linux
def test_memory_that_nothing_uses_goes_back_to_the_system():
    """Pieces between others that are still in use: the C library keeps them."""
    own = lambda: int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024
    pieces = [np.ones(60_000, np.uint8) for _ in range(3000)]
    kept, before = pieces[::50], own()
    del pieces
    room.give_back()
    assert own() < before - 100 and all(piece.all() for piece in kept)


def filled_slowly(folder, kill_at: int) -> None:
    """Ends its own process, as `kill -9` does, in the middle of a tile."""

    def fill(part, tile):
        if tile.number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return mean_fill(part, tile)

    fill_in_tiles(task(), fill, tile=(2, 2), folder=folder, about="mean")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_run_killed_at_tile_30_of_72_goes_on_there(tmp_path):
    process = PROCESSES.Process(target=filled_slowly, args=(tmp_path / "tiles", 30))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    seen = []

    def fill(part, tile):
        seen.append(tile.number)
        return mean_fill(part, tile)

    whole = fill_in_tiles(task(), fill, tile=(2, 2), folder=tmp_path / "tiles", about="mean")
    assert seen == list(range(30, 72))
    uninterrupted = fill_in_tiles(task(), mean_fill, tile=(2, 2))
    assert torch.equal(whole.frames, uninterrupted.frames) and whole.provenance == uninterrupted.provenance
    seen.clear()
    again = fill_in_tiles(task(), fill, tile=(2, 2), folder=tmp_path / "tiles", about="mean")
    assert not seen and torch.equal(again.frames, whole.frames)


def test_tiles_of_something_else_are_refused_and_stay(tmp_path):
    fill_in_tiles(task(), mean_fill, tile=(4, 4), folder=tmp_path, about="mean")
    before = (tmp_path / RECORDS).read_bytes(), (tmp_path / FRAMES).read_bytes()
    for grid, tile, about in ((task(1), (4, 4), "mean"), (task(), (5, 4), "mean"), (task(), (4, 4), "other")):
        with pytest.raises(ValueError, match="belong to another grid or to other settings"):
            fill_in_tiles(grid, mean_fill, tile=tile, folder=tmp_path, about=about)
    assert before == ((tmp_path / RECORDS).read_bytes(), (tmp_path / FRAMES).read_bytes())


def test_a_folder_that_is_in_use_is_refused(tmp_path):
    def fill(part, tile):
        with pytest.raises(ValueError, match="another run fills the tiles"):
            fill_in_tiles(task(), mean_fill, tile=(4, 4), folder=tmp_path, about="mean")
        return mean_fill(part, tile)

    fill_in_tiles(task(), fill, tile=(9, 10), folder=tmp_path, about="mean")
