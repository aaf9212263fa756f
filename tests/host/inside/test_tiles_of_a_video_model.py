"""ComfyUI's own video models between 4Real Split into Tiles and 4Real Join Tiles: tiny Wan, Wan VACE and LTX-Video, from their loaders to the joined grid.

Letters: V views, T times.
"""

import asyncio
from pathlib import Path

import pytest
import torch
from tiny_model_files import with_small_parts, write_model_file

V, T = 5, 17
TILE = (3, 9)
SAMPLING = {"steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
WAN_TEXT, WAN_VAE = "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan_2.1_vae.safetensors"
LTX, LTX_TEXT = "ltx-video-2b-v0.9.5.safetensors", "t5xxl_fp16.safetensors"


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def wan(model):
    files = [("diffusion_models", model), ("text_encoders", WAN_TEXT), ("vae", WAN_VAE)]
    loaders = {
        "model": node("UNETLoader", unet_name=model, weight_dtype="default"),
        "text": node("CLIPLoader", clip_name=WAN_TEXT, type="wan", device="default"),
        "vae": node("VAELoader", vae_name=WAN_VAE),
    }
    return files, loaders, ["vae", 0], (32, 48)


def ltx():
    loaders = {
        "model": node("CheckpointLoaderSimple", ckpt_name=LTX),
        "text": node("CLIPLoader", clip_name=LTX_TEXT, type="ltxv", device="default"),
    }
    return (
        [("checkpoints", LTX), ("text_encoders", LTX_TEXT)],
        loaders,
        ["model", 2],
        (64, 96),
    )  # it takes no side of one latent


MODELS = {
    "wan": lambda: wan("wan2.1_t2v_1.3B_fp16.safetensors"),
    "vace": lambda: wan("wan2.1_vace_1.3B_fp16.safetensors"),
    "ltx": ltx,
}


@pytest.fixture(scope="module")
def with_extras(comfy_inside):
    import comfy_extras

    import nodes

    folder = Path(comfy_extras.__path__[0])
    assert asyncio.run(nodes.load_custom_node(str(folder / "nodes_math.py"), module_parent="comfy_extras"))


@pytest.fixture
def run(comfy_inside, with_extras, monkeypatch):
    """run(model, (views, times), tile, encoding): (the grid as given, the grid that comes out, what each tile was filled from)."""
    seen, condition = [], comfy_inside.pack_nodes("latent_condition")
    check = condition.check_model_and_grid
    monkeypatch.setattr(condition, "check_model_and_grid", lambda *given: (seen.append(given[2]), check(*given)))
    with_small_parts(monkeypatch)

    def filled(name, shape, tile, encoding, guess=False):
        files, loaders, vae, size = MODELS[name]()
        for folder, file in files:
            write_model_file(comfy_inside.base / "models", folder, file)
        grid = save_task(comfy_inside, (*shape, *size))
        outputs = comfy_inside.run(prompt_of(loaders, vae, tile, encoding, guess))
        [saved] = outputs["save"]["fourreal_grid"]
        made = comfy_inside.base / "output" / saved["subfolder"] / saved["filename"]
        return grid, comfy_inside.core("grid_file").load_grid(made), seen

    filled.seen = seen
    return filled


def save_task(comfy_inside, shape):
    core = comfy_inside.core("grid")
    known = core.task_known(*shape[:2])
    frames = torch.rand(*shape, 3, generator=torch.Generator().manual_seed(0)) * known[..., None, None, None]
    grid = core.FrameGrid(frames, known)
    comfy_inside.core("grid_file").save_grid(grid, comfy_inside.base / "input" / "long.grid.safetensors")
    return grid


def prompt_of(loaders, vae, tile, encoding, guess):
    """As a user connects it: what does not depend on the tile stays outside and runs once."""
    guessed = {"guess": ["fill", 0], "confidence": ["fill", 1]} if guess else {}
    return {
        **loaders,
        "streams": node(
            "FourRealTwoStream", model=["model", 0], sync="hard", strength=1.0, output="mean",
            first_layer=0.0, last_layer=1.0, start_percent=0.0, end_percent=1.0,
        ),
        "positive": node("CLIPTextEncode", clip=["text", 0], text="a red fox"),
        "negative": node("CLIPTextEncode", clip=["text", 0], text="the camera"),
        "grid": node("FourRealLoadGrid", file="long.grid.safetensors [input]"),
        "split": node("FourRealSplitIntoTiles", grid=["grid", 0], views=tile[0], times=tile[1], keep_as=""),
        "fill": node("FourRealTransportFill", grid=["split", 0], method="transport"),
        "seed": node("ComfyMathExpression", **{"expression": "a + 100", "values.a": ["split", 2]}),
        "condition": node(
            "FourRealLatentGridConditioning", model=["streams", 0], vae=vae, positive=["positive", 0], negative=["negative", 0],
            grid=["split", 0], encoding=encoding, known_cells="auto", hold_back=0.8, vace_strength=1.0, tiled=False, **guessed,
        ),
        "sample": node(
            "KSampler", model=["streams", 0], seed=["seed", 1], positive=["condition", 0], negative=["condition", 1],
            latent_image=["condition", 2], **SAMPLING,
        ),
        "decode": node("FourRealGridDecode", latent=["sample", 0], vae=vae, encoding="as conditioned", tiled=False),
        "join": node("FourRealJoinTiles", tiles=["split", 1], filled=["decode", 0]),
        "save": node("FourRealSaveGrid", grid=["join", 0], filename_prefix="grids/long"),
    }  # fmt: skip


@pytest.mark.parametrize("name, encoding, guess", [("wan", "native", False), ("vace", "native", True), ("ltx", "native", False)])  # fmt: skip
def test_a_grid_larger_than_the_model_knows_is_filled_tile_by_tile(run, name, encoding, guess):
    grid, made, tasks = run(name, (V, T), TILE, encoding, guess)
    assert [(task.views, task.times) for task in tasks] == [TILE] * 4 and made.provenance["tiles"] == 4
    assert torch.equal(made.known, grid.known) and torch.equal(made.frames[grid.known], grid.frames[grid.known])
    assert made.frames.isfinite().all() and (made.frames[~grid.known].flatten(1).std(1) > 0).all()
    for task, (view, time) in zip(tasks, ((0, 0), (0, 8), (2, 0), (2, 8)), strict=True):
        cells = (slice(view, view + 3), slice(time, time + 9))
        assert torch.equal(task.known, grid.known[:3, :9])  # the first view and the first time, whoever made them
        assert torch.equal(task.frames[task.known], made.frames[cells][task.known])
    by_tile = [
        made.frames[views, times] for views in (slice(1, 3), slice(3, 5)) for times in (slice(1, 9), slice(9, 17))
    ]
    assert not any(torch.equal(a, b) for n, a in enumerate(by_tile) for b in by_tile[:n])


@pytest.mark.parametrize("times, tile, expected", [(21, 13, [13, 9]), (12, 9, [9, 9])])
def test_every_tile_has_a_number_of_times_that_the_vae_packs(run, times, tile, expected):
    """Whether the grid itself has 4 n + 1 times or not."""
    grid, made, tasks = run("wan", (2, times), (2, tile), "native")
    assert sorted((task.times for task in tasks), reverse=True) == expected
    assert (made.frames[~grid.known].flatten(1).std(1) > 0).all()


def test_tiles_of_another_number_get_one_sentence_before_anything_is_sampled(run, comfy_inside):
    with pytest.raises(RuntimeError, match=r"expected 4 n \+ 1 times for the native encoding.*got 8: use 5 or 9 times"):
        run("wan", (2, 15), (2, 8), "native")
    sampled = [data for kind, data, *_ in comfy_inside.events if kind == "executing" and data.get("node") == "sample"]
    assert len(run.seen) == 1 and not sampled
