"""Warp and paint: what of a fill the host's video models are shown, in the layouts of the host's own nodes.

Letters: V = 3 views, T = 5 times, H = 16, W = 32; L latent frames of a view, C latent channels, F = 4 frames per latent frame.
"""

import pytest
import tiny_backbones as tiny
import torch
from exchanging import exchanged
from latent_fixtures import codec, condition, sample, text, vae, videos, wan, wan_i2v, wan_vace, watched  # noqa: F401

HELD = torch.tensor([1, 4, 4, 4, 4])  # frames of the video that `hold` makes of five cells


@pytest.fixture
def filled(comfy_inside, grid):
    """(guess, confidence) of 4Real Fill."""
    guess, confidence, _ = comfy_inside.call("FourRealTransportFill", grid=grid)
    return guess, confidence


@pytest.fixture
def warp(comfy_inside, filled):
    """(paint [V T, H, W], shown [V T, H, W, 3], report) of 4Real Warp, with something to paint and something to keep in each view."""
    guess, confidence = filled
    unsure = confidence.clone()
    unsure[:, :, 20:] = 0.1
    unsure[-2] = 0.9
    paint, shown, report = comfy_inside.call("FourRealWarp", grid=guess, confidence=unsure, threshold=0.3, margin=1)
    unknown = ~guess.known.flatten()
    assert 0.1 < paint[unknown].mean() < 0.9 and not paint[~unknown].any()
    return paint, shown, report


@pytest.fixture
def fun_control(comfy_inside):
    """As Wan 2.1 Fun-Control: 16 channels of noise, 16 of control, 16 of start image."""
    return tiny.wan(layers=1, in_dim=48)


@pytest.fixture
def fun_control_22(comfy_inside):
    """As Wan 2.2 Fun-Control: 4 channels of mask more."""
    return tiny.wan(layers=1, in_dim=52)


def of_view(images, view, encoding="native"):
    """The cells of a view as the video that the VAE sees."""
    cells = images.unflatten(0, (3, 5))[view]
    return cells.repeat_interleave(HELD, 0) if encoding == "hold" else cells


@pytest.mark.parametrize("encoding", ["native", "hold"])
def test_vace_sees_what_the_hosts_own_node_makes_of_the_same_video_and_mask(
    wan_vace, vae, condition, filled, warp, text, encoding
):
    from comfy_extras.nodes_wan import WanVaceToVideo

    paint, shown, _ = warp
    ours = condition(wan_vace, guess=filled[0], paint=paint, encoding=encoding, vace_strength=0.75)[0][0][1]
    for view in range(3):
        control, mask = of_view(shown, view, encoding), of_view(paint, view, encoding)
        positive, _, _, _ = WanVaceToVideo.execute(
            text["positive"], text["negative"], vae, 32, 16, len(control), 1, 0.75, control_video=control, control_masks=mask
        ).result  # fmt: skip
        host = positive[0][1]
        assert torch.allclose(ours["vace_frames"][0][view : view + 1], host["vace_frames"][0], atol=1e-4)
        assert ours["vace_strength"] == host["vace_strength"]
        if encoding == "native":
            assert torch.equal(ours["vace_mask"][0][view : view + 1], host["vace_mask"][0])
    if encoding == "hold":  # the host takes each latent frame's mask from a frame beside it; here it is the cell's own
        cells = paint.unflatten(0, (3, 5)).unflatten(2, (2, 8)).unflatten(4, (4, 8))
        assert torch.equal(ours["vace_mask"][0], cells.permute(0, 3, 5, 1, 2, 4).flatten(1, 2))


def test_the_view_stream_sees_the_same_layout_of_the_exchanged_grid(wan_vace, condition, filled, warp):
    guess, paint = filled[0], warp[0]
    turned_paint = paint.unflatten(0, (3, 5)).transpose(0, 1).flatten(0, 1)
    over_time = condition(wan_vace, guess=guess, paint=paint, encoding="frame")[0][0][1]
    over_views = condition(
        wan_vace, grid=exchanged(guess), guess=exchanged(guess), paint=turned_paint, encoding="frame"
    )[0][0][1]
    for name in ("vace_frames", "vace_mask"):
        assert torch.equal(over_time[name][0].transpose(0, 2), over_views[name][0])


def test_image_to_video_weights_see_what_the_hosts_fun_inp_node_makes(wan_i2v, vae, condition, filled, grid, text):
    """First and last frame given, the rest painted."""
    from comfy_extras.nodes_wan import WanFunInpaintToVideo

    guess = filled[0]
    paint = torch.ones(3, 5, 16, 32)
    paint[:, -1] = 0
    ours = condition(wan_i2v, guess=guess, paint=paint.flatten(0, 1), encoding="native")[0][0][1]
    for view in (1, 2):
        host = WanFunInpaintToVideo.execute(
            text["positive"], text["negative"], vae, 32, 16, 5, 1, start_image=guess.frames[view, :1], end_image=guess.frames[view, -1:]
        ).result[0][0][1]  # fmt: skip
        assert torch.allclose(ours["concat_latent_image"][view : view + 1], host["concat_latent_image"], atol=1e-4)
        assert torch.equal(ours["concat_mask"][view : view + 1], host["concat_mask"])
    assert not ours["concat_mask"][0].any()


def test_image_to_video_weights_see_holes_as_grey_and_masked(wan_i2v, vae, condition, sample, filled, warp):
    paint, shown, _ = warp
    conditioned = condition(wan_i2v, guess=filled[0], paint=paint, encoding="hold")
    model, calls = watched(wan_i2v)
    sample(model, conditioned, steps=1)
    x = calls[0][0][:3]
    expected = wan_i2v.model.process_latent_in(vae.encode(of_view(shown, 1, "hold")))
    assert torch.allclose(x[1:2, 20:], expected, atol=1e-4)
    given = 1 - torch.nn.functional.max_pool2d(paint[:, None], 8)[:, 0].unflatten(0, (3, 5))
    assert torch.equal(x[:, 16:20], given[:, None].expand(-1, 4, -1, -1, -1))


@pytest.mark.parametrize("name", ["fun_control", "fun_control_22"])
def test_fun_control_sees_what_the_hosts_own_nodes_make(request, vae, condition, filled, warp, text, name):
    from comfy_extras.nodes_wan import Wan22FunControlToVideo, WanFunControlToVideo

    model, (paint, shown, _) = request.getfixturevalue(name), warp
    ours = condition(model, guess=filled[0], paint=paint, encoding="native")[0][0][1]
    node = WanFunControlToVideo if name == "fun_control" else Wan22FunControlToVideo
    for view in (1, 2):
        host = node.execute(
            text["positive"], text["negative"], vae, 32, 16, 5, 1, start_image=filled[0].frames[view, :1], control_video=of_view(shown, view)
        ).result[0][0][1]  # fmt: skip
        assert torch.allclose(ours["concat_latent_image"][view : view + 1], host["concat_latent_image"], atol=1e-4)
        if name == "fun_control_22":
            assert torch.equal(ours["concat_mask"][view : view + 1], host["concat_mask"])
            assert ours["concat_mask_index"] == host["concat_mask_index"]
        else:
            assert "concat_mask" not in ours and "concat_mask" not in host


def test_without_paint_fun_control_has_start_images_and_no_control(fun_control, condition, filled):
    told = condition(fun_control, encoding="frame")[0][0][1]["concat_latent_image"]
    nothing = fun_control.model.process_latent_out(torch.zeros(1, 16, 1, 1, 1))
    assert torch.equal(told[:, :16], nothing.expand_as(told[:, :16]))
    assert torch.equal(told[1:, 16:, 1:], nothing.expand_as(told[1:, 16:, 1:]))
    assert (told[1:, 16:, 0] - nothing[:, :, 0]).abs().mean() > 0.01


def test_other_weights_hold_what_is_sure_as_ltxvs_guides_do(wan, condition, filled, comfy_inside):
    """A whole cell that is shown is held with a mask of 1 - hold_back, as a guide of that strength; what is painted is free."""
    from comfy_extras.nodes_lt import LTXVAddGuide

    paint = torch.ones(3, 5, 16, 32)
    paint[1, 2] = 0
    _, _, ours = condition(wan, guess=filled[0], paint=paint.flatten(0, 1), encoding="frame", hold_back=0.75)
    free = torch.ones(1, 1, 5, 2, 4)
    free[:, :, 0] = 0
    samples = ours["samples"][1:2]
    latent, mask = LTXVAddGuide.replace_latent_frames(samples, free, samples[:, :, 2:3], 2, 0.75)
    assert torch.equal(ours["noise_mask"][1:2], mask) and torch.equal(samples, latent)


def test_known_cells_stay_exact_whatever_is_painted(
    comfy_inside, request, two_streams, vae, condition, sample, filled, warp, grid
):
    for name in ("wan", "wan_i2v", "wan_vace", "fun_control", "fun_control_22"):
        for sync in ("hard", "alternating"):
            model = two_streams(request.getfixturevalue(name), sync=sync)
            plain = condition(model, guess=filled[0])
            painted = condition(model, guess=filled[0], paint=warp[0])
            results = [sample(model, given, steps=2) for given in (plain, painted)]
            assert (
                results[0]["samples"] - results[1]["samples"]
            ).abs().max() > 1e-3  # the model hears what it is shown
            [decoded] = comfy_inside.call("FourRealGridDecode", latent=results[1], vae=vae)
            assert torch.equal(decoded.frames[grid.known], grid.frames[grid.known])


def test_4real_warp_shows_and_tells_before_anything_is_sampled(comfy_inside, filled):
    guess, confidence = filled
    before = guess.frames.clone(), confidence.clone()
    paint, shown, report = comfy_inside.call("FourRealWarp", grid=guess, confidence=confidence, threshold=1.0, margin=0)
    assert paint.shape == (15, 16, 32) and shown.shape == (15, 16, 32, 3)
    assert torch.equal(shown[paint == 0], guess.frames.flatten(0, 1)[paint == 0]) and (shown[paint == 1] == 0.5).all()
    assert report.count("\n") == 4 and "% of the unknown cells will be painted" in report
    assert torch.equal(guess.frames, before[0]) and torch.equal(confidence, before[1])
    nothing, _, _ = comfy_inside.call("FourRealWarp", grid=guess, confidence=confidence, threshold=0.0, margin=0)
    assert not nothing.any()


def test_bad_input_gets_one_sentence(comfy_inside, wan, condition, filled, warp):
    guess, confidence = filled
    with pytest.raises(ValueError, match="expected the guess that the paint belongs to, got none"):
        condition(wan, paint=warp[0])
    with pytest.raises(ValueError, match="expected one paint mask per cell, 15 of 32x16 pixels"):
        condition(wan, guess=guess, paint=warp[0][:7])
    with pytest.raises(ValueError, match="expected one confidence image per cell"):
        comfy_inside.call("FourRealWarp", grid=guess, confidence=confidence[:4], threshold=0.5, margin=0)
