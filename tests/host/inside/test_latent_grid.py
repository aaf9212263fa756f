"""Grids in and out of the host's own latent video models: its VAE and model classes, tiny and of random weights.

Letters: V = 3 views, T = 5 times, H = 16, W = 32; L latent frames of a view, C latent channels, F = 4 frames per latent frame.
"""

import json

import pytest
import torch

NODE = "FourRealLatentGridConditioning"
SETTINGS = {"encoding": "hold", "known_cells": "auto", "hold_back": 0.8, "vace_strength": 1.0, "tiled": False}
SAMPLING = {"seed": 3, "steps": 4, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
WIDTHS = {"dim": 48, "ffn_dim": 32, "num_heads": 2, "num_layers": 1, "text_dim": 8, "freq_dim": 16}
LTX_WIDTHS = {"cross_attention_dim": 32, "attention_head_dim": 16, "num_attention_heads": 2, "caption_channels": 8, "num_layers": 1}
LTX_BLOCKS = [["compress_all", 1], ["compress_all", 1], ["compress_all", 1]]
LTX_VAE = {
    "dims": 3, "latent_channels": 128, "encoder_blocks": LTX_BLOCKS, "decoder_blocks": [*LTX_BLOCKS, ["res_x", 1]], "patch_size": 4,
    "norm_layer": "pixel_norm", "latent_log_var": "uniform", "causal_decoder": False, "encoder_base_channels": 8, "decoder_base_channels": 8,
}  # fmt: skip


def random_weights(module, seed=0):
    """The host makes modules without filling them."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, weight in module.state_dict().items():
        inputs = weight[0].numel() if weight.ndim > 1 else 4
        scale = torch.randn(weight.shape, generator=generator) / max(inputs, 4) ** 0.5
        weights[name] = torch.ones_like(weight) if name.endswith(("gamma", "std-of-means")) else scale
    return weights


def load_model(made, widths):
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(random_weights(made), metadata={"config": json.dumps({"transformer": widths})})


def load_wan(name, **sizes):
    import comfy.ldm.wan.model
    import comfy.ops

    kind = "vace" if name == "VaceWanModel" else "t2v"
    made = getattr(comfy.ldm.wan.model, name)(
        model_type=kind, out_dim=16, **WIDTHS, **sizes, operations=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    return load_model(made, WIDTHS)


@pytest.fixture(scope="module")
def vae(comfy_inside):
    """Wan 2.1's class: 4 frames and 8 pixels per latent, 16 channels."""
    import comfy.ldm.wan.vae
    import comfy.sd

    sizes = {"dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [], "temperal_downsample": [False, True, True]}
    return comfy.sd.VAE(sd=random_weights(comfy.ldm.wan.vae.WanVAE(dim=4, z_dim=16, **sizes)))


@pytest.fixture(scope="module")
def codec(comfy_inside, vae):
    return comfy_inside.pack_nodes("latent_vae").vae_codec(vae)


@pytest.fixture(scope="module")
def wan(comfy_inside):
    return load_wan("WanModel", in_dim=16)


@pytest.fixture(scope="module")
def wan_i2v(comfy_inside):
    """As Wan 2.2 14B image-to-video and Fun-InP: 16 channels of noise, 4 of mask, 16 of image."""
    return load_wan("WanModel", in_dim=36)


@pytest.fixture(scope="module")
def wan_vace(comfy_inside):
    return load_wan("VaceWanModel", in_dim=16, vace_layers=1, vace_in_dim=96)


@pytest.fixture
def videos():
    """A fixed-view video [5, 16, 32, 3] and a freeze-time video [3, 16, 32, 3] that share their first frame."""
    picture = torch.rand(16, 44, 3, generator=torch.Generator().manual_seed(0))
    fixed_view = torch.stack([picture[:, time : time + 32] for time in range(5)])
    return fixed_view, torch.stack([picture[:, 2 * view : 2 * view + 32] for view in range(3)])


@pytest.fixture
def text():
    generator = torch.Generator().manual_seed(1)
    return {name: [[torch.randn(1, 7, 8, generator=generator), {}]] for name in ("positive", "negative", "view")}


@pytest.fixture
def condition(comfy_inside, vae, text, grid):
    """4Real Latent Grid Conditioning with the usual inputs; any of them can be given differently."""

    def call(model, **changes):
        usual = {"vae": vae, "grid": grid, "positive": text["positive"], "negative": text["negative"], **SETTINGS}
        return comfy_inside.call(NODE, model=model, **(usual | changes))

    return call


@pytest.fixture
def sample(comfy_inside):
    def call(model, conditioned, **changes):
        positive, negative, latent = conditioned
        inputs = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        return comfy_inside.call("KSampler", **inputs, **(SAMPLING | changes))[0]

    return call


def watched(model):
    """A clone of a MODEL, and the list of (x, timestep, other arguments) that its network will be called with."""
    from comfy.patcher_extension import WrappersMP

    calls, clone = [], model.clone()

    def watch(executor, x, timestep, *args, **kwargs):
        calls.append((x.clone(), timestep.clone(), kwargs))
        return executor(x, timestep, *args, **kwargs)

    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", watch)
    return clone, calls


def cell_difference(first_VCLhw, second_VCLhw):
    return (first_VCLhw - second_VCLhw).abs().amax((1, 3, 4))


@pytest.mark.parametrize(("encoding", "length"), [("hold", 5), ("frame", 5), ("native", 2)])
def test_known_cells_come_back_bit_exact_and_unknown_ones_from_the_sampler(comfy_inside, wan, vae, grid, condition, sample, encoding, length):
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
    encode = comfy_inside.core("latents").encode_frames
    changed = grid.frames.clone()
    changed[1, 2] = 1 - changed[1, 2]
    difference = cell_difference(encode(changed, encoding, codec), encode(grid.frames, encoding, codec))
    assert {tuple(place) for place in (difference > 1e-6).nonzero().tolist()} == {(1, step) for step in seen}


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
def test_a_view_encoded_up_to_its_last_known_cell_has_the_same_latents(comfy_inside, codec, grid, encoding):
    encode = comfy_inside.core("latents").encode_frames
    whole, part = encode(grid.frames, encoding, codec), encode(grid.frames, encoding, codec, grid.known)
    assert torch.allclose(part[0], whole[0], atol=1e-6) and torch.allclose(part[:, :, 0], whole[:, :, 0], atol=1e-6)
    assert not part[1:, :, 1:].any()


def test_frame_encoding_exchanges_with_views_and_times(comfy_inside, codec, grid):
    encode = comfy_inside.core("latents").encode_frames
    exchanged = encode(grid.swapped().frames, "frame", codec)
    assert torch.equal(encode(grid.frames, "frame", codec).transpose(0, 2), exchanged)
    held = encode(grid.frames, "hold", codec)
    assert torch.allclose(held[:, :, 0], encode(grid.frames, "frame", codec)[:, :, 0], atol=1e-6)  # first cells are equal


def test_the_vae_gets_one_video_at_a_time(comfy_inside, vae, wan, condition, grid, monkeypatch):
    shapes = []
    encode = vae.encode
    monkeypatch.setattr(vae, "encode", lambda video: shapes.append(tuple(video.shape)) or encode(video))
    condition(wan)
    assert shapes == [(17, 16, 32, 3), (1, 16, 32, 3), (1, 16, 32, 3)]
    condition(wan, encoding="frame")
    assert shapes[3:] == [(1, 16, 32, 3)] * 7


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
def test_image_to_video_weights_see_the_known_cells_in_both_streams_layouts(wan_i2v, vae, condition, sample, grid, encoding):
    conditioned = condition(wan_i2v, encoding=encoding)
    model, calls = watched(wan_i2v)
    sample(model, conditioned, steps=1)
    x, _, _ = calls[0]
    length = 2 if encoding == "native" else 5
    assert x.shape == (6, 36, length, 2, 4)  # negative and positive, 3 views each
    assert torch.equal(x[:3, 16:], x[3:, 16:])
    given_VFL = x[:3, 16:20].mean((3, 4))
    assert torch.equal(given_VFL[0], torch.ones(4, length))
    first = torch.zeros(4, length)
    first[:, 0] = 1  # the host shows a first frame as 4 given frames, and so do we
    assert torch.equal(given_VFL[1], first) and torch.equal(given_VFL[2], first)
    video = grid.frames[1].clone()
    video[1:] = 0.5
    repeats = torch.tensor([1] + [4] * 4)
    if encoding == "frame":
        expected = torch.cat([vae.encode(cell[None]) for cell in video], 2)
    else:
        expected = vae.encode(video.repeat_interleave(repeats, 0) if encoding == "hold" else video)
    assert torch.allclose(x[1:2, 20:], wan_i2v.model.process_latent_in(expected), atol=1e-5)


def test_image_to_video_input_of_the_view_stream_is_that_of_the_exchanged_grid(wan_i2v, condition, sample, grid):
    seen = []
    for given in (grid, grid.swapped()):
        model, calls = watched(wan_i2v)
        sample(model, condition(wan_i2v, grid=given, encoding="frame"), steps=1)
        seen.append(calls[0][0][: given.views, 16:])
    assert torch.equal(seen[0].transpose(0, 2), seen[1])


def test_vace_weights_see_known_frames_grey_and_the_mask(wan_vace, vae, condition, sample, grid):
    conditioned = condition(wan_vace, vace_strength=0.75)
    model, calls = watched(wan_vace)
    sample(model, conditioned, steps=1)
    context = calls[0][2]["vace_context"]
    assert context.shape == (6, 1, 96, 5, 2, 4) and calls[0][2]["vace_strength"] == [0.75]
    inactive, reactive, mask = context[:3, 0, :16], context[:3, 0, 16:32], context[:3, 0, 32:]
    video = grid.frames[1, :1].repeat_interleave(17, 0)
    video[1:] = 0.5
    process = wan_vace.model.process_latent_in
    assert torch.allclose(inactive[1:2], process(vae.encode(video)), atol=1e-5)
    assert torch.allclose(reactive[2:], process(vae.encode(torch.full_like(video, 0.5))), atol=1e-5)
    assert torch.equal(mask, (~grid.known).float()[:, None, :, None, None].expand(-1, 64, -1, 2, 4))


def test_vace_masks_of_native_latents_are_as_the_host_makes_them(wan_vace, condition):
    positive, _, _ = condition(wan_vace, encoding="native")
    mask = positive[0][1]["vace_mask"][0]
    assert mask.shape == (3, 64, 2, 2, 4)
    assert not mask[0].any() and mask[1].all()  # nearest of 5 frames for 2 latents: frames 1 and 3


def test_the_choice_overrides_what_the_weights_want(wan_i2v, condition):
    positive, _, _ = condition(wan_i2v, known_cells="noise mask only")
    assert "concat_latent_image" not in positive[0][1]
    assert "vace_frames" in condition(wan_i2v, known_cells="vace")[0][0][1]


def test_the_view_streams_prompt_reaches_the_network_beside_the_other(wan, condition, sample, text):
    model, calls = watched(wan)
    mask = torch.ones(1, 7)
    view = [[text["view"][0][0], {"attention_mask": mask}]]
    told = sample(model, condition(wan, positive_view=view, negative_view=view), steps=1)
    given = calls[0][2]
    assert torch.equal(given["fourreal_view_text"], text["view"][0][0].expand(6, -1, -1))
    assert torch.equal(given["fourreal_view_text_mask"], mask.expand(6, -1))
    calls.clear()
    plain = sample(model, condition(wan), steps=1)
    assert "fourreal_view_text" not in calls[0][2]
    assert torch.equal(told["samples"], plain["samples"])  # only the two-stream patch reads it


def test_without_a_negative_view_prompt_both_streams_share_the_negative_one(wan, condition, sample, text):
    model, calls = watched(wan)
    sample(model, condition(wan, positive_view=text["view"]), steps=1)
    context = calls[0][2]["fourreal_view_text"]
    assert len(calls) == 1 and torch.equal(context[:3], text["negative"][0][0].expand(3, -1, -1))  # the host puts negative first
    assert torch.equal(context[3:], text["view"][0][0].expand(3, -1, -1))


def test_a_guess_at_half_denoise_stays_nearer_than_at_full(comfy_inside, wan, condition, sample, grid):
    [guess] = comfy_inside.call("FourRealTransportFill", grid=grid)[:1]
    conditioned = condition(wan, guess=guess)
    [even] = comfy_inside.call("ModelSamplingSD3", model=wan, shift=1.0)  # half the steps are half of the noise
    start = conditioned[2]["samples"]
    free = (conditioned[2]["noise_mask"] > 0).expand_as(start)
    near, far, none = (
        (sample(even, conditioned, steps=8, denoise=denoise)["samples"] - start)[free].abs().mean() for denoise in (0.5, 1.0, 0.0)
    )
    assert none < 1e-5 and near < 0.7 * far


def test_confidence_sets_how_strongly_each_cell_is_redone(comfy_inside, wan, condition, sample, grid):
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

    guess, _ = comfy_inside.call("FourRealTransportFill", grid=grid)
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


def test_two_stages_of_sampling_equal_one(comfy_inside, wan, condition, grid):
    positive, negative, latent = condition(wan, guess=comfy_inside.call("FourRealTransportFill", grid=grid)[0])
    model = wan.clone()
    comfy_inside.pack_nodes("latent_stages").keep_known_cells(model)

    def run(latent, first, last, add_noise):
        return comfy_inside.call(
            "KSamplerAdvanced", model=model, add_noise=add_noise, noise_seed=3, steps=6, cfg=1.0, sampler_name="euler", scheduler="simple",
            positive=positive, negative=negative, latent_image=latent, start_at_step=first, end_at_step=last,
            return_with_leftover_noise="enable" if last < 6 else "disable",
        )[0]  # fmt: skip

    whole, stages = run(latent, 0, 6, "enable"), run(run(latent, 0, 3, "enable"), 3, 6, "disable")
    assert torch.allclose(stages["samples"], whole["samples"], atol=1e-4)
    kept = (latent["noise_mask"] == 0).expand_as(latent["samples"])
    assert torch.allclose(stages["samples"][kept], latent["samples"][kept], atol=1e-5)
    with pytest.raises(ValueError, match="latent and conditioning of the same 4Real Latent Grid Conditioning"):
        run({**latent, "samples": latent["samples"][:2], "noise_mask": latent["noise_mask"][:2]}, 3, 6, "disable")


def test_text_to_4d_starts_without_any_known_cell(comfy_inside, wan, vae, condition, sample, monkeypatch):
    [empty] = comfy_inside.call("FourRealEmptyGrid", views=3, times=5, width=32, height=16, fps=6.0)
    with monkeypatch.context() as patch:
        patch.setattr(vae, "encode", None)  # there is nothing to encode
        conditioned = condition(wan, grid=empty)
    assert torch.equal(conditioned[2]["noise_mask"], torch.ones(3, 1, 5, 2, 4))
    [filled] = comfy_inside.call("FourRealGridDecode", latent=sample(wan, conditioned), vae=vae)
    assert filled.frames.shape == (3, 5, 16, 32, 3) and not filled.known.any() and filled.frames.std() > 0


@pytest.mark.parametrize("tiled", [False, True])
def test_sides_that_are_no_whole_latents_are_padded_and_cropped(comfy_inside, wan, vae, videos, condition, sample, tiled):
    odd = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:, :15, :21], videos[1][:, :15, :21])
    conditioned = condition(wan, grid=odd, tiled=tiled)
    assert conditioned[2]["samples"].shape == (3, 16, 5, 2, 4)
    sampled = sample(wan, conditioned)
    filled, whole = (comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae, tiled=given)[0] for given in (tiled, False))
    assert filled.frames.shape == (3, 5, 15, 21, 3) and torch.equal(filled.frames[odd.known], odd.frames[odd.known])
    assert torch.allclose(filled.frames, whole.frames, atol=1e-5)  # one tile is the whole picture


def test_inputs_are_not_written_to(comfy_inside, wan_i2v, vae, text, grid, condition, sample):
    guess, confidence = comfy_inside.call("FourRealTransportFill", grid=grid)
    given = {"guess": guess, "confidence": confidence, "positive_view": text["view"]}
    frames, sure = (grid.frames.clone(), guess.frames.clone()), confidence.clone()
    first = condition(wan_i2v, **given)
    latents = {name: first[2][name].clone() for name in ("samples", "noise_mask")}
    image = first[0][0][1]["concat_latent_image"].clone()
    sampled = sample(wan_i2v, first)
    comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae)
    assert torch.equal(grid.frames, frames[0]) and torch.equal(guess.frames, frames[1]) and torch.equal(confidence, sure)
    assert all(torch.equal(first[2][name], latents[name]) for name in latents)
    assert torch.equal(first[0][0][1]["concat_latent_image"], image) and text["positive"][0][1] == {}
    assert torch.equal(sample(wan_i2v, first)["samples"], sampled["samples"])


def test_a_saved_latent_needs_its_grid_and_its_encoding(comfy_inside, wan, vae, grid, condition):
    saved = {"samples": condition(wan, guess=grid)[2]["samples"]}  # what is left after the host's Save Latent and Load Latent
    [decoded] = comfy_inside.call("FourRealGridDecode", latent=saved, vae=vae, grid=grid, encoding="hold")
    assert torch.equal(decoded.frames[grid.known], grid.frames[grid.known])
    with pytest.raises(ValueError, match="choose the encoding that it was made with, hold, frame, native"):
        comfy_inside.call("FourRealGridDecode", latent=saved, vae=vae, grid=grid)
    with pytest.raises(ValueError, match="connect the conditioning grid"):
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
def test_ltx_latents_go_in_and_out_as_well(comfy_inside, condition, text, sample, encoding):
    import comfy.ldm.lightricks.model
    import comfy.ldm.lightricks.vae.causal_video_autoencoder as ltx
    import comfy.ops
    import comfy.sd

    vae = comfy.sd.VAE(sd=random_weights(ltx.VideoVAE(config=LTX_VAE)), metadata={"config": json.dumps({"vae": LTX_VAE})})
    made = comfy.ldm.lightricks.model.LTXVModel(**LTX_WIDTHS, operations=comfy.ops.disable_weight_init, dtype=torch.float32)
    model = load_model(made, LTX_WIDTHS)
    times = 9 if encoding == "native" else 3
    generator = torch.Generator().manual_seed(2)
    videos = torch.rand(times, 64, 96, 3, generator=generator), torch.rand(2, 64, 96, 3, generator=generator)
    grid = comfy_inside.core("grid").FrameGrid.from_videos(*videos)
    encode, codec = comfy_inside.core("latents").encode_frames, comfy_inside.pack_nodes("latent_vae").vae_codec(vae)
    changed = grid.frames.clone()
    changed[0, -1] = 1 - changed[0, -1]
    difference = cell_difference(encode(changed, encoding, codec), encode(grid.frames, encoding, codec))
    assert not difference[1].any() and not difference[0, :-1].any() and difference[0, -1] > 0  # no looking ahead
    masked = [[text["positive"][0][0], {"attention_mask": torch.ones(1, 7, dtype=torch.long)}]]  # as the host's text encoder for LTX gives it
    conditioned = condition(model, vae=vae, grid=grid, encoding=encoding, positive=masked, negative=masked)
    latent = conditioned[2]
    assert latent["samples"].shape == (2, 128, 2 if encoding == "native" else 3, 2, 3)
    watching, calls = watched(model)
    sampled = sample(watching, conditioned)
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
    assert "got 4: use 1 or 5 times, or the encoding hold or frame" in refused(condition, wan, grid=grid, encoding="native")


def test_inputs_that_do_not_belong_together_get_one_clear_sentence(comfy_inside, wan, condition, grid, text, tiny_model):
    other = comfy_inside.core("grid").FrameGrid.from_views(grid.frames[:2])
    assert "5 times of 32x16 pixels, got 2 views" in refused(condition, wan, guess=other)
    sure = torch.ones(14, 16, 32, 3)
    assert "one confidence image per cell, 15 of 32x16" in refused(condition, wan, guess=grid, confidence=sure)
    assert "connect both from one 4Real Transport Fill" in refused(condition, wan, confidence=sure)
    assert "connect it to guess and a 4Real Empty Grid" in refused(condition, wan, grid=other)
    three = text["view"] * 3
    assert "one entry, or 1 as the other has, got 3" in refused(condition, wan, positive_view=three)
    ours = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]
    assert "got a 4Real model, which samples pixels: use 4Real Grid Conditioning" in refused(condition, ours)


def test_a_vae_of_another_model_gets_one_clear_sentence(wan, condition, vae, monkeypatch):
    import comfy.sd

    image_vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    assert "expected the VAE of a video model" in refused(condition, wan, vae=image_vae)
    with monkeypatch.context() as patch:
        patch.setattr(vae, "latent_channels", 48)
        assert "with 16 latent channels, got one with 48" in refused(condition, wan)
    monkeypatch.setattr(vae, "upscale_ratio", (lambda frames: frames * 3, 8, 8))
    assert "not supported" in refused(condition, wan)


def test_decoding_without_the_vae_or_with_another_grid_gets_one_clear_sentence(comfy_inside, wan, vae, condition, videos):
    latent = condition(wan)[2]
    with pytest.raises(ValueError, match="connect the one of 4Real Latent Grid Conditioning to vae"):
        comfy_inside.call("FourRealGridDecode", latent=latent)
    other = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:4], videos[1])
    with pytest.raises(ValueError, match=r"expected a latent of shape \(3, 16, 4, 2, 4\)"):
        comfy_inside.call("FourRealGridDecode", latent=latent, vae=vae, grid=other)
    broken = {**latent, "samples": latent["samples"] * float("nan")}
    with pytest.raises(ValueError, match="not finite"):
        comfy_inside.call("FourRealGridDecode", latent=broken, vae=vae)
