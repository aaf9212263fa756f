"""The jump across a seam: 1 where nothing is there, larger where a tile is brighter than its neighbour."""

import math

import torch

from fourreal_core.evaluation.seams import movement_in_later_tiles, seam_jumps
from fourreal_core.grid import FrameGrid, task_known

V, T, H, W = 7, 9, 4, 6


def even_grid() -> FrameGrid:
    """Each view and each time is as much brighter as the next."""
    steps = torch.arange(V)[:, None] * 0.02 + torch.arange(T) * 0.03
    return FrameGrid(
        steps[..., None, None, None].expand(-1, -1, H, W, 3).contiguous(), torch.ones(V, T, dtype=torch.bool)
    )


def test_an_even_grid_has_no_seams():
    along_views, along_times = seam_jumps(even_grid(), task_known(V, T), (4, 5))
    assert math.isclose(along_views, 1, abs_tol=1e-4) and math.isclose(along_times, 1, abs_tol=1e-4)


def test_a_tile_that_is_brighter_shows_along_the_axis_where_it_begins():
    grid = even_grid()
    frames = grid.frames.clone()
    frames[:, 5:] += 0.06  # tiles of 5 times share time 4
    along_views, along_times = seam_jumps(grid.replace(frames=frames), task_known(V, T), (4, 5))
    assert math.isclose(along_views, 1, abs_tol=1e-4) and math.isclose(along_times, 3, abs_tol=1e-3)


def test_known_cells_do_not_count_and_one_tile_has_no_seam():
    grid = even_grid()
    frames = grid.frames.clone()
    frames[0, 5:] = 1.0
    assert math.isclose(seam_jumps(grid.replace(frames=frames), task_known(V, T), (4, 5))[1], 1, abs_tol=1e-4)
    assert all(math.isnan(jump) for jump in seam_jumps(grid, task_known(V, T), (7, 9)))


def test_a_seam_where_little_moves_anyway_is_measured_against_what_is_beside_it():
    """Nine times of which the later ones move a tenth as much."""
    places = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.31, 0.32, 0.33, 0.34, 0.35])
    frames = (places + torch.arange(V)[:, None] * 0.02)[..., None, None, None].expand(-1, -1, H, W, 3).contiguous()
    grid = FrameGrid(frames, torch.ones(V, T, dtype=torch.bool))
    assert math.isclose(seam_jumps(grid, task_known(V, T), (4, 6))[1], 1, abs_tol=1e-3)
    stuck = frames.clone()
    stuck[1:, 5:] -= 0.009  # the time after the shared one is nearly that one again
    assert math.isclose(seam_jumps(grid.replace(frames=stuck), task_known(V, T), (4, 6))[1], 0.1, abs_tol=1e-3)


def test_movement_that_is_lost_in_later_tiles_shows():
    grid = even_grid()
    assert math.isclose(movement_in_later_tiles(grid, task_known(V, T), (4, 5)), 1, abs_tol=1e-4)
    frames = grid.frames.clone()
    frames[1:, 4:] = frames[1:, 4:5] + (frames[1:, 4:] - frames[1:, 4:5]) * 0.25
    assert math.isclose(
        movement_in_later_tiles(grid.replace(frames=frames), task_known(V, T), (4, 5)), 0.25, abs_tol=1e-4
    )
    assert math.isnan(movement_in_later_tiles(grid, task_known(V, T), (7, 9)))
