"""Contact sheets: where each cell lands, the marks, and sizes that always fit."""

import pytest
import torch

from fourreal_core.grid import FrameGrid
from fourreal_core.show.contact_sheet import BACKGROUND, KNOWN_MARK, contact_sheet

V, T, H, W = 3, 5, 8, 16


def coloured_grid():
    """Every cell has its own flat colour; only cell (1, 2) is known."""
    colours = torch.rand(V, T, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    known = torch.zeros(V, T, dtype=torch.bool)
    known[1, 2] = True
    return FrameGrid(colours.expand(V, T, H, W, 3).contiguous(), known)


def test_views_go_down_and_times_go_right():
    grid = coloured_grid()
    sheet_HWC = contact_sheet(grid, max_side=None, gap=2)
    assert sheet_HWC.shape == (V * (H + 2), T * (W + 2), 3) and sheet_HWC.dtype == torch.float32
    for v in range(V):
        for t in range(T):
            y, x = v * (H + 2) + 1, t * (W + 2) + 1
            assert torch.equal(sheet_HWC[y : y + H, x : x + W], grid.frames[v, t])


def test_without_gap_or_marks_the_sheet_is_the_cells_alone():
    grid = coloured_grid()
    sheet_HWC = contact_sheet(grid, max_side=None, gap=0, mark_known=False)
    assert torch.equal(sheet_HWC, grid.frames.permute(0, 2, 1, 3, 4).reshape(V * H, T * W, 3))


@pytest.mark.parametrize("gap", [0, 1, 2, 3])
def test_known_cells_are_framed(gap):
    grid, mark = coloured_grid(), torch.tensor(KNOWN_MARK)
    marked_HW = (contact_sheet(grid, max_side=None, gap=gap) == mark).all(-1)
    y, x, height, width = 1 * (H + gap), 2 * (W + gap), H + gap, W + gap
    inside = marked_HW[y : y + height, x : x + width]
    assert inside[0].all() and inside[:, 0].all() and not inside[3:-3, 3:-3].any()
    assert marked_HW.sum() == inside.sum()
    assert not (contact_sheet(grid, max_side=None, gap=gap, mark_known=False) == mark).all(-1).any()


def test_gaps_of_unknown_cells_are_dark():
    assert torch.equal(contact_sheet(coloured_grid(), max_side=None)[0, 0], torch.tensor(BACKGROUND))


@pytest.mark.parametrize(
    "shape", [(3, 5, 8, 16, 3), (1, 1, 200, 100, 3), (64, 2, 5, 3, 3), (2, 300, 4, 4, 3), (1, 1, 1, 900, 3)]
)
@pytest.mark.parametrize("max_side", [1, 37, 256])
def test_sheets_fit_max_side_and_are_never_enlarged(shape, max_side):
    sheet_HWC = contact_sheet(torch.rand(shape), max_side=max_side)
    assert max(sheet_HWC.shape[:2]) <= max_side and min(sheet_HWC.shape[:2]) >= 1
    assert 0 <= sheet_HWC.min() and sheet_HWC.max() <= 1
    assert sheet_HWC.shape[0] <= shape[0] * (shape[2] + 2) and sheet_HWC.shape[1] <= shape[1] * (shape[3] + 2)


def test_scaling_down_is_antialiased():
    stripes = torch.zeros(1, 1, 64, 64, 3)
    stripes[..., ::2, :] = 1
    inside_HWC = contact_sheet(stripes, max_side=18)[2:-2, 2:-2]
    assert (inside_HWC - 0.5).abs().max() < 0.1


def test_previews_are_clamped_and_unchanged():
    frames = torch.randn(V, T, H, W, 3, generator=torch.Generator().manual_seed(0)).half()
    before = frames.clone()
    sheet_HWC = contact_sheet(frames, torch.ones(V, T, dtype=torch.bool), max_side=None)
    assert 0 <= sheet_HWC.min() and sheet_HWC.max() <= 1 and torch.equal(frames, before)
    sheet_HWC.zero_()
    assert torch.equal(frames, before)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((torch.rand(T, H, W, 3),), "views, times, height, width"),
        ((torch.zeros(V, T, H, W, 3, dtype=torch.uint8),), "float frames"),
        ((torch.rand(V, T, H, W, 3), torch.ones(T, V, dtype=torch.bool)), "known to have shape"),
    ],
)
def test_other_tensors_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        contact_sheet(*arguments)
