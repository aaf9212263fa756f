"""The nodes that build, keep and show grids, run inside the host; sampling is in test_sampling_nodes.py.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import json
from collections import namedtuple
from pathlib import Path

import av
import pytest
import torch

from fourreal_core.files.video import write_video

V, T, H, W = 3, 5, 16, 24


def build(comfy_inside, fixed_view, freeze_time, **changes):
    inputs = {"views": V, "times": T, "width": 0, "height": 0, "fit": "crop", "pick": "even", "fps": 0.0} | changes
    return comfy_inside.call("FourRealBuildGrid", fixed_view=fixed_view, freeze_time=freeze_time, **inputs)[0]


def test_build_grid_puts_the_two_videos_on_its_edges(comfy_inside, videos):
    grid = build(comfy_inside, *videos)
    assert torch.equal(grid.frames[0], videos[0]) and torch.equal(grid.frames[:, 0], videos[1])
    assert grid.known.sum() == V + T - 1


def test_build_grid_takes_a_video_file(comfy_inside, videos):
    from comfy_api.v0_0_2 import InputImpl

    file = comfy_inside.base / "input" / "fixed.mp4"
    write_video(file, torch.cat([videos[0], videos[0]]), fps=30.0)
    grid = build(comfy_inside, InputImpl.VideoFromFile(str(file)), videos[1], times=4)
    assert grid.frames.shape == (V, 4, H, W, 3)
    assert grid.fps == pytest.approx(10.0)  # every third of 10 frames at 30 per second


def test_build_grid_takes_a_video_made_by_another_node_bit_exact(comfy_inside, videos):
    made = [comfy_inside.call("CreateVideo", images=images, fps=12.0)[0] for images in videos]
    grid = build(comfy_inside, *made)
    assert torch.equal(grid.frames[0], videos[0]) and grid.fps == 12


def test_build_grid_takes_a_trimmed_video(comfy_inside, videos):
    from comfy_api.v0_0_2 import InputImpl

    file = comfy_inside.base / "input" / "long.mkv"
    write_video(file, torch.cat([1 - videos[0], videos[0]]), fps=10.0, lossless=True)
    trimmed = InputImpl.VideoFromFile(str(file)).as_trimmed(start_time=0.5)
    grid = build(comfy_inside, trimmed, videos[1])
    assert (grid.frames[0] - videos[0]).abs().max() < 0.02


@pytest.mark.parametrize(("pick", "expected"), [("even", [0, 2, 4]), ("first", [0, 1, 2])])
def test_build_grid_picks_frames(comfy_inside, videos, pick, expected):
    grid = build(comfy_inside, *videos, times=3, pick=pick)
    assert torch.equal(grid.frames[0], videos[0][expected])


@pytest.mark.parametrize(
    ("width", "height", "size"), [(0, 0, (H, W)), (12, 0, (8, 12)), (0, 8, (8, 12)), (20, 10, (10, 20))]
)
def test_build_grid_sizes_cells(comfy_inside, videos, width, height, size):
    grid = build(comfy_inside, *videos, width=width, height=height)
    assert (grid.height, grid.width) == size


def test_zero_views_and_times_take_every_frame(comfy_inside, videos):
    grid = build(comfy_inside, *videos, views=0, times=0)
    assert (grid.views, grid.times) == (V, T)


def test_build_grid_says_when_the_first_frames_differ(comfy_inside, videos):
    comfy_inside.events.clear()
    outputs = comfy_inside.run(
        {
            "1": constant_video(comfy_inside, "grey.mkv", 0.5),
            "2": constant_video(comfy_inside, "bright.mkv", 0.8),
            "3": node("FourRealBuildGrid", fixed_view=["1", 0], freeze_time=["2", 0], **BUILD),
            "4": node("FourRealSaveGrid", grid=["3", 0], filename_prefix="differs"),
        }
    )
    [sentence] = outputs["3"]["text"]
    assert "they differ by 30%" in sentence and "first frame" in sentence
    assert ("text", sentence) in [event[:2] for event in comfy_inside.events]


BUILD = {"views": V, "times": T, "width": 0, "height": 0, "fit": "crop", "pick": "even", "fps": 0.0}


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def constant_video(comfy_inside, name, level):
    write_video(comfy_inside.base / "input" / name, torch.full((T, H, W, 3), level), fps=8.0, lossless=True)
    return node("LoadVideo", file=name)


def test_assemble_grid_keeps_the_order_of_views(comfy_inside):
    count = 11  # "video10" must come after "video2"
    prompt = {str(v): constant_video(comfy_inside, f"view{v}.mkv", v / 16) for v in range(count)}
    videos = {f"videos.video{v}": [str(v), 0] for v in range(count)}
    shape = {name: value for name, value in BUILD.items() if name != "views"}
    prompt["assemble"] = node("FourRealAssembleGrid", **videos, **shape)
    prompt["save"] = node("FourRealSaveGrid", grid=["assemble", 0], filename_prefix="assembled")
    [saved] = comfy_inside.run(prompt)["save"]["fourreal_grid"]
    grid = comfy_inside.core("grid_file").load_grid(comfy_inside.base / "output" / saved["filename"])
    assert grid.known.all() and grid.frames.shape == (count, T, H, W, 3)
    assert torch.allclose(grid.frames.mean((1, 2, 3, 4)), torch.arange(count) / 16, atol=0.01)


def test_a_saved_grid_loads_bit_exact(comfy_inside, grid):
    comfy_inside.call("FourRealSaveGrid", grid=grid, filename_prefix="kept/fox")
    file = "kept/fox_00001_.grid.safetensors [output]"
    options = comfy_inside.node_classes["FourRealLoadGrid"].INPUT_TYPES()["required"]["file"][1]["options"]
    assert file in options
    [loaded] = comfy_inside.call("FourRealLoadGrid", file=file)
    assert torch.equal(loaded.frames, grid.frames) and torch.equal(loaded.known, grid.known) and loaded.fps == grid.fps


BAD_PREFIXES = {
    "outside": ("kept/../../x", "stay inside the output folder"),
    "no name": ("  /..", "end in a name"),
    "too long": ("n" * 200, "at most 160 bytes"),
    "null byte": ("a\0b", "printable"),
    "half a letter": ("\ud800", "printable"),
    "below a file": ("a_file/x", "cannot write to"),
    "folder too long": ("n" * 300 + "/x", "cannot write to"),
}
SAVERS = {
    "FourRealSaveGrid": {},
    "FourRealSaveGridFolder": {"layout": {"layout": "images", "kind": "jpg"}},
    "FourRealQuilt": {
        "layout": {"layout": "one tile per view"},
        "first_view": 0,
        "views": 0,
        "time": 0,
        "right_to_left": False,
        "between": "repeat",
        "fit": "crop",
    },
}


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("name", BAD_PREFIXES)
def test_a_place_where_nothing_can_be_saved_gets_one_clear_sentence(comfy_inside, grid, name, saver):
    prefix, sentence = BAD_PREFIXES[name]
    (comfy_inside.base / "output" / "a_file").touch()
    before = set(comfy_inside.base.rglob("*"))
    with pytest.raises(ValueError, match=sentence) as caught:
        comfy_inside.call(saver, grid=grid, filename_prefix=prefix, **SAVERS[saver])
    assert "\n" not in str(caught.value) and set(comfy_inside.base.rglob("*")) == before


def test_saving_outside_the_output_folder_is_refused(comfy_inside, grid):
    with pytest.raises(ValueError, match="inside the output folder"):
        comfy_inside.call("FourRealSaveGrid", grid=grid, filename_prefix="../escaped")
    assert not list(comfy_inside.base.glob("escaped*"))


def test_a_dangling_link_does_not_hide_the_saved_grids(comfy_inside, grid):
    import folder_paths

    comfy_inside.call("FourRealSaveGrid", grid=grid, filename_prefix="linked")
    link = Path(folder_paths.get_input_directory()) / "gone.grid.safetensors"
    link.symlink_to(link.with_name("nothing.safetensors"))
    options = comfy_inside.node_classes["FourRealLoadGrid"].INPUT_TYPES()["required"]["file"][1]["options"]
    link.unlink()
    assert any(name.startswith("linked") for name in options) and not any(name.startswith("gone") for name in options)


@pytest.mark.parametrize("file", ["../secret.grid.safetensors [output]", "nothing.grid.safetensors [input]", "", None])
def test_load_grid_refuses_other_paths(comfy_inside, file):
    (comfy_inside.base / "secret.grid.safetensors").write_bytes(b"secret")
    assert "found no grid file" in comfy_inside.node_classes["FourRealLoadGrid"].validate_inputs(file)


def test_load_grid_says_what_is_wrong_with_a_broken_file(comfy_inside, grid):
    file = comfy_inside.base / "input" / "broken.grid.safetensors"
    comfy_inside.core("grid_file").save_grid(grid, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"broken\.grid\.safetensors"):
        comfy_inside.call("FourRealLoadGrid", file="broken.grid.safetensors [input]")


PATHS = {
    "bullet time": ({"freeze_at": 2.0}, V + T - 1),
    "fixed view": ({"view": 1.0}, T),
    "freeze time": ({"time": 4.0}, V),
    "diagonal": ({}, T),
    "ping-pong": ({}, 2 * T - 2),
    "custom": ({"positions": "[[0, 0], [1, 2.5]]"}, 2),
}


@pytest.mark.parametrize("name", PATHS)
def test_grid_to_video_follows_each_path(comfy_inside, grid, name):
    settings, length = PATHS[name]
    video, images = comfy_inside.call("FourRealGridToVideo", grid=grid, path={"path": name, **settings}, fps=0.0)
    assert images.shape == (length, H, W, 3)
    assert video.get_frame_rate() == 6 and torch.equal(video.get_components().images, images)


@pytest.mark.parametrize("between", ["motion", "blend"])
def test_frames_between_cells_keep_the_speed_of_the_scene(comfy_inside, grid, between):
    """The grid plays at 6 frames per second: its 5 times span 4/6 s, which are 17 frames at 24, every fourth of them a cell."""
    path, settings = {"path": "fixed view", "view": 1.0}, {"between": between, "seconds": 0.0}
    video, images = comfy_inside.call("FourRealGridToVideo", grid=grid, path=path, fps=24.0, **settings)
    assert video.get_frame_rate() == 24 and len(images) == 4 * (T - 1) + 1
    assert torch.equal(images[::4], grid.frames[1])


def test_a_video_takes_the_seconds_that_it_is_given_and_comes_back(comfy_inside, grid):
    path, settings = {"path": "freeze time", "time": 2.0}, {"between": "blend", "seconds": 2.0, "back": True}
    _, images = comfy_inside.call("FourRealGridToVideo", grid=grid, path=path, fps=10.0, **settings)
    assert (
        len(images) == 20 and torch.equal(images[0], grid.frames[0, 2]) and torch.equal(images[10], grid.frames[-1, 2])
    )
    assert torch.allclose(images[1:10], images[11:].flip(0), atol=1e-6)
    _, cells = comfy_inside.call("FourRealGridToVideo", grid=grid, path=path, fps=10.0, back=True)
    assert torch.equal(cells, grid.frames[[*range(V), *range(V - 2, 0, -1)], 2])


def test_bullet_time_freezes_in_the_middle_by_default(comfy_inside, grid):
    _, images = comfy_inside.call(
        "FourRealGridToVideo", grid=grid, path={"path": "bullet time", "freeze_at": -1.0}, fps=0.0
    )
    assert torch.equal(images[2], grid.frames[0, 2]) and torch.equal(images[4], grid.frames[2, 2])


def test_odd_sizes_can_be_saved_as_video(comfy_inside, videos):
    odd = build(comfy_inside, *videos, width=23, height=15)
    video, images = comfy_inside.call("FourRealGridToVideo", grid=odd, path={"path": "diagonal"}, fps=12.0)
    assert images.shape[1:3] == (15, 23) and video.get_dimensions() == (24, 16)
    video.save_to(str(comfy_inside.base / "output" / "odd.mp4"))


def test_contact_sheet_holds_every_cell(comfy_inside, grid):
    [image] = comfy_inside.call("FourRealContactSheet", grid=grid, max_side=0, mark_known=False, gap=0)
    assert image.shape == (1, V * H, T * W, 3)
    assert torch.equal(image[0, :H, 4 * W :], grid.frames[0, 4])


def test_transport_fill_keeps_known_cells_and_gives_one_confidence_per_cell(comfy_inside, grid):
    filled, confidence, _ = comfy_inside.call("FourRealTransportFill", grid=grid)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known])
    assert confidence.shape == (V * T, H, W, 3) and 0 <= confidence.min() and confidence.max() <= 1


def test_nodes_leave_their_inputs_alone(comfy_inside, videos, grid):
    before = [tensor.clone() for tensor in (*videos, grid.frames, grid.known)]
    build(comfy_inside, *videos, width=12)
    _, images = comfy_inside.call("FourRealGridToVideo", grid=grid, path={"path": "fixed view", "view": 0.0}, fps=0.0)
    with torch.inference_mode():
        images.zero_()  # a later node of another pack that writes into its input must not reach the grid
    comfy_inside.call("FourRealContactSheet", grid=grid, max_side=64, mark_known=True, gap=2)
    comfy_inside.call("FourRealTransportFill", grid=grid)
    assert all(torch.equal(a, b) for a, b in zip(before, (*videos, grid.frames, grid.known)))


def said(comfy_inside):
    return [event[1] for event in comfy_inside.events if event[0] == "text"]


def run_build(comfy_inside, fixed_view, freeze_time, **changes):
    """Builds a grid of two files in a whole prompt -> (the grid, what the node said)."""
    comfy_inside.events.clear()
    prompt = {
        "1": node("LoadVideo", file=fixed_view),
        "2": node("LoadVideo", file=freeze_time),
        "3": node("FourRealBuildGrid", fixed_view=["1", 0], freeze_time=["2", 0], **(BUILD | changes)),
        "4": node("FourRealSaveGrid", grid=["3", 0], filename_prefix="built"),
    }
    [saved] = comfy_inside.run(prompt)["4"]["fourreal_grid"]
    grid = comfy_inside.core("grid_file").load_grid(comfy_inside.base / "output" / saved["filename"])
    return grid, said(comfy_inside)


def test_transparency_is_laid_over_black_and_told(comfy_inside, videos):
    half = torch.cat([videos[0], torch.full_like(videos[0][..., :1], 0.5)], -1)
    assert torch.equal(build(comfy_inside, half, videos[1]).frames[0], videos[0] / 2)


def test_a_list_of_stills_is_a_video(comfy_inside, videos):
    stills = [frame[None] for frame in videos[1]]
    grid = comfy_inside.call(
        "FourRealBuildGrid",
        fixed_view=[videos[0]],
        freeze_time=stills,
        **{name: [value] for name, value in BUILD.items()},
    )[0]
    assert torch.equal(grid.frames[:, 0], videos[1])
    with pytest.raises(ValueError, match="expected views to be one value, got a list of 2"):
        build(comfy_inside, *videos, views=[2, 3])


@pytest.mark.parametrize("name", ["views", "times"])
def test_one_view_or_time_names_the_widget(comfy_inside, videos, name):
    with pytest.raises(ValueError, match=f"expected {name} to be at least 2, or 0 for all frames, got 1"):
        build(comfy_inside, *videos, **{name: 1})


def test_the_frame_of_the_orbit_that_fits_is_named(comfy_inside):
    still = torch.rand(1, H, W, 3, generator=torch.Generator().manual_seed(1))
    orbit = torch.cat([still.roll(3 * view, 2) for view in range(6)])
    folder = comfy_inside.base / "input"
    write_video(folder / "moves.mkv", still.repeat(T, 1, 1, 1), 8, lossless=True)
    write_video(folder / "reversed.mkv", orbit.flip(0), 8, lossless=True)
    write_video(folder / "late.mkv", orbit.roll(4, 0), 8, lossless=True)
    grid, [sentence] = run_build(comfy_inside, "moves.mkv", "reversed.mkv")
    assert "its last frame fits best (0%): is it reversed?" in sentence
    assert not torch.allclose(grid.frames[1, 0], still[0], atol=0.1)  # the input stays as it came
    _, [sentence] = run_build(comfy_inside, "moves.mkv", "late.mkv")
    assert "its frame 5 of 6 fits best (0%): trim it to start there" in sentence


def test_a_wide_crop_is_told_and_cells_follow_the_source_by_default(comfy_inside):
    portrait = torch.rand(T, 48, 24, 3, generator=torch.Generator().manual_seed(1))
    write_video(comfy_inside.base / "input" / "portrait.mkv", portrait, 8, lossless=True)
    grid, sentences = run_build(comfy_inside, "portrait.mkv", "portrait.mkv", width=24, height=14)
    assert (grid.height, grid.width) == (14, 24)
    assert any("cells of 24x14 crop 71% of the fixed-view video (portrait.mkv)" in sentence for sentence in sentences)
    defaults = comfy_inside.node_classes["FourRealBuildGrid"].INPUT_TYPES()["required"]
    size = {name: defaults[name][1]["default"] for name in ("width", "height")}
    grid, sentences = run_build(comfy_inside, "portrait.mkv", "portrait.mkv", **size)
    assert grid.height == 2 * grid.width and not sentences


def test_a_title_in_another_encoding_is_no_obstacle(comfy_inside, videos):
    file = comfy_inside.base / "input" / "titled.mp4"
    write_video(file, videos[0][:, :, :24], 8)
    with av.open(str(file)) as given, av.open(str(file.with_stem("latin")), "w") as made:
        made.metadata["title"] = "Caf#"
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    content = file.with_stem("latin").read_bytes()
    assert b"Caf#" in content
    file.with_stem("latin").write_bytes(content.replace(b"Caf#", b"Caf\xe9"))
    grid, _ = run_build(comfy_inside, "latin.mp4", "latin.mp4")
    assert grid.frames.shape == (V, T, H, W, 3)


BAD_VIDEOS = {
    "too few frames": (lambda fixed: fixed[:3], "at least 5 frames in the fixed-view video, got 3"),
    "one frame": (lambda fixed: fixed[:1], "at least 5 frames in the fixed-view video, got 1"),
    "NaN": (lambda fixed: fixed / 0, "NaN or infinity"),
    "wrong type": (lambda fixed: "a text", "expected the fixed-view video to be a VIDEO or an IMAGE batch, got str"),
}


@pytest.mark.parametrize("name", BAD_VIDEOS)
def test_bad_videos_get_one_clear_sentence(comfy_inside, videos, name):
    spoil, sentence = BAD_VIDEOS[name]
    with pytest.raises(ValueError, match=sentence):
        build(comfy_inside, spoil(videos[0]), videos[1])


def test_a_single_image_gets_one_clear_sentence(comfy_inside, videos):
    with pytest.raises(ValueError, match="fixed-view video to have at least 2 frames, got 1"):
        build(comfy_inside, videos[0][:1], videos[1], times=0)


def test_a_grid_that_no_machine_can_hold_is_refused_before_memory_is_asked_for(comfy_inside, videos):
    with pytest.raises(
        ValueError, match="1024 views and 1024 times of 8192x8192 need .*.*: pick fewer frames or choose a smaller size"
    ):
        comfy_inside.call("FourRealEmptyGrid", views=1024, times=1024, width=8192, height=8192, fps=12.0)
    many = torch.zeros(500, 1, 1, 3)
    with pytest.raises(ValueError, match="500 views and 500 times of 8192x8192 need"):
        build(comfy_inside, many, many, views=0, times=0, width=8192)
    with pytest.raises(ValueError, match="1 views and 500 times of 8192x8192 need"):
        comfy_inside.call(
            "FourRealAssembleGrid",
            videos={"video0": many},
            times=0,
            width=8192,
            height=0,
            fit="crop",
            pick="even",
            fps=0.0,
        )


@pytest.mark.parametrize("shape", [(0, 16, 24, 4), (3, 16, 0, 3), (3, 0, 24, 4)])
def test_an_empty_image_batch_gets_one_clear_sentence(comfy_inside, videos, shape):
    with pytest.raises(
        ValueError, match="expected the fixed-view video to have frames and pixels, got an image batch of shape"
    ):
        build(comfy_inside, torch.zeros(shape), videos[1], times=0, width=12)


BAD_FILES = {"empty.mp4": b"", "text.mp4": b"not a video at all", "zeros.mp4": bytes(4096)}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_video_files_get_one_clear_sentence(comfy_inside, videos, name):
    from comfy_api.v0_0_2 import InputImpl

    file = comfy_inside.base / "input" / name
    file.write_bytes(BAD_FILES[name])
    with pytest.raises(ValueError, match=name):
        build(comfy_inside, InputImpl.VideoFromFile(str(file)), videos[1])


@pytest.mark.parametrize(
    ("fps", "sentence"),
    [(1e-5, "expected fps .* to be from 0.001 to 1e"), (float("nan"), "expected fps to be from 0.0 to")],
)
def test_a_frame_rate_that_no_video_can_have_gets_one_clear_sentence(comfy_inside, grid, fps, sentence):
    with pytest.raises(ValueError, match=sentence):
        comfy_inside.call("FourRealGridToVideo", grid=grid, path={"path": "diagonal"}, fps=fps)


BAD_PATHS = {
    "view outside": ({"path": "fixed view", "view": 7.0}, "view of path position 0 to be from 0 to 2, got 7"),
    "time outside": ({"path": "bullet time", "freeze_at": 9.0}, "time of path position 5 to be from 0 to 4, got 9"),
    "no JSON": ({"path": "custom", "positions": "[[0, 0]"}, "JSON list"),
    "no pairs": ({"path": "custom", "positions": json.dumps([[0, 0, 0]])}, "pair of numbers"),
}


@pytest.mark.parametrize("name", BAD_PATHS)
def test_bad_paths_get_one_clear_sentence(comfy_inside, grid, name):
    path, sentence = BAD_PATHS[name]
    with pytest.raises(ValueError, match=sentence):
        comfy_inside.call("FourRealGridToVideo", grid=grid, path=path, fps=0.0)


@pytest.mark.parametrize(
    ("kind", "name", "choices"),
    [
        ("FourRealSaveGridFolder", "layout", "video per view, video per time, images, nerfstudio dataset"),
        ("FourRealGridToVideo", "path", "bullet time"),
    ],
)
def test_a_choice_that_comfyui_left_out_gets_the_list(comfy_inside, grid, kind, name, choices):
    more = {"filename_prefix": "x"} if name == "layout" else {"fps": 0.0}
    with pytest.raises(ValueError, match=f"expected {name} to be one of .*{choices}"):
        comfy_inside.call(kind, grid=grid, **more)
    with pytest.raises(ValueError, match=f"expected {name} to be one of"):
        comfy_inside.call(kind, grid=grid, **{name: {name: "pictures"}}, **more)


def test_a_grid_that_this_machine_cannot_hold_is_refused(comfy_inside, monkeypatch):
    monkeypatch.setattr(comfy_inside.pack_host("memory").psutil, "virtual_memory", lambda: FreeMemory(2**30))
    monkeypatch.setattr(comfy_inside.pack_host("memory").psutil, "swap_memory", lambda: FreeMemory(0))
    with pytest.raises(
        ValueError, match="16 views and 16 times of 1024x512 needs 1.5 GiB of memory, but only 1.0 GiB are free"
    ):
        comfy_inside.call("FourRealEmptyGrid", views=16, times=16, width=1024, height=512, fps=12.0)
    usage = namedtuple("usage", "free")(2**30)  # larger grids lie on the disk
    monkeypatch.setattr(comfy_inside.pack_host("memory").shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(
        ValueError, match="16 views and 16 times of 1024x1024 needs 3.0 GiB on the disk, but only 1.0 GiB are free"
    ):
        comfy_inside.call("FourRealEmptyGrid", views=16, times=16, width=1024, height=1024, fps=12.0)


class FreeMemory:
    def __init__(self, count):
        self.available = self.free = count


def test_comfyui_cannot_save_a_model_that_it_could_not_load(comfy_inside):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint="bundled (default)", precision="float32")
    with pytest.raises(ValueError, match="keep the file that 4Real Load Model read"):
        model.model.state_dict_for_saving(model.model.diffusion_model.state_dict())  # as Save Model does


def test_a_schedule_of_millions_of_steps_is_refused(comfy_inside, grid):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint="bundled (default)", precision="float32")
    settings = {"sync": "soft", "strength": 1.0, "seed": 0, "sampler": "euler", "scheduler": "simple", "cfg": 1.0}
    with pytest.raises(ValueError, match="expected denoise to be 0, or at least 1e-05 for 1 steps, got 1e-09"):
        comfy_inside.call("FourRealSampler", model=model, grid=grid, steps=1, denoise=1e-9, **settings)


def test_old_player_files_make_room(comfy_inside, monkeypatch, grid):
    files = comfy_inside.pack_host("player_files")
    folders = comfy_inside.pack_host("player_folders")
    first = files.player_files(grid)
    monkeypatch.setattr(folders, "MOST_BYTES", 1)
    other = files.player_files(grid.replace(frames=1 - grid.frames))
    folder = comfy_inside.base / "temp" / folders.FOLDER
    assert [entry.name for entry in folder.iterdir()] == [other["id"]] and first["id"] != other["id"]
    assert files.player_files(grid)["id"] == first["id"] and (folder / first["id"] / files.OVERVIEW).is_file()
