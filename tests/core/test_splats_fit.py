"""Fits on a scene of which every depth and motion is known, and on grids that tell little or nothing."""

from dataclasses import replace

import pytest
import torch
from planes import plane_scene

from fourreal_core.geometry.cameras import CamerasNotFound
from fourreal_core.grid import Cameras, FrameGrid
from fourreal_core.splats.fit import fit_splats, gains_between
from fourreal_core.splats.gaussians import NodePaths, Splats
from fourreal_core.splats.held_out import cells_beside, held_out_cells, rest_time
from fourreal_core.splats.rasterizer import render
from fourreal_core.splats.report import describe, psnr_of
from fourreal_core.splats.trainable import RATES

V, T, H, W = 5, 4, 24, 36
STEPS = 60


@pytest.fixture(scope="module")
def scene():
    return plane_scene(V, T, H, W)


def whole(scene, **changes) -> FrameGrid:
    grid = FrameGrid(
        scene.frames_VTHW3, torch.ones(scene.frames_VTHW3.shape[:2], dtype=torch.bool), 24.0, scene.cameras
    )
    return grid.replace(**changes)


def changed(focal: float = 30.0, turn: float = 1.0, away: float = 0.0) -> Cameras:
    """Cameras of which one has another focal length, rotation matrix or place."""
    poses, lenses = torch.eye(4).repeat(V, 1, 1), torch.diag(torch.tensor([30.0, 30, 1])).repeat(V, 1, 1)
    poses[2, :3, :3] *= turn
    poses[2, 0, 3] = away
    lenses[2, 0, 0] = focal
    return Cameras(poses, lenses)


def drawn(splats: Splats, view: int, time: float) -> torch.Tensor:
    cameras = splats.cameras
    picture = render(splats.at(time), cameras.world_to_camera[view], cameras.intrinsics[view], *splats.size)
    return picture.over(splats.background_3).clamp(0, 1)


@pytest.fixture(scope="module")
def fitted(scene):
    return fit_splats(whole(scene), steps=STEPS)


def test_cells_kept_out_are_recovered(scene, fitted):
    score = fitted.score
    assert score.held_out_cells >= 2 and score.fitted > 25
    assert score.held_out > score.fitted - 1  # they lie between others, and the motion is known
    assert score.held_out > score.beside - 1
    held = held_out_cells(torch.ones(V, T), int(fitted.splats.rest))
    again = [psnr_of(drawn(fitted.splats, *cell), scene.frames_VTHW3[tuple(cell)]) for cell in held.nonzero().tolist()]
    assert sum(again) / len(again) == pytest.approx(score.held_out, abs=0.3)  # in the given cameras' world


def test_motion_is_what_explains_them(scene, fitted):
    still = replace(fitted.splats, motion=NodePaths.none())
    cells = [(0, 0), (2, 3), (4, 0)]
    gain = [
        psnr_of(drawn(fitted.splats, *c), scene.frames_VTHW3[c]) - psnr_of(drawn(still, *c), scene.frames_VTHW3[c])
        for c in cells
    ]
    assert min(gain) > 0 and sum(gain) / len(gain) > 1.5
    assert 0 < fitted.splats.moving < len(fitted.splats.gaussians) / 2


def test_the_report_says_how_good_it_is(fitted):
    assert f"{fitted.score.held_out:.1f} dB" in fitted.report and "kept out of the fit" in fitted.report
    assert "had to move" not in fitted.report


@pytest.mark.parametrize(
    ("beside_db", "held_db", "said"),
    [(25, 15, "do not trust"), (31, 27, "clearly less"), (38.8, 35.2, ""), (25, 24, "soft or doubled"), (31, 30.5, "")],
)
def test_the_verdict_follows_from_the_cells_kept_out(beside_db, held_db, said):
    score = {"fitted_db": 50, "held_out_db": held_db, "beside_db": beside_db, "fitted_cells": 9, "held_out_cells": 2}
    told = describe(
        {"score": score, "gaussians": 5, "moving": 1, "nodes": 2, "seconds": 3.0, "fitted_size": [9, 16], "notes": []}
    ).splitlines()[-1]
    assert f" {held_db:.1f} dB" in told and told.endswith(f"{beside_db:.1f} dB") if not said else said in told


@pytest.mark.slow
def test_it_does_not_depend_on_the_cameras_unit_and_frame(scene, fitted):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)))[0]
    turn = turn * torch.linalg.det(turn).sign()
    move = torch.eye(4)
    move[:3, :3], move[:3, 3] = turn, torch.tensor([300.0, -20, 50])
    poses = scene.cameras.world_to_camera.clone()
    poses[:, :3, 3] *= 40  # units
    moved = fit_splats(whole(scene, cameras=Cameras(poses @ move, scene.cameras.intrinsics)), steps=3)
    plain = fit_splats(whole(scene), steps=3)
    assert psnr_of(drawn(moved.splats, 1, 2.5), drawn(plain.splats, 1, 2.5)) > 40
    assert moved.splats.gaussians.scales_N3.median() / plain.splats.gaussians.scales_N3.median() == pytest.approx(
        40, rel=0.05
    )


@pytest.mark.slow
def test_equal_inputs_give_equal_splats_also_under_inference_mode(scene):
    with torch.inference_mode():
        grid = whole(scene, frames=scene.frames_VTHW3.clone())
        first = fit_splats(grid, steps=4)
    second = fit_splats(whole(scene), steps=4)
    assert torch.equal(first.splats.at(1.5).positions_N3, second.splats.at(1.5).positions_N3)
    assert torch.equal(grid.frames, scene.frames_VTHW3)


@pytest.mark.slow
def test_it_goes_on_from_what_was_kept(scene, monkeypatch):
    monkeypatch.setattr("fourreal_core.splats.fit.KEEP_EVERY_S", 0.0)
    kept: list[Splats] = []

    class Stop(Exception):
        pass

    def cancel(name, share):
        if name == "fit" and share > 0.5:
            raise Stop

    with pytest.raises(Stop):
        fit_splats(whole(scene), steps=20, on_stage=cancel, keep=kept.append)
    assert kept[-1].facts["steps_done"] == 10
    stages = []
    after = fit_splats(
        whole(scene), steps=20, start=kept[-1], on_stage=lambda name, share: stages.append((name, share))
    )
    assert {name for name, _ in stages} == {"fit", "score"} and sum(name == "fit" for name, _ in stages) == 10
    cells = [(view, time) for view in range(V) for time in range(T)]
    before, later = (
        sum(psnr_of(drawn(splats, *cell), scene.frames_VTHW3[cell]) for cell in cells) / len(cells)
        for splats in (kept[-1], after.splats)
    )
    assert later > before + 0.3
    again = fit_splats(whole(scene), steps=1, start=after.splats)
    assert again.score.fitted == pytest.approx(after.score.fitted, abs=0.3)
    with pytest.raises(ValueError, match="to go on from"):
        fit_splats(plane_scene(2, 2, H, W).grid(), steps=1, start=after.splats)


@pytest.mark.slow
def test_unknown_black_cells_do_not_count_and_doubted_ones_count_less(scene):
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    frames = torch.where(known[..., None, None, None], scene.frames_VTHW3, 0.0)
    alone = fit_splats(whole(scene, frames=frames, known=known), steps=8)
    assert alone.score.fitted_cells + alone.score.held_out_cells == V + T - 1
    assert float(drawn(alone.splats, 3, 3).mean()) > 0.5 * float(scene.frames_VTHW3[3, 3].mean())
    wrong = torch.where(known[..., None, None, None], scene.frames_VTHW3, 1 - scene.frames_VTHW3)
    doubt = known[..., None, None].float().expand(V, T, H, W)
    trusting, doubting = (
        fit_splats(whole(scene, frames=wrong, known=known), steps=30, confidence=sure)
        for sure in (torch.ones(V, T, H, W), doubt)
    )
    errors = [psnr_of(drawn(found.splats, 4, 3), scene.frames_VTHW3[4, 3]) for found in (trusting, doubting)]
    assert errors[1] > errors[0] + 1.5


@pytest.mark.parametrize(
    ("views", "times", "said"),
    [
        (1, 3, "a single view shows no depth"),
        (3, 1, "cells that it was fitted to"),
        (1, 1, "no cell lies between others"),
        (1, 2, "a single view shows no depth"),
    ],
)
def test_grids_that_tell_little(scene, views, times, said):
    cameras = (
        None
        if views == 1 and times != 2
        else Cameras(scene.cameras.world_to_camera[:views], scene.cameras.intrinsics[:views])
    )
    frames = scene.frames_VTHW3[:views, :times].clone()
    found = fit_splats(FrameGrid(frames, torch.ones(views, times, dtype=torch.bool), 24.0, cameras), steps=8)
    assert said in found.report and found.score.fitted > 15


@pytest.mark.slow
def test_grids_that_tell_nothing(scene):
    noise = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
    found = fit_splats(whole(scene, frames=noise), steps=8)
    assert "do not show one scene" in found.report and found.score.held_out < 20
    assert "had to move" in found.report
    with pytest.raises(CamerasNotFound):
        fit_splats(whole(scene, frames=noise, cameras=None), steps=8)
    same = scene.frames_VTHW3[:1].repeat(V, 1, 1, 1, 1)
    with pytest.raises(CamerasNotFound, match="does not move"):
        fit_splats(whole(scene, frames=same, cameras=None), steps=8)
    plane = fit_splats(whole(scene, frames=same), steps=8)
    assert "depth of the scene cannot be told" in plane.report
    black = torch.zeros(V, T, H, W, 3)
    dark = fit_splats(whole(scene, frames=black), steps=3)
    assert dark.score.fitted > 30
    with pytest.raises(ValueError, match="nothing to fit"):
        fit_splats(whole(scene, frames=black, known=torch.zeros(V, T, dtype=torch.bool)), steps=3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "at least 1 step"),
        ({"longest": 4}, "pixels"),
        ({"confidence": torch.ones(2, 2, 4, 4)}, "confidence"),
        ({"confidence": torch.full((V, T, 4, 4), 2.0)}, "from 0 to 1"),
        ({"confidence": torch.full((V, T, 4, 4), torch.nan)}, "from 0 to 1"),
        ({"cameras": Cameras(torch.eye(4)[None], torch.eye(3)[None])}, "one camera per view"),
        ({"cameras": changed(focal=0.0)}, "camera of view 3"),
        ({"cameras": changed(turn=0.0)}, "camera of view 3"),
        ({"cameras": changed(turn=-1.0)}, "camera of view 3"),
        ({"cameras": changed(away=2e7)}, "2e\\+07 units from the origin"),
    ],
)
def test_bad_input_is_one_clear_error(scene, settings, said):
    with pytest.raises(ValueError, match=said):
        fit_splats(whole(scene), **settings)


def test_a_grid_with_numbers_that_are_none_is_refused_before_anything_is_fitted(scene):
    """By the grid itself, and by its cameras."""
    with pytest.raises(ValueError, match="NaN or infinity"):
        whole(scene, frames=scene.frames_VTHW3 * torch.nan)
    poses = scene.cameras.world_to_camera.clone()
    poses[1, 0, 3] = torch.inf
    with pytest.raises(ValueError, match="NaN or infinity"):
        Cameras(poses, scene.cameras.intrinsics)


def test_cells_kept_out_lie_between_others_and_apart():
    weights = torch.ones(8, 8)
    rest = rest_time(weights)
    held = held_out_cells(weights, rest)
    assert rest in (3, 4) and int(held.sum()) == 8 and not bool(held[:, rest].any())
    assert not bool(held[[0, -1]].any()) and not bool(held[:, [0, -1]].any())
    places = held.nonzero().float()
    assert float((torch.cdist(places, places) + torch.eye(8) * 9).min()) > 1
    edges = torch.zeros(6, 5)
    edges[0], edges[:, 0] = 1, 1
    edges[0, 0] = 2
    held = held_out_cells(edges, rest_time(edges))
    assert rest_time(edges) == 0 and int(held.sum()) == 1 and not bool(held[:, 0].any())
    assert int(held_out_cells(torch.ones(2, 2), 0).sum()) == 0


def test_a_view_that_is_kept_out_has_the_exposure_between_its_neighbours(scene, monkeypatch):
    """A still scene, filmed by a camera whose exposure falls and rises again; learned faster, because there are few steps."""
    monkeypatch.setitem(RATES, "gains_V3", 0.02)
    gain = torch.tensor([1.0, 0.75, 0.7, 0.65, 1.0])[:, None, None, None, None]
    grid = whole(scene, frames=(scene.frames_VTHW3[:, :1] * gain).clamp(0, 1), known=torch.ones(V, 1, dtype=torch.bool))
    found = fit_splats(grid, steps=STEPS)
    assert found.score.held_out_cells == 1 and found.score.held_out > found.score.beside - 1
    gains = torch.tensor([[0.1, 0, 0], [9, 9, 9], [0.3, 0, 0], [9, 9, 9]])
    wanted = torch.tensor([[0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0], [0.3, 0, 0]])
    assert torch.allclose(gains_between(gains, torch.tensor([True, False, True, False])), wanted)


def test_cells_beside_those_kept_out_share_an_edge_with_one_and_were_fitted():
    held, used = torch.zeros(4, 5, dtype=torch.bool), torch.ones(4, 5, dtype=torch.bool)
    held[1, 2] = held[1, 3] = True
    used[held] = used[0, 3] = False
    assert cells_beside(held, used).nonzero().tolist() == [[0, 2], [1, 1], [1, 4], [2, 2], [2, 3]]
