"""The workflows for the host's own video models, from their loaders to the sliced video, on tiny models under the names that they ask for."""

import asyncio
import json
from pathlib import Path

import pytest
import torch
from environment import PACK
from tiny_model_files import MAKERS, with_small_parts, write_model_file

from fourreal_core.batch.prompt import set_inputs, workflow_to_prompt

EXTRAS = (
    "nodes_depth_anything_3",
    "nodes_differential_diffusion",
    "nodes_images",
    "nodes_lt",
    "nodes_math",
    "nodes_preview_any",
    "nodes_train",
    "nodes_wan",
)
V, T, H, W = 3, 5, 64, 96  # LTXV takes no sides of a single latent
SMALL = {
    "FourRealBuildGrid": {"views": V, "times": T, "width": W, "height": H},
    "FourRealEmptyGrid": {"views": V, "times": T, "width": W, "height": H},
    "WanImageToVideo": {"width": W, "height": H, "length": T},
    "Wan22ImageToVideoLatent": {"width": W, "height": H, "length": T},
    "FourRealSampler": {"steps": 2},
    "FourRealGridToVideo": {"between": "none", "back": False},
    "FourRealSplitIntoTiles": {"views": 2, "times": 5},
    "FourRealBudget": {"views": V, "times": T, "width": W, "height": H},
    "FourRealEncodeFootage": {"views": V, "times": T, "width": W, "height": H, "grids_per_source": 2},
    "FourRealTrainSync": {"rank": 8, "steps": 2, "sheet_steps": 2},
    "KSampler": {"steps": 2},
    "LTXVScheduler": {"steps": 2},
}


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def models_of(workflow):
    return [model for node in workflow["nodes"] for model in node["properties"].get("models", [])]


WORKFLOWS = {file.stem: read(file) for file in sorted((PACK / "workflows").glob("*.json"))}
TINY = [
    name
    for name, workflow in WORKFLOWS.items()
    if models_of(workflow) and all(model["name"] in MAKERS for model in models_of(workflow))
]


@pytest.fixture(scope="module")
def node_classes(comfy_inside):
    import comfy_extras

    import nodes

    for name in EXTRAS:
        assert asyncio.run(
            nodes.load_custom_node(str(Path(comfy_extras.__path__[0]) / f"{name}.py"), module_parent="comfy_extras")
        )
    return comfy_inside.node_classes


def small_prompt(workflow, node_classes):
    used = {node["type"] for node in workflow["nodes"]} & set(node_classes)
    prompt = workflow_to_prompt(workflow, {name: {"input": node_classes[name].INPUT_TYPES()} for name in used})
    for class_type in used & set(SMALL):
        prompt = set_inputs(prompt, class_type, **SMALL[class_type])
    return prompt


def saved_by(prompt, outputs, class_type, base):
    """The files that the nodes of one class left behind."""
    named = [
        item
        for key, output in outputs.items() if prompt[key]["class_type"] == class_type
        for items in output.values() for item in items if isinstance(item, dict)
    ]  # fmt: skip
    return [base / item["type"] / item["subfolder"] / item["filename"] for item in named]


def test_all_workflows_with_downloads_run_here():
    assert set(TINY) == {name for name, workflow in WORKFLOWS.items() if models_of(workflow)}


@pytest.mark.parametrize("name", TINY)
def test_it_runs_from_its_loaders_to_a_sliced_video_and_a_player(comfy_inside, node_classes, monkeypatch, caplog, name):
    for model in models_of(WORKFLOWS[name]):
        write_model_file(comfy_inside.base / "models", model["directory"], model["name"])
    with_small_parts(monkeypatch)
    monkeypatch.setattr(comfy_inside.pack_host("learned_depth"), "DA3_SIDE", 112)
    prompt = small_prompt(WORKFLOWS[name], node_classes)
    outputs = {
        key: output for key, output in comfy_inside.run(prompt).items() if key in prompt
    }  # not those of later tiles
    assert "not loaded" not in caplog.text  # LoRA weights that fit no layer
    [file] = saved_by(prompt, outputs, "FourRealSaveGrid", comfy_inside.base)
    grid = comfy_inside.core("grid_file").load_grid(file)
    given = "FourRealBuildGrid" in {node["class_type"] for node in prompt.values()}
    assert (grid.views, grid.times) == (V, T) and int(grid.known.sum()) == (V + T - 1 if given else 0)
    assert torch.isfinite(grid.frames).all() and (grid.frames[~grid.known].flatten(1).std(1) > 0).all()
    tiled = "FourRealSplitIntoTiles" in {node["class_type"] for node in prompt.values()}
    assert grid.provenance.get("tiles", 1) == (2 if tiled else 1)
    last_video = saved_by(prompt, outputs, "SaveVideo", comfy_inside.base)[-1]
    frames_NHWC, _ = comfy_inside.core("files.recording").read_video(last_video)
    assert frames_NHWC.shape == (V + T - 1, H, W, 3)
    reports = [output["text"][0] for key, output in outputs.items() if prompt[key]["class_type"] == "FourRealBudget"]
    assert all(f"{2 if tiled else V} views x {T} times of {W}x{H}" in report for report in reports)
    trained = [node["inputs"]["name"] for node in prompt.values() if node["class_type"] == "FourRealTrainSync"]
    assert all((comfy_inside.base / "models" / "fourreal_sync" / f"{run}.safetensors").is_file() for run in trained)
    players = [
        output["fourreal_player"][0]
        for key, output in outputs.items()
        if prompt[key]["class_type"] == "FourRealGridPlayer"
    ]
    assert players and all((player["views"], player["times"]) == (V, T) for player in players)
