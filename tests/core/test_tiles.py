"""Tiles cover a grid, share one view or time, and are filled from what is known; known cells stay bit-exact."""

import itertools
import math
from weakref import WeakSet

import pytest
import torch
from planes import plane_scene

from fourreal_core import fill_grid, load_model
from fourreal_core.geometry.fill import find_sources
from fourreal_core.grid import Cameras, FrameGrid, task_known
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.sampling.sample import Sampling, fill_by_sampling, sample_grid
from fourreal_core.sampling.tiles import (
    TileSources,
    fill_in_tiles,
    filled_tiles,
    sample_large_grid,
    sampled_tiles,
    spans,
    tile_order,
)

V, T, H, W = 4, 7, 8, 16


@pytest.fixture(scope="module")
def model():
    """A model that does something: output weights that are not zero."""
    model = initialize_grid_model(GridModel(tiny(guess=False)), torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.base.head.out.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def slow():
    """Seven times in which the square moves by a tenth of a pixel each."""
    return plane_scene(3, 7, 24, 40, [0.06 * time for time in range(7)])


def grid_with(known):
    frames = torch.rand(*known.shape, H, W, 3, generator=torch.Generator().manual_seed(0))
    return FrameGrid(frames * known[..., None, None, None], known)


@pytest.mark.parametrize("length, longest, expected", [
    (15, 8, [(0, 8), (7, 15)]), (8, 8, [(0, 8)]), (1, 8, [(0, 1)]), (9, 8, [(0, 5), (4, 9)]), (10, 8, [(0, 5), (4, 10)]), (5, 2, [(0, 2), (1, 3), (2, 4), (3, 5)]),
    (33, 13, [(0, 13), (12, 21), (20, 33)]), (81, 33, [(0, 25), (24, 57), (56, 81)]), (16, 9, [(0, 9), (7, 16)]), (7, 9, [(0, 7)]),
])  # fmt: skip
def test_spans_cover_a_length_and_share_one_place(length, longest, expected):
    assert [(span.start, span.stop) for span in spans(length, longest)] == expected


def test_spans_are_short_enough_at_every_length():
    for length in range(2, 40):
        sizes = [span.stop - span.start for span in spans(length, 8)]
        assert sum(sizes) == length + len(sizes) - 1 and max(sizes) <= 8 and max(sizes) - min(sizes) <= 1
    with pytest.raises(ValueError, match="at least 2 views and 2 times"):
        spans(9, 1)


def test_fifteen_by_fifteen_is_four_tiles_that_each_have_the_tasks_inputs():
    known = task_known(15, 15)
    order = tile_order(known)
    assert [(part.views.start, part.times.start) for part in order] == [(0, 0), (0, 7), (7, 0), (7, 7)]
    for part in order:
        assert torch.equal(known[part.cells], task_known(8, 8))
        known[part.cells] = True
    assert known.all()


@pytest.mark.parametrize("longest, packed", [(5, 4), (9, 8), (13, 4), (17, 8), (21, 4), (81, 8)])
def test_tiles_of_a_number_that_a_video_model_takes_are_all_of_that_kind(longest, packed):
    for length in range(longest + 1, 200):
        found = spans(length, longest)
        shared = [before.stop - after.start for before, after in itertools.pairwise(found)]
        assert all((span.stop - span.start) % packed == 1 and span.stop - span.start <= longest for span in found)
        assert found[0].start == 0 and found[-1].stop == length and min(shared) >= 1
        assert len(found) == math.ceil((length - 1) / (longest - 1)) and (length % packed != 1 or set(shared) == {1})


def test_tiles_that_share_more_than_one_time_fill_each_cell_once():
    known, seen = task_known(3, 16), []

    def number_fill(task, tile):
        seen.append(int((~task.known).sum()))
        return task.filled(torch.full_like(task.frames, (tile.number + 1) / 8))

    out = fill_in_tiles(grid_with(known), number_fill, tile=(3, 9))
    assert seen == [2 * 8, 2 * 7]
    assert (out.frames[1:, 1:9] == 1 / 8).all() and (out.frames[1:, 9:] == 2 / 8).all()


def test_a_fill_that_changes_known_cells_changes_none_of_them():
    grid = grid_with(task_known(V, T))
    out = fill_in_tiles(
        grid, lambda task, tile: task.replace(frames=task.frames * 0 + (tile.number + 1) / 8), tile=(4, 4)
    )
    assert torch.equal(out.frames[grid.known], grid.frames[grid.known])
    assert (out.frames[1:, 1:4] == 1 / 8).all() and (out.frames[1:, 4:] == 2 / 8).all()


def test_filling_starts_where_something_is_known_and_skips_whole_tiles():
    known = torch.zeros(V, T, dtype=torch.bool)
    known[3, 6] = True
    assert [(part.views.start, part.times.start) for part in tile_order(known, (3, 4))] == [
        (2, 3),
        (0, 3),
        (0, 0),
        (2, 0),
    ]
    known[2:, 3:] = True
    assert len(tile_order(known, (3, 4))) == 3
    assert tile_order(torch.ones(V, T, dtype=torch.bool)) == []


@pytest.mark.parametrize("pattern", ["task", "random", "last view"])
def test_known_cells_stay_and_all_others_are_filled(model, pattern):
    known = {
        "task": task_known(V, T),
        "random": torch.rand(V, T, generator=torch.Generator().manual_seed(2)) < 0.3,
        "last view": torch.arange(V)[:, None].expand(V, T) == V - 1,
    }[pattern]
    grid = grid_with(known)
    before = grid.frames.clone()
    out = fill_in_tiles(grid, sampled_tiles(model, Sampling(steps=1, seed=5)), tile=(3, 4))
    assert torch.equal(out.frames[known], grid.frames[known]) and torch.equal(out.known, known)
    assert (out.frames[~known].flatten(1).amax(1) > 0).all() and torch.equal(grid.frames, before)
    assert out.provenance["tiles"] > 1 and out.provenance["seed"] == 5 and out.provenance["sync"] == "soft"


def test_a_grid_of_one_tile_is_filled_as_usual(model):
    grid = grid_with(task_known(V, T))
    tiled = fill_in_tiles(grid, sampled_tiles(model, Sampling(steps=2, seed=3)))
    whole = sample_grid(model, grid, steps=2, seed=3)
    assert torch.equal(tiled.frames, whole.frames) and tiled.provenance == whole.provenance


def test_each_tile_is_sampled_from_its_own_known_cells_and_its_part_of_the_guess(model):
    grid = grid_with(task_known(V, T))
    guess = grid.replace(frames=torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(4)))
    sampling = Sampling("hard", steps=2, seed=3, denoise=0.5)
    out = fill_in_tiles(grid, sampled_tiles(model, sampling, guess=guess), tile=(4, 4))
    frames = grid.frames.clone()
    for seed, times in ((3, slice(0, 4)), (4, slice(3, 7))):
        task, part = FrameGrid(frames[:, times], task_known(V, 4)), FrameGrid(guess.frames[:, times], task_known(V, 4))
        frames[:, times] = sample_grid(model, task, "hard", steps=2, seed=seed, guess=part, denoise=0.5).frames
    assert torch.equal(out.frames, frames)


def test_without_a_model_tiles_are_filled_as_at_once(slow):
    """From what all known cells show, found once: each tile by itself takes for still what hardly moves within it."""
    grid, asked = slow.grid(), []
    in_tiles = fill_in_tiles(grid, filled_tiles(lambda whole: asked.append(whole) or find_sources(whole)), tile=(3, 4))
    assert len(asked) == 1 and asked[0] is grid and in_tiles.provenance["tiles"] == 2
    assert torch.equal(in_tiles.frames, fill_grid(grid).grid.frames)
    alone = fill_in_tiles(grid, lambda task, tile: fill_grid(task).grid, tile=(3, 4))
    assert error(in_tiles, slow) < 0.75 * error(alone, slow)


def test_slow_movement_is_kept_when_a_model_samples_in_tiles(slow):
    """The shipped model and choice: as near to the truth as at once, where tiles by themselves are not."""
    model, grid, sampling = load_model(), slow.grid(), Sampling(steps=1)
    in_tiles = fill_in_tiles(grid, sampled_tiles(model, sampling), tile=(3, 4))
    assert torch.equal(in_tiles.frames[grid.known], grid.frames[grid.known])
    alone = fill_in_tiles(grid, lambda task, tile: fill_by_sampling(model, task, sampling), tile=(3, 4))
    assert error(in_tiles, slow) < 0.75 * error(alone, slow)
    assert error(in_tiles, slow) < 1.1 * error(sample_grid(model, grid, steps=1), slow)


def error(grid, slow):
    """In the times after the first tile."""
    return float((grid.frames - slow.frames_VTHW3)[1:, 4:].abs().mean())


def test_a_run_that_was_killed_finds_the_same_scene_again(slow, model, tmp_path):
    grid, before = slow.grid(), sampled_tiles(model, Sampling(steps=1, seed=3))

    def stops(task, tile):
        if tile.number == 1:
            raise KeyboardInterrupt
        return before(task, tile)

    with pytest.raises(KeyboardInterrupt):
        fill_in_tiles(grid, stops, tile=(3, 4), folder=tmp_path)
    again = slow.grid()  # as another process has it
    goes_on = fill_in_tiles(again, sampled_tiles(model, Sampling(steps=1, seed=3)), tile=(3, 4), folder=tmp_path)
    whole = fill_in_tiles(grid, sampled_tiles(model, Sampling(steps=1, seed=3)), tile=(3, 4))
    assert torch.equal(goes_on.frames, whole.frames) and goes_on.provenance == whole.provenance


def test_what_belongs_to_one_tile_goes_with_it(model, monkeypatch):
    """Memory does not grow with the number of tiles: predictions take several times as much as the cells that they are of."""
    parts, alive, of = WeakSet(), [], TileSources.of

    def counted(sources, task, tile):
        alive.append(len(parts))
        part = of(sources, task, tile)
        parts.add(part.predictor)
        return part

    monkeypatch.setattr(TileSources, "of", counted)
    fill_in_tiles(grid_with(task_known(V, T)), sampled_tiles(model, Sampling(steps=1)), tile=(2, 3))
    assert len(alive) == 9 and max(alive) <= 1


def test_parts_of_sources_lie_within_their_grid():
    sources = find_sources(grid_with(task_known(V, T)), method="transport")
    part = sources.part(grid_with(task_known(2, 3)), (2, 4))
    with pytest.raises(ValueError, match=f"expected a part of {V} views and {T} times of {W}x{H}, got 2 and 3"):
        sources.part(grid_with(task_known(2, 3)), (2, 5))
    with pytest.raises(ValueError, match="expected the sources of a whole grid"):
        part.part(grid_with(task_known(2, 3)), (0, 0))


def test_steps_count_over_all_tiles_and_may_cancel(model):
    grid, seen = grid_with(task_known(V, T)), []
    tell = lambda *step: seen.append((*step[:2], tuple(step[2].shape)))
    fill_in_tiles(grid, sampled_tiles(model, Sampling(steps=2), on_step=tell), tile=(3, 4))
    assert seen == [(step, 8, (V, T, H, W, 3)) for step in range(1, 9)]

    def cancel(step, steps, estimate):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_in_tiles(grid, sampled_tiles(model, Sampling(), on_step=cancel), tile=(3, 4))


def test_a_grid_without_known_cells_gets_a_sentence(model):
    with pytest.raises(ValueError, match="no known cell"):
        fill_in_tiles(grid_with(torch.zeros(V, T, dtype=torch.bool)), lambda task, tile: task)


def test_any_fill_gets_each_tile_with_its_cameras_and_what_was_filled_before():
    poses = torch.eye(4).repeat(V, 1, 1)
    poses[:, 0, 3] = torch.arange(V)
    grid = grid_with(task_known(V, T)).replace(cameras=Cameras(poses, torch.eye(3).repeat(V, 1, 1)), fps=12.0)
    seen = []

    def number_fill(task, tile):
        assert torch.equal(task.cameras.world_to_camera, poses[tile.views]) and task.fps == 12.0
        earlier = task.frames[task.known & ~grid.known[tile.cells]]
        seen.append((tile.number, tile.count, earlier.unique().tolist()))
        return task.filled(torch.full_like(task.frames, (tile.number + 1) / 8))

    out = fill_in_tiles(grid, number_fill, tile=(3, 7))
    assert seen == [(0, 2, []), (1, 2, [1 / 8])] and torch.equal(out.known, grid.known) and out.cameras is grid.cameras
    assert out.provenance == {**grid.provenance, "tile": [3, 7], "tiles": 2}


def test_the_old_name_gives_the_same_for_one_more_version(model):
    grid = grid_with(task_known(V, T))
    with pytest.warns(DeprecationWarning, match="fill_in_tiles"):
        old = sample_large_grid(model, grid, "hard", tile=(3, 4), steps=1, seed=5)
    new = fill_in_tiles(grid, sampled_tiles(model, Sampling("hard", steps=1, seed=5)), tile=(3, 4))
    assert torch.equal(old.frames, new.frames) and old.provenance == new.provenance
