"""Nodes that make, load and save grids."""

import os

import folder_paths
from comfy_api.latest import io

from ..fourreal_core.grid import FrameGrid, check_bytes, first_frame_difference
from ..fourreal_core.grid_file import load_grid, save_grid
from ..host.clips import cell_size, fitted, picked, read_clip
from ..host.places import GRID_SUFFIX, output_place, saved_grids
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, tell
from .inputs import shape_inputs, video_or_images

CATEGORY = "4Real/grid"
FIXED_VIEW, FREEZE_TIME = "the fixed-view video", "the freeze-time video"
MOST_VIEWS = 64
MOST_FRAMES = 1024
SAME_FRAME = (
    0.03  # mean absolute difference above which two first frames are called different; re-encoding gives about 0.01
)


class FourRealBuildGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealBuildGrid",
            display_name="4Real Build Conditioning Grid",
            category=CATEGORY,
            description="Put a fixed-view video and a freeze-time video that share their first frame into one grid. "
            "All other cells are unknown and wait for a sampler.",
            search_aliases=["4d", "bullet time", "multi view video"],
            inputs=[
                video_or_images(
                    "fixed_view", "The scene moves, the camera stands still. Becomes view 0 at every time."
                ),
                video_or_images(
                    "freeze_time", "The scene stands still, the camera moves. Becomes time 0 of every view."
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
        )

    @classmethod
    def execute(cls, fixed_view, freeze_time, views, times, width, height, fit, pick, fps) -> io.NodeOutput:
        fixed = picked(read_clip(fixed_view, FIXED_VIEW), times, pick, FIXED_VIEW)
        freeze = picked(read_clip(freeze_time, FREEZE_TIME), views, pick, FREEZE_TIME)
        size = cell_size(fixed, width, height)
        check_bytes(len(freeze.frames), len(fixed.frames), *size)
        fixed_THWC, freeze_VHWC = fitted(fixed, size, fit), fitted(freeze, size, fit)
        grid = FrameGrid.from_videos(fixed_THWC, freeze_VHWC, fps=fps or fixed.fps)
        message = _first_frame_message(first_frame_difference(fixed_THWC, freeze_VHWC))
        if message:
            tell(cls, message)
        return io.NodeOutput(grid, ui={"text": (message,)} if message else None)


def _first_frame_message(difference: float) -> str:
    if difference <= SAME_FRAME:
        return ""
    return (
        "expected the freeze-time video to start with the fixed-view video's first frame; "
        f"they differ by {difference:.0%}: check that both come from the same image"
    )


class FourRealAssembleGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealAssembleGrid",
            display_name="4Real Assemble Grid",
            category=CATEGORY,
            description="Put whole videos, one per view and all in step, into one grid. Every cell is known.",
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
        )

    @classmethod
    def execute(cls, videos, times, width, height, fit, pick, fps) -> io.NodeOutput:
        ordered = sorted(videos, key=lambda name: int(name.removeprefix("video")))
        names = [f"the video of view {view}" for view in range(len(ordered))]
        clips = [picked(read_clip(videos[key], name), times, pick, name) for key, name in zip(ordered, names)]
        size = cell_size(clips[0], width, height)
        check_bytes(len(clips), len(clips[0].frames), *size)
        return io.NodeOutput(FrameGrid.from_views([fitted(clip, size, fit) for clip in clips], fps=fps or clips[0].fps))


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
                    tooltip="A grid file in the host's output or input folder.",
                )
            ],
            outputs=[Grid.Output("grid", tooltip="The grid exactly as it was saved.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        if not isinstance(file, str) or not file:
            return "expected a grid file, got none: save one with 4Real Save Grid, or put one into the input folder"
        if not folder_paths.exists_annotated_filepath(file):
            return f"expected a grid file in the input or output folder, found no {file}: refresh the list and choose again"
        return True

    @classmethod
    def fingerprint_inputs(cls, file):
        status = os.stat(folder_paths.get_annotated_filepath(file))
        return status.st_mtime_ns, status.st_size

    @classmethod
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
    def execute(cls, grid, filename_prefix) -> io.NodeOutput:
        grid = expect_grid(grid)
        place = output_place(filename_prefix, grid.width, grid.height)
        file = f"{place.name}_{GRID_SUFFIX}"
        save_grid(grid, os.path.join(place.folder, file))
        saved = {"filename": file, "subfolder": place.subfolder, "type": "output"}
        return io.NodeOutput(ui={"fourreal_grid": [saved], "text": (os.path.join(place.subfolder, file),)})
