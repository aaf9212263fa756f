"""Cells much larger than the bundled model knows: filled without it, corrected through a small copy, and said so.

Letters: V = 2 views, T = 2 times.
"""

import logging

import pytest
import torch
from planes import plane_scene

SAMPLING = {
    "sync": "soft",
    "strength": 1.0,
    "seed": 3,
    "steps": 1,
    "sampler": "euler",
    "scheduler": "simple",
    "cfg": 1.0,
    "denoise": 1.0,
}


@pytest.fixture(scope="module")
def bundled(comfy_inside):
    return comfy_inside.call("FourRealLoadModel", checkpoint="bundled (default)", precision="float32")[0]


@pytest.fixture(scope="module")
def large(comfy_inside):
    """A grid of 192x128, more than twice the trained pixels, whose third corner is known."""
    coarse = torch.rand(1, 3, 8, 14, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(coarse, size=(128, 224), mode="bicubic")[0].movedim(0, -1).clamp(0, 1)
    moved = [picture[:, step : step + 192] for step in (0, 6)]
    return comfy_inside.core("grid").FrameGrid.from_videos(torch.stack(moved), torch.stack(moved).flip(1), fps=6.0)


@pytest.fixture(scope="module")
def filled(comfy_inside, large):
    return comfy_inside.call("FourRealTransportFill", grid=large)[0]


def sample(comfy_inside, model, grid, **changes):
    return comfy_inside.call("FourRealSampler", model=model, grid=grid, **(SAMPLING | changes))[0]


def test_the_sampler_works_on_a_copy_and_says_so(comfy_inside, bundled, filled, monkeypatch, caplog):
    asked = []
    sampling = comfy_inside.pack_host("sampling")
    condition_grid = sampling.condition_grid

    def seen(model, grid, *more):
        asked.append((grid.width, grid.height))
        return condition_grid(model, grid, *more)

    monkeypatch.setattr(sampling, "condition_grid", seen)
    with caplog.at_level(logging.INFO):
        sampled = sample(comfy_inside, bundled, filled)
    assert asked == [(120, 80)] and "trained on cells of 128x72, this grid has 192x128" in caplog.text
    assert torch.equal(sampled.frames[filled.known], filled.frames[filled.known])
    predictor = comfy_inside.pack_host("sources").sources_of(filled).predictor
    assert predictor.has_all((80, 120)) and not predictor.has_all((128, 192))  # those would take most of the memory
    changed = (sampled.frames - filled.frames)[~filled.known].abs()
    assert 0 < changed.mean() < 0.1
    caplog.clear()
    sample(comfy_inside, bundled, filled, full_size=True)
    assert asked[1:] == [(192, 128)] and "trained on" not in caplog.text


def test_what_4real_fill_found_is_not_looked_for_again(comfy_inside, bundled, filled, monkeypatch):
    asked = []
    sources = comfy_inside.pack_host("sources")
    find = sources.find_sources
    monkeypatch.setattr(sources, "find_sources", lambda *given, **more: asked.append(given) or find(*given, **more))
    sample(comfy_inside, bundled, filled)
    assert not asked
    [other, *_] = comfy_inside.call("FourRealTransportFill", grid=filled, method="transport")
    asked.clear()
    sample(
        comfy_inside, bundled, other
    )  # as it would be had the fill come from a file: results do not depend on what is remembered
    assert len(asked) == 1


def test_conditioning_for_other_samplers_says_what_to_do(comfy_inside, bundled, filled, caplog):
    comfy_inside.call("FourRealGridConditioning", model=bundled, grid=filled)
    assert "build a grid of 120x80, or use 4Real Sampler" in caplog.text


def test_models_of_ones_own_are_asked_as_they_are(comfy_inside, tiny_model, filled, caplog):
    [own] = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")
    with caplog.at_level(logging.INFO):
        sample(comfy_inside, own, filled)
    assert "trained on" not in caplog.text


def test_grids_larger_than_the_bundled_model_knows_are_filled_in_tiles(comfy_inside, bundled, monkeypatch):
    core, sampling = comfy_inside.core("grid"), comfy_inside.pack_host("sampling")

    def empty(views, times):
        return core.FrameGrid(torch.zeros(views, times, 8, 8, 3), core.task_known(views, times))

    assert [sampling.tile_at_home(bundled, empty(*size)) for size in ((8, 8), (9, 8), (8, 9))] == [0, 8, 8]
    monkeypatch.setattr(sampling, "_bundled", lambda model: False)
    assert sampling.tile_at_home(bundled, empty(9, 9)) == 0
    monkeypatch.undo()
    monkeypatch.setattr(sampling, "TILE", (2, 2))
    made = sample(comfy_inside, bundled, empty(3, 2))
    assert made.provenance["tile"] == [2, 2] and made.provenance["tiles"] == 2
    assert "tiles" not in sample(comfy_inside, bundled, empty(3, 2), tile=3).provenance


def test_tiles_of_large_cells_go_through_small_copies_and_share_one_scene(comfy_inside, bundled, monkeypatch):
    core, host, asked = comfy_inside.core("grid"), comfy_inside.pack_host("sources"), []
    scene = plane_scene(2, 3, 128, 192)
    cameras = core.Cameras(scene.cameras.world_to_camera, scene.cameras.intrinsics)
    grid = core.FrameGrid(scene.grid().frames, scene.grid().known, cameras=cameras)
    find = host.find_sources
    monkeypatch.setattr(host, "find_sources", lambda *given, **more: asked.append(given[0]) or find(*given, **more))
    made = sample(comfy_inside, bundled, grid, tile=2)
    assert asked == [grid] and made.provenance["tiles"] == 2
    assert torch.equal(made.frames[grid.known], grid.frames[grid.known])
    error = lambda frames: float((frames - scene.frames_VTHW3)[~grid.known].abs().mean())
    assert error(made.frames) < 1.1 * error(comfy_inside.core("geometry.fill").fill_grid(grid).grid.frames)
    guessed = sample(comfy_inside, bundled, grid, tile=2, guess=made, denoise=0.5)
    assert len(asked) == 2 and (guessed.frames - made.frames)[~grid.known].abs().mean() < 0.1  # Transport's, once
