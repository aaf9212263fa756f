"""Frames between cells: things are moved there once, cells stay as they are, and paths keep their pace."""

import numpy as np
import pytest
import torch

from fourreal_core.grid import FrameGrid
from fourreal_core.paths.between import moved_slice, paced, there_and_back
from fourreal_core.paths.presets import bullet_time, slice_grid

V, T, H, W = 2, 3, 48, 80


def picture(left: int, top: int) -> np.ndarray:
    """A textured square on a smooth ground."""
    y, x = np.mgrid[:H, :W]
    frame = np.stack([0.3 + 0.1 * np.sin(x / 9), 0.3 + 0.1 * np.cos(y / 7), np.full((H, W), 0.4)], -1)
    pattern = np.random.default_rng(0).random((4, 4)).repeat(4, 0).repeat(4, 1)
    frame[top : top + 16, left : left + 16] = 0.5 + 0.5 * pattern[..., None]
    return frame.astype(np.float32)


@pytest.fixture(scope="module")
def grid():
    """The square moves 8 pixels to the right with each time, and 6 down with each view."""
    frames = np.stack([[picture(20 + 8 * time, 10 + 6 * view) for time in range(T)] for view in range(V)])
    return FrameGrid(torch.from_numpy(frames), torch.ones(V, T, dtype=torch.bool))


@pytest.mark.parametrize(
    "place, truth", [((0, 0.5), (24, 10)), ((1, 1.25), (30, 16)), ((0.5, 1), (28, 13)), ((0.5, 0.5), (24, 13))]
)
def test_what_moves_is_shown_once_where_it_is_then(grid, place, truth):
    [moved], [blended] = moved_slice(grid, [place]), slice_grid(grid, [place])
    expected = torch.from_numpy(picture(*truth))
    error, blend_error = ((one - expected) ** 2 for one in (moved, blended))
    assert error.mean() < blend_error.mean() / 4
    inside = (slice(truth[1] + 3, truth[1] + 13), slice(truth[0] + 3, truth[0] + 13))
    assert error[inside].mean().sqrt() < 0.09


def test_whole_positions_are_the_cells_bit_for_bit_and_nothing_is_written_to(grid):
    before, path = grid.frames.clone(), bullet_time((V, T))
    assert torch.equal(moved_slice(grid, path), slice_grid(grid, path))
    moved_slice(grid, [(0.5, 0.5)])
    assert torch.equal(grid.frames, before)


def test_the_video_is_the_same_with_any_number_of_threads_and_on_its_way_back(grid):
    path = paced([*there_and_back(bullet_time((V, T))), (0, 0)], 25)
    before, videos = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            videos.append(moved_slice(grid, path))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(videos[0], videos[1]) and torch.equal(videos[0], videos[0].flip(0))
    alone = torch.cat([moved_slice(grid, [place]) for place in path])
    assert torch.allclose(videos[0], alone, atol=1e-6)


def test_a_still_scene_stays_still():
    frames = torch.from_numpy(picture(30, 20)).expand(V, T, H, W, 3).contiguous()
    moved = moved_slice(FrameGrid(frames, torch.ones(V, T, dtype=torch.bool)), [(0.3, 1.7)])
    assert torch.allclose(moved[0], frames[0, 0], atol=1e-5)


def test_positions_outside_are_refused_and_progress_can_stop_it(grid):
    with pytest.raises(ValueError, match="position 1"):
        moved_slice(grid, [(0, 0), (0, T)])

    def stop(done, total):
        raise InterruptedError(f"{done} of {total}")

    with pytest.raises(InterruptedError, match="1 of 2"):
        moved_slice(grid, [(0, 0), (0, 0.5)], stop)


def test_a_paced_path_keeps_its_ends_and_its_steps_are_even():
    path = [(0, 0), (0, 1), (0, 2), (1, 2)]
    assert paced(path, 4) == path
    assert paced(path, 7) == [(0, 0), (0, 0.5), (0, 1), (0, 1.5), (0, 2), (0.5, 2), (1, 2)]
    assert paced(path, 1) == [(0, 0)] and paced(path, 2) == [(0, 0), (1, 2)]
    assert paced([(1, 1)], 3) == [(1, 1)] * 3
    fine = paced(bullet_time((8, 8)), 71)
    assert fine[::5] == bullet_time((8, 8))  # no rounding keeps the cells from being met


def test_there_and_back_repeats_no_end():
    assert there_and_back([(0, 0), (0, 1), (1, 1)]) == [(0, 0), (0, 1), (1, 1), (0, 1)]
    assert there_and_back([(0, 0)]) == [(0, 0)]


@pytest.mark.parametrize("path, frames", [([], 3), ([(0, 0)], 0), ([(0, 0)], 2.5), ([(0, 0)], 100_001)])
def test_bad_paces_get_one_clear_sentence(path, frames):
    with pytest.raises(ValueError, match="expected a"):
        paced(path, frames)
