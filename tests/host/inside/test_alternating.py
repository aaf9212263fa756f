"""Alternating: each step of the sampler is the host's own along one axis; what is known or certain is put back by noise level.

Letters and sizes: tests/host/inside/tiny_backbones.py. m: the noise mask, 0 in known cells.
"""

import itertools

import pytest
import tiny_backbones as tiny
import torch
from sampling import SAMPLER
from test_backbone_families import FAMILIES
from tiny_backbones import T, V, exchanged, sample, text


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, comfy_inside):
    """(MODEL, noise, prompts)"""
    make, channels, prompt = FAMILIES[request.param]
    return tiny.with_plain_attention(make()), tiny.noise(channels), {"positive": prompt(1), "negative": prompt(2)}


@pytest.fixture(scope="module")
def wan(comfy_inside):
    return tiny.wan()


@pytest.fixture(scope="module")
def alternating(comfy_inside):
    return comfy_inside.pack_host("two_stream.alternating")


def levels(model, steps=4):
    """Noise levels of this model, falling to 0."""
    known = model.get_model_object("model_sampling").sigmas
    return torch.cat([known[[-1 - len(known) * step // steps for step in range(steps)]], torch.zeros(1)])


def run(model, noise, sigmas, start=None, *, cfg=1.0, sampler="euler", positive=None, negative=None, mask=None):
    """The host's sampler over these levels, as SamplerCustom runs it."""
    import comfy.sample
    import comfy.samplers

    with torch.inference_mode():
        return comfy.sample.sample_custom(
            model,
            noise,
            cfg,
            comfy.samplers.sampler_object(sampler),
            sigmas,
            positive or text(1),
            negative or text(2),
            torch.zeros_like(noise) if start is None else start,
            noise_mask=mask,
            disable_pbar=True,
            seed=7,
        )


def step_by_step(model, noise, sigmas, axes, **settings):
    """The plain model, one run of one step after the other, each along the next axis; what one leaves the next goes on from."""
    latent = torch.zeros_like(noise)
    for axis, pair in zip(itertools.cycle(axes), itertools.pairwise(sigmas)):
        turn = exchanged if axis == "views" else lambda grid: grid
        latent = turn(run(model, turn(noise), torch.stack(pair), turn(latent), **settings))
        noise = torch.zeros_like(noise)
    return latent


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_each_step_is_the_hosts_own_along_one_axis(family, two_streams, cfg):
    model, noise, prompts = family
    sigmas, settings = levels(model), {"cfg": cfg, **prompts}
    ours = run(two_streams(model, sync="alternating"), noise, sigmas, **settings)
    by_hand = step_by_step(model, noise, sigmas, ("views", "times"), **settings)
    assert torch.allclose(ours, by_hand, rtol=1e-4, atol=1e-4 * by_hand.abs().max())
    assert (ours - run(model, noise, sigmas, **settings)).abs().max() > 0.02


def test_the_grid_turned_over_alternates_the_other_way_round(wan, two_streams):
    """Views and times exchanged: the same steps, with time first."""
    noise, sigmas = tiny.noise(), levels(wan)
    turned = exchanged(run(two_streams(wan, sync="alternating"), exchanged(noise), sigmas))
    assert torch.allclose(turned, step_by_step(wan, noise, sigmas, ("times", "views")), atol=1e-4)
    assert (turned - run(two_streams(wan, sync="alternating"), noise, sigmas)).abs().max() > 0.02


def test_one_step_is_exactly_the_hosts_videos_over_views(wan, two_streams):
    noise = tiny.noise()
    ours = sample(two_streams(wan, sync="alternating"), noise, steps=1)
    assert torch.equal(ours, exchanged(sample(wan, exchanged(noise), steps=1)))


def test_the_step_is_known_from_the_noise_level(alternating):
    sigmas = torch.tensor([1.0, 0.8, 0.5, 0.0])
    assert [alternating.step_of(sigma, sigmas) for sigma in (1.0, 0.8, 0.5)] == [0, 1, 2]
    assert alternating.step_of(0.80001, sigmas) == 1  # rounded on its way
    assert alternating.step_of(0.65, sigmas) == 1  # between two levels: of the step that is under way
    assert alternating.step_of(1.2, sigmas) == 0
    with pytest.raises(ValueError, match="needs the steps of a ComfyUI sampler"):
        alternating.step_of(0.5, None)


def test_a_step_costs_one_pass_of_the_network(wan, two_streams, monkeypatch):
    calls = []
    block = wan.model.diffusion_model.blocks[0]
    forward = block.forward
    monkeypatch.setattr(block, "forward", lambda x, *args, **more: calls.append(x.shape) or forward(x, *args, **more))
    sample(two_streams(wan, sync="alternating"), tiny.noise(), steps=4)
    S = 2 * 4  # tokens per frame
    assert [tuple(shape[:2]) for shape in calls] == [(T, V * S), (V, T * S)] * 2


def test_the_memory_of_one_stream_is_announced(wan, two_streams, monkeypatch):
    shapes = []
    estimate = wan.model.memory_required
    monkeypatch.setattr(
        wan.model, "memory_required", lambda shape, **more: shapes.append(shape) or estimate(shape, **more)
    )
    sample(wan, tiny.noise())
    alone = max(shape[0] for shape in shapes)
    shapes.clear()
    sample(two_streams(wan, sync="alternating"), tiny.noise())
    assert max(shape[0] for shape in shapes) == alone


def held(mask, model, sigma, alternating):
    """The mask of a step at this noise level."""
    from types import SimpleNamespace

    options = {"model": SimpleNamespace(inner_model=model.model), "sigmas": None}
    return alternating.held_by_noise_level(torch.full((1,), sigma), mask, options)


def test_a_certain_place_is_put_back_until_the_noise_has_fallen_to_its_mask(wan, alternating):
    mask = torch.tensor([0.0, 0.2, 0.5, 1.0])
    assert held(mask, wan, 1.0, alternating).tolist() == [0, 0, 0, 1]
    assert held(mask, wan, 0.4, alternating).tolist() == [0, 0, 1, 1]
    assert held(mask, wan, 0.1, alternating).tolist() == [0, 1, 1, 1]
    assert held(mask, wan, 1e-9, alternating).tolist() == [0, 1, 1, 1]  # what is known stays to the end


def test_known_cells_come_out_as_they_were_and_warps_guide_until_then(wan, two_streams):
    start, noise = torch.randn(V, 16, T, 4, 8, generator=torch.Generator().manual_seed(9)), tiny.noise()
    mask = torch.ones(V, 1, T, 4, 8)
    mask[0], mask[:, :, 0] = 0, 0
    certain = mask.clone()
    certain[1, :, 2] = 0.3
    patched = two_streams(wan, sync="alternating")
    free, guided = (sample(patched, noise, start=start, mask=m, steps=6) for m in (mask, certain))
    for result in (free, guided):
        assert torch.allclose(result * (1 - mask), start * (1 - mask), atol=1e-5)
    near, far = ((result - start)[1, :, 2].abs().mean() for result in (guided, free))
    assert near < 0.8 * far  # the warped cell stays closer to its warp
    assert (guided - free)[2].abs().max() > 1e-3  # and cells that are not warped follow it


def test_a_mask_function_of_ones_own_stays(comfy_inside, wan, two_streams):
    own = wan.clone()
    own.set_model_denoise_mask_function(lambda sigma, denoise_mask, extra_options: denoise_mask)
    for patched in (two_streams(own, sync="alternating"), two_streams(two_streams(own, sync="alternating"))):
        assert patched.model_options["denoise_mask_function"] is own.model_options["denoise_mask_function"]
    ours = two_streams(wan, sync="alternating")
    assert "denoise_mask_function" in ours.model_options and "denoise_mask_function" not in wan.model_options
    assert "denoise_mask_function" not in two_streams(ours, sync="hard").model_options


def test_blocks_that_other_packs_replace_stay_replaced_along_both_axes(wan, two_streams):
    replaced = wan.clone()
    replaced.set_model_patch_replace(
        lambda args, extra: {"img": extra["original_block"](args)["img"] * 0.9}, "dit", "double_block", 1
    )
    sigmas = levels(wan)
    ours = run(two_streams(replaced, sync="alternating"), tiny.noise(), sigmas)
    assert torch.allclose(ours, step_by_step(replaced, tiny.noise(), sigmas, ("views", "times")), atol=1e-4)


def test_latents_with_sound_get_one_sentence(comfy_inside, two_streams):
    from comfy.nested_tensor import NestedTensor

    noise, sound = tiny.noise(8), torch.randn(V, 8, 6, 16, generator=torch.Generator().manual_seed(6))
    both, nothing = NestedTensor((noise, sound)), NestedTensor((torch.zeros_like(noise), torch.zeros_like(sound)))
    with pytest.raises(ValueError, match="alternating has no sound along views"):
        sample(two_streams(tiny.ltx2(), sync="alternating"), both, start=nothing)


def test_4real_models_alternate_too(comfy_inside, tiny_model, grid, two_streams):
    """Each step is one of the model's own streams alone; 4Real Sampler gives what Two-Stream with KSampler gives."""
    model = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]
    positive, negative, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    [one_step] = run_ksampler(comfy_inside, two_streams(model, sync="alternating"), positive, negative, latent, steps=1)
    [off] = run_ksampler(
        comfy_inside, two_streams(model, sync="off", output="view only"), positive, negative, latent, steps=1
    )
    assert torch.allclose(one_step["samples"], off["samples"], atol=1e-5)
    [filled] = comfy_inside.call("FourRealSampler", model=model, grid=grid, sync="alternating", **SAMPLER)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known])
    assert filled.provenance["sync"] == "alternating" and not filled.provenance["sync_trained"]
    [hard] = comfy_inside.call("FourRealSampler", model=model, grid=grid, sync="hard", **SAMPLER)
    assert (filled.frames - hard.frames).abs().max() > 1e-3


def run_ksampler(comfy_inside, model, positive, negative, latent, steps):
    return comfy_inside.call(
        "KSampler",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=latent,
        seed=3,
        steps=steps,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
