"""Tokens, memory and work of a grid before it runs: what can be said by hand, and what must hold between plans."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fourreal_core.files.records import read_records
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.model.config import bundled
from fourreal_core.model.two_stream import GridModel
from fourreal_core.sampling.budget import (
    ALTERNATING,
    FACTOR,
    FILLED,
    VIDEOS,
    GridSize,
    Plan,
    VideoNetwork,
    fill_bytes,
    frames_and_tokens,
    of_grid_model,
    peak_bytes,
    plans_that_fit,
    relative_cost,
    tokens,
    work,
)

DOCS = Path(__file__).parents[2] / "docs"
WAN = VideoNetwork(1536, 8960, 30, 30 * (6 * 1536**2 + 2 * 1536 * 8960), 2, 16, 4)
SIZE = GridSize(3, 5, 128, 240, "hold")


def test_tokens_are_counted_per_encoding():
    assert frames_and_tokens(WAN, SIZE) == (5, 8 * 15) and tokens(WAN, SIZE) == 3 * 5 * 120
    assert tokens(WAN, replace(SIZE, encoding="frame")) == 3 * 5 * 120
    assert tokens(WAN, replace(SIZE, encoding="native")) == 3 * 2 * 120
    assert tokens(WAN, replace(SIZE, height=129)) == 3 * 5 * 9 * 15  # a token is begun
    with pytest.raises(ValueError, match="4 n \\+ 1 times"):
        tokens(WAN, replace(SIZE, times=6, encoding="native"))


def test_pixel_models_have_a_token_per_patch():
    assert tokens(of_grid_model(bundled(), 4), GridSize(3, 5, 72, 128)) == 3 * 5 * 9 * 16


def test_each_place_that_a_scene_is_found_from_is_counted():
    known = task_known(8, 8)
    grid = FrameGrid(torch.zeros(8, 8, 36, 64, 3), known)
    one = GridSize.of(grid)
    assert one == GridSize(8, 8, 36, 64)
    known[7] = True
    two = GridSize.of(grid.replace(known=known))
    assert two == replace(one, bases=2)
    scene = fill_bytes(two) - fill_bytes(one)
    assert scene == fill_bytes(replace(one, bases=3)) - fill_bytes(two) == 36 * 64 * 8 * (44 + 20)
    assert fill_bytes(one, scene=False) == fill_bytes(two, scene=False)
    assert GridSize.of(FrameGrid(grid.frames, ~known)).bases == 1  # whoever fills it says what is missing


def test_a_fill_takes_what_it_gives_and_little_more_where_cells_are_many():
    size, pixel = GridSize(64, 81, 72, 128), 72 * 128
    given = 16 * 64 * 81 * pixel
    assert given < fill_bytes(size, scene=False) < 1.4 * given
    assert fill_bytes(size, predicted=True) > fill_bytes(size) + 50 * 64 * 81 * pixel


def test_large_grids_that_were_measured_take_no_more_than_is_said():
    """Fills at once, frames in files (docs/performance.md)."""
    measured = {}
    for record in read_records(DOCS / "performance.jsonl"):
        if record["case"].startswith("whole fill"):
            views, times, *cell = map(int, record["case"].split()[2:])
            size = GridSize(views, times, *(cell or (72, 128)))
            given = FILLED * views * times * size.height * size.width
            measured[size] = record["memory"] / (fill_bytes(size) - given)
    assert len(measured) > 3 and max(measured.values()) < FACTOR, measured


def test_work_of_one_layer_by_hand():
    """Without any weights only attention is left: L S keys along time, V S along view, (V + L - 1) S fused."""
    bare, S = VideoNetwork(4, 4, 1, 0, 2, 16), 120
    size, grid = replace(SIZE, encoding=""), 3 * 5 * 120
    assert work(bare, Plan(size, VIDEOS)) == grid * 2 * 4 * 5 * S
    assert work(bare, Plan(size, "hard")) == grid * 2 * 4 * (5 + 3) * S
    assert work(bare, Plan(size, ALTERNATING)) == grid * 2 * 4 * (5 + 3) * S / 2  # the mean of its two kinds of step
    assert work(bare, Plan(size, "fused")) == grid * 2 * 4 * (5 + 3 - 1) * S


def test_cost_is_relative_to_one_view():
    assert relative_cost(WAN, Plan(replace(SIZE, views=1), VIDEOS)) == 1
    assert relative_cost(WAN, Plan(SIZE, VIDEOS)) == pytest.approx(3)
    only_weights = replace(WAN, width=1536, depth=0)
    assert relative_cost(only_weights, Plan(SIZE, "sequential")) == pytest.approx(2 * 3)  # both streams hold V L frames
    assert relative_cost(only_weights, Plan(SIZE, "fused")) == pytest.approx(3)


def test_trained_layers_and_a_second_head_are_counted():
    plain, trained = of_grid_model(bundled(), 2), of_grid_model(bundled(), 2, sync_weights=6 * 4 * 192**2)
    size = GridSize(3, 5, 72, 128)
    assert work(trained, Plan(size, "soft")) - work(plain, Plan(size, "soft")) == tokens(plain, size) * 6 * 4 * 192**2
    assert (
        work(plain, Plan(size, "off")) - work(plain, Plan(size, "hard")) == tokens(plain, size) * plain.frame_weights[1]
    )


def test_the_bundled_models_weights_per_token_are_those_of_its_blocks():
    blocks = GridModel(bundled(), device=torch.device("meta")).base.blocks
    matrices = (each for name, each in blocks.named_parameters() if each.ndim == 2 and "table" not in name)
    assert of_grid_model(bundled(), 2).weights == sum(each.numel() for each in matrices)


def test_memory_grows_with_tokens_prompts_and_streams():
    plan = Plan(SIZE, "hard")
    once = peak_bytes(WAN, plan)
    assert peak_bytes(WAN, replace(plan, prompts=2)) == 2 * once
    assert peak_bytes(WAN, replace(plan, size=replace(SIZE, width=480))) == 2 * once
    assert peak_bytes(replace(WAN, number_bytes=4), plan) == 2 * once
    assert peak_bytes(WAN, Plan(SIZE, ALTERNATING)) == peak_bytes(WAN, Plan(SIZE, VIDEOS))
    assert peak_bytes(WAN, Plan(SIZE, VIDEOS)) < once < peak_bytes(WAN, Plan(SIZE, "sequential"))
    assert peak_bytes(replace(WAN, both_at_once=True), Plan(replace(SIZE, views=5), "hard")) > 1.5 * peak_bytes(
        WAN, Plan(replace(SIZE, views=5), "hard")
    )


def test_changes_that_fit_are_the_smallest_of_their_kind():
    plan = Plan(GridSize(8, 8, 480, 832, "hold"), "hard")
    free = FACTOR * peak_bytes(WAN, plan) * 0.5
    found = dict(plans_that_fit(WAN, plan, free))
    assert list(found) == ["encoding", "cells", "times", "views"]
    assert (found["encoding"].size.times, found["encoding"].size.encoding) == (5, "native")
    assert (found["times"].size.times, found["views"].size.views) == (4, 4)
    cells = found["cells"].size
    assert cells.height % 16 == cells.width % 16 == 0 and cells.width / cells.height == pytest.approx(
        832 / 480, rel=0.05
    )
    assert all(FACTOR * peak_bytes(WAN, each) <= free for each in found.values())
    assert not dict(plans_that_fit(WAN, plan, 1))


def test_upright_cells_stay_upright_and_native_loses_whole_latent_frames():
    plan = Plan(GridSize(8, 17, 832, 480, "native"), "hard")
    found = dict(plans_that_fit(WAN, plan, FACTOR * peak_bytes(WAN, plan) * 0.9))
    assert found["cells"].size.height > found["cells"].size.width
    assert found["times"].size.times == 13
