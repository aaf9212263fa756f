"""Loading, conditioning and sampling inside the host, on a tiny untrained model whose every weight does something.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import dataclasses
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from sampling import KSAMPLER, SAMPLER

SAMPLING = SAMPLER | {"sync": "soft", "steps": 4}


@pytest.fixture
def model(comfy_inside, tiny_model):
    return comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]


@pytest.fixture
def core_model(comfy_inside, tiny_model):
    file = comfy_inside.base / "models" / "fourreal" / tiny_model
    return comfy_inside.core("model.weights").load_model(file, dtype=torch.float32)


def sample(comfy_inside, model, grid, **changes):
    return comfy_inside.call("FourRealSampler", model=model, grid=grid, **(SAMPLING | changes))[0]


def ksample(comfy_inside, model, grid, **changes):
    positive, negative, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    settings = KSAMPLER | {"steps": 4} | changes
    [sampled] = comfy_inside.call(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **settings
    )
    return comfy_inside.call("FourRealGridDecode", latent=sampled)[0]


@pytest.mark.parametrize("denoise", [1.0, 0.5])
@pytest.mark.parametrize("sync", ["off", "hard", "soft", "sequential", "fused"])
def test_the_sampler_node_gives_what_the_core_gives(comfy_inside, model, core_model, grid, sync, denoise):
    expected = comfy_inside.core("sampling.sample").sample_grid(
        core_model, grid, sync, steps=4, seed=3, denoise=denoise
    )
    sampled = sample(comfy_inside, model, grid, sync=sync, denoise=denoise)
    assert torch.allclose(sampled.frames, expected.frames, atol=1e-5)


def test_tiles_of_a_grid_are_those_of_the_core(comfy_inside, model, core_model, grid):
    tiles = comfy_inside.core("sampling.tiles")
    sampling = comfy_inside.core("sampling.sample").Sampling(steps=4, seed=3)
    expected = tiles.fill_in_tiles(grid, tiles.sampled_tiles(core_model, sampling), tile=(3, 3))
    sampled = sample(comfy_inside, model, grid, tile=3)
    assert torch.allclose(sampled.frames, expected.frames, atol=1e-5)
    assert sampled.provenance["tiles"] == 2 and sampled.provenance["seed"] == 3
    assert torch.equal(sample(comfy_inside, model, grid, tile=8).frames, sample(comfy_inside, model, grid).frames)
    with pytest.raises(ValueError, match="expected tiles of at least 2 views and 2 times, got 1"):
        sample(comfy_inside, model, grid, tile=1)


def test_auto_runs_the_best_that_the_checkpoint_has_and_says_which(comfy_inside, model, grid):
    sampled, soft = (sample(comfy_inside, model, grid, sync=sync) for sync in ("auto", "soft"))
    assert torch.equal(sampled.frames, soft.frames) and sampled.provenance == soft.provenance
    untuned = sample(comfy_inside, model, grid, sync="hard")
    assert not torch.equal(untuned.frames, soft.frames) and untuned.provenance["sync"] == "hard"


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "heun", "dpmpp_2m", "uni_pc", "res_multistep"])
def test_known_cells_stay_bit_exact(comfy_inside, model, grid, sampler):
    for sampled in (
        sample(comfy_inside, model, grid, sampler=sampler, cfg=1.5),
        ksample(comfy_inside, model, grid, sampler_name=sampler, cfg=1.5),
    ):
        assert torch.equal(sampled.frames[grid.known], grid.frames[grid.known])
        assert torch.equal(sampled.known, grid.known)
        assert sampled.frames[~grid.known].std() > 0


def test_equal_inputs_give_equal_grids_and_another_seed_another(comfy_inside, model, grid):
    first = sample(comfy_inside, model, grid)
    assert torch.equal(first.frames, sample(comfy_inside, model, grid).frames)
    assert not torch.equal(first.frames, sample(comfy_inside, model, grid, seed=4).frames)
    assert torch.equal(ksample(comfy_inside, model, grid).frames, ksample(comfy_inside, model, grid).frames)


def test_inputs_are_not_written_to(comfy_inside, model, grid):
    frames, known = grid.frames.clone(), grid.known.clone()
    weights = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    sample(comfy_inside, model, grid, cfg=2.0)
    ksample(comfy_inside, model, grid)
    assert torch.equal(grid.frames, frames) and torch.equal(grid.known, known)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.model.state_dict().items())
    assert "fourreal" not in model.model_options.get("transformer_options", {})


def test_the_result_says_how_it_was_made(comfy_inside, model, core_model, grid):
    made = sample(comfy_inside, model, grid).provenance
    assert made["sync"] == "soft" and made["seed"] == 3 and made["steps"] == 4
    assert made["model"] == core_model.checkpoint_hash
    assert ksample(comfy_inside, model, grid).provenance == {"model": core_model.checkpoint_hash}


def test_denoise_0_returns_the_guess(comfy_inside, model, grid):
    transported = comfy_inside.call("FourRealTransportFill", grid=grid)[0]
    assert torch.allclose(sample(comfy_inside, model, grid, denoise=0.0).frames, transported.frames, atol=1e-6)
    grey = grid.replace(frames=torch.full_like(grid.frames, 0.25))
    sampled = sample(comfy_inside, model, grid, denoise=0.0, guess=grey)
    assert torch.allclose(sampled.frames[~grid.known], torch.tensor(0.25), atol=1e-6)


def test_the_guess_matters_below_full_denoise_only(comfy_inside, model, grid):
    carried = comfy_inside.call("FourRealTransportFill", grid=grid)[0]
    other = carried.replace(frames=1 - carried.frames)
    for denoise, same in ((1.0, True), (0.1, False)):
        first, second = (sample(comfy_inside, model, grid, denoise=denoise, guess=g).frames for g in (carried, other))
        assert torch.equal(first, second) == same


def test_two_stream_settings_reach_the_ksampler(comfy_inside, model, grid):
    def with_sync(**settings):
        patched = comfy_inside.call("FourRealTwoStream", model=model, **settings)[0]
        return ksample(comfy_inside, patched, grid).frames

    soft = with_sync(sync="soft", strength=1.0, output="mean")
    assert torch.equal(soft, ksample(comfy_inside, model, grid).frames)
    assert not torch.equal(soft, with_sync(sync="hard", strength=1.0, output="mean"))
    assert not torch.equal(soft, with_sync(sync="soft", strength=1.0, output="time only"))
    off = with_sync(sync="off", strength=1.0, output="mean")
    assert torch.allclose(off, with_sync(sync="hard", strength=0.0, output="mean"), atol=1e-6)


def test_the_sampler_keeps_the_output_chosen_on_two_stream(comfy_inside, model, grid):
    time_only = comfy_inside.call("FourRealTwoStream", model=model, sync="off", strength=1.0, output="time only")[0]
    assert not torch.equal(sample(comfy_inside, time_only, grid).frames, sample(comfy_inside, model, grid).frames)


def test_cfg_runs_both_conditions_in_one_call_or_two(comfy_inside, model, grid, monkeypatch):
    import comfy.model_management

    together = sample(comfy_inside, model, grid, cfg=2.0)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda *args, **kwargs: 0)
    monkeypatch.setattr(type(model), "get_free_memory", lambda *args: 0)
    apart = sample(comfy_inside, model, grid, cfg=2.0)
    assert torch.allclose(together.frames, apart.frames, atol=1e-5)
    assert not torch.allclose(together.frames, sample(comfy_inside, model, grid).frames, atol=1e-3)


def test_the_hosts_custom_sampler_works(comfy_inside, model, grid):
    positive, negative, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    [guider] = comfy_inside.call("CFGGuider", model=model, positive=positive, negative=negative, cfg=1.0)
    [noise] = comfy_inside.call("RandomNoise", noise_seed=3)
    [method] = comfy_inside.call("KSamplerSelect", sampler_name="euler")
    [sigmas] = comfy_inside.call("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0)
    sampled, _ = comfy_inside.call(
        "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=method, sigmas=sigmas, latent_image=latent
    )
    decoded = comfy_inside.call("FourRealGridDecode", latent=sampled)[0]
    assert torch.equal(decoded.frames, ksample(comfy_inside, model, grid).frames)


@pytest.mark.parametrize("node", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
def test_a_shift_of_1_changes_nothing(comfy_inside, model, grid, node):
    [shifted] = comfy_inside.call(node, model=model, shift=1.0)
    expected = sample(comfy_inside, model, grid)
    assert torch.allclose(sample(comfy_inside, shifted, grid).frames, expected.frames, atol=1e-4)
    [shifted] = comfy_inside.call(node, model=model, shift=3.0)
    assert not torch.allclose(sample(comfy_inside, shifted, grid).frames, expected.frames, atol=1e-3)


def test_the_hosts_lora_loader_patches_the_model(comfy_inside, model, grid):
    key = "diffusion_model.base.blocks.0.attention_out"
    width = model.model.state_dict()[f"{key}.weight"].shape[0]
    generator = torch.Generator().manual_seed(0)
    lora = {
        f"{key}.lora_A.weight": torch.randn(2, width, generator=generator),
        f"{key}.lora_B.weight": torch.randn(width, 2, generator=generator),
    }
    save_file(lora, comfy_inside.base / "models" / "loras" / "style.safetensors")
    [styled] = comfy_inside.call("LoraLoaderModelOnly", model=model, lora_name="style.safetensors", strength_model=1.0)
    plain = sample(comfy_inside, model, grid)
    assert not torch.allclose(sample(comfy_inside, styled, grid).frames, plain.frames, atol=1e-3)
    assert torch.equal(sample(comfy_inside, model, grid).frames, plain.frames)


def test_a_fresh_copy_of_the_model_samples_the_same(comfy_inside, model, grid):
    copy = model.clone(force_deepcopy=True)
    assert copy.model is not model.model
    assert torch.equal(sample(comfy_inside, copy, grid).frames, sample(comfy_inside, model, grid).frames)


@pytest.fixture
def progress(monkeypatch):
    """What the progress bar of the running node shows: (value, total, preview) of every update."""
    import comfy.utils

    shown = []
    monkeypatch.setattr(
        comfy.utils,
        "PROGRESS_BAR_HOOK",
        lambda value, total, preview, node_id=None: shown.append((value, total, preview)),
    )
    return shown


@pytest.mark.parametrize("run", [sample, ksample])
def test_every_step_shows_the_whole_grid(comfy_inside, model, grid, progress, run):
    run(comfy_inside, model, grid)
    previews = [(value, total, preview[1]) for value, total, preview in progress if preview]
    assert len(previews) == 4
    if run is ksample:
        assert [(value, total) for value, total, _ in previews] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for *_, picture in previews:
        assert picture.width > 5 * 24 and picture.height > 3 * 16


@pytest.mark.parametrize("settings", [{}, {"tile": 3}, {"guess": True}])
def test_the_sampler_has_one_bar_over_all_it_does(comfy_inside, model, grid, progress, settings):
    """Sources, steps and cells, tile after tile: from the start to the end, never back."""
    for turn in range(2):  # the second time the sources are at hand
        progress.clear()
        sample(comfy_inside, model, grid, **{**settings, **({"guess": grid} if "guess" in settings else {})})
        values, totals = [value for value, *_ in progress], {total for _, total, _ in progress}
        assert len(totals) == 1 and values == sorted(values)
        assert values[0] < 0.5 * max(totals) and values[-1] == max(totals), turn


@pytest.mark.parametrize("run", [sample, ksample, partial(sample, tile=3)])
def test_cancelling_stops_at_the_next_step_and_the_next_run_works(comfy_inside, model, grid, monkeypatch, run):
    import comfy.model_management
    import comfy.utils

    expected, values = run(comfy_inside, model, grid), []

    def cancel_at_2(value, total, preview, node_id=None):
        if preview:
            values.append(value)
        if len(values) == 2:
            comfy.model_management.interrupt_current_processing()

    with monkeypatch.context() as patch, pytest.raises(comfy.model_management.InterruptProcessingException):
        patch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", cancel_at_2)
        run(comfy_inside, model, grid)
    assert len(values) == 2
    assert torch.equal(run(comfy_inside, model, grid).frames, expected.frames)


def test_other_sizes_than_multiples_of_8_work(comfy_inside, model, videos):
    odd = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:, :15, :21], videos[1][:, :15, :21])
    assert sample(comfy_inside, model, odd).frames.shape == (3, 5, 15, 21, 3)


def test_a_checkpoint_without_soft_layers_averages_and_says_what_it_has(comfy_inside, tiny_model, grid):
    weights, two_stream = comfy_inside.core("model.weights"), comfy_inside.core("model.two_stream")
    config = dataclasses.replace(comfy_inside.core("model.config").tiny(), sync=())
    plain = two_stream.initialize_grid_model(two_stream.GridModel(config), torch.Generator().manual_seed(0))
    weights.save_checkpoint(comfy_inside.base / "models" / "fourreal" / "plain.safetensors", plain)
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint="plain.safetensors", precision="float32")
    [hard] = comfy_inside.call("FourRealTwoStream", model=model, sync="hard", strength=1.0, output="mean")
    assert torch.equal(ksample(comfy_inside, model, grid).frames, ksample(comfy_inside, hard, grid).frames)
    with pytest.raises(ValueError, match="one of hard, fused, sequential, off for this checkpoint, got soft"):
        sample(comfy_inside, model, grid, sync="soft")


def test_a_checkpoint_written_anew_is_loaded_anew(comfy_inside, tiny_model):
    node = comfy_inside.node_classes["FourRealLoadModel"]
    before = node.fingerprint_inputs(tiny_model, "auto")
    assert node.fingerprint_inputs(tiny_model, "auto") == before
    file = comfy_inside.base / "models" / "fourreal" / tiny_model
    file.write_bytes(file.read_bytes())
    assert node.fingerprint_inputs(tiny_model, "auto") != before


def test_a_decoded_latent_can_be_given_its_grid_again(comfy_inside, model, grid):
    _, _, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    saved = {"samples": latent["samples"]}  # what is left after the host's Save Latent and Load Latent
    decoded = comfy_inside.call("FourRealGridDecode", latent=saved, grid=grid)[0]
    assert torch.equal(decoded.frames[grid.known], grid.frames[grid.known])
    with pytest.raises(ValueError, match="the conditioning grid must be connected"):
        comfy_inside.call("FourRealGridDecode", latent=saved)


class OtherModel:
    """A MODEL whose model is none of ours."""

    model = torch.nn.Identity()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_latent_of_broken_numbers_gets_one_clear_sentence(comfy_inside, grid, value):
    samples = torch.zeros(grid.views, 3, grid.times, grid.height, grid.width)
    samples[1, 0, 2, 3, 4] = value
    with pytest.raises(ValueError, match="pixels that are not finite"):
        comfy_inside.call("FourRealGridDecode", latent={"samples": samples}, grid=grid)


def test_a_model_of_another_kind_gets_one_clear_sentence(comfy_inside, grid):
    for node, inputs in (
        ("FourRealGridConditioning", {"grid": grid}),
        ("FourRealSampler", {"grid": grid, **SAMPLING}),
    ):
        with pytest.raises(ValueError, match="expected a model from 4Real Load Model, got Identity"):
            comfy_inside.call(node, model=OtherModel(), **inputs)


def test_a_guess_of_another_size_gets_one_clear_sentence(comfy_inside, model, grid, videos):
    other = comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:4], videos[1])
    with pytest.raises(ValueError, match="3 views x 5 times of 24x16 pixels, got 3 views x 4 times"):
        sample(comfy_inside, model, grid, guess=other)


def test_ordinary_conditioning_gets_one_clear_sentence(comfy_inside, model, grid):
    _, _, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    text = [[torch.zeros(1, 77, 8), {}]]
    settings = KSAMPLER | {"seed": 0}
    with pytest.raises(ValueError, match="expected conditioning from 4Real Grid Conditioning"):
        comfy_inside.call("KSampler", model=model, positive=text, negative=text, latent_image=latent, **settings)


def test_a_latent_of_another_grid_gets_one_clear_sentence(comfy_inside, model, grid):
    positive, negative, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    other = {"samples": latent["samples"][:, :, :4]}
    settings = KSAMPLER | {"seed": 0}
    with pytest.raises(ValueError, match="3 views, 5 times"):
        comfy_inside.call("KSampler", model=model, positive=positive, negative=negative, latent_image=other, **settings)


def spoil_truncate(file):
    file.write_bytes(file.read_bytes()[:-50])


def spoil_pickle(file):
    torch.save({"weight": torch.zeros(3)}, file)


def spoil_missing_key(file):
    keep_header(file, lambda weights: weights.pop(min(weights)))


def spoil_extra_key(file):
    keep_header(file, lambda weights: weights.update(extra=torch.zeros(2)))


def spoil_shape(file):
    keep_header(file, lambda weights: weights.update({min(weights): torch.zeros(1)}))


def keep_header(file, change):
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata)


@pytest.mark.parametrize("spoil", [spoil_truncate, spoil_pickle, spoil_missing_key, spoil_extra_key, spoil_shape])
def test_a_broken_checkpoint_gets_one_clear_sentence(comfy_inside, tiny_model, spoil):
    folder = comfy_inside.base / "models" / "fourreal"
    broken = folder / f"{spoil.__name__}.safetensors"
    broken.write_bytes((folder / tiny_model).read_bytes())
    spoil(broken)
    with pytest.raises(ValueError, match=broken.name):
        comfy_inside.call("FourRealLoadModel", checkpoint=broken.name, precision="auto")
