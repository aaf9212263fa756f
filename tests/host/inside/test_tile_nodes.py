"""4Real Split into Tiles and 4Real Join Tiles in real prompts: any nodes between them run once per tile, and a run that was stopped goes on."""

import pytest
import torch
from planes import plane_scene

V, T, H, W = 5, 7, 16, 24


@pytest.fixture
def task_file(comfy_inside):
    """A grid of 5 x 7 cells with the task's inputs, saved in the input folder, and the grid."""
    core, file = comfy_inside.core("grid"), comfy_inside.base / "input" / "tiles.grid.safetensors"
    frames = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
    known = core.task_known(V, T)
    grid = core.FrameGrid(frames * known[..., None, None, None], known)
    comfy_inside.core("grid_file").save_grid(grid, file)
    return "tiles.grid.safetensors [input]", grid


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def prompt_of(file, *, keep_as="", method="transport", prefix="grids/tiles", size=3):
    return {
        "1": node("FourRealLoadGrid", file=file),
        "2": node("FourRealSplitIntoTiles", grid=["1", 0], views=size, times=size, keep_as=keep_as),
        "3": node("FourRealTransportFill", grid=["2", 0], method=method),
        "4": node("FourRealJoinTiles", tiles=["2", 1], filled=["3", 0]),
        "5": node("FourRealSaveGrid", grid=["4", 0], filename_prefix=prefix),
    }


def result(comfy_inside, prompt):
    [saved] = comfy_inside.run(prompt)["5"]["fourreal_grid"]
    return comfy_inside.core("grid_file").load_grid(
        comfy_inside.base / "output" / saved["subfolder"] / saved["filename"]
    )


def counted(comfy_inside, monkeypatch, stop_at=None):
    """Numbers the fills; one of them fails, as a run does that is stopped."""
    fill, calls = comfy_inside.pack_nodes("fill"), []
    whole = fill.sources_to_fill

    def sources_to_fill(grid, *settings):
        calls.append((grid.views, grid.times))
        if len(calls) - 1 == stop_at:
            raise ValueError("stopped here")
        return whole(grid, *settings)

    monkeypatch.setattr(fill, "sources_to_fill", sources_to_fill)
    return calls


def test_each_tile_goes_through_the_nodes_between(comfy_inside, task_file, monkeypatch):
    file, grid = task_file
    calls, before = counted(comfy_inside, monkeypatch), len(comfy_inside.events)
    made = result(comfy_inside, prompt_of(file))
    expected, _ = comfy_inside.core("transport").transport_fill(grid)
    assert len(calls) == 6 and torch.equal(made.frames, expected.frames) and torch.equal(made.known, grid.known)
    assert made.provenance["tiles"] == 6 and made.provenance["fill"] == "transport"
    shown = {
        data["display_node"]
        for kind, data, *_ in comfy_inside.events
        if kind == "executing" and data.get("display_node")
    }
    assert shown <= {"1", "2", "3", "4", "5"}  # copies are shown as the nodes that they are copies of
    told = [event[1:] for event in comfy_inside.events[before:] if event[0] == "text" and event[1].startswith("Tile ")]
    assert told[0] == ("Tile 1 of 6: views 1 to 3, times 1 to 3", "2") and {node for _, node in told} == {"2"}
    assert [text.split(":")[0] for text, _ in told] == [f"Tile {number} of 6" for number in range(1, 7)]


def test_4real_fill_between_them_fills_as_at_once(comfy_inside, monkeypatch):
    """From the scene that all known cells show, which is found once; what is given for one tile alone is used for that one alone."""
    scene, core = plane_scene(3, 7, 24, 40), comfy_inside.core("grid")
    cameras = core.Cameras(scene.cameras.world_to_camera, scene.cameras.intrinsics)
    grid = core.FrameGrid(scene.grid().frames, scene.grid().known, cameras=cameras)
    comfy_inside.core("grid_file").save_grid(grid, comfy_inside.base / "input" / "planes.grid.safetensors")
    sources, asked = comfy_inside.pack_host("sources"), []
    find = sources.find_sources
    noted = lambda grid, **more: asked.append((grid.views, grid.times)) or find(grid, **more)
    monkeypatch.setattr(sources, "find_sources", noted)
    made = result(comfy_inside, prompt_of("planes.grid.safetensors [input]", method="auto", size=4))
    assert made.provenance["tiles"] == 2 and made.provenance["fill"] == "scene" and asked == [(3, 7)]
    assert torch.equal(made.frames, comfy_inside.core("geometry.fill").fill_grid(grid).grid.frames)
    asked.clear()
    tile, _, _ = comfy_inside.call("FourRealSplitIntoTiles", grid=grid, views=4, times=4, keep_as="")
    comfy_inside.call("FourRealTransportFill", grid=tile, moving=torch.zeros(4, 24, 40))
    assert asked == [(3, 4)]


def test_a_run_that_was_stopped_goes_on_and_other_settings_are_refused(comfy_inside, task_file, monkeypatch):
    file, _ = task_file
    counted(comfy_inside, monkeypatch, stop_at=4)
    with pytest.raises(RuntimeError, match="stopped here"):
        result(comfy_inside, prompt_of(file, keep_as="take 1"))
    monkeypatch.undo()
    calls = counted(comfy_inside, monkeypatch)
    with pytest.raises(RuntimeError, match="belong to another grid or to other settings"):
        result(comfy_inside, prompt_of(file, keep_as="take 1", method="auto"))
    made = result(
        comfy_inside, prompt_of(file, keep_as="take 1", prefix="grids/other")
    )  # what comes after is another matter
    assert len(calls) == 2 and torch.equal(made.frames, result(comfy_inside, prompt_of(file)).frames)
    calls.clear()
    assert torch.equal(result(comfy_inside, prompt_of(file, keep_as="take 1")).frames, made.frames) and not calls


def test_a_chain_of_72_tiles(comfy_inside):
    """Each is a copy within the copy before."""
    core, file = comfy_inside.core("grid"), comfy_inside.base / "input" / "many.grid.safetensors"
    known = core.task_known(9, 10)
    frames = torch.rand(9, 10, 8, 8, 3, generator=torch.Generator().manual_seed(1)) * known[..., None, None, None]
    comfy_inside.core("grid_file").save_grid(core.FrameGrid(frames, known), file)
    made = result(comfy_inside, prompt_of("many.grid.safetensors [input]", size=2))
    assert made.provenance["tiles"] == 72 and (made.frames[~known].flatten(1).amax(1) > 0).all()


def test_a_grid_without_anything_to_fill_passes_through(comfy_inside, task_file):
    _, grid = task_file
    whole = grid.replace(known=torch.ones_like(grid.known))
    tile, tiles, number = comfy_inside.call("FourRealSplitIntoTiles", grid=whole, views=3, times=3, keep_as="")
    assert tile is whole and number == 0
    assert comfy_inside.call("FourRealJoinTiles", tiles=tiles)[0] is whole


def test_a_tile_of_another_size_gets_a_sentence(comfy_inside, task_file):
    _, grid = task_file
    _, tiles, _ = comfy_inside.call("FourRealSplitIntoTiles", grid=grid, views=3, times=3, keep_as="")
    with pytest.raises(ValueError, match="expected a tile filled as it is, 3 views and 3 times of 24x16, got 5 and 7"):
        comfy_inside.call("FourRealJoinTiles", tiles=tiles, filled=grid)
    with pytest.raises(ValueError, match="stays inside the output folder"):
        comfy_inside.call("FourRealSplitIntoTiles", grid=grid, views=3, times=3, keep_as="../../x")
