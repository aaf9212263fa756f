"""4Real Train Sync as a user runs it: through the real server's HTTP API, cancelled, gone on, the server ended in the middle.

Prompts come from the host's own Load Training Dataset, because its text encoders have no tiny size.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from comfyui import running_host
from environment import Environment
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from sampling import KSAMPLER
from test_train_sync import FOOTAGE, SETTINGS, footage  # noqa: F401
from tiny_model_files import wan, wan_vae

from fourreal_core.batch.server import HostProblem, RunInterrupted, RunProblem

SERVED = "served.safetensors"


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def prompt(**changes):
    settings = SETTINGS | {"name": "served", "rank": 4} | changes
    encoding = {"name": settings["name"]} | FOOTAGE | {name: settings.pop(name) for name in FOOTAGE if name in settings}
    return {
        "model": node("UNETLoader", unet_name="tiny_wan.safetensors", weight_dtype="default"),
        "vae": node("VAELoader", vae_name="tiny_wan_vae.safetensors"),
        "text": node("LoadTrainingDataset", folder_name="prompts"),
        "footage": node("FourRealEncodeFootage", model=["model", 0], vae=["vae", 0], **encoding),
        "train": node(
            "FourRealTrainSync", model=["model", 0], footage=["footage", 0], positive=["text", 1], **settings
        ),
        "graph": node("LossGraphNode", loss=["train", 1], filename_prefix="loss"),
        "sheet": node("SaveImage", images=["train", 2], filename_prefix="sheet"),
        "name": node("PreviewAny", source=["train", 3]),
    }


def use_prompt():
    """The trained layers in sampling: file, Load Sync, Two-Stream, KSampler."""
    shape = {"views": 3, "times": 5, "width": 64, "height": 32, "fps": 6.0}
    told = {"encoding": "hold", "known_cells": "auto", "hold_back": 0.8, "vace_strength": 1.0, "tiled": False}
    sampling = KSAMPLER | {"seed": 1}
    outputs = {name: ["condition", slot] for slot, name in enumerate(("positive", "negative", "latent_image"))}
    return {name: prompt()[name] for name in ("model", "vae", "text")} | {
        "sync": node("FourRealLoadSync", file=SERVED),
        "streams": node(
            "FourRealTwoStream", model=["model", 0], sync="auto", strength=1.0, output="mean", sync_layers=["sync", 0]
        ),
        "grid": node("FourRealEmptyGrid", **shape),
        "condition": node(
            "FourRealLatentGridConditioning",
            model=["streams", 0],
            vae=["vae", 0],
            positive=["text", 1],
            negative=["text", 1],
            grid=["grid", 0],
            **told,
        ),
        "sample": node("KSampler", model=["streams", 0], **outputs, **sampling),
        "decode": node("FourRealGridDecode", latent=["sample", 0], vae=["vae", 0]),
        "show": node("FourRealContactSheet", grid=["decode", 0], max_side=512, mark_known=True, gap=2),
        "save": node("SaveImage", images=["show", 0], filename_prefix="used"),
    }


@pytest.fixture(scope="module")
def server(comfy_inside, environment: Environment, footage):
    """A host of its own process with tiny files of every kind."""
    if (
        signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ):  # as in the background of a shell; the host would ignore it as well
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with running_host(environment) as running:
        (running.base / "input" / "footage").symlink_to(footage, target_is_directory=True)
        for folder, name, (weights, metadata) in (
            ("diffusion_models", "tiny_wan", wan()),
            ("vae", "tiny_wan_vae", wan_vae()),
        ):
            path = running.base / "models" / folder / f"{name}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({key: weight.contiguous() for key, weight in weights.items()}, path, metadata)
        prompts = running.base / "datasets" / "prompts"
        prompts.mkdir(parents=True)
        (prompts / "metadata.json").write_text("{}")
        text = [[torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(1)), {}]]
        torch.save({"latents": [{"samples": torch.zeros(1)}], "conditioning": [text]}, prompts / "shard_0000.pkl")
        yield running


def test_from_footage_to_a_sampled_grid(server):
    outputs = server.run(prompt())
    [said] = outputs["train"]["text"]
    assert said.startswith("6 steps on 3 grids. Error on a held-out grid: ") and said.endswith(
        "Saved as served.safetensors in models/fourreal_sync."
    )
    assert outputs["name"]["text"] == [SERVED]
    [graph], [sheet] = (server.files({name: outputs[name]}) for name in ("graph", "sheet"))
    assert Image.open(graph).size == (840, 520) and Image.open(sheet).width > 3 * 64 * 5
    with safe_open(server.base / "models" / "fourreal_sync" / SERVED, "pt") as opened:
        assert json.loads(opened.metadata()["about"])["steps"] == 6
    [used] = server.files(server.run(use_prompt()))
    assert Image.open(used).width > 5 * 64


def test_a_cancelled_run_keeps_its_state_and_goes_on(server):
    steps = []

    def cancel_after_three(event):
        if event["type"] == "progress" and event["data"]["node"] == "train" and event["data"]["max"] == 500:
            steps.append(event["data"]["value"])
            if event["data"]["value"] >= 3:
                server.interrupt()

    with pytest.raises(RunInterrupted):
        server.run(prompt(name="cancelled", steps=500), cancel_after_three)
    folder = server.base / "output" / "fourreal_training" / "cancelled"
    with safe_open(folder / "state.safetensors", "pt") as opened:
        done = int(opened.metadata()["step"])
    assert steps[-1] <= done < 400 and not (server.base / "models" / "fourreal_sync" / "cancelled.safetensors").exists()
    [said] = server.run(prompt(name="cancelled", steps=done + 2))["train"]["text"]
    assert said.startswith(f"{done + 2} steps on 3 grids.")


def test_a_missing_folder_is_one_sentence(server):
    with pytest.raises(RunProblem, match="found no nowhere in the input or output folder .videos."):
        server.run(prompt(name="bad", videos="nowhere"))
    assert not (server.base / "output" / "fourreal_training" / "bad").exists()


def test_ending_the_server_saves_the_step(server):
    """Ctrl-C in the host's window. The last test of this server."""
    state = server.base / "output" / "fourreal_training" / "ended" / "state.safetensors"
    [process] = [
        place for place in Path("/proc").glob("[0-9]*") if str(server.base).encode() in (place / "cmdline").read_bytes()
    ]
    steps = []

    def end_after_three(event):
        if event["type"] == "progress" and event["data"]["node"] == "train" and event["data"]["max"] == 9000:
            steps.append(event["data"]["value"])
            if len(steps) == 3:
                os.kill(int(process.name), signal.SIGINT)

    with pytest.raises(HostProblem):
        server.run(prompt(name="ended", steps=9000, save_every=9000), end_after_three)
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    with safe_open(state, "pt") as opened:
        assert steps[2] <= int(opened.metadata()["step"]) < 9000
    assert "4Real Train Sync saves its state before ComfyUI exits" in server.log()
