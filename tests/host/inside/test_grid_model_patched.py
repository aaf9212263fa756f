"""The two implementations of two streams give the same: the grid model's own forward pass, and the patch for host models on its blocks.

Equal to 1e-5 of pixels in -1..1, float32, after sampling (measured: 4e-6): the patch computes the modulation of each video, the model
that of each grid once, and matrix products of other sizes round differently.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import pytest
import torch
from sampling import KSAMPLER, SAMPLER

BUNDLED = "bundled (default)"
DEFAULTS = {"sync": "auto", "strength": 1.0, "output": "mean"}
OUTPUTS = ("mean", "time only", "view only")


@pytest.fixture(scope="module")
def bundled(comfy_inside):
    return comfy_inside.call("FourRealLoadModel", checkpoint=BUNDLED, precision="float32")[0]


@pytest.fixture
def two_streams(comfy_inside):
    return lambda model, **settings: comfy_inside.call("FourRealTwoStream", model=model, **(DEFAULTS | settings))[0]


@pytest.fixture
def through_blocks(comfy_inside):
    """The MODEL with its two streams made by the patch for host models, whatever the plan."""
    patch, trained = comfy_inside.pack_host("two_stream.patch"), comfy_inside.pack_host("two_stream.trained")

    def run(model, sync, **settings):
        return patch.patch_two_streams(model, trained.plan_for(model, sync, None, **settings))

    return run


@pytest.fixture
def sampled(comfy_inside):
    def run(model, grid, **changes):
        positive, negative, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
        settings = KSAMPLER | changes
        return comfy_inside.call(
            "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **settings
        )[0]["samples"]

    return run


@pytest.fixture
def square(comfy_inside, videos):
    """As many views as times: the model's own pass runs both streams in one batch there."""
    return comfy_inside.core("grid").FrameGrid.from_videos(videos[0][:3], videos[1], fps=6.0)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("sync", ["off", "hard", "soft"])
def test_the_bundled_model_gives_the_same_both_ways(bundled, grid, two_streams, through_blocks, sampled, sync, output):
    own = sampled(two_streams(bundled, sync=sync, output=output), grid)
    assert torch.allclose(sampled(through_blocks(bundled, sync, output=output), grid), own, atol=1e-5)


def test_a_model_whose_every_weight_does_something_gives_the_same_both_ways(
    comfy_inside, tiny_model, grid, two_streams, through_blocks, sampled
):
    """Here kinds and outputs differ far more than the two ways do."""
    model = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]
    settings = [(sync, output) for sync in ("off", "soft") for output in OUTPUTS] + [("hard", "mean")]
    own = [sampled(two_streams(model, sync=sync, output=output), grid) for sync, output in settings]
    other = [sampled(through_blocks(model, sync, output=output), grid) for sync, output in settings]
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(own, other))
    assert min((x - y).abs().max() for i, x in enumerate(own) for y in own[:i]) > 1e-3


@pytest.mark.parametrize("sync", ["off", "hard", "soft"])
def test_where_the_model_runs_both_streams_in_one_batch(bundled, square, two_streams, through_blocks, sampled, sync):
    own = sampled(two_streams(bundled, sync=sync), square)
    assert torch.allclose(sampled(through_blocks(bundled, sync), square), own, atol=1e-5)


@pytest.mark.parametrize("settings", [{"strength": 0.4}, {"cfg": 2.5}])
def test_strength_and_guidance_too(bundled, grid, two_streams, through_blocks, sampled, settings):
    strength, cfg = settings.get("strength", 1.0), settings.get("cfg", 1.0)
    own = sampled(two_streams(bundled, sync="soft", strength=strength), grid, cfg=cfg)
    assert torch.allclose(sampled(through_blocks(bundled, "soft", strength=strength), grid, cfg=cfg), own, atol=1e-5)


def test_without_a_checkpoints_layers_hard_averages_both_ways(
    comfy_inside, bundled, grid, two_streams, through_blocks, sampled
):
    """Plain averaging is another result than the checkpoint's trained hard layers, and equal both ways as well."""
    core, plan = comfy_inside.core("evaluation.compare"), comfy_inside.pack_host("two_stream.plan").TwoStreamPlan
    patch = comfy_inside.pack_host("two_stream.patch")
    averaged = sampled(patch.patch_two_streams(bundled, plan("hard")), grid)
    assert (averaged - sampled(two_streams(bundled, sync="hard"), grid)).abs().max() > 1e-4
    model = comfy_inside.core("model.weights").load_model(dtype=torch.float32)
    expected = comfy_inside.core("sampling.sample").sample_grid(
        core.without_training(model), grid, "hard", steps=2, seed=3
    )
    settings = SAMPLER
    zero = (
        comfy_inside.core("model.sync_file")
        .SyncLayers(layers_config(comfy_inside, bundled, kind="hard", rank=4))
        .initialize()
    )
    attached = two_streams(bundled, sync_layers=comfy_inside.pack_host("load").sync_patcher(zero, "averages"))
    grid_of_nodes = comfy_inside.call("FourRealSampler", model=attached, grid=grid, sync="hard", **settings)[0]
    assert torch.allclose(grid_of_nodes.frames, expected.frames, atol=1e-5)


def layers_config(comfy_inside, model, **options):
    config = model.model.diffusion_model.config
    return comfy_inside.core("model.sync_file").SyncConfig("fourreal", config.width, config.depth, **options)


def test_a_file_of_the_checkpoints_own_layers_gives_what_the_checkpoint_gives(
    comfy_inside, bundled, grid, two_streams, sampled
):
    network, sync_file = bundled.model.diffusion_model, comfy_inside.core("model.sync_file")
    config = layers_config(
        comfy_inside, bundled, kind="soft", rank=network.config.sync_rank, sigma_width=network.config.sync_sigma_width
    )
    layers = sync_file.SyncLayers(config)
    layers.load_state_dict(network.sync["soft"].state_dict())
    folder = comfy_inside.base / "models" / "fourreal_sync"
    folder.mkdir(exist_ok=True)
    sync_file.save_sync(layers, folder / "own.safetensors")
    [loaded] = comfy_inside.call("FourRealLoadSync", file="own.safetensors")
    attached = two_streams(bundled, sync_layers=loaded)
    own = sampled(two_streams(bundled, sync="soft"), grid)
    assert torch.allclose(sampled(attached, grid), own, atol=1e-5)
    settings = SAMPLER
    by_node, plain = (
        comfy_inside.call("FourRealSampler", model=model, grid=grid, sync="soft", **settings)[0]
        for model in (attached, bundled)
    )
    assert torch.allclose(by_node.frames, plain.frames, atol=1e-5)
    assert by_node.provenance["sync_layers"] == {"file": "own.safetensors", "hash": loaded.model.file_hash}
    assert by_node.provenance["sync_trained"] and "sync_layers" not in plain.provenance


def test_ranges_on_a_4real_model(comfy_inside, bundled, grid, two_streams, sampled):
    off, soft = (sampled(two_streams(bundled, sync=sync), grid, steps=4) for sync in ("off", "soft"))
    assert torch.allclose(sampled(two_streams(bundled, start_percent=0.999), grid, steps=4), off, atol=1e-5)
    for settings in ({"first_layer": 0.5}, {"last_layer": 0.5}, {"end_percent": 0.5}):
        part = sampled(two_streams(bundled, **settings), grid, steps=4)
        assert (part - soft).abs().max() > 1e-4 and (part - off).abs().max() > 1e-4
    with pytest.raises(ValueError, match="a 4Real model runs fused in all of its layers and steps"):
        two_streams(bundled, sync="fused", first_layer=0.5)
    again = two_streams(two_streams(bundled, first_layer=0.5))
    assert torch.equal(sampled(again, grid, steps=4), soft)


def test_the_sampler_keeps_ranges_and_chooses_the_kind(comfy_inside, bundled, grid, two_streams):
    settings = SAMPLER

    def run(model, sync):
        return comfy_inside.call("FourRealSampler", model=model, grid=grid, sync=sync, **settings)[0]

    half = two_streams(bundled, sync="soft", first_layer=0.5)
    for sync in ("soft", "hard"):
        expected = run(two_streams(bundled, sync=sync, first_layer=0.5), sync)
        assert torch.equal(run(half, sync).frames, expected.frames)
        assert not torch.equal(expected.frames, run(bundled, sync).frames)
        assert expected.provenance["first_layer"] == 0.5 and expected.provenance["sync"] == sync


def test_auto_on_a_4real_model_is_its_best_kind(bundled, grid, two_streams, sampled):
    assert torch.equal(sampled(two_streams(bundled), grid), sampled(two_streams(bundled, sync="soft"), grid))


def test_patches_of_blocks_act_on_one_stream_of_a_4real_model(bundled, grid, two_streams, sampled):
    """Another pack's replacement of a block, as on the host's models; the model's own pass does not have them."""
    patched = bundled.clone()
    patched.set_model_patch_replace(
        lambda args, extra: {"img": 0.9 * extra["original_block"](args)["img"]}, "dit", "double_block", 1
    )
    within = {"first_layer": 0.5}
    assert (
        sampled(two_streams(patched, **within), grid) - sampled(two_streams(bundled, **within), grid)
    ).abs().max() > 1e-3


def test_the_same_memory_is_announced_both_ways(bundled, grid, two_streams, through_blocks, sampled, monkeypatch):
    """The host's estimate for a 4Real model is of both streams already."""
    shapes, estimate = [], bundled.model.memory_required
    monkeypatch.setattr(
        bundled.model, "memory_required", lambda shape, **more: shapes.append(tuple(shape)) or estimate(shape, **more)
    )
    sampled(two_streams(bundled, sync="hard"), grid)
    own = shapes[:]
    shapes.clear()
    sampled(through_blocks(bundled, "hard"), grid)
    assert max(shapes) == max(own)
