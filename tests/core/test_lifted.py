"""Large cells through a small copy: the size to work at, predictions that fit it, and corrections laid over the large start, cell by cell."""

import pytest
import torch

from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.sampling.lifted import HOME, home_size, lifted
from fourreal_core.transport import Direction, Predictions, Predictor

V, T, H, W = 2, 3, 144, 256


@pytest.fixture
def grid():
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
    return FrameGrid(frames, task_known(V, T))


@pytest.fixture
def predictions():
    generator = torch.Generator().manual_seed(1)

    def direction() -> Direction:
        frames, source = torch.rand(2, V, T, H, W, 3, generator=generator)
        confidence = torch.rand(V, T, H, W, generator=generator)
        return Direction(frames, confidence, source, torch.full((V, T, H, W, 2), 8.0))

    return Predictions(direction(), direction())


@pytest.fixture
def small(predictions):
    cells = [predictions.cell((view, time)).shrunk(HOME) for view in range(V) for time in range(T)]
    sides = ([cell.time for cell in cells], [cell.view for cell in cells])
    return Predictions(*(Direction(*(torch.stack(part).unflatten(0, (V, T)) for part in zip(*side))) for side in sides))


@pytest.mark.parametrize("size", [(72, 128), (32, 48), (100, 180)])
def test_cells_of_about_the_trained_size_stay_as_they_are(size):
    assert home_size(*size) == size


@pytest.mark.parametrize(
    "size, small", [((288, 512), HOME), ((1080, 1920), HOME), ((512, 288), (128, 72)), ((300, 300), (96, 96))]
)
def test_larger_cells_get_a_copy_of_about_the_trained_size_and_their_own_aspect(size, small):
    assert home_size(*size) == small


def test_no_side_grows():
    assert home_size(4, 40_000)[0] == 4


def test_shrunk_displacements_are_in_small_pixels(predictions):
    small = predictions.cell((1, 2)).shrunk((72, 64))
    assert small.time.frames.shape == (72, 64, 3) and small.view.confidence.shape == (72, 64)
    assert torch.allclose(small.time.back, torch.tensor([2.0, 4.0]).expand(72, 64, 2))
    assert 0 <= small.time.source.min() and small.time.source.max() <= 1


def test_small_predictions_are_the_large_ones_made_small_and_leave_them_as_they_are(grid):
    grid, size = grid.resized(24, 40), (8, 16)
    predictor = Predictor(grid)
    small, large = predictor.all_cells(size=size), predictor.all_cells()
    assert predictor.has_all(size) and predictor.all_cells(size=size) is small
    for at in ((0, 0), (0, 1), (1, 2)):
        made, whole = small.cell(at), large.cell(at).shrunk(size)
        for part, other in zip((*made.time, *made.view), (*whole.time, *whole.view)):
            assert torch.equal(part, other)
    fresh = Predictor(grid)
    assert torch.equal(fresh.all_cells().blend, large.blend) and not fresh.has_all(size)


def test_what_the_model_leaves_alone_stays_sharp(grid, predictions, small):
    def same(small_grid, told, guess):
        assert (small_grid.height, small_grid.width) == HOME and guess is None
        return small_grid.filled(told.blend)

    changes = lifted(grid, small, None, same)
    for at in (~grid.known).nonzero().tolist():
        predicted = predictions.cell(tuple(at))
        assert torch.allclose(changes.drawn(tuple(at), predicted), predicted.blend, atol=1e-6)


def test_what_the_model_changes_is_laid_over_the_guess(grid, small):
    guess = grid.replace(frames=torch.full_like(grid.frames, 0.5))

    def brighter(small_grid, told, small_guess):
        return small_grid.filled(small_guess.frames + 0.25)

    filled = lifted(grid, small, guess, brighter).over_grid(grid, guess)
    assert torch.allclose(filled.frames[1, 1], torch.tensor(0.75), atol=1e-5)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known])
    assert torch.equal(guess.frames, torch.full_like(grid.frames, 0.5))


def test_a_guess_of_another_size_is_refused(grid, small):
    with pytest.raises(ValueError, match="expected the guess to have the grid's size"):
        lifted(grid, small, grid.resized(72, 128), lambda *given: pytest.fail("filled all the same"))
