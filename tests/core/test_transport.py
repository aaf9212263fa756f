"""Transport: known cells untouched, still scenes copied, a moving square carried to views that never saw it move, any pattern and size."""

import weakref

import numpy as np
import pytest
import torch
from exchanging import exchanged

from fourreal_core.evaluation.image import psnr
from fourreal_core.grid import FrameGrid
from fourreal_core.side_by_side import side_by_side
from fourreal_core.transport import Predictions, Predictor, blend_predictions, transport, transport_fill
from fourreal_core.transport.fill import nearest_ells, prediction_order
from fourreal_core.transport.foreshorten import foreshortening


def texture(height: int, width: int, seed: int) -> torch.Tensor:
    """[height, width, 3] smooth noise in 0.1..0.9."""
    noise = torch.rand(1, 3, height // 4 + 2, width // 4 + 2, generator=torch.Generator().manual_seed(seed))
    return 0.1 + 0.8 * torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")[0].permute(1, 2, 0)


def square_scene(
    views: int, times: int, height: int = 40, width: int = 64, parallax: int = 1, motion: int = 2
) -> torch.Tensor:
    """A textured square moves by `motion` pixels per time over a still background; every view shifts the whole picture by `parallax` pixels."""
    background, square = texture(height, width + 32, 1), texture(14, 14, 2).flip(-1)
    frames = torch.zeros(views, times, height, width, 3)
    for view in range(views):
        for time in range(times):
            canvas = background.clone()
            left = 28 + motion * time
            canvas[12:26, left : left + 14] = square
            frames[view, time] = canvas[:, 8 + parallax * view : 8 + parallax * view + width]
    return frames


def hidden(frames: torch.Tensor, known: torch.Tensor) -> FrameGrid:
    return FrameGrid(torch.where(known[:, :, None, None, None], frames, 0.0), known)


def first_view_and_time(views: int, times: int) -> torch.Tensor:
    known = torch.zeros(views, times, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    return known


@pytest.fixture(scope="module")
def scene() -> torch.Tensor:
    return square_scene(3, 5)


@pytest.fixture(scope="module")
def predictions(scene) -> Predictions:
    return transport(hidden(scene, first_view_and_time(3, 5)))


def test_known_cells_come_back_bit_exact_with_full_confidence(scene, predictions):
    known = first_view_and_time(3, 5)
    for frames in (predictions.time.frames, predictions.view.frames, predictions.blend):
        assert torch.equal(frames[known], scene[known])
    assert (predictions.time.confidence[known] == 1).all() and (predictions.view.confidence[known] == 1).all()


def test_everything_is_float32_within_range(predictions):
    for part in (
        predictions.time.frames,
        predictions.view.frames,
        predictions.time.confidence,
        predictions.view.confidence,
        predictions.blend,
    ):
        assert part.dtype == torch.float32 and part.min() >= 0 and part.max() <= 1


def test_a_moving_square_is_carried_to_views_that_never_saw_it_move(scene, predictions):
    unknown = ~first_view_and_time(3, 5)
    centre = (slice(None), slice(6, 34), slice(6, 58))  # what leaves or enters the picture cannot be known
    blend, truth = predictions.blend[unknown][centre], scene[unknown][centre]
    copied = scene[:, :1].expand_as(scene)[unknown][centre]
    assert psnr(blend, truth) > 30
    assert psnr(blend, truth) > psnr(copied, truth) + 8


def test_confidence_is_lower_where_the_error_is_larger(scene, predictions):
    unknown = ~first_view_and_time(3, 5)
    for picture, confidence, *_ in (predictions.time, predictions.view):
        error, sure = (picture - scene).abs().mean(-1)[unknown], confidence[unknown]
        assert error[sure > sure.median()].mean() < error[sure <= sure.median()].mean()


def test_a_still_scene_is_copied():
    still = square_scene(3, 4, motion=0)
    predictions = transport(hidden(still, first_view_and_time(3, 4)))
    assert torch.equal(predictions.time.frames, still)
    assert (predictions.blend - still).abs().mean() < 0.003
    unknown = ~first_view_and_time(3, 4)
    assert predictions.time.confidence[unknown].min() > 0.5
    assert predictions.time.confidence[unknown].mean() > predictions.view.confidence[unknown].mean()


def test_sources_read_at_their_displacements_give_the_predictions(scene, predictions):
    """Bilinear here, bicubic with averaging there: alike, not equal."""
    from fourreal_core.model.channels import DISPLACEMENT_UNIT
    from fourreal_core.model.prior import read_at

    known = first_view_and_time(3, 5)
    assert torch.equal(predictions.time.source[1:], scene[1:, :1].expand_as(scene[1:])) and torch.equal(
        predictions.time.source[0], scene[0]
    )
    assert torch.equal(predictions.view.source[:, 1:], scene[:1, 1:].expand_as(scene[:, 1:]))
    for picture, _, source, back in (predictions.time, predictions.view):
        read = read_at(source.flatten(0, 1).movedim(-1, 1), back.flatten(0, 1).movedim(-1, 1) / DISPLACEMENT_UNIT)
        assert (read.movedim(1, -1).view_as(picture) - picture).abs().mean() < 0.4 * (source - picture).abs().mean()
        assert back.abs().amax() > 2
    assert not predictions.time.back[known].any() and not predictions.view.back[known].any()


def test_exchanging_view_and_time_exchanges_the_two_directions_but_for_foreshortening(scene, predictions):
    """Motion is foreshortened by a change of view, parallax is not by a change of time."""
    swapped = transport(exchanged(hidden(scene, first_view_and_time(3, 5))))
    assert (swapped.view.frames.transpose(0, 1) - predictions.time.frames).abs().mean() < 2e-3
    assert (swapped.time.frames.transpose(0, 1) - predictions.view.frames).abs().mean() < 2e-3
    assert (swapped.blend.transpose(0, 1) - predictions.blend).abs().mean() < 2e-3


def test_foreshortening_is_found_despite_outliers_and_only_in_what_moves():
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:60, :90].astype(np.float32)
    true = np.array([[-0.4, 0.1], [0.05, -0.02]], np.float32)
    parallax = np.stack([x - 30, y - 20], axis=-1) @ true.T + 7
    motion = np.zeros((60, 90, 2), np.float32)
    motion[10:50, 10:60] = 3.0
    parallax[motion[..., 0] == 0] = 0  # a still background at another depth
    wild = generator.random((60, 90)) < 0.15
    parallax[wild] += generator.normal(0, 30, (int(wild.sum()), 2))
    found = foreshortening(parallax, motion, np.ones((60, 90), np.float32))
    np.testing.assert_allclose(found, true, atol=0.06)  # shrunk towards none by a tenth
    assert not foreshortening(parallax, np.zeros_like(motion), np.ones((60, 90), np.float32)).any()


def test_two_runs_agree_bit_by_bit_and_the_grid_is_not_written_to(scene, predictions):
    grid = hidden(scene, first_view_and_time(3, 5))
    before = grid.frames.clone()
    again = transport(grid)
    assert torch.equal(again.blend, predictions.blend) and torch.equal(
        again.view.confidence, predictions.view.confidence
    )
    assert torch.equal(grid.frames, before)


def test_frames_of_unknown_cells_are_never_looked_at(scene, predictions):
    known = first_view_and_time(3, 5)
    spoiled = torch.where(
        known[:, :, None, None, None], scene, torch.rand(scene.shape, generator=torch.Generator().manual_seed(0))
    )
    assert torch.equal(transport(FrameGrid(spoiled, known)).blend, predictions.blend)


def test_fill_keeps_known_cells_and_marks_what_was_known(scene):
    grid = hidden(scene, first_view_and_time(3, 5))
    filled, confidence = transport_fill(grid)
    assert torch.equal(filled.frames[grid.known], scene[grid.known]) and torch.equal(filled.known, grid.known)
    assert confidence.shape == (3, 5, 40, 64)


def test_blend_lies_between_the_predictions_and_follows_full_confidence():
    generator = torch.Generator().manual_seed(0)
    along_time, along_view = torch.rand(2, 3, 4, 5, 3, generator=generator)
    confidence_time, confidence_view = torch.rand(2, 3, 4, 5, generator=generator)
    blend = blend_predictions(along_time, along_view, confidence_time, confidence_view)
    assert (blend >= torch.minimum(along_time, along_view) - 1e-6).all() and (
        blend <= torch.maximum(along_time, along_view) + 1e-6
    ).all()
    sure, unsure = torch.ones(3, 4, 5), torch.full((3, 4, 5), 0.5)
    assert torch.allclose(blend_predictions(along_time, along_view, sure, unsure), along_time, atol=1e-3)
    assert torch.allclose(
        blend_predictions(along_time, along_view, unsure, unsure), (along_time + along_view) / 2, atol=1e-6
    )


def test_blend_has_finite_gradients_at_the_ends():
    parts = [torch.rand(2, 3, requires_grad=True) for _ in range(2)] + [
        torch.tensor([0.0, 1.0], requires_grad=True) for _ in range(2)
    ]
    blend_predictions(*parts).sum().backward()
    assert all(torch.isfinite(part.grad).all() for part in parts)


def test_progress_is_reported_and_can_cancel(scene):
    calls = []
    transport(hidden(scene, first_view_and_time(3, 5)), on_cell=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 8) for done in range(1, 9)]

    def cancel(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        transport(hidden(scene, first_view_and_time(3, 5)), on_cell=cancel)


def test_no_known_cell_is_refused():
    with pytest.raises(ValueError, match="no known cells"):
        transport(FrameGrid(torch.zeros(2, 3, 8, 16, 3), torch.zeros(2, 3, dtype=torch.bool)))


def test_one_known_cell_is_copied_everywhere(scene):
    known = torch.zeros(3, 5, dtype=torch.bool)
    known[1, 2] = True
    predictions = transport(hidden(scene, known))
    assert torch.equal(predictions.blend, scene[1, 2].expand_as(scene))
    assert predictions.time.confidence[~known].max() < 0.2


def test_a_fully_known_grid_is_returned_as_it_is(scene):
    filled, confidence = transport_fill(FrameGrid(scene, torch.ones(3, 5, dtype=torch.bool)))
    assert torch.equal(filled.frames, scene) and (confidence == 1).all()


PATTERNS = {
    "last view and last time": ["00001", "00001", "11111"],
    "both outer views and the first time": ["11111", "10000", "11111"],
    "checkerboard": ["10101", "01010", "10101"],
    "steps that need two rounds": ["10000", "11000", "01111"],
    "outer views only": ["11111", "00000", "11111"],
    "two far cells": ["10000", "00000", "00001"],
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_any_known_pattern_is_filled_better_than_with_grey(pattern, scene):
    known = torch.tensor([[cell == "1" for cell in view] for view in pattern])
    filled, confidence = transport_fill(hidden(scene, known))
    assert torch.equal(filled.frames[known], scene[known])
    assert (confidence > 0).all()
    assert psnr(filled.frames[~known], scene[~known]) > psnr(torch.full_like(scene[~known], 0.5), scene[~known])


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_cells_are_the_same_in_any_order_and_by_any_thread(pattern, scene):
    known = torch.tensor([[cell == "1" for cell in view] for view in pattern])
    grid = hidden(scene, known)
    predictor, whole, shares = Predictor(grid), transport(grid), []
    predictor.find_flows(lambda done, total: shares.append(done / total))
    assert shares == sorted(shares) and (not shares or shares[-1] == 1)
    cells, made = list(np.ndindex(3, 5))[::-1], {}
    side_by_side(cells, predictor.cell, 3, on_result=made.__setitem__, waiting=lambda: None)
    for at, cell in made.items():
        alike = whole.cell(at)
        for one, other in zip((*cell.time, *cell.view), (*alike.time, *alike.view)):
            assert torch.equal(one, other)
    blend, confidence = transport_fill(grid)
    assert torch.equal(blend.frames, grid.filled(whole.blend).frames) and torch.equal(confidence, whole.confidence)
    assert predictor.all_cells() is predictor.all_cells() and torch.equal(predictor.all_cells().blend, whole.blend)


def test_what_predicts_a_grid_holds_few_correspondences_and_not_the_grid(scene):
    """Once they are found, per pair of cells two flows and four maps, whatever was needed on the way; and it dies with its last name."""
    grid = hidden(scene, first_view_and_time(3, 5))
    predictor = Predictor(grid)
    predictor.find_flows(lambda done, total: None)
    working = predictor._flows.height * predictor._flows.width
    assert predictor._flows._kept_bytes == (2 + 4) * (2 * 8 + 4 * 4) * working
    watched, kept = weakref.ref(predictor._flows), weakref.ref(grid)
    del grid
    assert kept() is None
    del predictor
    assert watched() is None


def test_cells_without_an_l_of_known_cells_come_later_from_predicted_ones():
    known = torch.tensor([[True, False, False], [True, True, False], [False, True, True]]).numpy()
    order = list(prediction_order(known))
    assert [cell for cell, _ in order] == [(0, 1), (1, 2), (2, 0), (0, 2)]
    assert all(ells for _, ells in order)


def test_the_nearest_l_is_taken_towards_each_side():
    known = torch.zeros(5, 7, dtype=torch.bool)
    known[0], known[4], known[:, 0], known[:, 6] = True, True, True, True
    ells = nearest_ells(known.numpy(), (1, 2))
    assert ((1, 0), (0, 0), (0, 2)) in ells
    assert all(max(abs(corner[0] - 1), abs(corner[1] - 2)) <= 4 for _, corner, _ in ells)


@pytest.mark.parametrize("size", [(8, 16), (1, 1), (5, 33), (37, 53), (3, 200)])
def test_odd_and_tiny_sizes(size):
    height, width = size
    frames = texture(64, 256, 3)[None, None, :height, :width].expand(2, 3, -1, -1, -1).contiguous()
    predictions = transport(hidden(frames, first_view_and_time(2, 3)))
    assert predictions.blend.shape == (2, 3, height, width, 3)
    assert torch.allclose(predictions.time.frames, frames, atol=1e-6)


def test_frames_larger_than_the_working_size_are_matched_smaller():
    frames = torch.nn.functional.interpolate(
        square_scene(2, 2).flatten(0, 1).permute(0, 3, 1, 2), (420, 672), mode="bilinear"
    )
    frames = frames.permute(0, 2, 3, 1).reshape(2, 2, 420, 672, 3)
    predictions = transport(hidden(frames, first_view_and_time(2, 2)))
    assert psnr(predictions.blend[1, 1, 60:-60, 60:-60], frames[1, 1, 60:-60, 60:-60]) > 30


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_frames_of_one_colour(level):
    frames = torch.full((2, 3, 24, 40, 3), level)
    predictions = transport(hidden(frames, first_view_and_time(2, 3)))
    assert torch.allclose(predictions.blend, frames, atol=1e-6)


@pytest.mark.parametrize("views, times", [(1, 4), (4, 1), (1, 1)])
def test_one_view_or_one_time(views, times):
    frames = square_scene(views, times)
    known = torch.zeros(views, times, dtype=torch.bool)
    known[0, 0] = True
    assert torch.equal(transport(hidden(frames, known)).blend, frames[:1, :1].expand_as(frames))
