"""Folders, image batches, stereo and quilts inside the host: what each node reads, writes and says.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import json

import pytest
import torch

from fourreal_core.exchange.folders import write_view_videos
from fourreal_core.files.recording import read_video
from fourreal_core.files.stills import read_picture
from fourreal_core.files.video import write_video

V, T, H, W = 3, 5, 16, 24
LOAD = {
    "views": 0,
    "times": 0,
    "first_frame": 0,
    "stride": 1,
    "width": 0,
    "height": 0,
    "fit": "crop",
    "offsets": "",
    "fps": 0.0,
}
LOSSLESS = {"layout": "video per view", "coding": "lossless (mkv)"}


@pytest.fixture
def whole(comfy_inside):
    """A grid of 8-bit values, with the task's known cells."""
    grid = comfy_inside.core("grid")
    frames = torch.randint(1, 256, (V, T, H, W, 3), generator=torch.Generator().manual_seed(0)).float() / 255
    return grid.FrameGrid(frames, grid.task_known(V, T), fps=6.0, provenance={"seed": 5})


@pytest.fixture
def with_cameras(comfy_inside, whole):
    poses = torch.eye(4).repeat(V, 1, 1)
    poses[:, 0, 3] = -torch.arange(V).float()  # view v stands at x = v
    lenses = torch.tensor([[30.0, 0, W / 2], [0, 30, H / 2], [0, 0, 1]]).repeat(V, 1, 1)
    return whole.replace(cameras=comfy_inside.core("grid").Cameras(poses, lenses))


def load(comfy_inside, folder, **changes):
    return comfy_inside.call("FourRealLoadGridFolder", folder=folder, **(LOAD | changes))[0]


def save(comfy_inside, grid, layout, prefix):
    """Save with the host's own executor; the folder that was made."""
    comfy_inside.call("FourRealSaveGridFolder", grid=grid, layout=layout, filename_prefix=prefix)
    return sorted((comfy_inside.base / "output").glob(f"{prefix}_*"))[-1]


def texts(comfy_inside):
    return [event[1] for event in comfy_inside.events if event[0] == "text"]


@pytest.mark.parametrize("layout", [LOSSLESS, {"layout": "images", "kind": "png"}], ids=lambda layout: layout["layout"])
def test_a_lossless_folder_comes_back_exactly(comfy_inside, whole, layout):
    made = save(comfy_inside, whole, layout, "back/" + layout["layout"].replace(" ", "_"))
    folder = f"back/{made.name} [output]"
    assert (
        folder in comfy_inside.node_classes["FourRealLoadGridFolder"].INPUT_TYPES()["required"]["folder"][1]["options"]
    )
    again = load(comfy_inside, folder, fps=6.0)
    assert torch.equal(again.frames, whole.frames) and again.known.all() and again.fps == 6


def test_folders_are_numbered_and_named_by_their_layout(comfy_inside, whole):
    first = save(comfy_inside, whole, {"layout": "video per time", "coding": "H.264 (mp4)"}, "numbered/fox")
    second = save(comfy_inside, whole, {"layout": "images", "kind": "jpg"}, "numbered/fox")
    assert (first.name, second.name) == ("fox_00001", "fox_00002")
    assert sorted(file.name for file in first.iterdir()) == [f"time_000{t}.mp4" for t in range(T)]
    assert len(list(second.glob("view_000?/time_000?.jpg"))) == V * T
    assert sorted(file.name for file in first.parent.iterdir()) == ["fox_00001", "fox_00002"]


def test_a_dataset_needs_cameras_and_leaves_nothing_without(comfy_inside, whole, with_cameras):
    dataset = {"layout": "nerfstudio dataset", "kind": "png", "time": -1}
    made = save(comfy_inside, with_cameras, dataset, "dataset/fox")
    described = json.loads((made / "transforms.json").read_text())
    assert len(described["frames"]) == V * T and described["fl_x"] == 30
    assert described["frames"][2 * T]["transform_matrix"][0] == [1, 0, 0, 2]
    image_HWC = torch.tensor(read_picture(made / described["frames"][2 * T + 3]["file_path"]).pixels).float() / 255
    assert torch.equal(image_HWC, with_cameras.frames[2, 3])
    again = load(comfy_inside, f"dataset/{made.name} [output]", width=2 * W)
    assert torch.equal(again.cameras.world_to_camera, with_cameras.cameras.world_to_camera)
    assert again.cameras.intrinsics[1, 0].tolist() == [60, 0, W] and again.frames.shape == (V, T, 2 * H, 2 * W, 3)
    still = save(comfy_inside, with_cameras, dataset | {"time": 3}, "dataset/still")
    assert (
        len(json.loads((still / "transforms.json").read_text())["frames"])
        == len(list(still.glob("images/*_time_0003.png")))
        == V
    )
    with pytest.raises(ValueError, match="this grid has no cameras"):
        save(comfy_inside, whole, dataset, "none/fox")
    assert not list((comfy_inside.base / "output" / "none").iterdir())


def test_saving_outside_the_output_folder_is_refused(comfy_inside, whole):
    with pytest.raises(ValueError, match="inside the output folder"):
        comfy_inside.call("FourRealSaveGridFolder", grid=whole, layout=LOSSLESS, filename_prefix="../escaped")
    assert not list(comfy_inside.base.glob("escaped*"))


def test_a_cancelled_saving_leaves_nothing(comfy_inside, whole):
    import comfy.model_management as management

    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        comfy_inside.call("FourRealSaveGridFolder", grid=whole, layout=LOSSLESS, filename_prefix="cancelled/fox")
    assert not list((comfy_inside.base / "output" / "cancelled").iterdir())


def test_a_rig_is_loaded_through_the_whole_host(comfy_inside):
    """Cameras started one frame apart, of 6 and 8 frames; loaded, saved, and the next node's grid is what was filmed."""
    folder = comfy_inside.base / "input" / "rig" / "take 1"
    folder.mkdir(parents=True)
    for view, length in enumerate((8, 6)):
        levels = (torch.arange(length) - view).clamp(min=0)[:, None, None, None] / 10
        write_video(folder / f"cam{view}.mkv", levels.expand(-1, H, W, 3), 30.0, lossless=True)
    comfy_inside.events.clear()
    outputs = comfy_inside.run(
        {
            "1": node(
                "FourRealLoadGridFolder", folder="rig/take 1 [input]", **(LOAD | {"offsets": "0, 1", "width": 12})
            ),
            "2": node("FourRealSaveGrid", grid=["1", 0], filename_prefix="rig"),
        }
    )
    [saved] = outputs["2"]["fourreal_grid"]
    grid = comfy_inside.core("grid_file").load_grid(comfy_inside.base / "output" / saved["filename"])
    assert grid.frames.shape == (2, 5, 8, 12, 3) and grid.fps == 30 and grid.known.all()
    assert torch.allclose(grid.frames.mean((2, 3, 4)), (torch.arange(5) / 10).expand(2, -1), atol=0.003)
    assert any(
        "between 6 (cam1.mkv) and 8 (cam0.mkv) frames: the grid keeps the 5 times" in text
        for text in texts(comfy_inside)
    )


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def test_folders_without_recordings_are_not_offered(comfy_inside):
    (comfy_inside.base / "input" / "texts").mkdir()
    (comfy_inside.base / "input" / "texts" / "a.txt").write_text("a")
    write_video(comfy_inside.base / "input" / "alone.mkv", torch.zeros(2, H, W, 3), 8.0, lossless=True)
    (comfy_inside.base / "input" / ".half.part").mkdir()  # what a node that is still writing has there
    write_video(
        comfy_inside.base / "input" / ".half.part" / "view_0000.mkv", torch.zeros(2, H, W, 3), 8.0, lossless=True
    )
    options = comfy_inside.node_classes["FourRealLoadGridFolder"].INPUT_TYPES()["required"]["folder"][1]["options"]
    assert not [name for name in options if name.startswith(("texts", ".", "alone"))]


OTHER_FOLDERS = [
    ("../secret [output]", "found no folder"),
    ("nothing [input]", "found no folder nothing"),
    ("", "found no folder of videos or images"),
    (None, "found no folder of videos or images"),
    ("file.txt [input]", "is a file, not a folder"),
    ("linked [input]", "cam0.mkv is a link to another place"),
]


@pytest.mark.parametrize(("folder", "sentence"), OTHER_FOLDERS)
def test_other_folders_are_refused(comfy_inside, folder, sentence, tmp_path):
    (comfy_inside.base / "secret").mkdir(exist_ok=True)
    (comfy_inside.base / "input" / "file.txt").write_text("a")
    linked = comfy_inside.base / "input" / "linked"
    linked.mkdir(exist_ok=True)
    write_video(tmp_path / "elsewhere.mkv", torch.zeros(2, H, W, 3), 8.0, lossless=True)
    (linked / "cam0.mkv").unlink(missing_ok=True)
    (linked / "cam0.mkv").symlink_to(tmp_path / "elsewhere.mkv")
    assert sentence in comfy_inside.node_classes["FourRealLoadGridFolder"].validate_inputs(folder)
    (linked / "cam0.mkv").unlink()


def test_a_changed_folder_is_read_anew(comfy_inside, whole):
    made = save(comfy_inside, whole, LOSSLESS, "changed/fox")
    fingerprint = comfy_inside.node_classes["FourRealLoadGridFolder"].fingerprint_inputs
    before = fingerprint(f"changed/{made.name} [output]", **LOAD)
    assert fingerprint(f"changed/{made.name} [output]", **LOAD) == before
    (made / "view_0001.mkv").unlink()
    assert fingerprint(f"changed/{made.name} [output]", **LOAD) != before


def test_bad_folders_get_one_clear_sentence(comfy_inside, whole):
    write_view_videos(whole, comfy_inside.base / "input" / "short", lossless=True)
    with pytest.raises(ValueError, match="at least 6 frames in view_0000.mkv, got 5"):
        load(comfy_inside, "short [input]", times=6)
    with pytest.raises(ValueError, match="expected offsets to be whole numbers"):
        load(comfy_inside, "short [input]", offsets="soon")
    (comfy_inside.base / "input" / "short" / "view_0001.mkv").write_bytes(b"broken")
    with pytest.raises(ValueError, match="cannot decode view_0001.mkv"):
        load(comfy_inside, "short [input]")


@pytest.mark.parametrize("order", ["view by view", "time by time"])
def test_images_and_back_is_exact_and_changes_no_input(comfy_inside, whole, order):
    before = whole.frames.clone()
    images, known, views, times, fps = comfy_inside.call("FourRealGridToImages", grid=whole, order=order)
    assert images.shape == (V * T, H, W, 3) and known.shape == (V * T, H, W) and (views, times, fps) == (V, T, 6)
    again = comfy_inside.call("FourRealImagesToGrid", images=images, views=views, fps=fps, order=order, known=known)[0]
    assert torch.equal(again.frames, whole.frames) and torch.equal(again.known, whole.known) and again.fps == 6
    with torch.inference_mode():
        images.zero_()  # a later node that writes into its input must reach neither grid
    assert torch.equal(whole.frames, before) and torch.equal(again.frames, before)


def test_upscaled_images_keep_the_rest_of_their_grid(comfy_inside, with_cameras):
    images = comfy_inside.call("FourRealGridToImages", grid=with_cameras, order="view by view")[0]
    larger = comfy_inside.call(
        "ImageScale", image=images, upscale_method="bilinear", width=2 * W, height=2 * H, crop="disabled"
    )[0]
    grid = comfy_inside.call(
        "FourRealImagesToGrid", images=larger, views=1, fps=24.0, order="view by view", like=with_cameras
    )[0]
    assert grid.frames.shape == (V, T, 2 * H, 2 * W, 3) and torch.equal(grid.known, with_cameras.known)
    assert grid.fps == 6 and grid.provenance == {"seed": 5} and grid.cameras.intrinsics[0, 0].tolist() == [60, 0, W]
    with pytest.raises(ValueError, match="expected 15 images"):
        comfy_inside.call(
            "FourRealImagesToGrid", images=larger[:-1], views=1, fps=24.0, order="view by view", like=with_cameras
        )
    with pytest.raises(ValueError, match="divisible by 4 views, got 15"):
        comfy_inside.call("FourRealImagesToGrid", images=images, views=4, fps=24.0, order="view by view")


STEREO = {"view": 0, "spacing": 1, "time": -1, "viewing": "parallel", "half_width": False, "fps": 0.0}


def stereo(comfy_inside, grid, **changes):
    return comfy_inside.call("FourRealStereo", grid=grid, **(STEREO | changes))


def test_stereo_puts_two_views_side_by_side(comfy_inside, whole):
    before = whole.frames.clone()
    video, images = stereo(comfy_inside, whole, view=1)
    assert torch.equal(images[:, :, :W], whole.frames[1]) and torch.equal(images[:, :, W:], whole.frames[2])
    assert video.get_frame_rate() == 6 and torch.equal(video.get_components().images, images)
    _, crossed = stereo(comfy_inside, whole, view=1, time=3, viewing="cross-eyed", fps=30.0)
    assert crossed.shape == (1, H, 2 * W, 3) and torch.equal(crossed[0, :, W:], whole.frames[1, 3])
    assert stereo(comfy_inside, whole, half_width=True)[1].shape == (T, H, W, 3)
    assert torch.equal(whole.frames, before)


def test_stereo_says_when_the_cameras_say_that_eyes_are_exchanged(comfy_inside, with_cameras):
    for spacing, expected in ((1, 0), (-1, 1), (2, 0)):
        comfy_inside.events.clear()
        kind = comfy_inside.node_classes["FourRealStereo"].PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}})
        kind.execute(grid=with_cameras, **(STEREO | {"spacing": spacing}))
        assert len([text for text in texts(comfy_inside) if "change the sign of spacing" in text]) == expected
    with pytest.raises(ValueError, match="spacing of 1 to 2 views"):
        stereo(comfy_inside, with_cameras, spacing=3)


QUILT = {
    "first_view": 0,
    "views": 0,
    "time": 2,
    "right_to_left": False,
    "between": "repeat",
    "fit": "crop",
    "filename_prefix": "quilts/4real",
}


def quilt(comfy_inside, grid, layout="one tile per view", **changes):
    """(images, video, suffix, what the node shows)"""
    settings = {"layout": layout, **changes.pop("tiles", {})}
    kind = comfy_inside.node_classes["FourRealQuilt"].PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}})
    with torch.inference_mode():
        output = kind.execute(grid=grid, layout=settings, **(QUILT | changes))
    shown = output.ui if output.ui is None or isinstance(output.ui, dict) else output.ui.as_dict()
    return *output.result, shown


def test_a_quilt_is_saved_under_the_name_that_displays_read(comfy_inside, whole):
    images, _, suffix, shown = quilt(comfy_inside, whole)
    assert suffix == "_qs1x3a1.5" and images.shape == (1, 3 * H, W, 3)
    [saved] = shown["images"]
    file = comfy_inside.base / "output" / saved["subfolder"] / saved["filename"]
    assert file.name == f"4real_00001{suffix}.png"
    assert torch.equal(torch.tensor(read_picture(file).pixels).float() / 255, images[0])
    assert torch.equal(images[0, 2 * H :], whole.frames[0, 2]) and torch.equal(images[0, :H], whole.frames[2, 2])
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_all_times_are_a_quilt_video(comfy_inside, whole):
    tiles = {"tiles_across": 2, "tiles_up": 1, "tile_width": W, "tile_height": H}
    images, video, suffix, shown = quilt(
        comfy_inside, whole, "own", tiles=tiles, time=-1, first_view=1, right_to_left=True, filename_prefix="moving/q"
    )
    assert torch.equal(images, torch.cat([whole.frames[2], whole.frames[1]], dim=2)) and suffix == "_qs2x1a1.5"
    assert video.get_frame_rate() == 6
    [saved] = shown["images"]
    frames_NHWC, fps = read_video(comfy_inside.base / "output" / "moving" / saved["filename"])
    assert saved["filename"] == "q_00001_qs2x1a1.5.mp4" and frames_NHWC.shape == (T, H, 2 * W, 3) and fps == 6


def test_quilts_for_displays_have_their_sizes(comfy_inside, whole):
    images, _, suffix, shown = quilt(comfy_inside, whole, "Looking Glass Portrait", filename_prefix="", between="blend")
    assert images.shape == (1, 3360, 3360, 3) and suffix == "_qs8x6a0.75" and shown is None


def test_a_quilt_says_when_the_views_go_the_other_way(comfy_inside, with_cameras):
    for right_to_left, expected in ((False, 0), (True, 1)):
        comfy_inside.events.clear()
        quilt(comfy_inside, with_cameras, right_to_left=right_to_left, filename_prefix="")
        assert len([text for text in texts(comfy_inside) if "change right_to_left" in text]) == expected


BAD_QUILTS = {
    "views": ({"first_view": 2, "views": 2}, "inside of this grid's 0 to 2, got first_view 2 and views 2"),
    "no views": ({"first_view": 3}, "got first_view 3 and views 0"),
    "time": ({"time": 5}, "time to be from 0 to 4, or -1 for all, got 5"),
}


@pytest.mark.parametrize("name", BAD_QUILTS)
def test_bad_quilts_get_one_clear_sentence(comfy_inside, whole, name):
    settings, sentence = BAD_QUILTS[name]
    with pytest.raises(ValueError, match=sentence):
        quilt(comfy_inside, whole, **settings)
