"""Marked cells sampled again inside the host: by a mask on 4Real Sampler, as 4Real Grid Player gives it.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import pytest
import torch
from sampling import SAMPLER

V, T, H, W = 3, 5, 16, 24
SAMPLING = SAMPLER | {"sync": "hard"}


@pytest.fixture
def model(comfy_inside, tiny_model):
    return comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]


@pytest.fixture
def sampled(comfy_inside, model, grid):
    return comfy_inside.call("FourRealSampler", model=model, grid=grid, **SAMPLING)[0]


def again(comfy_inside, model, grid, redo, **changes):
    return comfy_inside.call(
        "FourRealSampler", model=model, grid=grid, redo=redo, **(SAMPLING | {"seed": 4} | changes)
    )[0]


def marks(*cells):
    marked_VT = torch.zeros(V, T, dtype=torch.bool)
    for cell in cells:
        marked_VT[cell] = True
    return marked_VT


def per_cell(marked_VT):
    """Masks [V T, H, W] in which a small spot marks a cell."""
    mask_NHW = torch.zeros(V * T, H, W)
    mask_NHW[marked_VT.flatten(), 2:4, 5:9] = 1.0
    return mask_NHW


@pytest.mark.parametrize(
    "mask", [lambda marked_VT: marked_VT.float()[None], per_cell], ids=["a pixel per cell", "a mask per cell"]
)
def test_just_the_marked_cells_change_and_known_stays_true(comfy_inside, model, grid, sampled, mask):
    redo_VT = marks((1, 2), (2, 4), (0, 3))
    before = sampled.frames.clone()
    result = again(comfy_inside, model, sampled, mask(redo_VT))
    assert torch.equal((result.frames != sampled.frames).flatten(2).any(2), redo_VT)
    assert torch.equal(result.known, grid.known & ~redo_VT)
    assert torch.equal(sampled.frames, before) and torch.equal(sampled.known, grid.known)


def test_the_result_tells_both_samplings(comfy_inside, model, sampled):
    result = again(comfy_inside, model, sampled, marks((1, 2)).float()[None])
    assert result.provenance["seed"] == 3
    [redone] = result.provenance["redone"]
    assert redone["cells"] == [[1, 2]] and redone["seed"] == 4 and redone["model"] == result.provenance["model"]


def test_it_gives_what_sampling_the_players_grid_gives(comfy_inside, model, sampled):
    player = comfy_inside.call("FourRealGridPlayer", grid=sampled, marked_cells="[[1, 2], [2, 3]]")
    assert torch.equal(player[1], marks((1, 2), (2, 3)).float()[None])
    by_grid = comfy_inside.call("FourRealSampler", model=model, grid=player[0], **SAMPLING)[0]
    by_mask = again(comfy_inside, model, sampled, player[1], seed=SAMPLING["seed"])
    assert torch.equal(by_grid.frames, by_mask.frames)
    assert torch.equal(by_mask.known, sampled.known)


def test_a_grid_whose_every_cell_is_known_can_be_redone(comfy_inside, model, sampled):
    whole = sampled.replace(known=torch.ones(V, T, dtype=torch.bool))
    result = again(comfy_inside, model, whole, marks((2, 1)).float()[None])
    assert torch.equal(~result.known, marks((2, 1))) and not torch.equal(result.frames[2, 1], whole.frames[2, 1])


def test_cells_that_were_never_filled_are_sampled_with_the_marked_ones(comfy_inside, model, grid):
    result = again(comfy_inside, model, grid, marks((0, 3)).float()[None])
    held_VT = grid.known & ~marks((0, 3))
    assert torch.equal(result.frames[held_VT], grid.frames[held_VT]) and result.frames[~held_VT].flatten(1).any(1).all()
    assert torch.equal(result.known, held_VT)


def test_without_marks_the_grid_goes_on_as_it_came_and_the_node_says_so(comfy_inside, model, sampled):
    comfy_inside.events.clear()
    kind = comfy_inside.node_classes["FourRealSampler"]
    with torch.inference_mode():
        node = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}})
        [result] = node.execute(model=model, grid=sampled, redo=torch.zeros(1, V, T), **SAMPLING).result
    assert result is sampled
    assert [event[1] for event in comfy_inside.events if event[0] == "text" and "no cell is marked" in event[1]]


def test_marked_cells_are_redone_through_the_whole_host(comfy_inside, tiny_model, sampled):
    storage = comfy_inside.core("grid_file")
    storage.save_grid(sampled, comfy_inside.base / "input" / "to_mark.grid.safetensors")
    outputs = comfy_inside.run(
        {
            "model": node("FourRealLoadModel", checkpoint=tiny_model, precision="float32"),
            "grid": node("FourRealLoadGrid", file="to_mark.grid.safetensors [input]"),
            "player": node("FourRealGridPlayer", grid=["grid", 0], marked_cells="[[1, 2], [2, 4]]"),
            "again": node("FourRealSampler", model=["model", 0], grid=["grid", 0], redo=["player", 1], **SAMPLING),
            "save": node("FourRealSaveGrid", grid=["again", 0], filename_prefix="redone"),
        }
    )
    [saved] = outputs["save"]["fourreal_grid"]
    result = storage.load_grid(comfy_inside.base / "output" / saved["filename"])
    assert torch.equal((result.frames != sampled.frames).flatten(2).any(2), marks((1, 2), (2, 4)))
    assert torch.equal(result.known, sampled.known) and result.provenance["redone"][0]["cells"] == [[1, 2], [2, 4]]


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


BAD_MASKS = {
    "of another grid": (torch.ones(1, V + 1, T), "expected a mask of 5x3 pixels, one per cell"),
    "of a picture": (torch.ones(1, H, W), "expected a mask of 5x3 pixels, one per cell"),
    "everything": (torch.ones(1, V, T), "unmark at least one"),
}


@pytest.mark.parametrize("name", BAD_MASKS)
def test_bad_masks_get_one_clear_sentence(comfy_inside, model, sampled, name):
    mask, sentence = BAD_MASKS[name]
    with pytest.raises(ValueError, match=sentence):
        again(comfy_inside, model, sampled, mask)
