"""Two streams on Wan with all that artists put around it: samplers, masks, image conditions, LoRA, caches, other patches.

Letters and sizes: tests/host/inside/tiny_backbones.py. "Exact" is bit-equal to the host's own sampling in float32.
"""

from types import SimpleNamespace

import pytest
import tiny_backbones as tiny
import torch
from sampling import KSAMPLER
from tiny_backbones import T, V, exchanged, sample, text


@pytest.fixture(scope="module")
def model(comfy_inside):
    return tiny.wan()


@pytest.fixture
def expect_exact(two_streams):
    """Without sync, each stream is what the host gives for its layout of the same inputs."""

    def check(model, over_time, over_views=None, **settings):
        noise = over_time.pop("noise")
        host = sample(model, noise, **over_time, **settings)
        assert torch.equal(
            sample(two_streams(model, strength=0.0, output="time only"), noise, **over_time, **settings), host
        )
        if over_views is not None:
            host = exchanged(sample(model, exchanged(noise), **over_views, **settings))
            ours = sample(two_streams(model, strength=0.0, output="view only"), noise, **over_time, **settings)
            assert torch.equal(ours, host)
        over_time["noise"] = noise

    return check


@pytest.fixture
def expect_exchange(two_streams):
    """With sync, the grid with views and times exchanged is the same grid, exchanged."""

    def check(model, over_time, over_views, **settings):
        over_time = dict(over_time)
        noise = over_time.pop("noise")
        hard = sample(two_streams(model), noise, **over_time, **settings)
        turned = sample(two_streams(model), exchanged(noise), **over_views, **settings)
        assert torch.allclose(exchanged(turned), hard, atol=5e-5)
        assert (hard - sample(model, noise, **over_time, **settings)).abs().max() > 0.01

    return check


def random(*shape, seed=9):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def known_cells():
    """A mask [V, 1, T, h, w] that keeps view 0 and time 0."""
    mask = torch.ones(V, 1, T, 4, 8)
    mask[0], mask[:, :, 0] = 0, 0
    return mask


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m", "uni_pc", "res_multistep", "heun"])
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_samplers(model, expect_exact, sampler, cfg):
    expect_exact(model, {"noise": tiny.noise()}, sampler=sampler, cfg=cfg)


def test_ksampler_node(comfy_inside, model, two_streams):
    latent = {"samples": torch.zeros(V, 16, T, 4, 8)}
    settings = KSAMPLER | {"cfg": 4.0}
    given = settings | {"positive": text(1), "negative": text(2), "latent_image": latent}
    [host] = comfy_inside.call("KSampler", model=model, **given)
    [ours] = comfy_inside.call("KSampler", model=two_streams(model, strength=0.0, output="time only"), **given)
    assert torch.equal(ours["samples"], host["samples"])


def test_prompts_of_different_lengths_run_one_by_one(model, expect_exact):
    expect_exact(model, {"noise": tiny.noise()}, {}, cfg=4.0, negative=text(2, length=9))


def test_known_cells(model, expect_exact, expect_exchange, two_streams):
    start, mask = random(V, 16, T, 4, 8), known_cells()
    over_time, over_views = (
        {"noise": tiny.noise(), "start": start, "mask": mask},
        {"start": exchanged(start), "mask": exchanged(mask)},
    )
    expect_exact(model, over_time, over_views, cfg=4.0)
    expect_exchange(model, over_time, over_views, cfg=4.0)
    hard = sample(two_streams(model), tiny.noise(), start=start, mask=mask)
    assert torch.allclose((hard * (1 - mask)), start * (1 - mask), atol=1e-5)


PER_FRAME = {
    "Wan 2.2 5B": (lambda: tiny.wan(in_dim=48, out_dim=48), 48),
    "Cosmos Predict2": (lambda: tiny.cosmos_predict2(17), 16),
}


@pytest.mark.parametrize("make, channels", PER_FRAME.values(), ids=PER_FRAME)
def test_timesteps_per_frame(comfy_inside, expect_exact, expect_exchange, make, channels):
    """Known frames get a timestep of 0."""
    model = make()
    start, mask = random(V, channels, T, 4, 8), known_cells()
    over_time = {"noise": tiny.noise(channels), "start": start, "mask": mask}
    over_views = {"start": exchanged(start), "mask": exchanged(mask)}
    expect_exact(model, over_time, over_views, cfg=4.0)
    expect_exchange(model, over_time, over_views, cfg=4.0)


def test_timesteps_per_token(expect_exact, expect_exchange):
    """LTXV gives every known token a timestep of 0."""
    start, mask = random(V, 8, T, 4, 8), known_cells()
    mask[1, :, 2, :2] = 0
    prompt = {
        name: text(seed, attention_mask=torch.ones(1, 6, dtype=torch.long))
        for seed, name in enumerate(("positive", "negative"))
    }
    over_time, over_views = (
        {"noise": tiny.noise(8), "start": start, "mask": mask},
        {"start": exchanged(start), "mask": exchanged(mask)},
    )
    model = tiny.with_plain_attention(tiny.ltxv())
    expect_exact(model, over_time, over_views, cfg=4.0, **prompt)
    expect_exchange(model, over_time, over_views, cfg=4.0, **prompt)


def test_image_to_video(expect_exact, expect_exchange):
    """Given frames in further channels: Wan 2.2 14B I2V, Fun-InP."""
    model, image, mask = tiny.wan(in_dim=36), random(V, 16, T, 4, 8), known_cells()

    def prompts(image, mask):
        given = {"concat_latent_image": image, "concat_mask": mask}
        return {"positive": text(1, **given), "negative": text(2, **given)}

    over_time, over_views = {"noise": tiny.noise(), **prompts(image, mask)}, prompts(exchanged(image), exchanged(mask))
    expect_exact(model, over_time, over_views, cfg=4.0)
    expect_exchange(model, over_time, over_views, cfg=4.0)


def test_image_embedding(expect_exact):
    """Wan 2.1 I2V: one image embedding for all."""
    model = tiny.wan("i2v", in_dim=36)
    seen = SimpleNamespace(penultimate_hidden_states=random(1, 5, 1280))
    prompts = {"positive": text(1, clip_vision_output=seen), "negative": text(2, clip_vision_output=seen)}
    expect_exact(model, {"noise": tiny.noise(), **prompts}, prompts, cfg=4.0)


def test_vace(expect_exact, expect_exchange):
    """The host adds VACE's hints between blocks, for each stream those of its own layout."""
    model = tiny.wan("vace", layers=4, vace_layers=2, vace_in_dim=96)
    frames, mask = random(V, 32, T, 4, 8), (random(V, 64, T, 4, 8, seed=8) > 0).float()

    def prompts(frames, mask):
        hints = {"vace_frames": [frames], "vace_mask": [mask], "vace_strength": [0.8]}
        return {"positive": text(1, **hints), "negative": text(2, **hints)}

    over_time, over_views = (
        {"noise": tiny.noise(), **prompts(frames, mask)},
        prompts(exchanged(frames), exchanged(mask)),
    )
    expect_exact(model, over_time, over_views, cfg=4.0)
    expect_exchange(model, over_time, over_views)


def test_vace_after_the_last_block(expect_exact):
    model = tiny.wan("vace", layers=2, vace_layers=2, vace_in_dim=96)
    frames = random(V, 32, T, 4, 8)
    over_time, over_views = ({"positive": text(1, vace_frames=[given])} for given in (frames, exchanged(frames)))
    expect_exact(model, {"noise": tiny.noise(), **over_time}, over_views)


def test_camera(expect_exact, expect_exchange):
    model, camera = tiny.wan("camera_2.2", in_dim=36, in_dim_control_adapter=24), random(V, 24, T, 32, 64)
    over_time, over_views = ({"positive": text(1, camera_conditions=given)} for given in (camera, exchanged(camera)))
    expect_exact(model, {"noise": tiny.noise(), **over_time}, over_views)
    expect_exchange(model, {"noise": tiny.noise(), **over_time}, over_views)


@pytest.mark.parametrize("lora_first", [True, False])
def test_lora(comfy_inside, model, two_streams, lora_first):
    import comfy.sd

    lora = {
        f"diffusion_model.blocks.1.self_attn.q.lora_{side}.weight": random(*shape, seed=seed)
        for side, shape, seed in (("down", (4, 48), 1), ("up", (48, 4), 2))
    }

    def with_lora(model):
        return comfy.sd.load_lora_for_models(model, None, dict(lora), 1.0, 0.0)[0]

    def both(model, **settings):
        return two_streams(with_lora(model), **settings) if lora_first else with_lora(two_streams(model, **settings))

    host = sample(with_lora(model), tiny.noise())
    assert not torch.allclose(host, sample(model, tiny.noise()), atol=1e-3)
    over_views = exchanged(sample(with_lora(model), exchanged(tiny.noise())))
    for stream, expected in (("time only", host), ("view only", over_views)):
        assert torch.equal(sample(both(model, strength=0.0, output=stream), tiny.noise()), expected)
    assert not torch.allclose(sample(both(model), tiny.noise()), sample(two_streams(model), tiny.noise()), atol=1e-3)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_easycache_before_or_after_is_the_same(comfy_inside, model, two_streams, cfg):
    from comfy_extras.nodes_easycache import EasyCacheNode

    def cached(model):
        return EasyCacheNode.execute(model, 0.5, 0.0, 1.0, False).result[0]

    first, last = (
        sample(patched, tiny.noise(), cfg=cfg, steps=8)
        for patched in (two_streams(cached(model)), cached(two_streams(model)))
    )
    assert torch.equal(first, last)
    assert not torch.equal(first, sample(two_streams(model), tiny.noise(), cfg=cfg, steps=8))  # some steps were skipped


@pytest.mark.parametrize("windows_first", [True, False])
def test_context_windows_over_views(comfy_inside, model, two_streams, windows_first):
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    def windowed(model):
        return ContextWindowsManualNode.execute(model, 3, 1, "standard_static", 1, False, "pyramid", 0, False).result[0]

    def both(model, **settings):
        return two_streams(windowed(model), **settings) if windows_first else windowed(two_streams(model, **settings))

    noise = tiny.noise(views=5)
    host = sample(windowed(model), noise)
    assert torch.equal(sample(both(model, strength=0.0, output="time only"), noise), host)
    assert (sample(both(model), noise) - host).abs().max() > 0.02


def test_an_interrupted_run_leaves_nothing_behind(model, two_streams):
    import comfy.model_management
    import comfy.sample

    class Stop(BaseException):
        pass

    def stop(*_):
        raise Stop

    hard = two_streams(model)
    expected = sample(hard, tiny.noise())
    with pytest.raises(Stop), torch.inference_mode():
        comfy.sample.sample(
            hard,
            tiny.noise(),
            3,
            1.0,
            "euler",
            "simple",
            text(1),
            text(2),
            torch.zeros(V, 16, T, 4, 8),
            callback=stop,
            disable_pbar=True,
        )
    assert torch.equal(sample(hard, tiny.noise()), expected)


def test_two_clones_side_by_side(model, two_streams):
    half, hard = two_streams(model, strength=0.5), two_streams(model)
    expected = [sample(patched, tiny.noise()) for patched in (half, hard)]
    assert (expected[0] - expected[1]).abs().max() > 0.001
    for _ in range(2):
        assert all(torch.equal(sample(patched, tiny.noise()), alone) for patched, alone in zip((half, hard), expected))


def test_patches_of_other_packs_reach_both_streams(model, expect_exact, two_streams):
    """A block replaced by another pack; something added after a block (as Uni3C does), known to the view stream as a difference."""
    patched = model.clone()
    patched.set_model_patch_replace(
        lambda args, extra: {"img": extra["original_block"](args)["img"] * 0.9}, "dit", "double_block", 1
    )
    patched.set_model_patch(lambda args: {**args, "img": args["img"] + 0.3 * args["block_index"]}, "double_block")
    expect_exact(patched, {"noise": tiny.noise()}, cfg=4.0)
    over_views = exchanged(sample(patched, exchanged(tiny.noise())))
    assert torch.allclose(
        sample(two_streams(patched, strength=0.0, output="view only"), tiny.noise()), over_views, atol=2e-5
    )


def test_twice_the_memory_is_announced(model, two_streams, monkeypatch):
    shapes = []
    estimate = model.model.memory_required
    monkeypatch.setattr(
        model.model, "memory_required", lambda shape, **more: shapes.append(shape) or estimate(shape, **more)
    )
    sample(model, tiny.noise())
    alone = [shape[0] for shape in shapes]
    shapes.clear()
    sample(two_streams(model), tiny.noise())
    assert max(shape[0] for shape in shapes) == 2 * max(alone)


def test_the_range_of_sampling(model, two_streams):
    off, hard = (sample(two_streams(model, sync=sync), tiny.noise(), steps=4) for sync in ("off", "hard"))
    assert torch.equal(sample(two_streams(model, end_percent=1e-9), tiny.noise(), steps=4), hard) is False
    late = two_streams(model, start_percent=0.999)
    assert torch.equal(sample(late, tiny.noise(), steps=4), off)
    part = sample(two_streams(model, end_percent=0.5), tiny.noise(), steps=4)
    assert (part - off).abs().max() > 0.001 and (part - hard).abs().max() > 0.001


def test_the_range_of_layers(comfy_inside, model, two_streams):
    plan = comfy_inside.pack_host("two_stream.plan").TwoStreamPlan
    assert plan(first_layer=0.5).synchronized(30) == range(15, 30)
    assert plan(first_layer=0.99).synchronized(3) == range(2, 3)
    assert plan(last_layer=0.01).synchronized(3) == range(1)
    whole, deep, off = (
        sample(two_streams(model, **settings), tiny.noise())
        for settings in ({}, {"first_layer": 0.67}, {"sync": "off"})
    )
    assert (deep - whole).abs().max() > 0.001 and (deep - off).abs().max() > 0.001


@pytest.mark.parametrize(
    "extra", [{"time_dim_concat": torch.zeros(1, 16, 1, 4, 8)}, {"context_latents": [torch.zeros(1, 16, 1, 4, 8)]}]
)
def test_extra_frames_get_one_sentence(model, two_streams, extra):
    with pytest.raises(
        ValueError, match=f"two streams need a grid of frames only, got conditioning with {next(iter(extra))}"
    ):
        sample(two_streams(model), tiny.noise(), positive=text(1, **extra))


def test_reference_latents_matter_only_where_the_model_uses_them(model, two_streams):
    reference = {"reference_latents": [torch.zeros(1, 16, 1, 4, 8)]}
    assert torch.equal(
        sample(two_streams(model), tiny.noise(), positive=text(1, **reference)),
        sample(two_streams(model), tiny.noise()),
    )
    with pytest.raises(ValueError, match="got conditioning with reference_latent"):
        sample(two_streams(tiny.wan(in_dim_ref_conv=16)), tiny.noise(), positive=text(1, **reference))


def test_a_prompt_per_stream(comfy_inside, model, expect_exact):
    import comfy.conds

    name = comfy_inside.pack_host("two_stream.host_call").VIEW_TEXT
    [[positive, _]] = text(1)
    [[of_views, _]] = text(4, length=9)
    both = [[positive, {"model_conds": {name: comfy.conds.CONDRegular(of_views)}}]]
    expect_exact(model, {"noise": tiny.noise(), "positive": both}, {"positive": [[of_views, {}]]})


@pytest.mark.parametrize("make, channels", [(tiny.ltxv, 8), (tiny.mochi, 12)])
def test_a_masked_prompt_per_stream(comfy_inside, expect_exact, make, channels):
    """LTXV and Mochi mask the padding of their text; the view stream gets its own mask."""
    import comfy.conds

    names = comfy_inside.pack_host("two_stream.host_call")
    mask, mask_of_views = torch.tensor([[1, 1, 1, 1, 0, 0]]), torch.tensor([[1, 1, 1, 1, 1, 0]])
    [[positive, _]], [[of_views, _]] = text(1), text(4)
    own = {
        names.VIEW_TEXT: comfy.conds.CONDRegular(of_views),
        names.VIEW_TEXT_MASK: comfy.conds.CONDRegular(mask_of_views),
    }
    over_time = {"positive": [[positive, {"attention_mask": mask, "model_conds": own}]]}
    over_views = {"positive": [[of_views, {"attention_mask": mask_of_views}]]}
    plain = {"negative": text(2, attention_mask=mask)}
    expect_exact(tiny.with_plain_attention(make()), {"noise": tiny.noise(channels), **over_time}, over_views, **plain)
    unmasked = {"positive": [[positive, {"model_conds": own}]]}
    two_streams = comfy_inside.call("FourRealTwoStream", model=tiny.wan(), sync="hard", strength=1.0, output="mean")[0]
    with pytest.raises(ValueError, match="only one of the two streams' prompts has a text mask"):
        sample(two_streams, tiny.noise(), **unmasked)


def test_trained_layers_attach(comfy_inside, model):
    """Layers that start as averages give hard sync; the host loads what they are made of."""
    import comfy.model_patcher

    core = comfy_inside.core("model.sync")
    layers = torch.nn.ModuleList(core.SoftSync(width=48, sigma_width=8) for _ in range(3))
    for layer in layers:
        layer.initialize(averaging=True)
    cpu = torch.device("cpu")
    patcher = comfy.model_patcher.ModelPatcher(layers, load_device=cpu, offload_device=cpu)
    patch, plan = comfy_inside.pack_host("two_stream.patch"), comfy_inside.pack_host("two_stream.plan").TwoStreamPlan
    soft = patch.patch_two_streams(model, plan("soft", trained=tuple(layers)), models=[patcher])
    hard = patch.patch_two_streams(model, plan("hard"))
    assert soft.get_additional_models_with_key(patch.KEY) == [patcher]
    assert torch.allclose(sample(soft, tiny.noise()), sample(hard, tiny.noise()), atol=2e-5)
    assert not patch.patch_two_streams(soft, plan("hard")).get_additional_models_with_key(patch.KEY)
    with pytest.raises(ValueError, match="expected synchronization layers for 3 blocks, got 2"):
        patch.patch_two_streams(model, plan("soft", trained=tuple(layers[:2])))
