"""Atlases of a grid: every cell is where the layout says, at the size it says, and close to what it was.

Letters: V = 3 views, T = 5 times, H = 20, W = 36.
"""

import io
import math

import numpy as np
import pytest
import torch
from exchanging import exchanged
from PIL import Image

from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.show import atlas

V, T, H, W = 3, 5, 20, 36


def plain_cells() -> FrameGrid:
    """Each cell has one colour, which tells its view and its time."""
    frames_VTHWC = torch.full((V, T, H, W, 3), 0.5)
    frames_VTHWC[..., 0] = torch.arange(V)[:, None, None, None] / V
    frames_VTHWC[..., 1] = torch.arange(T)[None, :, None, None] / T
    return FrameGrid(frames_VTHWC, task_known(V, T))


def cell_of(picture: bytes, layout: atlas.AtlasLayout, index: int) -> np.ndarray:
    left, top = index % layout.across * layout.pitch[0], index // layout.across * layout.pitch[1]
    box = left, top, left + layout.cell[0], top + layout.cell[1]
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB").crop(box)).astype(int)


def test_every_cell_of_the_overview_and_of_the_strips_has_its_colour():
    grid = plain_cells()
    made = atlas.grid_atlases(grid)
    assert len(made.strips) == V and made.strip_layout.cell == (W, H)
    for view in range(V):
        for time in range(T):
            expected = (grid.frames[view, time, 0, 0] * 255).round().numpy()
            small = cell_of(made.overview, made.overview_layout, view * T + time)
            full = cell_of(made.strips[view], made.strip_layout, time)
            assert np.abs(small - expected).max() <= 4 and np.abs(full - expected).max() <= 4, (view, time)


def test_cells_are_scaled_down_to_the_budget_and_never_up(monkeypatch):
    monkeypatch.setattr(atlas, "OVERVIEW_PIXELS", 1)
    monkeypatch.setattr(atlas, "OVERVIEW_CELL_PIXELS", H * W // 4)
    monkeypatch.setattr(atlas, "STRIP_PIXELS", T * H * W // 9)
    made = atlas.grid_atlases(plain_cells())
    assert made.overview_layout.cell == (W // 2, H // 2) and made.strip_layout.cell == (W // 3, round(H / 3))
    assert atlas.fitted_size((W, H), 1, 10**9) == (W, H)


def test_grids_of_many_views_get_smaller_strips_so_that_their_files_stay_bounded(monkeypatch):
    monkeypatch.setattr(atlas, "MOST_PIXELS", V * T * H * W // 4)
    made = atlas.grid_atlases(plain_cells())
    assert made.strip_layout.cell == (W // 2, H // 2)


@pytest.mark.parametrize("size", [(36, 20), (8, 8), (1, 1)])
def test_cells_begin_on_jpeg_blocks(size):
    layout = atlas.layout(15, 5, size)
    assert all(pitch % atlas.BLOCK == 0 and 0 <= pitch - side < atlas.BLOCK for pitch, side in zip(layout.pitch, size))


def test_a_strip_of_many_wide_cells_is_about_square():
    made = atlas.grid_atlases(FrameGrid(torch.zeros(1, 24, 9, 16, 3), torch.ones(1, 24, dtype=torch.bool)))
    picture = Image.open(io.BytesIO(made.strips[0]))
    assert 0.5 < picture.width / picture.height < 2
    assert math.prod(picture.size) >= 24 * 9 * 16


def test_equal_pixels_have_one_identity_and_others_another():
    grid = plain_cells()
    changed = grid.frames.clone()
    changed[1, 2, 3, 4, 0] += 2 / 255
    identities = [
        atlas.grid_atlases(each).identity
        for each in (grid, grid.replace(fps=5.0), grid.replace(frames=changed), exchanged(grid))
    ]
    assert identities[0] == identities[1] and len(set(identities)) == 3


def test_views_are_counted_and_an_exception_stops_the_work():
    seen = []
    atlas.grid_atlases(plain_cells(), on_view=lambda done, views: seen.append((done, views)))
    assert seen == [(1, V), (2, V), (3, V)]

    def stop(done, views):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atlas.grid_atlases(plain_cells(), on_view=stop)


def test_the_grid_is_left_alone():
    grid = plain_cells()
    before = grid.frames.clone()
    atlas.grid_atlases(grid)
    assert torch.equal(grid.frames, before)
