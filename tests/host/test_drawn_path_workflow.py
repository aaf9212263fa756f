"""The workflow 02_draw_your_own_camera_path in the real host: its video follows the path that is drawn in it, and its second sampler makes marked cells again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from environment import PACK
from PIL import Image

from fourreal_core.batch.prompt import Prompt, set_inputs, workflow_to_prompt
from fourreal_core.batch.server import Host
from fourreal_core.files.recording import read_video
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import load_grid
from fourreal_core.paths.between import moved_slice
from fourreal_core.paths.drawn import DrawnPath, positions_along
from fourreal_core.paths.drawn_text import parse_drawn_path

FILE = PACK / "workflows" / "02_draw_your_own_camera_path.json"
V, T = 3, 5
FIRST, AGAIN = "6", "8"  # the two samplers; the second is bypassed as the workflow comes
MARKED = [[1, 2], [2, 3]]  # [view, time]


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(workflow: dict[str, Any]) -> DrawnPath:
    [text] = next(node["widgets_values"] for node in workflow["nodes"] if node["type"] == "FourRealPath")
    return parse_drawn_path(text)


def small_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    prompt = workflow_to_prompt(workflow, object_info)
    return set_inputs(prompt, "FourRealBuildGrid", views=V, times=T, width=64, height=32)


def switched_on(workflow: dict[str, Any], marks: list[list[int]]) -> dict[str, Any]:
    """As after marking cells in the player and Ctrl+B on the second sampler."""
    marked = {"FourRealGridPlayer": {"widgets_values": [json.dumps(marks)]}}
    return {**workflow, "nodes": [{**node, "mode": 0, **marked.get(node["type"], {})} for node in workflow["nodes"]]}


def run_and_save(host: Host, prompt: Prompt, *samplers: str) -> tuple[list[FrameGrid], Path, torch.Tensor]:
    """What the samplers made, the video, and its frames [N, H, W, 3] before they were compressed."""
    saves = {
        f"save {each}": {
            "class_type": "FourRealSaveGrid",
            "inputs": {"grid": [each, 0], "filename_prefix": f"drawn_path/{each}"},
        }
        for each in samplers
    }
    [to_video] = [name for name, node in prompt.items() if node["class_type"] == "FourRealGridToVideo"]
    frames = {"class_type": "SaveImage", "inputs": {"images": [to_video, 1], "filename_prefix": "drawn_path/frame"}}
    outputs = host.run({**prompt, **saves, "frames": frames})
    [video] = [file for file in host.files(outputs) if file.suffix == ".mp4"]
    pictures = [np.asarray(Image.open(file)) for file in host.files({"frames": outputs["frames"]})]
    frames_NHWC = torch.from_numpy(np.stack(pictures)) / 255
    return [load_grid(*host.files({name: outputs[name]})) for name in saves], video, frames_NHWC


def expect_video_along(video: Path, frames_NHWC: torch.Tensor, grid: FrameGrid, drawn: DrawnPath) -> None:
    """Each frame is the grid at its place on the path, to an 8-bit step; the video is these, but for its compression of cells this small."""
    shown_NHWC, fps = read_video(video)
    wanted_NHWC = moved_slice(grid, positions_along(drawn, (V, T)))
    assert len(shown_NHWC) == len(frames_NHWC) == drawn.frames and fps == drawn.fps
    apart_N = (frames_NHWC - wanted_NHWC).abs().flatten(1).amax(1)
    assert apart_N.max() < 1.01 / 255, f"frame {int(apart_N.argmax())} is {apart_N.max()} from its place on the path"
    assert (shown_NHWC.float() / 255 - frames_NHWC).abs().mean((1, 2, 3)).max() < 0.04
    assert (wanted_NHWC - wanted_NHWC[0]).abs().mean(
        (-1, -2, -3)
    ).max() > 0.06  # a video that stood still would not pass


def test_the_path_that_it_comes_with_has_a_hold_easing_and_a_round_corner(drawn: DrawnPath) -> None:
    assert (drawn.views, drawn.times, drawn.loop, drawn.between) == (8, 8, "no", "blend")
    assert max(point.hold for point in drawn.points) >= 4 and {point.ease for point in drawn.points} > {"in-out"}
    assert any(point.rounding > 0 for point in drawn.points[1:-1])


def test_the_video_follows_the_drawn_path(
    host: Host, object_info: dict[str, Any], workflow: dict[str, Any], drawn: DrawnPath
) -> None:
    prompt = small_prompt(workflow, object_info)
    assert AGAIN not in prompt
    [grid], *video = run_and_save(host, prompt, FIRST)
    expect_video_along(*video, grid, drawn)


def test_the_second_sampler_makes_the_marked_cells_again_and_no_others(
    host: Host, object_info: dict[str, Any], workflow: dict[str, Any], drawn: DrawnPath
) -> None:
    prompt = small_prompt(switched_on(workflow, MARKED), object_info)
    [first, again], *video = run_and_save(host, prompt, FIRST, AGAIN)
    changed_VT = (first.frames != again.frames).flatten(2).any(-1)
    assert changed_VT.nonzero().tolist() == MARKED
    assert torch.equal(first.known, again.known)
    expect_video_along(*video, again, drawn)


def test_the_second_sampler_lets_the_grid_go_on_where_nothing_is_marked(
    host: Host, object_info: dict[str, Any], workflow: dict[str, Any]
) -> None:
    [first, again], *_ = run_and_save(host, small_prompt(switched_on(workflow, []), object_info), FIRST, AGAIN)
    assert torch.equal(first.frames, again.frames)
