"""The workflow 02_draw_your_own_camera_path in the real host: its video follows the path that is drawn in it, and its second sampler makes marked cells again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui import Host
from environment import PACK
from workflow_prompt import Prompt, set_inputs, workflow_to_prompt

from fourreal_core.files.recording import read_video
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import load_grid
from fourreal_core.paths.drawn import DrawnPath, positions_along
from fourreal_core.paths.drawn_text import parse_drawn_path
from fourreal_core.paths.presets import slice_grid

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


def run_and_save(host: Host, prompt: Prompt, *samplers: str) -> tuple[list[FrameGrid], Path]:
    """What the samplers made, and the video."""
    saves = {
        f"save {each}": {
            "class_type": "FourRealSaveGrid",
            "inputs": {"grid": [each, 0], "filename_prefix": f"drawn_path/{each}"},
        }
        for each in samplers
    }
    outputs = host.run({**prompt, **saves})
    [video] = [file for file in host.files(outputs) if file.suffix == ".mp4"]
    return [load_grid(*host.files({name: outputs[name]})) for name in saves], video


def expect_video_along(video: Path, grid: FrameGrid, drawn: DrawnPath) -> None:
    frames_NHWC, fps = read_video(video)
    wanted_NHWC = slice_grid(grid, positions_along(drawn, (V, T)))
    assert len(frames_NHWC) == drawn.frames and fps == drawn.fps
    for frame, (shown_HWC, wanted_HWC) in enumerate(zip(frames_NHWC.float() / 255, wanted_NHWC)):
        apart = (shown_HWC - wanted_HWC).abs().mean()
        assert apart < 0.04, f"frame {frame} is {apart} from its place on the path"
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
    [grid], video = run_and_save(host, prompt, FIRST)
    expect_video_along(video, grid, drawn)


def test_the_second_sampler_makes_the_marked_cells_again_and_no_others(
    host: Host, object_info: dict[str, Any], workflow: dict[str, Any], drawn: DrawnPath
) -> None:
    prompt = small_prompt(switched_on(workflow, MARKED), object_info)
    [first, again], video = run_and_save(host, prompt, FIRST, AGAIN)
    changed_VT = (first.frames != again.frames).flatten(2).any(-1)
    assert changed_VT.nonzero().tolist() == MARKED
    assert torch.equal(first.known, again.known)
    expect_video_along(video, again, drawn)


def test_the_second_sampler_lets_the_grid_go_on_where_nothing_is_marked(
    host: Host, object_info: dict[str, Any], workflow: dict[str, Any]
) -> None:
    [first, again], _ = run_and_save(host, small_prompt(switched_on(workflow, []), object_info), FIRST, AGAIN)
    assert torch.equal(first.frames, again.frames)
