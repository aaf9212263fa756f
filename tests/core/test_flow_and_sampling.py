"""Rectified flow conventions, samplers against closed forms, known cells, noise per cell."""

import math
from functools import partial

import pytest
import torch

from fourreal_core.flow import add_noise, cell_noise, from_model, to_model, velocity_from_x0, x0_from_velocity
from fourreal_core.grid import FrameGrid
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.sampling.sample import euler, heun, sample_grid, schedule
from fourreal_core.transport import transport, transport_fill

V, T, H, W = 3, 5, 24, 32


@pytest.fixture(scope="module")
def model():
    model = initialize_grid_model(GridModel(tiny()), torch.Generator().manual_seed(0))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def grid():
    smooth = torch.nn.functional.interpolate(
        torch.rand(V * T, 3, 6, 8, generator=torch.Generator().manual_seed(0)), (H, W)
    )
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    return FrameGrid(frames=smooth.view(V, T, 3, H, W).movedim(2, -1).contiguous(), known=known)


@pytest.fixture(scope="module")
def predictions(grid):
    return transport(grid)


def test_pixels_and_velocities_round_trip():
    frames = torch.rand(V, T, H, W, 3)
    torch.testing.assert_close(from_model(to_model(frames)), frames)
    assert to_model(frames).shape == (V, 3, T, H, W)
    x0, noise, sigma = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([[0.2], [0.7], [1.0]])
    x = add_noise(x0, noise, sigma)
    torch.testing.assert_close(velocity_from_x0(x, x0, sigma), noise - x0)
    torch.testing.assert_close(x0_from_velocity(x, noise - x0, sigma), x0)


@pytest.mark.parametrize("sampler, order", [(euler, 1), (heun, 2)])
def test_samplers_have_their_order_on_a_gaussian(sampler, order):
    """Data N(0, s^2): x_sigma is Gaussian and the exact flow from sigma 1 to 0 multiplies x by s."""
    s = 0.5

    def velocity(x, sigma):
        variance = (1 - sigma) ** 2 * s**2 + sigma**2
        return x * (sigma - (1 - sigma) * s**2) / variance

    x = torch.ones(1, dtype=torch.float64)
    error = []
    for steps in (40, 80):
        *_, (end, _) = sampler(velocity, x, schedule(steps))
        error.append(abs(end.item() - s))
    assert math.log2(error[0] / error[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("sampler", [euler, heun])
def test_samplers_are_exact_on_a_straight_flow(sampler):
    x0, noise = torch.randn(4), torch.randn(4)
    *_, (end, estimate) = sampler(lambda x, sigma: noise - x0, noise, schedule(3))
    torch.testing.assert_close(end, x0)
    torch.testing.assert_close(estimate, x0)


def test_noise_of_a_cell_does_not_depend_on_the_grid():
    small, large = cell_noise(7, 2, 3, 4, 5), cell_noise(7, 3, 6, 4, 5)
    assert torch.equal(small, large[:2, :, :3])
    assert not torch.equal(small, cell_noise(8, 2, 3, 4, 5))
    cells = large.movedim(1, 2).reshape(18, -1)
    assert torch.corrcoef(cells).fill_diagonal_(0).abs().max() < 0.6  # 60 samples each, all cells differ
    assert cell_noise(-1, 1, 1, 64, 64).std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["off", "hard", "soft", "sequential", "fused"])
def test_known_cells_come_back_bit_exact_and_an_untrained_model_is_transport(model, grid, predictions, kind):
    out = sample_grid(model, grid, kind, steps=2, seed=3, predictions=None if kind == "soft" else predictions)
    assert torch.equal(out.frames[grid.known], grid.frames[grid.known])
    assert torch.equal(out.known, grid.known)
    torch.testing.assert_close(out.frames, predictions.blend, atol=1e-4, rtol=0)
    assert out.provenance["sync"] == kind and out.provenance["seed"] == 3


@pytest.fixture(scope="module")
def busy_model():
    """A model that does something: output weights that are not zero."""
    model = initialize_grid_model(GridModel(tiny(guess=False)), torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.base.head.out.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return model.requires_grad_(False)


@pytest.mark.slow
def test_same_seed_same_grid_and_inputs_stay_untouched(busy_model, grid):
    before = grid.frames.clone()
    first, again, other = (sample_grid(busy_model, grid, steps=2, seed=seed).frames for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(grid.frames, before)


def test_any_known_pattern_and_grid_shape(busy_model):
    known = torch.zeros(2, 7, dtype=torch.bool)
    known[1, 4] = True
    grid = FrameGrid(frames=torch.rand(2, 7, 10, 12, 3), known=known)
    out = sample_grid(busy_model, grid, steps=1)
    assert torch.equal(out.frames[1, 4], grid.frames[1, 4]) and out.frames.shape == grid.frames.shape


def test_a_little_denoising_stays_near_the_guess(busy_model, grid):
    guess = grid.replace(frames=torch.where(grid.known[..., None, None, None], grid.frames, 0.5))
    near, far = (sample_grid(busy_model, grid, steps=1, guess=guess, denoise=d, sampler="heun") for d in (0.02, 1.0))
    assert near.frames.shape == far.frames.shape
    with pytest.raises(ValueError, match="expected the guess to have the grid's size"):
        sample_grid(busy_model, grid, guess=FrameGrid(guess.frames[:2], guess.known[:2]))


def test_denoise_slides_from_the_guess_to_transport(model, grid, predictions):
    """Also with a model that corrects Transport: an own guess is kept at little denoising and forgotten at 1."""
    carried = transport_fill(grid)[0]
    guess = grid.replace(frames=torch.where(grid.known[..., None, None, None], grid.frames, 0.2))
    sampled = partial(sample_grid, model, grid, steps=2, predictions=predictions)
    distance = lambda d: (sampled(guess=guess, denoise=d).frames - guess.frames).abs().mean()
    far = (carried.frames - guess.frames).abs().mean()
    for denoise in (0.1, 0.5, 1.0):
        torch.testing.assert_close(distance(denoise), denoise * far, atol=1e-3, rtol=0)
    same = sampled(guess=carried, denoise=0.5)
    torch.testing.assert_close(same.frames, carried.frames, atol=1e-4, rtol=0)


def test_on_step_sees_every_step_and_may_cancel(busy_model, grid, predictions):
    seen = []
    sampled = partial(sample_grid, busy_model, grid, steps=3, predictions=predictions)
    sampled(on_step=lambda step, steps, x: seen.append((step, steps, tuple(x.shape))))
    assert seen == [(step, 3, (V, T, H, W, 3)) for step in (1, 2, 3)]

    def cancel(step, steps, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampled(on_step=cancel)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"sampler": "rk9"}, "unknown sampler 'rk9'"),
        ({"steps": 0}, "at least 1 sampling step"),
        ({"denoise": 0.0}, "denoise must be above 0"),
        ({"sync": "firm"}, "unknown synchronization 'firm'"),
    ],
)
def test_bad_numbers_get_a_sentence(busy_model, grid, predictions, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        sample_grid(busy_model, grid, predictions=predictions, **options)


def test_a_grid_without_known_cells_gets_a_sentence(busy_model, grid):
    with pytest.raises(ValueError, match="no known cell"):
        sample_grid(busy_model, grid.replace(known=torch.zeros(V, T, dtype=torch.bool)))
