"""The guess, the evidence in noisy pixels, and how the network's output becomes pixels."""

import pytest
import torch

from fourreal_core.flow import add_noise
from fourreal_core.model.channels import DISPLACEMENT_UNIT
from fourreal_core.model.prior import GREY_ERROR, MOST_ERRORS, SHARE_OF_NOISE, Prior, blend_variance, read_at

M, H, W = 2, 4, 6


def condition(time=0.5, view=-0.5):
    channels = torch.zeros(M, 22, H, W)
    channels[:, 4:7], channels[:, 7:10], channels[:, 10:12] = time, view, 0.5
    return channels


def test_evidence_vanishes_at_pure_noise_and_is_the_difference_without_noise():
    x0, noise = torch.rand(M, 3, H, W), torch.randn(M, 3, H, W)
    for sigma, expected in ((1.0, torch.zeros_like(x0)), (0.0, x0 - 0.2)):
        prior = Prior(add_noise(x0, noise, sigma), torch.full((M,), sigma), condition(0.2, 0.2))
        torch.testing.assert_close(prior.evidence, expected)


def test_evidence_is_the_best_linear_estimate():
    """Without a guess, where the evidence expects the whole error of grey: scaling it either way makes it worse."""
    generator = torch.Generator().manual_seed(0)
    x0 = GREY_ERROR * torch.randn(1, 3, 200, 200, generator=generator)
    x = add_noise(x0, torch.randn(x0.shape, generator=generator), 0.4)
    evidence = Prior(x, torch.tensor([0.4]), torch.zeros(1, 4, 200, 200)).evidence
    less, right, more = ((factor * evidence - x0).square().mean() for factor in (0.9, 1.0, 1.1))
    assert right < less and right < more


def test_evidence_expects_a_small_share_of_a_guesss_error():
    variance = SHARE_OF_NOISE * blend_variance(torch.tensor(0.5), torch.tensor(0.5)).item()
    prior = Prior(torch.full((M, 3, H, W), 0.3), torch.full((M,), 0.4), condition(0.2, 0.2))
    expected = 0.6 * variance / (0.36 * variance + 0.16) * (0.3 - 0.6 * 0.2)
    torch.testing.assert_close(prior.evidence, torch.full((M, 3, H, W), expected))


def test_the_blend_is_surer_than_either_prediction():
    half, low = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 1e-6)
    assert blend_variance(half, low).sqrt().item() == pytest.approx(0.1, rel=1e-3)
    assert blend_variance(half, half).item() == pytest.approx(0.1**2 / 2)
    assert blend_variance(low, low).item() == 1.0 and blend_variance(1 - low, low).sqrt().item() == pytest.approx(0.02)


def test_output_channels():
    x, sigma = torch.full((M, 3, H, W), 0.25), torch.full((M,), 0.5)
    prior = Prior(x, sigma, condition())
    out = torch.zeros(M, 11, H, W)
    torch.testing.assert_close(prior.clean_frames(out), torch.zeros(M, 3, H, W))  # the blend of 0.5 and -0.5
    out[:, 4] = 0.03
    torch.testing.assert_close(prior.clean_frames(out), torch.full((M, 3, H, W), 0.03))
    out[:, 3] = 2.0
    torch.testing.assert_close(prior.clean_frames(out), 0.03 + 2 * prior.evidence)


def test_a_prediction_can_be_read_from_elsewhere():
    """A ramp along x read from one pixel to the right, in a cell that was carried from two pixels to the left."""
    ramp = (torch.arange(W) / 10.0).expand(M, 3, H, W)
    channels = condition()
    channels[:, 4:7] = channels[:, 7:10] = read_at(
        ramp, torch.tensor([-2.0, 0.0])[None, :, None, None].expand(M, 2, H, W) / DISPLACEMENT_UNIT
    )
    channels[:, 12:15] = channels[:, 15:18] = ramp
    channels[:, 18] = channels[:, 20] = -2.0 / DISPLACEMENT_UNIT
    prior = Prior(torch.zeros(M, 3, H, W), torch.ones(M), channels)
    out = torch.zeros(M, 11, H, W)
    assert torch.equal(prior.clean_frames(out), prior.guess)
    out[:, 5] = out[:, 7] = 1.0 / DISPLACEMENT_UNIT
    torch.testing.assert_close(prior.clean_frames(out)[..., 2:], ramp[..., 1:-1])
    out[:, 7] = 0.0  # only along time: half of the blend moves
    torch.testing.assert_close(prior.clean_frames(out)[..., 2:], ramp[..., 1:-1] - 0.05)


def test_a_source_can_be_taken_as_it_is():
    channels = condition(0.1, 0.1)
    channels[:, 12:15], channels[:, 15:18] = 0.2, 0.0
    prior = Prior(torch.zeros(M, 3, H, W), torch.ones(M), channels)
    out = torch.zeros(M, 11, H, W)
    out[0, 9], out[1, 10] = 1.0, 0.5
    expected = torch.tensor([0.2, 0.05]).view(M, 1, 1, 1).expand(M, 3, H, W)
    torch.testing.assert_close(prior.clean_frames(out), expected)


def test_reading_without_displacement_gives_the_frame():
    frames = torch.rand(M, 3, H, W)
    torch.testing.assert_close(read_at(frames, torch.zeros(M, 2, H, W)), frames)
    down = read_at(frames, torch.tensor([0.0, 1.0])[None, :, None, None].expand(M, 2, H, W) / DISPLACEMENT_UNIT)
    torch.testing.assert_close(down[:, :, :-1], frames[:, :, 1:])


def test_a_correction_stays_within_the_expected_error():
    prior = Prior(torch.zeros(M, 3, H, W), torch.ones(M), condition(0.2, 0.2))
    limit = MOST_ERRORS * blend_variance(torch.tensor(0.5), torch.tensor(0.5)).sqrt().item()
    out = torch.zeros(M, 11, H, W)
    out[0, :3], out[1, :3] = 0.9, -0.9
    x0 = prior.clean_frames(out)
    assert x0[0].mean().item() == pytest.approx(0.2 + limit) and x0[1].mean().item() == pytest.approx(0.2 - limit)


def test_known_frames_are_themselves():
    known = condition()
    known[0, :3], known[0, 3] = 0.7, 1.0
    x0 = Prior(torch.randn(M, 3, H, W), torch.ones(M), known).clean_frames(torch.randn(M, 11, H, W))
    assert (x0[0] == 0.7).all() and (x0[1] != 0.7).all()


def test_without_a_guess_it_is_grey():
    prior = Prior(torch.randn(M, 3, H, W), torch.ones(M), torch.zeros(M, 4, H, W))
    assert not prior.clean_frames(torch.zeros(M, 4, H, W)).any() and prior.channels.shape[1] == 4
