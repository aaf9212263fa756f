"""Every bundled workflow against the real ComfyUI: it converts, it validates, and where it needs no download it runs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import comfyui_workflow_templates
import pytest
import torch
from comfyui import FOLDER, install_pack
from environment import PACK, Environment

from fourreal_core.batch.prompt import Prompt, set_inputs, workflow_to_prompt
from fourreal_core.batch.server import Host
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import save_grid

WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))
SMALL = {
    "FourRealBuildGrid": {"views": 3, "times": 4, "width": 48, "height": 32},
    "FourRealAssembleGrid": {"times": 4, "width": 48, "height": 32},
    "FourRealSampler": {"steps": 2},
    "KSampler": {"steps": 2},
    "BasicScheduler": {"steps": 2},
}


OF_SPLATS = {  # cameras are estimated, which takes more of a picture
    "FourRealBuildGrid": {"views": 6, "times": 3, "width": 128, "height": 72},
    "FourRealFitSplats": {"steps": 4, "longest": 64},
    "FourRealRenderSplats": {"seconds": 0.2, "width": 64, "height": 36},
}


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def downloads(file: Path) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Every model that the workflow names for download, with the node that loads it."""
    return [(node, model) for node in read(file)["nodes"] for model in node.get("properties", {}).get("models", [])]


def official_models() -> set[tuple[str, str, str]]:
    """(directory, name, link) of every model that ComfyUI's own templates name."""
    packages = Path(comfyui_workflow_templates.__file__).parent.parent
    workflows = [
        each for file in packages.glob("comfyui_workflow_templates*/**/*.json") if isinstance(each := read(file), dict)
    ]
    parts = [
        part for workflow in workflows for part in (workflow, *workflow.get("definitions", {}).get("subgraphs", []))
    ]
    models = [
        model
        for part in parts
        for node in part.get("nodes", [])
        for model in node.get("properties", {}).get("models") or []
    ]
    return {(model["directory"], model["name"], model["url"].split("?")[0]) for model in models}


def small(prompt: Prompt) -> Prompt:
    kinds = {node["class_type"] for node in prompt.values()}
    for class_type, values in (SMALL | OF_SPLATS if "FourRealFitSplats" in kinds else SMALL).items():
        if class_type in kinds:
            prompt = set_inputs(prompt, class_type, **values)
    return prompt


def provide_inputs(base: Path, prompts: list[Prompt]) -> None:
    """Put a grid for every 4Real Load Grid into a host's folders. The example videos are there since the pack was loaded."""
    cells_VTHWC = torch.rand(3, 4, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    grid = FrameGrid(cells_VTHWC, torch.ones(3, 4, dtype=torch.bool))
    for node in (node for prompt in prompts for node in prompt.values() if node["class_type"] == "FourRealLoadGrid"):
        name, folder = node["inputs"]["file"].rstrip("]").split(" [")
        (base / folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_grid(grid, base / folder / name)


@pytest.fixture(scope="module")
def prompts(object_info: dict[str, Any]) -> dict[str, Prompt]:
    return {file.stem: workflow_to_prompt(read(file), object_info) for file in WORKFLOWS}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_models_to_download_have_a_link_and_a_folder(file: Path) -> None:
    for node, model in downloads(file):
        assert model["url"].startswith("https://") and model["url"].split("?")[0].endswith("/" + model["name"])
        assert model["name"] in node["widgets_values"] and model["directory"], node["type"]


def test_models_to_download_are_those_of_the_official_templates() -> None:
    ours = {(model["directory"], model["name"], model["url"]) for file in WORKFLOWS for _, model in downloads(file)}
    assert ours and ours - official_models() == set()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_our_nodes_name_their_pack_for_the_missing_node_installer(file: Path) -> None:
    ours = [node for node in read(file)["nodes"] if node["type"].startswith("FourReal")]
    assert ours and all(node["properties"]["cnr_id"] == "fourreal-video" for node in ours)


@pytest.mark.parametrize("file", [file for file in WORKFLOWS if not downloads(file)], ids=lambda file: file.stem)
def test_it_runs_on_small_settings(host: Host, prompts: dict[str, Prompt], file: Path) -> None:
    provide_inputs(host.base, [prompts[file.stem]])
    outputs = host.run(small(prompts[file.stem]))
    files = host.files(outputs)
    assert files and all(each.stat().st_size > 0 for each in files)


def test_every_prompt_is_valid_in_process_and_one_runs_there(
    environment: Environment, object_info: dict[str, Any], prompts: dict[str, Prompt], tmp_path: Path
) -> None:
    for folder in ("input", "output"):
        (tmp_path / folder).mkdir()
    install_pack(tmp_path / "custom_nodes" / FOLDER)
    provide_inputs(tmp_path, list(prompts.values()))
    for _, model in (each for file in WORKFLOWS for each in downloads(file)):
        target = tmp_path / "models" / model["directory"] / model["name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()  # an empty file is enough to be on the list
    answer = run_in_process(
        environment, tmp_path, {"validate": prompts, "run": small(prompts["01_two_videos_to_bullet_time"])}
    )
    assert answer["nodes"] == [name for name in object_info if name.startswith("FourReal")]
    assert {name: text for name, text in answer["problems"].items() if text} == {}
    assert answer["failures"] == []
    assert any(file.is_file() for file in (tmp_path / "output").rglob("*"))


def run_in_process(environment: Environment, base: Path, request: dict[str, Any]) -> dict[str, Any]:
    (base / "request.json").write_text(json.dumps(request), encoding="utf-8")
    runner = Path(__file__).with_name("in_process_runner.py")
    where = [str(environment.comfyui), str(base), str(base / "custom_nodes" / FOLDER)]
    files = [str(base / "request.json"), str(base / "answer.json")]
    command = [str(environment.python), str(runner), *where, *files]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=base, env={**os.environ, "PYTHONPATH": ""}, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return read(base / "answer.json")
