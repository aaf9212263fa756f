"""4Real Path inside the host: the path that it reads, what it sends to the browser, and the video that Grid to Video cuts along it.

Letters: V = 3 views, T = 5 times.
"""

import json

import pytest
import torch

V, T = 3, 5
BULLET = [[0, 0], [0, 2], [2, 2], [2, 4]]


def text(points, frames=V + T - 1, **more):
    path = {
        "version": 1,
        "views": V,
        "times": T,
        "frames": frames,
        "fps": 12,
        "points": [{"view": view, "time": time} for view, time in points],
    }
    return json.dumps({**path, **more})


def draw(comfy_inside, path, grid=None):
    """(the path that comes out, what goes to the browser)"""
    kind = comfy_inside.node_classes["FourRealPath"]
    with torch.inference_mode():
        result = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).execute(path=path, grid=grid)
    return result.result[0], result.ui


def cut(comfy_inside, grid, drawn, fps=0.0):
    """(frames per second of the video, its frames)"""
    video, images = comfy_inside.call(
        "FourRealGridToVideo", grid=grid, path={"path": "fixed view", "view": 1}, fps=fps, camera_path=drawn
    )
    return float(video.get_frame_rate()), images


@pytest.fixture
def filled(comfy_inside, grid):
    return comfy_inside.call("FourRealTransportFill", grid=grid)[0]


def test_the_video_follows_the_drawn_path_not_the_chosen_one(comfy_inside, filled):
    before = filled.frames.clone()
    drawn, _ = draw(comfy_inside, text(BULLET))
    fps, images = cut(comfy_inside, filled, drawn)
    cells = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 3), (2, 4)]
    assert fps == 12 and torch.equal(images, torch.stack([filled.frames[cell] for cell in cells]))
    assert torch.equal(filled.frames, before)


def test_between_cells_the_video_blends_them(comfy_inside, filled):
    drawn, _ = draw(comfy_inside, text([[0, 0], [1, 0]], frames=5))
    _, images = cut(comfy_inside, filled, drawn)
    assert torch.allclose(images[1], 0.75 * filled.frames[0, 0] + 0.25 * filled.frames[1, 0], atol=1e-6)


def test_a_rate_of_grid_to_video_goes_before_that_of_the_path(comfy_inside, filled):
    assert cut(comfy_inside, filled, draw(comfy_inside, text(BULLET))[0], fps=30.0)[0] == 30


def test_one_path_fits_grids_of_other_sizes(comfy_inside, filled):
    smaller = filled.replace(frames=filled.frames[:2, :3].contiguous(), known=filled.known[:2, :3])
    _, images = cut(comfy_inside, smaller, draw(comfy_inside, text(BULLET))[0])
    assert len(images) == V + T - 1 and torch.equal(images[-1], filled.frames[1, 2])


def test_the_grid_goes_to_the_browser_as_for_the_player(comfy_inside, filled):
    _, sent = draw(comfy_inside, text(BULLET), filled)
    [shown] = sent["fourreal_path"]
    assert (shown["views"], shown["times"]) == (V, T)
    assert (comfy_inside.base / "temp" / shown["subfolder"] / "overview.jpg").is_file()
    assert draw(comfy_inside, text(BULLET))[1] == {}


def test_a_new_node_starts_with_a_path_that_can_be_read(comfy_inside):
    options = comfy_inside.node_classes["FourRealPath"].INPUT_TYPES()["required"]["path"][1]
    drawn, _ = draw(comfy_inside, options["default"])
    assert (drawn.views, drawn.times, drawn.frames, len(drawn.points)) == (8, 8, 49, 4)
    assert options["hidden"] and options["socketless"]


def test_a_text_that_is_no_path_gets_one_sentence(comfy_inside):
    with pytest.raises(
        ValueError, match="got text that is not valid JSON: correct it, or choose a preset in 4Real Path to start over"
    ):
        draw(comfy_inside, "[[0, 0")


def test_another_thing_than_a_path_is_refused(comfy_inside, filled):
    with pytest.raises(ValueError, match="expected camera_path to come from 4Real Path, got list"):
        cut(comfy_inside, filled, BULLET)
