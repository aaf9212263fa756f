"""One grid sampled by several processes, which talk through torch.distributed (gloo)."""

import pytest
import torch
from processes import together

from fourreal_core.grid import FrameGrid
from fourreal_core.model.config import tiny
from fourreal_core.model.processes import Processes, joined_processes
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.sampling import sample_grid
from fourreal_core.sampling.sample import Sampling
from fourreal_core.sampling.tiles import fill_in_tiles, numbered_tiles, sampled_tiles, waves
from fourreal_core.transport import transport

KINDS = ("soft", "sequential", "fused")


def task(views, times):
    generator = torch.Generator().manual_seed(3)
    fixed, freeze = (torch.rand(count, 16, 24, 3, generator=generator) for count in (times, views))
    freeze[0] = fixed[0]
    return FrameGrid.from_videos(fixed, freeze)


def sampled(kind, grid, processes):
    """The grid, and the shapes of the sequences on which this process ran the first block."""
    model = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0)).eval()
    shapes = []
    model.base.blocks[0].register_forward_pre_hook(lambda block, inputs: shapes.append(tuple(inputs[0].shape)))
    filled = sample_grid(model, grid, sync=kind, steps=2, predictions=transport(grid), processes=processes)
    return filled.frames, shapes


def one_of_several(views, times, folder):
    torch.set_num_threads(1)
    with joined_processes(torch.device("cpu")) as processes:
        done = {kind: sampled(kind, task(views, times), processes) for kind in KINDS}
        torch.save(done, folder / f"{processes.rank}.pt")


@pytest.mark.parametrize("count, views, times", [(2, 3, 5), pytest.param(5, 2, 5, marks=pytest.mark.slow)])
def test_several_processes_sample_what_one_samples(tmp_path, count, views, times):
    together(one_of_several, count, views, times, tmp_path, folder=tmp_path)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(count)]
    for kind in KINDS:
        alone, _ = sampled(kind, task(views, times), Processes())
        for result in results:
            torch.testing.assert_close(result[kind][0], alone, atol=1e-5, rtol=0)
    if count == 2:  # the first runs the time stream, the second the view stream
        tokens = results[0]["soft"][1][0][1] // times
        assert set(results[0]["soft"][1]) == {(views, times * tokens, tiny().width)}
        assert set(results[1]["soft"][1]) == {(times, views * tokens, tiny().width)}


def test_work_is_split_evenly():
    assert Processes(0, 2).split(2) == [[0], [1]]
    assert Processes(0, 5).split(2) == [[0, 1, 2], [3, 4]]
    assert Processes(0, 3).split(1) == [[0, 1, 2]]
    assert Processes(0, 2).split(4) == [[0], [0], [1], [1]]


def tiled(processes, folder, stop_at=None):
    """A grid of 9 x 9 cells in nine tiles, and the numbers of those that this process filled."""
    model = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0)).eval()
    fill, numbers = sampled_tiles(model, Sampling(sync="hard", steps=1)), []

    def counted(part, tile):
        if tile.number == stop_at:
            raise KeyboardInterrupt
        numbers.append(tile.number)
        return fill(part, tile)

    grid = fill_in_tiles(task(9, 9), counted, tile=(4, 4), folder=folder, processes=processes)
    return grid.frames.clone(), grid.provenance, numbers


def tiles_of_several(results, folder):
    torch.set_num_threads(1)
    with joined_processes(torch.device("cpu")) as processes:
        torch.save(tiled(processes, folder), results / f"{processes.rank}.pt")


@pytest.mark.parametrize("kept", [pytest.param(False, marks=pytest.mark.slow), True])
def test_several_processes_fill_the_tiles_that_one_fills(tmp_path, kept):
    folder, left = tmp_path / "tiles" if kept else None, 9
    if kept:  # a run on one process that was stopped goes on with several
        with pytest.raises(KeyboardInterrupt):
            tiled(Processes(), folder, stop_at=2)
        left = 7
    together(tiles_of_several, 2, tmp_path, folder, folder=tmp_path)
    alone, told, numbers = tiled(Processes(), None)
    done = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    for frames, provenance, _ in done:
        torch.testing.assert_close(frames, alone, atol=1e-5, rtol=0)
        assert provenance == told
    assert sorted(done[0][2] + done[1][2]) == numbers[-left:] and min(len(done[0][2]), len(done[1][2])) >= 2


def test_tiles_of_one_round_do_not_wait_for_each_other():
    grid = task(9, 9)
    rounds = waves(numbered_tiles(grid, (4, 4)), grid.known)
    assert [len(one) for one in rounds] == [1, 2, 3, 2, 1]
    assert sorted(part.number for one in rounds for part in one) == list(range(9))
