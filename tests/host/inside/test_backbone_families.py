"""Two streams on every family of host video models: exact without sync, one grid with it, clear errors elsewhere.

Letters and sizes: tests/host/inside/tiny_backbones.py. "Exact" is bit-equal to the host's own sampling in float32.
"""

import dataclasses
import importlib
from types import SimpleNamespace

import pytest
import tiny_backbones as tiny
import torch
from tiny_backbones import exchanged, sample


def masked(seed):
    return tiny.text(seed, attention_mask=torch.ones(1, 6, dtype=torch.long))


def pooled(width):
    return lambda seed: tiny.text(
        seed, pooled_output=torch.randn(1, width, generator=torch.Generator().manual_seed(seed))
    )


def seen_and_written(seed):
    """What HunyuanVideo 1.5 gets beside text: glyphs to write, and a picture."""
    generator = torch.Generator().manual_seed(seed)
    picture = SimpleNamespace(last_hidden_state=torch.randn(1, 5, 1152, generator=generator))
    glyphs = torch.randn(1, 4, 1472, generator=generator)
    return tiny.text(seed, pooled_output=None, conditioning_byt5small=glyphs, clip_vision_output=picture)


FAMILIES = {
    "Wan": (tiny.wan, 16, tiny.text),
    "LTXV": (tiny.ltxv, 8, masked),
    "LTX-2": (tiny.ltx2, 8, tiny.text),
    "HunyuanVideo": (tiny.hunyuan, 16, pooled(768)),
    "HunyuanVideo 1.5": (tiny.hunyuan15, 32, seen_and_written),
    "Mochi": (tiny.mochi, 12, masked),
    "Kandinsky 5": (tiny.kandinsky, 16, pooled(8)),
    "CogVideoX": (tiny.cogvideo, 16, tiny.text),
    "Cosmos": (tiny.cosmos, 16, tiny.text),
    "Cosmos Predict2": (tiny.cosmos_predict2, 16, tiny.text),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, comfy_inside):
    """(MODEL, noise, keyword arguments of `sample`)"""
    make, channels, text = FAMILIES[request.param]
    return tiny.with_plain_attention(make()), tiny.noise(channels), {"positive": text(1), "negative": text(2)}


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_without_sync_both_streams_are_exactly_the_hosts_videos(family, two_streams, cfg):
    model, noise, settings = family
    over_time = sample(model, noise, cfg=cfg, **settings)
    over_views = exchanged(sample(model, exchanged(noise), cfg=cfg, **settings))
    assert torch.equal(
        sample(two_streams(model, strength=0.0, output="time only"), noise, cfg=cfg, **settings), over_time
    )
    assert torch.equal(
        sample(two_streams(model, strength=0.0, output="view only"), noise, cfg=cfg, **settings), over_views
    )
    assert torch.equal(
        sample(two_streams(model, sync="off", output="time only"), noise, cfg=cfg, **settings), over_time
    )


def test_hard_sync_gives_one_grid_that_exchanges_with_its_axes(family, two_streams):
    model, noise, settings = family
    hard = sample(two_streams(model), noise, **settings)
    for stream in ("time only", "view only"):
        assert torch.allclose(sample(two_streams(model, output=stream), noise, **settings), hard, atol=2e-5)
    assert torch.allclose(exchanged(sample(two_streams(model), exchanged(noise), **settings)), hard, atol=2e-5)
    assert (hard - sample(model, noise, **settings)).abs().max() > 0.02


@pytest.mark.parametrize("size", ["one view", "one time"])
def test_a_grid_of_one_view_or_one_time(family, two_streams, size):
    """Where both layouts are the same memory: blocks of LTXV write to the tokens that they get."""
    model, noise, settings = family
    noise = noise[:1] if size == "one view" else noise[:, :, :1]
    over_time, over_views = sample(model, noise, **settings), exchanged(sample(model, exchanged(noise), **settings))
    for stream, host in (("time only", over_time), ("view only", over_views)):
        assert torch.equal(sample(two_streams(model, strength=0.0, output=stream), noise, **settings), host)
    hard = sample(two_streams(model), noise, **settings)
    assert torch.allclose(exchanged(sample(two_streams(model), exchanged(noise), **settings)), hard, atol=2e-5)


def test_sequential_goes_along_views_and_then_along_time(family, two_streams):
    model, noise, settings = family
    sequential = sample(two_streams(model, sync="sequential"), noise, **settings)
    assert torch.isfinite(sequential).all()
    one_time, one_view = noise[:, :, :1], noise[:1]
    twice_over_views = sample(two_streams(model, sync="sequential"), one_time, **settings)
    twice_over_time = sample(two_streams(model, sync="sequential"), one_view, **settings)
    assert not torch.allclose(twice_over_views, sample(model, one_time, **settings), atol=1e-3)
    assert not torch.allclose(twice_over_time, sample(model, one_view, **settings), atol=1e-3)
    # with view and time exchanged the two halves of a layer come in the other order
    turned = exchanged(sample(two_streams(model, sync="sequential"), exchanged(noise), **settings))
    assert not torch.allclose(turned, sequential, atol=1e-3)


def test_the_model_stays_as_it_was(family, two_streams):
    model, noise, settings = family
    before = sample(model, noise, **settings)
    hard, off = two_streams(model), two_streams(model, sync="off")
    again = two_streams(hard, sync="off")
    assert torch.equal(sample(again, noise, **settings), sample(off, noise, **settings))
    assert not torch.allclose(sample(hard, noise, **settings), sample(off, noise, **settings), atol=1e-3)
    assert torch.equal(sample(model, noise, **settings), before)


def test_given_first_frames_of_kandinsky(comfy_inside, two_streams):
    """They replace frames of the latent inside the network: the time stream stays the host's, the view stream sees them too."""
    model, noise = tiny.kandinsky(), tiny.noise()
    first = torch.randn(tiny.V, 16, 1, 4, 8, generator=torch.Generator().manual_seed(3))
    plain = {"positive": pooled(8)(1), "negative": pooled(8)(2)}
    given = {name: [[prompt, {**values, "time_dim_replace": first}]] for name, [[prompt, values]] in plain.items()}
    assert torch.equal(
        sample(two_streams(model, strength=0.0, output="time only"), noise, **given), sample(model, noise, **given)
    )
    views = two_streams(model, strength=0.0, output="view only")
    changed = (sample(views, noise, **given) - sample(views, noise, **plain)).abs().amax(dim=(0, 1, 3, 4))
    assert (
        changed[0] > 0.1 and changed[1:].max() == 0
    )  # moments are separate videos: only the first one has given frames


@pytest.mark.parametrize("sync", ["hard", "sequential", "fused"])
def test_bfloat16(two_streams, sync):
    model, noise = tiny.wan(), tiny.noise()
    expected = sample(two_streams(model, sync=sync), noise)
    model.model.diffusion_model.to(torch.bfloat16).dtype = torch.bfloat16
    model.model.diffusion_model.patch_embedding.float()  # as the host keeps it
    coarse = sample(two_streams(model, sync=sync), noise)
    assert coarse.dtype == torch.float32 and 0 < (coarse - expected).abs().max() < 0.2


def test_soft_asks_for_trained_layers(family, two_streams):
    with pytest.raises(ValueError, match="soft needs trained synchronization layers"):
        two_streams(family[0], sync="soft")


def test_fused_names_the_models_it_works_on(family, two_streams):
    model, noise, settings = family
    if type(model.model.diffusion_model).__name__ == "WanModel":
        assert torch.isfinite(sample(two_streams(model, sync="fused"), noise, **settings)).all()
    else:
        with pytest.raises(ValueError, match="fused works only on Wan models"):
            two_streams(model, sync="fused")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"first_layer": 0.6, "last_layer": 0.4}, "first_layer below last_layer, both 0 to 1, got 0.6 and 0.4"),
        ({"start_percent": 0.5, "end_percent": 0.5}, "start_percent below end_percent, both 0 to 1, got 0.5 and 0.5"),
    ],
)
def test_ranges_are_checked(two_streams, settings, message):
    with pytest.raises(ValueError, match=message):
        two_streams(tiny.wan(layers=1), **settings)


def test_an_error_inside_a_block_leaves_the_model_as_it_was(family, two_streams):
    class Stop(BaseException):
        pass

    calls = []

    def attention(function, *args, **kwargs):
        calls.append(args[0].shape)
        if len(calls) == 4:
            raise Stop
        return attention_pytorch(*args, **kwargs)

    from comfy.ldm.modules.attention import attention_pytorch

    model, noise, settings = family
    before, hard = sample(model, noise, **settings), two_streams(model)
    hard.model_options["transformer_options"]["optimized_attention_override"] = attention
    with pytest.raises(Stop):
        sample(hard, noise, **settings)
    assert not any("forward" in vars(module) for module in model.model.diffusion_model.modules())
    assert torch.equal(sample(model, noise, **settings), before)
    assert torch.equal(sample(hard, noise, **settings), sample(two_streams(model), noise, **settings))


OTHERS = {
    "Flux": "flux.model",
    "QwenImageTransformer2DModel": "qwen_image.model",
    "MiniMaxH3Model": "minimax.model",
    "NaDiT": "seedvr.model",
    "Anima": "anima.model",
    "AnimateWanModel": "wan.model_animate",
    "CausalWanModel": "wan.ar_model",
    "HumoWanModel": "wan.model",
    "SCAILWanModel": "wan.model",
    "SCAIL2WanModel": "wan.model",
    "WanDancerModel": "wan.model_wandancer",
    "WanModel_S2V": "wan.model",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_get_one_sentence(comfy_inside, name):
    """Also those that are made of the same blocks: they add tokens or layers, or take one video only."""
    kind = getattr(importlib.import_module(f"comfy.ldm.{OTHERS[name]}"), name)
    with pytest.raises(
        ValueError, match=f"^expected a 4Real model or a video model of Wan, .* or Cosmos, got {name}: [^.]*$"
    ):
        comfy_inside.pack_host("two_stream.backbones").backbone_of(kind.__new__(kind))


def test_a_token_over_several_frames_gets_one_sentence(comfy_inside, two_streams):
    with pytest.raises(ValueError, match="two streams cannot run on CogVideoX: it has one token frame for every 2"):
        two_streams(tiny.cogvideo(patch_size_t=2))


def test_a_host_that_ignores_patches_of_blocks_gets_one_sentence(comfy_inside, two_streams, monkeypatch):
    backbones = comfy_inside.pack_host("two_stream.backbones")
    unknown_hooks = dataclasses.replace(backbones.WAN, blocks=(("other_block", "blocks"),))
    monkeypatch.setitem(backbones.FAMILIES, "WanModel", unknown_hooks)
    with pytest.raises(ValueError, match="it ignores patches of its other_blocks"):
        sample(two_streams(tiny.wan(layers=1)), tiny.noise())


def test_a_latent_that_is_no_grid_gets_one_sentence(comfy_inside, two_streams):
    sizes = {"in_channels": 16, "out_channels": 16, "patch_size": [2, 2], "hidden_size": 32, "num_heads": 2, "depth": 1}
    text = {
        "context_in_dim": 16,
        "vec_in_dim": 768,
        "byt5": False,
        "vision_in_dim": None,
        "use_cond_type_embedding": False,
    }
    more = {"depth_single_blocks": 1, "axes_dim": [8, 8], "theta": 256, "qkv_bias": True, "guidance_embed": False}
    flow = {"mlp_ratio": 2.0, "meanflow": False, "meanflow_sum": False}
    picture_model = tiny.of_family("HunyuanVideo", image_model="hunyuan_video", **sizes, **text, **more, **flow)
    with pytest.raises(ValueError, match="expected a grid latent of 5 dimensions"):
        sample(two_streams(picture_model), torch.zeros(3, 16, 4, 8), positive=pooled(768)(1), negative=pooled(768)(2))
