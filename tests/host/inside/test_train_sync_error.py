"""A host model in training: whose gradients, what the network is told, on every family of models.

Letters: V = 3 views, T = 5 times; latents are [V, C, T, h, w] with h = 4, w = 8 of frames of 32 x 64 pixels.
"""

import contextlib

import pytest
import tiny_backbones as tiny
import torch
from latent_fixtures import codec, vae, wan_i2v, wan_vace, watched  # noqa: F401
from sampling import KSAMPLER
from test_backbone_families import FAMILIES
from tiny_backbones import T, V


def vace_text(seed):
    generator = torch.Generator().manual_seed(seed)
    hints = {
        "vace_frames": [torch.randn(V, 32, T, 4, 8, generator=generator)],
        "vace_mask": [torch.ones(V, 64, T, 4, 8)],
        "vace_strength": [0.8],
    }
    return tiny.text(seed, **hints)


# VACE adds to the tokens between blocks, in place.
MODELS = dict(FAMILIES)
MODELS["Wan VACE"] = (lambda: tiny.wan("vace", layers=4, vace_layers=2, vace_in_dim=96), 16, vace_text)


@pytest.fixture(scope="module")
def parts(comfy_inside):
    """The modules of the pack that a training is made of."""
    names = {name: comfy_inside.pack_host(f"training.{name}") for name in ("trainee", "error", "session")}
    core = {name: comfy_inside.core(f"training.{name}") for name in ("sync_examples", "sync_loop")}
    return type(
        "Parts",
        (),
        {
            **names,
            **core,
            "latents": comfy_inside.core("sampling.latents"),
            "sync_file": comfy_inside.core("model.sync_file"),
        },
    )


@pytest.fixture
def trainee(comfy_inside, parts):
    """A model with fresh layers of rank 4 in training, and those layers."""

    def make(model, text, *, sync="soft", checkpointing=False, codec=None, encoding="hold", precision="auto"):
        network = model.model.diffusion_model
        sizes = comfy_inside.pack_host("two_stream.backbones").backbone_of(network).sizes(network)
        layers = parts.session.fresh_layers(parts.sync_file.SyncConfig(*sizes, sync, 4), 0)
        copy = parts.trainee.training_copy(model, layers, checkpointing=checkpointing, precision=precision)
        codec = codec or parts.latents.Codec(None, None, model.model.latent_format.latent_channels, 4, 8, 2)
        return parts.error.Trainee(
            copy, parts.error.Prompts(text(1), text(2)).with_gradients(), encoding, codec
        ), layers

    return make


@pytest.fixture
def example(parts):
    def make(channels):  # 32 are HunyuanVideo 1.5's, which is always shown known cells
        known = torch.zeros(V, T, dtype=torch.bool)
        known[0], known[:, 0] = True, True
        counts = (~known)[:, None, :, None, None].repeat(1, 1, 1, 4, 8)
        shown = tiny.noise(channels, seed=9) if channels == 32 else None
        return parts.sync_examples.LatentExample(tiny.noise(channels), shown, counts, known, None)

    return make


@pytest.fixture
def gradients(parts, trainee, example):
    """(error, gradient of every weight of the layers, bytes that are kept for it where `measured`)"""

    def of(model, text, channels, measured=False, **settings):
        with parts.trainee.outside_inference():
            model, layers = trainee(model, text, **settings)
            with parts.trainee.loaded(model.patcher, settings.get("checkpointing", False)):
                with (
                    torch.profiler.profile(profile_memory=True, acc_events=True)
                    if measured
                    else contextlib.nullcontext() as profile
                ):
                    error = model.error(example(channels), parts.sync_loop.Draw(0, 0.3, False, 7))
                error.backward()
        kept = sum(event.self_cpu_memory_usage for event in profile.events()) if measured else None
        return error.detach(), {name: weight.grad for name, weight in layers.named_parameters()}, kept

    return of


@pytest.mark.parametrize("family", MODELS)
def test_checkpointing_changes_no_gradient_and_keeps_less(gradients, family):
    make, channels, text = MODELS[family]
    model = make()
    error, plain, kept = gradients(model, text, channels, measured=True)
    same_error, checked, kept_less = gradients(model, text, channels, checkpointing=True, measured=True)
    assert torch.equal(same_error, error)
    assert all(
        torch.allclose(checked[name], plain[name], rtol=1e-4, atol=1e-6 * plain[name].abs().max().item())
        for name in plain
    )
    assert sum(gradient.abs().sum() > 0 for gradient in plain.values()) > len(plain) / 2
    assert kept_less < 0.6 * kept


@pytest.mark.parametrize("family", MODELS)
def test_the_gradient_is_that_of_the_error(parts, trainee, example, gradients, family):
    """Against differences, along a direction in which all layers change."""
    make, channels, text = MODELS[family]
    model = make()
    _, slope, _ = gradients(model, text, channels, checkpointing=True)
    generator = torch.Generator().manual_seed(0)
    with parts.trainee.outside_inference(), torch.no_grad():
        model, layers = trainee(model, text)
        weights = dict(layers.named_parameters())
        along = {
            name: slope[name] + slope[name].norm() * torch.randn(slope[name].shape, generator=generator) / 10
            for name in weights
        }
        length = sum(part.square().sum() for part in along.values()).sqrt()
        errors = []
        with parts.trainee.loaded(model.patcher):
            for step in (-0.05, 0.05):
                for name, weight in weights.items():
                    weight += step * along[name] / length
                errors.append(model.error(example(channels), parts.sync_loop.Draw(0, 0.3, False, 7)).item())
                for name, weight in weights.items():
                    weight -= step * along[name] / length
    expected = sum((slope[name] * along[name]).sum() for name in weights).item() / length.item()
    assert (errors[1] - errors[0]) / 0.1 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("family", MODELS)
def test_gradients_reach_the_layers_alone(gradients, family):
    make, channels, text = MODELS[family]
    model = make()
    before = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    options = str(model.model_options)
    gradients(model, text, channels)
    assert all(weight.grad is None and not weight.requires_grad for weight in model.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.state_dict().items())
    assert str(model.model_options) == options and not model.additional_models


@pytest.mark.parametrize("sync", ["soft", "hard"])
def test_untrained_layers_err_as_plain_averaging(comfy_inside, parts, trainee, example, sync):
    draw = parts.sync_loop.Draw(0, 0.3, False, 7)
    with parts.trainee.outside_inference(), torch.no_grad():
        model, _ = trainee(tiny.wan(), tiny.text, sync=sync)
        patch, plan = comfy_inside.pack_host("two_stream.patch"), comfy_inside.pack_host("two_stream.plan")
        averaging = parts.error.Trainee(
            patch.patch_two_streams(tiny.wan(), plan.TwoStreamPlan("hard")), model.prompts, "hold", model.codec
        )
        errors = []
        for each in (model, averaging):
            with parts.trainee.loaded(each.patcher):
                errors.append(each.error(example(16), draw).item())
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)


def test_the_error_is_that_of_the_velocity_where_it_counts(comfy_inside, parts, trainee, example):
    """With a network that gives a velocity known in advance, at the noise level of the model's own shift."""
    from comfy.patcher_extension import WrappersMP

    one = example(16)
    one.counts[1, :, 2] = False
    draw = parts.sync_loop.Draw(0, 0.25, False, 7)
    with parts.trainee.outside_inference(), torch.no_grad():
        wan = comfy_inside.call("ModelSamplingSD3", model=tiny.wan(), shift=3.0)[0]
        model, _ = trainee(wan, tiny.text)
        x0 = wan.model.process_latent_in(one.clean)
        velocity, seen = draw.noise(x0.shape) - x0, []
        off = torch.arange(velocity.numel()).reshape(velocity.shape) % 5 / 10

        def network(executor, x, timestep, *args, **kwargs):
            seen.append((x, timestep))
            return velocity + off

        model.patcher.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", network)
        with parts.trainee.loaded(model.patcher):
            error = model.error(one, draw).item()
    counts = one.counts.expand_as(off)
    sigma = 3 * 0.75 / (1 + 2 * 0.75)  # the shifted schedule at a quarter of its way
    assert model.sigma(0.25) == pytest.approx(sigma)
    assert error == pytest.approx(off[counts].square().mean().item(), rel=1e-4)
    x, timestep = seen[0]
    assert torch.allclose(timestep, torch.full((V,), 1000 * sigma))
    assert torch.allclose(x, (1 - sigma) * x0 + sigma * draw.noise(x0.shape), atol=1e-5)


def told_in_sampling(comfy_inside, model, vae, codec, text, grid):
    """(conditioning, latent of 4Real Latent Grid Conditioning, what the network was called with while ComfyUI's KSampler sampled them)"""
    condition = comfy_inside.pack_nodes("latent_condition")
    before, condition.vae_codec = condition.vae_codec, lambda *args: codec
    try:
        given = {"encoding": "hold", "known_cells": "auto", "hold_back": 0.8, "vace_strength": 1.0, "tiled": False}
        prompts = {"positive": text(1), "negative": text(2)}
        positive, negative, latent = comfy_inside.call(
            "FourRealLatentGridConditioning", model=model, vae=vae, grid=grid, **prompts, **given
        )
    finally:
        condition.vae_codec = before
    sampler, sampled = watched(model)
    comfy_inside.call("KSampler", model=sampler, positive=positive, negative=negative, latent_image=latent, **KSAMPLER)
    return positive, latent, sampled


@pytest.mark.parametrize("weights", ["wan_i2v", "wan_vace", "wan 2.2 5B", "HunyuanVideo"])
def test_the_network_is_told_what_it_is_told_in_sampling(comfy_inside, parts, trainee, vae, codec, request, weights):
    """Known cells, masks, timesteps per frame: against 4Real Latent Grid Conditioning and the host's KSampler, first step."""
    wide = weights == "wan 2.2 5B"
    model = (
        tiny.wan(in_dim=48, out_dim=48, layers=1)
        if wide
        else tiny.hunyuan()
        if weights == "HunyuanVideo"
        else request.getfixturevalue(weights)
    )
    text = FAMILIES["HunyuanVideo"][2] if weights == "HunyuanVideo" else tiny.text
    frames = torch.rand(V, T, 32, 64, 3, generator=torch.Generator().manual_seed(1))
    frames = (frames * 255).round() / 255
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0], known[2, 1] = True, True, True
    if wide:  # no VAE of 48 channels here: any will do, because both sides use it
        encode = codec.encode
        codec = parts.latents.Codec(lambda video: encode(video).repeat(3, 1, 1, 1), codec.decode, 48, 4, 8, 2)
    else:
        codec = parts.latents.Codec(codec.encode, codec.decode, 16, 4, 8, 2)
    shown = comfy_inside.pack_host("known_cells").needed_condition(model) != "noise mask only"
    one = parts.sync_examples.Encoder("hold", codec, shown).example((frames * 255).to(torch.uint8), None, known)

    grid = comfy_inside.core("grid").FrameGrid(frames, known)
    positive, latent, sampled = told_in_sampling(comfy_inside, model, vae, codec, text, grid)
    with parts.trainee.outside_inference(), torch.no_grad():
        trained, _ = trainee(model, text, codec=codec)
        told = trained.told(one)
        assert set(told) == {name for name in positive[0][1] if name.startswith(("concat", "vace"))}
        assert torch.equal(trained.mask(one), latent["noise_mask"])
        patcher, calls = watched(trained.patcher)
        with parts.trainee.loaded(patcher):
            parts.error.Trainee(patcher, trained.prompts, "hold", codec).error(
                one, parts.sync_loop.Draw(0, 0.0, False, 7)
            )
    channels = model.model.latent_format.latent_channels
    (x, timestep, more), (x_sampled, timestep_sampled, more_sampled) = calls[0], sampled[0]
    assert torch.equal(x[:, channels:], x_sampled[:, channels:])
    assert torch.equal(timestep, timestep_sampled) and set(more) == set(more_sampled)
    for name in ("vace_context", "context", "y", "guidance"):
        assert (more.get(name) is None) == (more_sampled.get(name) is None)
        assert more.get(name) is None or torch.equal(more[name], more_sampled[name])
    kept = (latent["noise_mask"] == 0).expand_as(x[:, :channels])
    if timestep.ndim > 1 or weights == "HunyuanVideo":  # known cells are shown clean
        assert torch.allclose(x[:, :channels][kept], x_sampled[:, :channels][kept], atol=1e-4)


def test_a_base_in_bfloat16_and_one_in_eight_bits_are_trained_on(gradients, comfy_inside):
    import comfy.sd

    network = tiny.wan().model.diffusion_model
    for dtype in (torch.bfloat16, torch.float8_e4m3fn):
        metadata = {"config": '{"transformer": {"text_dim": 16, "freq_dim": 16, "num_heads": 2}}'}
        model = comfy.sd.load_diffusion_model_state_dict(
            dict(network.state_dict()), {"dtype": dtype}, metadata=metadata
        )
        assert model.model.diffusion_model.blocks[0].ffn[0].weight.dtype == dtype
        for checkpointing in (False, True):
            error, found, _ = gradients(model, tiny.text, 16, checkpointing=checkpointing)
            assert torch.isfinite(error) and all(
                torch.isfinite(gradient).all() and gradient.dtype == torch.float32 for gradient in found.values()
            )
        assert model.model.diffusion_model.blocks[0].ffn[0].weight.dtype == dtype


def test_the_model_computes_in_the_precision_that_was_asked_for_and_layers_stay_float32(parts, trainee, example):
    with parts.trainee.outside_inference():
        model, layers = trainee(tiny.wan(), tiny.text, precision="bfloat16", checkpointing=True)
        patcher, calls = watched(model.patcher)
        with parts.trainee.loaded(patcher, True):
            parts.error.Trainee(patcher, model.prompts, "hold", model.codec).error(
                example(16), parts.sync_loop.Draw(0, 0.3, False, 7)
            ).backward()
    assert calls[0][0].dtype == torch.bfloat16
    assert all(
        weight.grad.dtype == torch.float32 and torch.isfinite(weight.grad).all() for weight in layers.parameters()
    )
    assert layers[1].up.weight.grad.abs().sum() > 0


def test_the_hosts_kernel_without_gradient_is_back_after_a_training(gradients):
    import comfy.quant_ops

    make, channels, text = MODELS["Cosmos Predict2"]
    kernel = comfy.quant_ops.ck.rms_rope_split_half
    gradients(make(), text, channels)
    assert comfy.quant_ops.ck.rms_rope_split_half is kernel


def test_a_model_without_two_streams_is_refused(comfy_inside, parts, trainee, example):
    """A cache that answers in the network's place, as EasyCache does, would leave nothing to learn from."""
    from comfy.patcher_extension import WrappersMP

    model = tiny.wan()
    model.add_wrapper_with_key(
        WrappersMP.DIFFUSION_MODEL, "cache", lambda executor, x, *args, **kwargs: torch.zeros_like(x)
    )
    with parts.trainee.outside_inference():
        model, _ = trainee(model, tiny.text)
        with (
            parts.trainee.loaded(model.patcher),
            pytest.raises(ValueError, match="does not depend on the synchronization layers, .*: remove"),
        ):
            model.error(example(16), parts.sync_loop.Draw(0, 0.3, False, 7))
