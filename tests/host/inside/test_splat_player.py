"""4Real Splat Player inside ComfyUI: what it writes for the browser, and which grids it compares with."""

import pytest
import torch
from splat_scene import moving_ball


@pytest.fixture
def splats(comfy_inside, tmp_path):
    """Of the class that the pack's nodes know."""
    core = comfy_inside.core("splats.splat_file")
    made = moving_ball(still=20, moving=10, height=18, width=32)
    from fourreal_core.splats.splat_file import save_splats

    save_splats(made, tmp_path / "ball.splats.safetensors")
    return core.load_splats(tmp_path / "ball.splats.safetensors")


def play(comfy_inside, **inputs):
    kind = comfy_inside.node_classes["FourRealSplatPlayer"]
    with torch.inference_mode():
        result = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).execute(**inputs)
    [sent] = result.ui["fourreal_splat_player"]
    return sent


def grid_of(comfy_inside, views=4, times=5, height=18, width=32):
    return comfy_inside.core("grid").FrameGrid(
        torch.rand(views, times, height, width, 3), torch.ones(views, times, dtype=torch.bool)
    )


def test_the_file_for_the_browser_holds_the_splats(comfy_inside, splats):
    sent = play(comfy_inside, splats=splats)
    file = comfy_inside.base / "temp" / sent["subfolder"] / sent["file"]
    read = comfy_inside.core("splats.splat_file").load_splats(file)
    assert torch.equal(read.gaussians.positions_N3, splats.gaussians.positions_N3) and read.times == splats.times
    assert sent["bytes"] == file.stat().st_size and sent["type"] == "temp" and "cells" not in sent


def test_the_same_splats_are_written_once_and_again_when_the_file_is_gone(comfy_inside, splats):
    sent = play(comfy_inside, splats=splats)
    assert play(comfy_inside, splats=splats) == sent
    (comfy_inside.base / "temp" / sent["subfolder"] / sent["file"]).unlink()
    again = play(comfy_inside, splats=splats)
    assert (comfy_inside.base / "temp" / again["subfolder"] / again["file"]).is_file()


def test_a_grid_to_compare_with_is_sent_as_the_grid_player_sends_it(comfy_inside, splats):
    grid = grid_of(comfy_inside, height=36, width=64)
    sent = play(comfy_inside, splats=splats, grid=grid)
    assert (sent["cells"]["views"], sent["cells"]["times"]) == (4, 5)
    assert (comfy_inside.base / "temp" / sent["cells"]["subfolder"] / sent["cells"]["overview"]["file"]).is_file()


@pytest.mark.parametrize("other", [{"views": 3}, {"times": 4}, {"width": 24}])
def test_another_grid_is_refused(comfy_inside, splats, other):
    with pytest.raises(
        ValueError, match="expected the grid that the splats were fitted to, 4 views and 5 times of 32x18"
    ):
        play(comfy_inside, splats=splats, grid=grid_of(comfy_inside, **other))


def test_anything_else_is_refused(comfy_inside):
    with pytest.raises(ValueError, match="expected splats to come from 4Real Fit Splats, got str"):
        play(comfy_inside, splats="splats")
