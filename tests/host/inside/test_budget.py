"""Estimates of memory and work against what tiny models of the host's own classes really take, and what the node says."""

import pytest
import tiny_backbones as tiny
import torch
from live_memory import LiveMemory
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

V, T = 3, 5
LATENT_SIDES = (8, 12)
LARGE_SIDES = (16, 24)  # so that text is little beside the video


def wan_like(**more):
    sizes = {
        "dim": 96,
        "ffn_dim": 384,
        "num_heads": 2,
        "num_layers": 2,
        "in_dim": 16,
        "out_dim": 16,
        "text_dim": 16,
        "freq_dim": 16,
    }
    return tiny.of_family("WAN21_T2V", image_model="wan2.1", model_type="t2v", **sizes | more)


def ltxv():
    sizes = {
        "in_channels": 128,
        "cross_attention_dim": 96,
        "attention_head_dim": 48,
        "num_attention_heads": 2,
        "num_layers": 2,
    }
    return tiny.of_family("LTXV", image_model="ltxv", caption_channels=16, **sizes)


def kandinsky():
    sizes = {"model_dim": 96, "ff_dim": 384, "time_dim": 16, "axes_dims": (16, 16, 16), "visual_embed_dim": 33 * 4}
    return tiny.of_family(
        "Kandinsky5",
        image_model="kandinsky5",
        in_text_dim=16,
        in_text_dim2=8,
        num_visual_blocks=2,
        num_text_blocks=1,
        **sizes,
    )


def text(**extra):
    return tiny.text(1, **extra)


def ltx2():
    video = {"in_channels": 8, "cross_attention_dim": 96, "attention_head_dim": 48, "num_attention_heads": 2}
    sound = {"audio_cross_attention_dim": 16, "audio_attention_head_dim": 8, "audio_num_attention_heads": 2}
    connector = {"connector_attention_head_dim": 8, "connector_num_attention_heads": 2}
    sizes = {**video, **sound, **connector, "num_layers": 2, "caption_channels": 16}
    return tiny.of_family("LTXAV", image_model="ltxav", **sizes)


def cosmos(name, **more):
    sizes = {**tiny.COSMOS_SIZES, **tiny.COSMOS_GRID, **tiny.COSMOS_POSITIONS, "model_channels": 96, "num_blocks": 2}
    return tiny.of_family(name, **sizes, **more, in_channels=16, out_channels=16)


def cosmos1():
    more = {"block_x_format": "THWBD", "extra_per_block_abs_pos_emb_type": "learnable", "affline_emb_norm": True}
    return cosmos("CosmosT2V", image_model="cosmos", **more)


MODELS = {  # how to make it, latent channels, its text, whether cells can be known
    "Wan": (wan_like, 16, text, True),
    "LTXV": (ltxv, 128, lambda: text(attention_mask=torch.ones(1, 6, dtype=torch.long)), True),
    "HunyuanVideo": (tiny.hunyuan, 16, lambda: text(pooled_output=torch.ones(1, 768), guidance=5.0), True),
    "Mochi": (tiny.mochi, 12, lambda: text(attention_mask=torch.ones(1, 6, dtype=torch.long)), True),
    "Kandinsky 5": (kandinsky, 16, lambda: text(pooled_output=torch.ones(1, 8)), False),
    "LTX-2": (ltx2, 8, text, True),
    "CogVideoX": (lambda: tiny.cogvideo(attention_head_dim=48, num_layers=2), 16, text, True),
    "Cosmos": (cosmos1, 16, text, True),
    "Cosmos Predict2": (lambda: cosmos("CosmosT2IPredict2", image_model="cosmos_predict2"), 16, text, True),
}


@pytest.fixture(scope="module")
def budget(comfy_inside):
    return comfy_inside.core("sampling.budget")


@pytest.fixture(scope="module")
def node(comfy_inside):
    return comfy_inside.pack_host("network_sizes")


def two_streams(comfy_inside, model, sync):
    return comfy_inside.call("FourRealTwoStream", model=model, sync=sync, strength=1.0, output="mean")[0]


def operations():
    """PyTorch's count of multiplications and additions, with the CPU's attention kernel, which it leaves out by itself."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(
        display=False, custom_mapping={kernel: lambda q, k, v, *args, **kwargs: sdpa_flop_count(q, k, v)}
    )


def run(model, channels, words, masked, counter, views=V, sides=LATENT_SIDES):
    """One step of the host's sampling of a grid of V views and T latent frames, inside the counter."""
    noise = torch.randn(views, channels, T, *sides)
    mask = torch.ones(views, 1, T, *sides)
    mask[0], mask[:, :, 0] = 0, 0
    with counter:
        tiny.sample(
            model,
            noise,
            steps=1,
            positive=words,
            negative=words,
            mask=mask if masked else None,
            start=torch.zeros_like(noise),
        )
    return counter


def planned(budget, node, model, masked, sides=LATENT_SIDES):
    sync = node.sync_of(model, node.AS_SET)
    side = model.model.latent_format.spacial_downscale_ratio
    size = budget.GridSize(V, T, sides[0] * side, sides[1] * side, "hold")
    return node.network_of(model, sync, masked), budget.Plan(size, sync)


@pytest.mark.parametrize("sync", [None, "hard", "sequential", "alternating"])
@pytest.mark.parametrize("name", MODELS)
def test_memory_is_estimated_within_the_stated_factor(comfy_inside, budget, node, name, sync):
    make, channels, words, masked = MODELS[name]
    model = tiny.with_plain_attention(make())
    model = model if sync is None else two_streams(comfy_inside, model, sync)
    counted = run(model, channels, words(), masked, LiveMemory()).peak
    estimated = budget.peak_bytes(*planned(budget, node, model, masked))
    assert 1 / budget.FACTOR < estimated / counted < budget.FACTOR


def test_memory_of_fused_image_to_video_and_vace_is_estimated_too(comfy_inside, budget, node):
    vace = tiny.wan("vace", dim=96, layers=4, vace_layers=2, vace_in_dim=96)
    for model, sync in ((wan_like(), "fused"), (wan_like(in_dim=36), "hard"), (vace, "hard")):
        model = two_streams(comfy_inside, tiny.with_plain_attention(model), sync)
        counted = run(model, 16, text(), True, LiveMemory()).peak
        assert 1 / budget.FACTOR < budget.peak_bytes(*planned(budget, node, model, True)) / counted < budget.FACTOR


@pytest.mark.parametrize("name", [name for name in MODELS if name != "Kandinsky 5"])
def test_relative_work_is_what_pytorch_counts(comfy_inside, budget, node, name):
    """Against one video of T frames. What is counted includes embeddings and text, which the estimate leaves out."""
    make, channels, words, _ = MODELS[name]
    model = tiny.with_plain_attention(make())
    alone = run(model, channels, words(), False, operations(), views=1, sides=LARGE_SIDES).get_total_flops()
    for sync in ("hard", "sequential", "fused") if name == "Wan" else ("hard",):
        patched = two_streams(comfy_inside, model, sync)
        counted = run(patched, channels, words(), False, operations(), sides=LARGE_SIDES).get_total_flops() / alone
        assert budget.relative_cost(*planned(budget, node, patched, False, LARGE_SIDES)) == pytest.approx(
            counted, rel=0.05
        ), sync


@pytest.mark.parametrize("sync", ["hard", "soft", "sequential", "fused"])
def test_the_bundled_model_is_estimated_within_the_stated_factor(comfy_inside, budget, node, grid, sync):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint="bundled (default)", precision="float32")
    [model] = comfy_inside.call("FourRealTwoStream", model=model, sync=sync, strength=1.0, output="mean")
    positive, negative, latent = comfy_inside.call("FourRealGridConditioning", model=model, grid=grid)
    sampler = {"positive": positive, "negative": negative, "mask": latent["noise_mask"], "start": latent["samples"]}
    with LiveMemory() as counted:
        tiny.sample(model, torch.randn_like(latent["samples"]), steps=1, **sampler)
    plan = budget.Plan(budget.GridSize(grid.views, grid.times, grid.height, grid.width), sync)
    estimated = budget.peak_bytes(node.network_of(model, sync, True), plan)
    assert 1 / budget.FACTOR < estimated / counted.peak < budget.FACTOR


WIDE = {
    "dim": 5120,
    "ffn_dim": 13824,
    "num_heads": 40,
    "num_layers": 2,
    "in_dim": 16,
    "out_dim": 16,
    "text_dim": 4096,
    "freq_dim": 256,
}


@pytest.mark.parametrize("sync", ["hard", "fused"])
def test_it_holds_at_the_width_of_wan_14b_in_bfloat16(comfy_inside, budget, node, sync):
    """On the meta device, where tensors have sizes and no numbers: two of 40 blocks, 8 views x 8 times of 832x480."""
    import comfy.supported_models
    from comfy.patcher_extension import WrappersMP

    config = comfy.supported_models.WAN21_T2V({"image_model": "wan2.1", "model_type": "t2v", **WIDE})
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, "", device="meta")
    patch, plans = comfy_inside.pack_host("two_stream.patch"), comfy_inside.pack_host("two_stream.plan")
    options = {
        "optimized_attention_override": lambda function, q, k, v, *args, **kwargs: torch.empty_like(q),
        "cond_or_uncond": [0],
        "wrappers": {WrappersMP.DIFFUSION_MODEL: {patch.KEY: [patch.two_streams]}},
        patch.KEY: plans.TwoStreamPlan(kind=sync),
        patch.NOISE: (torch.ones(8), True),
    }
    x, words = (
        torch.empty(8, 16, 8, 60, 104, device="meta", dtype=torch.bfloat16),
        torch.empty(8, 512, 4096, device="meta", dtype=torch.bfloat16),
    )
    with torch.inference_mode(), LiveMemory() as counted:
        model.diffusion_model(x, torch.empty(8, device="meta"), words, transformer_options=options)
    network = budget.VideoNetwork(5120, 13824, 2, 0, 2, 16, 4)
    estimated = budget.peak_bytes(network, budget.Plan(budget.GridSize(8, 8, 480, 832, "hold"), sync))
    assert counted.peak > 10 * 2**30
    assert 1 / budget.FACTOR < estimated / counted.peak < budget.FACTOR


def ask(comfy_inside, model, **changed):
    given = {
        "sync": "as the model is set",
        "encoding": "hold",
        "cfg": 1.0,
        "views": 4,
        "times": 9,
        "width": 832,
        "height": 480,
        "memory": 24.0,
    }
    return comfy_inside.call("FourRealBudget", model=model, **given | changed)


def test_the_node_says_tokens_memory_work_and_that_it_fits(comfy_inside):
    text, tokens, gib, cost = ask(comfy_inside, two_streams(comfy_inside, wan_like(), "hard"))
    assert tokens == 4 * 9 * 30 * 52 and f"{tokens:,} tokens" in text
    assert 0 < gib < 24 and 4 < cost < 13
    assert f"{cost:.1f} times that of a single view, with sync hard" in text and text.endswith("It fits.")


def test_what_does_not_fit_comes_with_changes_that_do(comfy_inside, budget):
    model = two_streams(comfy_inside, wan_like(), "hard")
    needed = budget.FACTOR * ask(comfy_inside, model)[2]
    text = ask(comfy_inside, model, memory=needed / 2)[0]
    assert "It does not fit." in text
    for change in ("encoding native and 9 times", "cells of ", " times (", " views ("):
        assert change in text, text
    [cells] = [line.split() for line in text.splitlines() if "cells of" in line]
    width, height = map(int, cells[2].split("x"))
    smaller, larger = (
        budget.FACTOR * ask(comfy_inside, model, width=width + more, height=height + more)[2] for more in (0, 16)
    )
    assert smaller <= needed / 2 < larger
    fused = two_streams(comfy_inside, model, "fused")
    assert "sync hard (" in ask(comfy_inside, fused, memory=1.1 * needed)[0]


def test_a_grid_gives_its_sizes_and_two_prompts_cost_more_memory(comfy_inside, grid, tiny_model):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")
    text, tokens, alone, _ = ask(comfy_inside, model, grid=grid)
    assert tokens == 3 * 5 * 2 * 3 and text.startswith("3 views x 5 times of 24x16: 90 tokens, 6 in each cell")
    _, _, both, _ = ask(comfy_inside, model, grid=grid, cfg=3.0)
    assert both == pytest.approx(2 * alone)


def test_on_a_cpu_the_fill_before_a_grid_model_counts_too(comfy_inside, budget, node):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint="bundled (default)", precision="float32")
    size, cells = budget.GridSize(8, 8, 288, 512), {"views": 8, "times": 8, "width": 512, "height": 288}
    plan = budget.Plan(budget.GridSize(8, 8, 72, 128), "soft")
    needed = budget.filled_and_sampled_bytes(node.network_of(model, "soft", True), plan, size)
    assert needed > budget.fill_bytes(size) > budget.fill_bytes(size, scene=False) > 200 * 2**20
    enough, little = (ask(comfy_inside, model, memory=factor * needed / 2**30, **cells) for factor in (1.3, 1.2))
    assert (
        "Before it, 4Real Fill: about" in enough[0]
        and "The model works on a copy: the grid has cells of 512x288" in enough[0]
    )
    assert enough[0].endswith("It fits.") and "It does not fit." in little[0] and " views (" in little[0]
    assert enough[1] == 8 * 8 * 9 * 16 and enough[2] < needed / 2**30


def test_a_grid_that_is_sampled_in_tiles_takes_one_tile_at_a_time(comfy_inside, budget, node):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint="bundled (default)", precision="float32")
    cells = {"width": 128, "height": 72, "memory": 8.0}
    text, tokens, gib, _ = ask(comfy_inside, model, views=64, times=81, **cells)
    _, of_one, of_tile, _ = ask(comfy_inside, model, views=8, times=8, **cells)
    assert "in tiles, of 8 views x 8 times at most: the grid has 64 x 81" in text and text.endswith("It fits.")
    assert tokens == of_one and gib == of_tile
    tile, whole = budget.Plan(budget.GridSize(8, 8, 72, 128), "soft"), budget.GridSize(64, 81, 72, 128)
    network = node.network_of(model, "soft", True)
    needed = [budget.filled_and_sampled_bytes(network, tile, size) for size in (tile.size, whole)]
    filled = 2 * 16 * 64 * 81 * 72 * 128 + budget.looking_bytes(whole)
    assert needed[0] < needed[1] < needed[0] + filled  # less than each cell's predictions would take
    little = ask(comfy_inside, model, views=64, times=81, **{**cells, "memory": needed[1] / 2**30})[0]
    assert "It does not fit." in little and "cells of" in little


def test_a_model_without_two_streams_is_told_apart(comfy_inside):
    text, *_, cost = ask(comfy_inside, wan_like())
    assert cost == pytest.approx(4) and "add 4Real Two-Stream" in text


def test_what_cannot_run_gets_one_sentence(comfy_inside):
    with pytest.raises(ValueError, match=r"expected 4 n \+ 1 times for the native encoding.*got 8: use 5 or 9"):
        ask(comfy_inside, wan_like(), encoding="native", times=8)
    with pytest.raises(ValueError, match="fused works only on Wan models without VACE, got HunyuanVideo"):
        ask(comfy_inside, tiny.hunyuan(), sync="fused")
    with pytest.raises(ValueError, match="fused works only on Wan models without VACE, got CogVideoX"):
        ask(comfy_inside, tiny.cogvideo(), sync="fused")


def test_the_text_is_shown_on_the_node_and_kept_in_its_output(comfy_inside, tiny_model):
    values = {
        "sync": "hard",
        "encoding": "hold",
        "cfg": 1.0,
        "views": 3,
        "times": 5,
        "width": 24,
        "height": 16,
        "memory": 1.0,
    }
    prompt = {
        "1": {"class_type": "FourRealLoadModel", "inputs": {"checkpoint": tiny_model, "precision": "float32"}},
        "2": {"class_type": "FourRealBudget", "inputs": {"model": ["1", 0], **values}},
    }
    comfy_inside.events.clear()
    shown = comfy_inside.run(prompt)["2"]["text"][0]
    assert "90 tokens" in shown and ("text", shown, "2") in comfy_inside.events
