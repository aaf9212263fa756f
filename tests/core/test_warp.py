"""What of a fill is shown and what is painted, and masks in the layouts of video models, by hand.

Letters: V = 2 views, T = 5 times, H = 16, W = 32; L latent frames, F = 4 frames per latent frame, 8 pixels per latent pixel.
"""

import pytest
import torch

from fourreal_core.sampling.latents import Codec
from fourreal_core.sampling.warp import (
    given_flags,
    painted_share,
    places_to_paint,
    share_report,
    shown_frames,
    tinted_frames,
    vace_mask,
)

V, T, H, W = 2, 5, 16, 32


def nothing(video):
    raise AssertionError("masks need no VAE")


CODEC = Codec(nothing, nothing, channels=16, frames_per_latent=4, pixels_per_latent=8)


@pytest.fixture
def known():
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    return known


@pytest.fixture
def confidence():
    """Sure everywhere but in a square of 4 x 4 pixels in one cell, and nowhere in another."""
    confidence = torch.full((V, T, H, W), 0.9)
    confidence[1, 2, 4:8, 10:14] = 0.2
    confidence[1, 4] = 0.0
    return confidence


def test_unsure_places_are_painted_and_known_cells_never(confidence, known):
    paint = places_to_paint(confidence, known, 0.5)
    assert paint[1, 2].sum() == 16 and paint[1, 2, 4:8, 10:14].all()
    assert paint[1, 4].all() and not paint[1, 1].any() and not paint[known].any()
    everything = places_to_paint(confidence, known, 1.0)
    assert everything[~known].all() and not everything[known].any()
    assert not places_to_paint(confidence, known, 0.0).any()
    assert not places_to_paint(torch.full_like(confidence, 0.5), known, 0.5).any()  # the threshold itself is enough


def test_a_margin_grows_what_is_painted_within_its_cell(confidence, known):
    paint = places_to_paint(confidence, known, 0.5, margin=2)
    assert paint[1, 2].sum() == 8 * 8 and paint[1, 2, 2:10, 8:16].all()
    assert not paint[1, 1].any() and not paint[1, 3].any()


@pytest.mark.parametrize("numbers", [{"threshold": 1.5}, {"threshold": -0.1}, {"threshold": 0.5, "margin": -1}])
def test_numbers_out_of_range_get_one_sentence(confidence, known, numbers):
    with pytest.raises(ValueError, match="expected"):
        places_to_paint(confidence, known, **numbers)


def test_the_share_of_each_cell_is_reported_before_anything_runs(confidence, known):
    paint = places_to_paint(confidence, known, 0.5)
    share = painted_share(paint)
    assert share[1, 2] == 16 / (H * W) and share[1, 4] == 1 and share.sum() == 1 + 16 / (H * W)
    lines = share_report(paint, known).split("\n")
    assert lines[0].startswith("26% of the unknown cells will be painted, 100% of the worst")
    assert lines[2:] == ["view 1   .   .   .   .   .", "view 2   .   0   3   0 100"]
    assert lines[1] == "time     1   2   3   4   5"


def test_the_model_is_shown_grey_where_it_paints(confidence, known):
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
    paint = places_to_paint(confidence, known, 0.5)
    shown, tinted = shown_frames(frames, paint), tinted_frames(frames, paint)
    assert (shown[paint] == 0.5).all() and torch.equal(shown[~paint], frames[~paint])
    assert torch.equal(tinted[~paint], frames[~paint]) and (tinted[paint] - frames[paint]).abs().mean() > 0.1


def test_vace_gets_the_pixels_of_a_latent_pixel_as_channels(confidence, known):
    paint = places_to_paint(confidence, known, 0.5)
    mask = vace_mask(paint, "frame", CODEC)
    assert mask.shape == (V, 64, T, 2, 4)
    assert mask[1, :, 2].sum() == 16
    # pixel (5, 11) is in latent pixel (0, 1), its pixel (5, 3): channel 5 * 8 + 3
    assert mask[1, 5 * 8 + 3, 2, 0, 1] == 1 and mask[1, 5 * 8 + 1, 2, 0, 1] == 0
    assert torch.equal(vace_mask(paint, "hold", CODEC), mask)


def test_native_latents_take_the_mask_of_their_nearest_frame(confidence, known):
    mask = vace_mask(places_to_paint(confidence, known, 0.5), "native", CODEC)
    assert mask.shape == (V, 64, 2, 2, 4)
    assert not mask[1, :, 0].any() and not mask[1, :, 1].any()  # of 5 frames the 2nd and the 4th
    every = places_to_paint(torch.zeros(V, T, H, W), known, 0.5)
    assert vace_mask(every, "native", CODEC)[1].all()


def test_image_to_video_weights_get_a_latent_pixel_only_where_all_of_it_is_given(confidence, known):
    flags = given_flags(places_to_paint(confidence, known, 0.5), "frame", CODEC)
    assert flags.shape == (V, 4, T, 2, 4)
    assert torch.equal(flags[1, :, 2], torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 0]]).expand(4, 2, 4))
    native = given_flags(places_to_paint(confidence, known, 0.5), "native", CODEC)
    assert native.shape == (V, 4, 2, 2, 4)
    assert not native[1, :, 0].any() and not native[1, 0, 1].any() and native[1, 3, 1].all()
    assert native[1, 1, 1].sum() == 1 and native[1, 1, 1, 0, 1] == 1  # frame 2 is the second of its latent frame


def test_sides_that_are_no_whole_tokens_are_padded(known):
    paint = torch.zeros(V, T, 12, 20, dtype=torch.bool)
    paint[1, 1, -1, -1] = True
    mask = vace_mask(paint, "frame", CODEC)
    assert mask.shape == (V, 64, T, 2, 3) and mask[1, :, 1].sum() == 5 * 5  # the last pixel, repeated to 16 x 24
