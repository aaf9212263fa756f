"""Nodes that make, load and save grids."""

import os
from functools import partial

import folder_paths
from comfy_api.v0_0_2 import io

from ..fourreal_core.exchange.rig import tell_in_short
from ..fourreal_core.files.recording import share
from ..fourreal_core.files.sound import Sound
from ..fourreal_core.files.video import cell_size
from ..fourreal_core.grid import FrameGrid, check_bytes, first_frame_difference
from ..fourreal_core.grid_file import load_grid, save_grid
from ..fourreal_core.pairing import SAME_FRAME, frame_differences, mismatch_message
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.clips import Clip, as_bytes, open_clip
from ..host.memory import expect_room_for_grid
from ..host.places import GRID_SUFFIX, file_problem, output_place, saved_grids, time_and_size
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid, tell
from .inputs import shape_inputs, video_or_images

CATEGORY = "4Real/grid"
FIXED_VIEW, FREEZE_TIME = "the fixed-view video", "the freeze-time video"
MOST_VIEWS = 64
MOST_FRAMES = 1024
STAMP = 64  # pixels of width at which frames are compared
SAME_SPEED = 0.01  # share by which two frame rates may differ
MOST_LOOKED_AT = 256  # frames of a freeze-time video that may start elsewhere


class FourRealBuildGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealBuildGrid",
            display_name="4Real Build Conditioning Grid",
            category=CATEGORY,
            description="Builds a grid from a fixed-view video and a freeze-time video that share their first "
            "frame. The remaining cells are unknown until a sampler generates them.",
            search_aliases=["4d", "bullet time", "multi view video"],
            inputs=[
                video_or_images(
                    "fixed_view", "The scene moves, the camera stands still. Becomes the first view, at every time."
                ),
                video_or_images(
                    "freeze_time", "The scene stands still, the camera moves. Becomes the first time, of every view."
                ),
                io.Int.Input(
                    "views",
                    default=8,
                    min=0,
                    max=MOST_FRAMES,
                    tooltip="How many frames of the freeze-time video become views. 0: all of them.",
                ),
                io.Int.Input(
                    "times",
                    default=8,
                    min=0,
                    max=MOST_FRAMES,
                    tooltip="How many frames of the fixed-view video become times. 0: all of them.",
                ),
                *shape_inputs(),
            ],
            outputs=[Grid.Output("grid", tooltip="The grid with its two known edges.")],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,  # a folder of stills comes as a list of images
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, fixed_view, freeze_time, **settings) -> io.NodeOutput:
        settings = {name: _single(value, name) for name, value in settings.items()}
        grid, remarks = _build(open_clip(fixed_view, FIXED_VIEW), open_clip(freeze_time, FREEZE_TIME), **settings)
        for remark in remarks:
            tell(cls, remark)
        return io.NodeOutput(grid, ui={"text": tuple(remarks)} if remarks else None)


def _single(value, name: str):
    """A widget's value, which comes as a list because the videos may."""
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise ValueError(f"expected {name} to be one value, got a list of {len(value)}: build one grid at a time")
    return value[0]


def _build(fixed: Clip, freeze: Clip, views, times, width, height, fit, pick, fps) -> tuple[FrameGrid, list[str]]:
    """The grid, and what the user should know of the videos."""
    for count, name, clip in ((views, "views", freeze), (times, "times", fixed)):
        if count == 1:
            raise ValueError(
                f"expected {name} to be at least 2, or 0 for all frames, got 1: a grid needs two or more {name}"
            )
        if count == 0 and clip.length == 1:
            raise ValueError(
                f"expected {clip.name} to have at least 2 frames, got 1: a still image cannot span a grid, "
                "connect a video or a batch of images"
            )
    size = cell_size(fixed.size, height, width)
    check_bytes(views or freeze.length, times or fixed.length, *size)
    expect_room_for_grid((views or freeze.length) * (times or fixed.length) * size[0] * size[1])
    report = counting_progress()
    along_time = fixed.take(times, pick, size, fit, share(report, 0, 2))
    along_views = freeze.take(views, pick, size, fit, share(report, 1, 2))
    grid = FrameGrid.from_videos(along_time.frames, along_views.frames, fps=fps or along_time.fps)
    grid = grid.replace(sound=_sound(fixed, grid, along_time.fps))
    difference = first_frame_difference(along_time.frames, along_views.frames)
    mismatch = _mismatch(fixed, freeze, difference) if difference > SAME_FRAME else ""
    remarks = [mismatch, *along_time.remarks, *along_views.remarks]
    return grid, [remark for remark in dict.fromkeys(remarks) if remark]


def _sound(clip: Clip, grid: FrameGrid, own_fps: float) -> Sound | None:
    """The video's sound for as long as the grid's times last; none where they play at another speed than the video."""
    return clip.sound(grid.times / grid.fps) if abs(grid.fps / own_fps - 1) < SAME_SPEED else None


def _mismatch(fixed: Clip, freeze: Clip, difference: float) -> str:
    """Looks through the whole freeze-time video, at the size of a stamp, for the frame that it should start with."""
    size = cell_size(fixed.size, 0, STAMP) if fixed.size[1] > STAMP else fixed.size
    first = as_bytes(fixed.take(1, "first", size, "crop").frames)[0]
    step = max(1, -(-(freeze.length - 1) // MOST_LOOKED_AT))
    numbers = range((freeze.length - 1) % step, freeze.length, step)  # the last frame is one of them
    frames, _ = freeze.source.read(numbers, size, "crop", counting_progress())
    return mismatch_message(difference, numbers, frame_differences(first, as_bytes(frames)), freeze.length)


class FourRealAssembleGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealAssembleGrid",
            display_name="4Real Assemble Grid",
            category=CATEGORY,
            description="Builds a grid from whole, synchronized videos, one per view. Every cell is known.",
            inputs=[
                io.Autogrow.Input(
                    "videos",
                    template=io.Autogrow.TemplatePrefix(
                        video_or_images("video", "The video of one view. All start at the same moment."),
                        prefix="video",
                        min=1,
                        max=MOST_VIEWS,
                    ),
                    tooltip="One video per view, in the order of the cameras.",
                ),
                io.Int.Input(
                    "times",
                    default=0,
                    min=0,
                    max=MOST_FRAMES,
                    tooltip="How many frames of each video become times. 0: all of them.",
                ),
                *shape_inputs(),
            ],
            outputs=[Grid.Output("grid", tooltip="The grid, all cells known.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, videos, times, width, height, fit, pick, fps) -> io.NodeOutput:
        ordered = sorted(videos, key=lambda name: int(name.removeprefix("video")))
        names = [f"the video of view {view}" for view in range(len(ordered))]
        clips = [open_clip(videos[key], name) for key, name in zip(ordered, names)]
        size = cell_size(clips[0].size, height, width)
        check_bytes(len(clips), times or clips[0].length, *size)
        expect_room_for_grid(
            len(clips) * (times or clips[0].length) * size[0] * size[1], 3
        )  # bytes, before they are floats
        report = counting_progress()
        taken = [clip.take(times, pick, size, fit, share(report, view, len(clips))) for view, clip in enumerate(clips)]
        tell_in_short([remark for view in taken for remark in view.remarks], partial(tell, cls))
        grid = FrameGrid.from_views([view.frames for view in taken], fps=fps or taken[0].fps)
        return io.NodeOutput(grid.replace(sound=_sound(clips[0], grid, taken[0].fps)))


class FourRealLoadGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealLoadGrid",
            display_name="4Real Load Grid",
            category=CATEGORY,
            description="Load a grid that 4Real Save Grid wrote.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=saved_grids(),
                    tooltip="A grid file in ComfyUI's output or input folder.",
                )
            ],
            outputs=[Grid.Output("grid", tooltip="The grid exactly as it was saved.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return file_problem(file, "grid") or True

    @classmethod
    def fingerprint_inputs(cls, file):
        return time_and_size(folder_paths.get_annotated_filepath(file))

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, file) -> io.NodeOutput:
        return io.NodeOutput(load_grid(folder_paths.get_annotated_filepath(file)))


class FourRealSaveGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSaveGrid",
            display_name="4Real Save Grid",
            category=CATEGORY,
            description="Save a grid losslessly in one file in the output folder.",
            is_output_node=True,
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.String.Input(
                    "filename_prefix",
                    default="grids/4real",
                    tooltip="Folder and start of the file name inside the output folder; a number is added.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, filename_prefix) -> io.NodeOutput:
        grid = expect_grid(grid)
        place = output_place(filename_prefix, grid.width, grid.height)
        file = f"{place.name}_{GRID_SUFFIX}"
        save_grid(grid, os.path.join(place.folder, file))
        saved = {"filename": file, "subfolder": place.subfolder, "type": "output"}
        return io.NodeOutput(ui={"fourreal_grid": [saved], "text": (os.path.join(place.subfolder, file),)})
