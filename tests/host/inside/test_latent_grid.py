"""Grids in and out of the host's own latent video models: its VAE and model classes, tiny and of random weights.

Letters: V = 3 views, T = 5 times, H = 16, W = 32; L latent frames of a view, C latent channels, F = 4 frames per latent frame.
"""

import json

import pytest
import tiny_backbones as tiny
import torch
from exchanging import exchanged
from latent_fixtures import (  # noqa: F401
    NODE,
    SAMPLING,
    SETTINGS,
    codec,
    condition,
    load_model,
    random_weights,
    sample,
    text,
    vae,
    videos,
    wan,
    wan_i2v,
)
from tiny_model_files import LTX_SIZES, LTX_VAE


def cell_difference(first_VCLhw, second_VCLhw):
    return (first_VCLhw - second_VCLhw).abs().amax((1, 3, 4))


@pytest.mark.parametrize(("encoding", "length"), [("hold", 5), ("frame", 5), ("native", 2)])
def test_known_cells_come_back_bit_exact_and_unknown_ones_from_the_sampler(
    comfy_inside, wan, vae, grid, condition, sample, encoding, length
):
    conditioned = condition(wan, encoding=encoding)
    latent = conditioned[2]
    assert latent["samples"].shape == (3, 16, length, 2, 4) and latent["noise_mask"].shape == (3, 1, length, 2, 4)
    sampled = sample(wan, conditioned)
    kept = (latent["noise_mask"] == 0).expand_as(latent["samples"])
    assert kept[0].all() and kept[:, :, 0].all() and not kept[1:, :, 1:].any()
    assert torch.allclose(sampled["samples"][kept], latent["samples"][kept], atol=1e-5)
    [filled] = comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known]) and torch.equal(filled.known, grid.known)
    assert (filled.frames[~grid.known].flatten(1).std(1) > 0).all() and filled.fps == grid.fps
    assert filled.provenance == {"encoding": encoding, "model": "WAN21"}


@pytest.mark.parametrize(("encoding", "seen"), [("frame", {2}), ("hold", {2, 3, 4}), ("native", {1})])
def test_latents_depend_on_cells_of_their_own_view_that_are_not_later(comfy_inside, codec, grid, encoding, seen):
    encode = comfy_inside.core("sampling.latents").encode_frames
    changed = grid.frames.clone()
    changed[1, 2] = 1 - changed[1, 2]
    difference = cell_difference(encode(changed, encoding, codec), encode(grid.frames, encoding, codec))
    assert {tuple(place) for place in (difference > 1e-6).nonzero().tolist()} == {(1, step) for step in seen}


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
def test_a_view_encoded_up_to_its_last_known_cell_has_the_same_latents(comfy_inside, codec, grid, encoding):
    encode = comfy_inside.core("sampling.latents").encode_frames
    whole, part = encode(grid.frames, encoding, codec), encode(grid.frames, encoding, codec, grid.known)
    assert torch.allclose(part[0], whole[0], atol=1e-6) and torch.allclose(part[:, :, 0], whole[:, :, 0], atol=1e-6)
    assert not part[1:, :, 1:].any()


def test_frame_encoding_exchanges_with_views_and_times(comfy_inside, codec, grid):
    encode = comfy_inside.core("sampling.latents").encode_frames
    swapped = encode(exchanged(grid).frames, "frame", codec)
    assert torch.equal(encode(grid.frames, "frame", codec).transpose(0, 2), swapped)
    held = encode(grid.frames, "hold", codec)
    assert torch.allclose(
        held[:, :, 0], encode(grid.frames, "frame", codec)[:, :, 0], atol=1e-6
    )  # first cells are equal


def test_the_vae_gets_one_video_at_a_time(comfy_inside, vae, wan, condition, grid, monkeypatch):
    shapes = []
    encode = vae.encode
    monkeypatch.setattr(vae, "encode", lambda video: shapes.append(tuple(video.shape)) or encode(video))
    condition(wan)
    assert shapes == [(17, 16, 32, 3), (1, 16, 32, 3), (1, 16, 32, 3)]
    condition(wan, encoding="frame")
    assert shapes[3:] == [(1, 16, 32, 3)] * 7


def test_a_guess_at_half_denoise_stays_nearer_than_at_full(comfy_inside, wan, condition, sample, grid):
    [guess] = comfy_inside.call("FourRealTransportFill", grid=grid)[:1]
    conditioned = condition(wan, guess=guess)
    [even] = comfy_inside.call("ModelSamplingSD3", model=wan, shift=1.0)  # half the steps are half of the noise
    start = conditioned[2]["samples"]
    free = (conditioned[2]["noise_mask"] > 0).expand_as(start)
    near, far, none = (
        (sample(even, conditioned, steps=8, denoise=denoise)["samples"] - start)[free].abs().mean()
        for denoise in (0.5, 1.0, 0.0)
    )
    assert none < 1e-5 and near < 0.7 * far


def test_confidence_sets_how_strongly_each_cell_is_redone(comfy_inside, wan, condition, sample, grid):
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

    guess = comfy_inside.call("FourRealTransportFill", grid=grid)[0]
    confidence = torch.zeros(15, 16, 32, 3)
    confidence.unflatten(0, (3, 5))[1], confidence.unflatten(0, (3, 5))[2, :, :8] = 0.5, 1.0
    conditioned = condition(wan, guess=guess, confidence=confidence)
    mask, start = conditioned[2]["noise_mask"], conditioned[2]["samples"]
    assert torch.allclose(mask[1, 0, 1:], torch.tensor(0.6)) and not mask[0].any() and not mask[:, :, 0].any()
    assert torch.allclose(mask[2, 0, 1:, 0], torch.tensor(0.2)) and torch.equal(mask[2, 0, 1:, 1], torch.ones(4, 4))
    model = DifferentialDiffusion.execute(wan)[0]
    sampled = sample(model, conditioned, steps=10)["samples"]
    changed = (sampled - start).abs().mean(1)
    assert changed[2, 1:, 0].mean() < changed[1, 1:].mean() < changed[2, 1:, 1].mean()


def test_text_to_4d_starts_without_any_known_cell(comfy_inside, wan, vae, condition, sample, monkeypatch):
    [empty] = comfy_inside.call("FourRealEmptyGrid", views=3, times=5, width=32, height=16, fps=6.0)
    with monkeypatch.context() as patch:
        patch.setattr(vae, "encode", None)  # there is nothing to encode
        conditioned = condition(wan, grid=empty)
    assert torch.equal(conditioned[2]["noise_mask"], torch.ones(3, 1, 5, 2, 4))
    [filled] = comfy_inside.call("FourRealGridDecode", latent=sample(wan, conditioned), vae=vae)
    assert filled.frames.shape == (3, 5, 16, 32, 3) and not filled.known.any() and filled.frames.std() > 0


class GivenText:
    """A node that gives a prompt without a text encoder."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "encode", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def encode(self):
        return (tiny.text(),)


def test_text_to_4d_as_a_workflow(comfy_inside, wan, vae, monkeypatch):
    from safetensors.torch import save_file

    models = comfy_inside.base / "models"
    for folder, name, weights in (
        ("diffusion_models", "wan", wan.model.diffusion_model.state_dict()),
        ("vae", "wan_vae", vae.get_sd()),
    ):
        (models / folder).mkdir(exist_ok=True)
        sizes = {"text_dim": tiny.TEXT_WIDTH, "freq_dim": 16, "num_heads": 2}
        save_file(
            dict(weights), models / folder / f"tiny_{name}.safetensors", {"config": json.dumps({"transformer": sizes})}
        )
    monkeypatch.setitem(comfy_inside.node_classes, "GivenText", GivenText)
    streams = {"sync": "hard", "strength": 1.0, "output": "mean"}
    conditioning = {
        "model": ["streams", 0],
        "vae": ["vae", 0],
        "positive": ["text", 0],
        "negative": ["text", 0],
        "grid": ["grid", 0],
    }
    samplers = {"positive": ["conditioning", 0], "negative": ["conditioning", 1], "latent_image": ["conditioning", 2]}
    nodes = {
        "model": ("UNETLoader", {"unet_name": "tiny_wan.safetensors", "weight_dtype": "default"}),
        "vae": ("VAELoader", {"vae_name": "tiny_wan_vae.safetensors"}),
        "text": ("GivenText", {}),
        "streams": ("FourRealTwoStream", {"model": ["model", 0], **streams}),
        "grid": ("FourRealEmptyGrid", {"views": 3, "times": 5, "width": 32, "height": 16, "fps": 6.0}),
        "conditioning": (NODE, {**conditioning, **SETTINGS, "positive_view": ["text", 0]}),
        "sampler": ("KSampler", {"model": ["streams", 0], **samplers, **SAMPLING}),
        "decode": ("FourRealGridDecode", {"latent": ["sampler", 0], "vae": ["vae", 0]}),
        "sheet": ("FourRealContactSheet", {"grid": ["decode", 0], "max_side": 256, "mark_known": True, "gap": 2}),
        "save": ("PreviewImage", {"images": ["sheet", 0]}),
    }
    prompt = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    assert len(comfy_inside.run(prompt)["save"]["images"]) == 1


@pytest.mark.parametrize("tiled", [False, True])
def test_sides_that_are_no_whole_latents_are_padded_and_cropped(
    comfy_inside, wan, vae, videos, condition, sample, tiled
):
    odd = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:, :15, :21], videos[1][:, :15, :21])
    conditioned = condition(wan, grid=odd, tiled=tiled)
    assert conditioned[2]["samples"].shape == (3, 16, 5, 2, 4)
    sampled = sample(wan, conditioned)
    filled, whole = (
        comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae, tiled=given)[0] for given in (tiled, False)
    )
    assert filled.frames.shape == (3, 5, 15, 21, 3) and torch.equal(filled.frames[odd.known], odd.frames[odd.known])
    assert torch.allclose(filled.frames, whole.frames, atol=1e-5)  # one tile is the whole picture


def test_inputs_are_not_written_to(comfy_inside, wan_i2v, vae, text, grid, condition, sample):
    guess, confidence, _ = comfy_inside.call("FourRealTransportFill", grid=grid)
    given = {"guess": guess, "confidence": confidence, "positive_view": text["view"]}
    frames, sure = (grid.frames.clone(), guess.frames.clone()), confidence.clone()
    first = condition(wan_i2v, **given)
    latents = {name: first[2][name].clone() for name in ("samples", "noise_mask")}
    image = first[0][0][1]["concat_latent_image"].clone()
    sampled = sample(wan_i2v, first)
    comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae)
    assert (
        torch.equal(grid.frames, frames[0]) and torch.equal(guess.frames, frames[1]) and torch.equal(confidence, sure)
    )
    assert all(torch.equal(first[2][name], latents[name]) for name in latents)
    assert torch.equal(first[0][0][1]["concat_latent_image"], image) and text["positive"][0][1] == {}
    assert torch.equal(sample(wan_i2v, first)["samples"], sampled["samples"])


def test_a_saved_latent_needs_its_grid_and_its_encoding(comfy_inside, wan, vae, grid, condition):
    saved = {
        "samples": condition(wan, guess=grid)[2]["samples"]
    }  # what is left after the host's Save Latent and Load Latent
    [decoded] = comfy_inside.call("FourRealGridDecode", latent=saved, vae=vae, grid=grid, encoding="hold")
    assert torch.equal(decoded.frames[grid.known], grid.frames[grid.known])
    with pytest.raises(ValueError, match="choose the encoding that it was made with, hold, frame, native"):
        comfy_inside.call("FourRealGridDecode", latent=saved, vae=vae, grid=grid)
    with pytest.raises(ValueError, match="the conditioning grid must be connected"):
        comfy_inside.call("FourRealGridDecode", latent=saved, vae=vae, encoding="hold")


def test_cancelling_stops_between_two_pieces(comfy_inside, wan, condition, monkeypatch):
    import comfy.model_management
    import comfy.utils

    values = []

    def cancel_at_2(value, total, preview, node_id=None):
        values.append(value)
        if value == 2:
            comfy.model_management.interrupt_current_processing()

    with monkeypatch.context() as patch, pytest.raises(comfy.model_management.InterruptProcessingException):
        patch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
        patch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", cancel_at_2)
        condition(wan, encoding="frame")
    assert values[-1] == 2
    condition(wan)


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
def test_ltx_latents_go_through_two_streams_as_well(comfy_inside, condition, sample, encoding):
    import comfy.ldm.lightricks.model
    import comfy.ldm.lightricks.vae.causal_video_autoencoder as ltx
    import comfy.ops
    import comfy.sd

    vae = comfy.sd.VAE(
        sd=random_weights(ltx.VideoVAE(config=LTX_VAE)), metadata={"config": json.dumps({"vae": LTX_VAE})}
    )
    made = comfy.ldm.lightricks.model.LTXVModel(
        **LTX_SIZES, operations=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    model = load_model(made, LTX_SIZES)
    times = 9 if encoding == "native" else 3
    generator = torch.Generator().manual_seed(2)
    videos = torch.rand(times, 64, 96, 3, generator=generator), torch.rand(2, 64, 96, 3, generator=generator)
    grid = comfy_inside.core("grid").FrameGrid.from_videos(*videos)
    encode, codec = comfy_inside.core("sampling.latents").encode_frames, comfy_inside.pack_host("vae").vae_codec(vae)
    changed = grid.frames.clone()
    changed[0, -1] = 1 - changed[0, -1]
    difference = cell_difference(encode(changed, encoding, codec), encode(grid.frames, encoding, codec))
    assert not difference[1].any() and not difference[0, :-1].any() and difference[0, -1] > 0  # no looking ahead
    [model] = comfy_inside.call("FourRealTwoStream", model=model, sync="hard", strength=1.0, output="mean")
    told, view = (
        tiny.text(length, length=length, attention_mask=torch.ones(1, length, dtype=torch.long)) for length in (6, 9)
    )
    conditioned = condition(
        model,
        vae=vae,
        grid=grid,
        encoding=encoding,
        positive=told,
        negative=told,
        positive_view=view,
        negative_view=view,
    )
    latent = conditioned[2]
    assert latent["samples"].shape == (2, 128, 2 if encoding == "native" else 3, 2, 3)
    sampled = sample(model, conditioned)
    assert torch.allclose(sampled["samples"][0], latent["samples"][0], atol=1e-5)
    [filled] = comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known]) and filled.frames[~grid.known].std() > 0


def refused(condition, wan, **changes):
    with pytest.raises(ValueError) as problem:
        condition(wan, **changes)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_times_that_do_not_fit_get_the_nearest_that_do(comfy_inside, wan, condition, videos):
    grid = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:4], videos[1])
    assert "got 4: use 1 or 5 times, or the encoding hold or frame" in refused(
        condition, wan, grid=grid, encoding="native"
    )


def test_inputs_that_do_not_belong_together_get_one_clear_sentence(
    comfy_inside, wan, condition, grid, text, tiny_model
):
    other = comfy_inside.core("grid").FrameGrid.from_views(grid.frames[:2])
    assert "5 times of 32x16 pixels, got 2 views" in refused(condition, wan, guess=other)
    sure = torch.ones(14, 16, 32, 3)
    assert "one confidence image per cell, 15 of 32x16" in refused(condition, wan, guess=grid, confidence=sure)
    assert "connect both outputs of one 4Real Fill" in refused(condition, wan, confidence=sure)
    assert "connect it to guess and a 4Real Empty Grid" in refused(condition, wan, grid=other)
    three = text["view"] * 3
    assert "one entry, or 1 like the other one, got 3" in refused(condition, wan, positive_view=three)
    ours = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]
    assert "got a 4Real model, which works on pixels: use 4Real Grid Conditioning" in refused(condition, ours)


def test_a_vae_of_another_model_gets_one_clear_sentence(wan, condition, vae, monkeypatch):
    import comfy.sd

    image_vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    assert "expected the VAE of a video model" in refused(condition, wan, vae=image_vae)
    with monkeypatch.context() as patch:
        patch.setattr(vae, "latent_channels", 48)
        assert "with 16 latent channels, got one with 48" in refused(condition, wan)
    monkeypatch.setattr(vae, "upscale_ratio", (lambda frames: frames * 3, 8, 8))
    assert "not supported" in refused(condition, wan)


def test_decoding_without_the_vae_or_with_another_grid_gets_one_clear_sentence(
    comfy_inside, wan, vae, condition, videos
):
    latent = condition(wan)[2]
    with pytest.raises(ValueError, match="connect the VAE of 4Real Latent Grid Conditioning to vae"):
        comfy_inside.call("FourRealGridDecode", latent=latent)
    other = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:4], videos[1])
    with pytest.raises(ValueError, match=r"expected a latent of shape \(3, 16, 4, 2, 4\)"):
        comfy_inside.call("FourRealGridDecode", latent=latent, vae=vae, grid=other)
    broken = {**latent, "samples": latent["samples"] * float("nan")}
    with pytest.raises(ValueError, match="not finite"):
        comfy_inside.call("FourRealGridDecode", latent=broken, vae=vae)
