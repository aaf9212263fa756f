"""A ComfyUI that is killed between 4Real Split into Tiles and 4Real Join Tiles: the same workflow in a new one goes on with the next tile."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui import FOLDER, install_pack, only_pack
from environment import Environment
from planes import plane_scene
from processes import comfyuis

from fourreal_core import fill_grid
from fourreal_core.batch.prompt import Prompt
from fourreal_core.batch.server import Event, HostProblem, started
from fourreal_core.files.records import read_records
from fourreal_core.grid_file import load_grid, save_grid
from fourreal_core.sampling.kept_tiles import RECORDS

V, T, H, W = 5, 7, 24, 40
TILE, STOP = (3, 3), 3  # six tiles, of which three are filled when it is killed


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def prompt(keep_as: str) -> Prompt:
    return {
        "load": node("FourRealLoadGrid", file="task.grid.safetensors [input]"),
        "split": node("FourRealSplitIntoTiles", grid=["load", 0], views=TILE[0], times=TILE[1], keep_as=keep_as),
        "fill": node("FourRealTransportFill", grid=["split", 0], method="scene"),
        "join": node("FourRealJoinTiles", tiles=["split", 1], filled=["fill", 0]),
        "save": node("FourRealSaveGrid", grid=["join", 0], filename_prefix="grids/joined"),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="finds ComfyUI's process in Linux's /proc")
def test_a_killed_comfyui_goes_on_with_the_next_tile(environment: Environment, tmp_path: Path) -> None:
    install_pack(tmp_path / "custom_nodes" / FOLDER)
    (tmp_path / "input").mkdir()
    task = plane_scene(V, T, H, W).grid()
    save_grid(task, tmp_path / "input" / "task.grid.safetensors")
    kept = tmp_path / "output" / "4real_tiles" / "long shot"
    options = ["--base-directory", str(tmp_path), *only_pack(), "--cpu"]

    def filled() -> list[int]:
        return [record["tile"] for record in read_records(kept / RECORDS)[1:]]

    def kill(event: Event) -> None:
        if event["type"] == "executing" and len(filled()) == STOP:
            for process in comfyuis(tmp_path):
                os.kill(process, signal.SIGKILL)

    with started(environment.python, environment.comfyui, tmp_path, options) as host, pytest.raises(HostProblem):
        host.run(prompt("long shot"), kill)
    before = filled()
    assert STOP <= len(before) < 6
    with started(environment.python, environment.comfyui, tmp_path, options) as host:
        outputs = host.run(prompt("long shot"))
        told = re.findall(r"Tile (\d) of 6", host.log())
        [saved] = host.files({"save": outputs["save"]})
    assert filled() == list(range(6)) and told == [str(tile + 1) for tile in range(6) if tile not in before]
    whole = fill_grid(task, method="scene").grid  # at once: the scene that is found again is that of all known cells
    made = load_grid(saved)
    assert torch.equal(made.frames, whole.frames) and made.provenance["tiles"] == 6
