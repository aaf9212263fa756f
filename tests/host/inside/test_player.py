"""4Real Grid Player inside the host: what it writes for the browser, and that marked cells, and only those, are made again.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from sampling import SAMPLER

V, T = 3, 5


def play(comfy_inside, grid, marked_cells="[]"):
    """(the grid that comes out, what goes to the browser)"""
    kind = comfy_inside.node_classes["FourRealGridPlayer"]
    with torch.inference_mode():
        result = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}}).execute(
            grid=grid, marked_cells=marked_cells
        )
    [sent] = result.ui["fourreal_player"]
    return result.result[0], sent


@pytest.fixture
def filled(comfy_inside, grid):
    return comfy_inside.call("FourRealTransportFill", grid=grid)[0]


def folder(comfy_inside, sent):
    return comfy_inside.base / "temp" / sent["subfolder"]


def test_the_files_for_the_browser_show_every_cell(comfy_inside, filled):
    _, sent = play(comfy_inside, filled)
    assert (sent["views"], sent["times"], sent["known"]) == (V, T, ["11111", "10000", "10000"])
    for view, name in enumerate(sent["strips"]["files"]):
        picture = np.asarray(Image.open(folder(comfy_inside, sent) / name))
        (width, height), pitch = sent["strips"]["cell"], sent["strips"]["pitch"]
        for time in range(T):
            left, top = time % sent["strips"]["across"] * pitch[0], time // sent["strips"]["across"] * pitch[1]
            shown = picture[top : top + height, left : left + width] / 255
            assert np.abs(shown - filled.frames[view, time].numpy()).mean() < 0.05


def test_marks_write_no_new_files_and_equal_grids_share_theirs(comfy_inside, filled):
    _, first = play(comfy_inside, filled)
    written = (folder(comfy_inside, first) / "overview.jpg").stat().st_mtime_ns
    _, marked = play(comfy_inside, filled, "[[1, 1]]")
    _, equal = play(comfy_inside, filled.replace(frames=filled.frames.clone()))
    assert marked["id"] == equal["id"] == first["id"]
    assert (folder(comfy_inside, first) / "overview.jpg").stat().st_mtime_ns == written
    assert sorted(each.name for each in folder(comfy_inside, first).iterdir()) == [
        "overview.jpg",
        *first["strips"]["files"],
    ]


def test_files_that_are_gone_are_written_again(comfy_inside, filled):
    _, sent = play(comfy_inside, filled)
    (folder(comfy_inside, sent) / "overview.jpg").unlink()
    play(comfy_inside, filled)
    assert (folder(comfy_inside, sent) / "overview.jpg").is_file()


def test_just_the_marked_cells_are_made_again(comfy_inside, filled):
    before = filled.frames.clone()
    redo, _ = play(comfy_inside, filled, "[[1, 2], [2, 4]]")
    again = comfy_inside.call("FourRealTransportFill", grid=redo)[0]
    marked_VT = torch.zeros(V, T, dtype=torch.bool)
    marked_VT[1, 2] = marked_VT[2, 4] = True
    assert torch.equal(again.frames[~marked_VT], filled.frames[~marked_VT])
    assert all(not torch.equal(again.frames[cell], filled.frames[cell]) for cell in ((1, 2), (2, 4)))
    assert torch.equal(filled.frames, before)


def test_a_grid_without_marks_goes_through_a_sampler_unchanged(comfy_inside, filled, tiny_model):
    redo, _ = play(comfy_inside, filled)
    model = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]
    settings = SAMPLER | {"sync": "off", "seed": 0, "steps": 1}
    sampled = comfy_inside.call("FourRealSampler", model=model, grid=redo, **settings)[0]
    assert torch.equal(sampled.frames, filled.frames)


def test_marks_of_a_larger_grid_are_left_out_with_a_message(comfy_inside, filled):
    comfy_inside.events.clear()
    redo, _ = play(comfy_inside, filled, "[[0, 1], [7, 0]]")
    assert (~redo.known).nonzero().tolist() == [[0, 1]]
    assert [event[1] for event in comfy_inside.events if event[0] == "text"] == [
        "1 marked cells lie outside of this grid of 3 views and 5 times and were ignored"
    ]


def test_marks_that_are_no_list_are_refused(comfy_inside, filled):
    with pytest.raises(ValueError, match="clear the marks in the player"):
        play(comfy_inside, filled, "{")
