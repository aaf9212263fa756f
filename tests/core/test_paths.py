"""Paths: presets visit what their names say, fractions blend, and a path from a workflow is checked."""

import json
import math

import numpy as np
import pytest
import torch

from fourreal_core.grid import FrameGrid
from fourreal_core.paths import presets as paths
from fourreal_core.paths.presets import (
    bullet_time,
    diagonal,
    fixed_view,
    freeze_time,
    parse_path,
    ping_pong,
    slice_grid,
)

V, T, H, W = 3, 5, 8, 16


@pytest.fixture
def grid():
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
    return FrameGrid(frames, torch.ones(V, T, dtype=torch.bool))


def test_presets():
    assert fixed_view((V, T), 2) == [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert freeze_time((V, T), 1.5) == [(0, 1.5), (1, 1.5), (2, 1.5)]
    assert bullet_time((V, T)) == [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 3), (2, 4)]
    assert bullet_time((V, T), 0) == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert bullet_time((V, T), 4)[-1] == (2, 4) and bullet_time((2, 3), 0.5) == [
        (0, 0),
        (0, 0.5),
        (1, 0.5),
        (1, 1),
        (1, 2),
    ]
    assert diagonal((V, T)) == [(0, 0), (0.5, 1), (1, 2), (1.5, 3), (2, 4)]
    assert ping_pong((3, 3)) == [(0, 0), (1, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize("preset", [fixed_view, freeze_time, bullet_time, diagonal, ping_pong])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (3, 7)])
def test_presets_fit_every_grid(preset, shape):
    path = preset(shape)
    assert path == parse_path(json.dumps(path), shape)


@pytest.mark.parametrize(
    "make",
    [
        lambda: fixed_view((V, T), 3),
        lambda: freeze_time((V, T), -1),
        lambda: bullet_time((V, T), 5),
        lambda: freeze_time((V, T), math.nan),
        lambda: diagonal((0, T)),
    ],
)
def test_presets_outside_the_grid_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_whole_positions_are_exact(grid):
    video_NHWC = slice_grid(grid, [(2, 4), (0, 3), (1, 0)])
    assert torch.equal(video_NHWC, torch.stack([grid.frames[2, 4], grid.frames[0, 3], grid.frames[1, 0]]))
    video_NHWC.zero_()
    assert grid.frames[2, 4].any()


def test_fractional_positions_blend_bilinearly(grid):
    x = grid.frames
    frame_HWC = slice_grid(grid, [(1.25, 2.5)])[0]
    expected = 0.75 * (0.5 * x[1, 2] + 0.5 * x[1, 3]) + 0.25 * (0.5 * x[2, 2] + 0.5 * x[2, 3])
    assert torch.allclose(frame_HWC, expected, atol=1e-6)
    assert torch.allclose(slice_grid(grid, [(2, 3.75)])[0], 0.25 * x[2, 3] + 0.75 * x[2, 4], atol=1e-6)


def test_slicing_takes_numpy_numbers_and_refuses_what_is_outside(grid):
    assert torch.equal(slice_grid(grid, [(np.int64(1), np.float32(2))])[0], grid.frames[1, 2])
    with pytest.raises(ValueError, match=r"expected the view of path position 1 to be from 0 to 2, got 2\.01"):
        slice_grid(grid, [(0, 0), (2.01, 0)])
    with pytest.raises(ValueError, match="1 to 100000 positions, got 0"):
        slice_grid(grid, [])


def test_slices_that_need_too_much_memory_are_refused(grid, monkeypatch):
    monkeypatch.setattr(paths, "MAX_SLICE_BYTES", 1000)
    with pytest.raises(ValueError, match="2 positions at 16x8"):
        slice_grid(grid, [(0, 0), (1, 1)])


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "invalid JSON"),
        ("[[0, 0]", "invalid JSON"),
        ("[" * 100_000, "invalid JSON"),
        ("{}", "got dict"),
        ("7", "got int"),
        ("[]", "1 to 100000 positions, got 0"),
        ("[[0]]", "position 0 .* pair of numbers"),
        ("[[0, 0, 0]]", "pair of numbers"),
        ("[[0, 0], 5]", "position 1 .* pair of numbers"),
        ('[[0, "1"]]', "pair of numbers"),
        ("[[true, 0]]", "pair of numbers"),
        ("[[null, 0]]", "pair of numbers"),
        ("[[NaN, 0]]", "view of path position 0 to be from 0 to 2, got nan"),
        ("[[0, Infinity]]", "time of path position 0 to be from 0 to 4, got inf"),
        ("[[0, 1e999]]", "time of path position 0 to be from 0 to 4"),
        (f"[[{10**400}, 0]]", "view of path position 0 to be from 0 to 2"),
        ("[[3, 0]]", "view of path position 0 to be from 0 to 2, got 3"),
        ("[[0, -0.5]]", "time of path position 0 to be from 0 to 4, got -0.5"),
        (json.dumps([[0, 0]] * 100_001), "1 to 100000 positions, got 100001"),
        (" " * 8_000_001, "8000000 characters"),
    ],
)
def test_bad_path_texts_get_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_path(text, (V, T))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
