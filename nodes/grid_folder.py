"""Grids from folders of recordings, and into folders of videos, images or datasets, inside the host's own folders only."""

import os
from functools import partial

import folder_paths
from comfy_api.v0_0_2 import io

from ..fourreal_core.exchange.folders import IMAGE_KINDS, write_images, write_time_videos, write_view_videos
from ..fourreal_core.exchange.nerfstudio import write_nerfstudio
from ..fourreal_core.exchange.rig import RigPick, parse_offsets, plan_rig, read_rig
from ..host.cancel import stops_on_cancel
from ..host.choices import known_choice, within_limits
from ..host.places import folder_problem, output_place, rig_folders, time_and_size
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid, tell
from .inputs import fit_input, fps_input, side_inputs

CATEGORY = "4Real/grid"
EVERY = -1  # all times
CODINGS = {"H.264 (mp4)": False, "lossless (mkv)": True}
WRITERS = {
    "video per view": lambda *to, coding, **report: write_view_videos(*to, lossless=CODINGS[coding], **report),
    "video per time": lambda *to, coding, **report: write_time_videos(*to, lossless=CODINGS[coding], **report),
    "images": write_images,
    "nerfstudio dataset": lambda *to, time, **settings: write_nerfstudio(
        *to, time=None if time == EVERY else time, **settings
    ),
}


class FourRealLoadGridFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealLoadGridFolder",
            display_name="4Real Load Grid Folder",
            category=CATEGORY,
            description="Load a folder with one video, or one folder of images, per view: a real camera rig, a render, or what 4Real "
            "Save Grid Folder wrote. Every cell is known.",
            search_aliases=["multi view", "camera rig", "multicam", "image sequence"],
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=rig_folders(),
                    tooltip="A folder inside ComfyUI's input or output folder that holds one video, or one folder of images, per view.",
                ),
                io.Int.Input(
                    "views", default=0, min=0, max=1024, tooltip="How many views, evenly spaced. 0: all of them."
                ),
                io.Int.Input(
                    "times", default=0, min=0, max=1024, tooltip="How many times. 0: as many as every view has."
                ),
                io.Int.Input(
                    "first_frame",
                    default=0,
                    min=0,
                    max=1000000,
                    tooltip="The frame, counted from 0, that becomes the first time.",
                ),
                io.Int.Input(
                    "stride",
                    default=1,
                    min=0,
                    max=100000,
                    tooltip="Frames from one time to the next. 0: spread the times over the whole videos.",
                ),
                *side_inputs(0, "the size of the first view"),
                fit_input(),
                io.String.Input(
                    "offsets",
                    default="",
                    advanced=True,
                    tooltip=(
                        "For cameras that did not start together: how many frames later each recording shows the "
                        "same moment, in the order of the names, such as 0, 3, -2. Empty: all started together."
                    ),
                ),
                fps_input(
                    "Frames per second along time. 0: the videos' own, divided by the stride (24 for images).",
                    most=1000.0,
                    advanced=True,
                ),
            ],
            outputs=[Grid.Output("grid", tooltip="The grid, all cells known.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, folder):
        return folder_problem(folder) or True

    @classmethod
    def fingerprint_inputs(cls, folder, **settings):
        path = folder_paths.get_annotated_filepath(folder)
        files = sorted(os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
        return [(file, *time_and_size(file)) for file in files if os.path.isfile(file)]

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, folder, views, times, first_frame, stride, width, height, fit, offsets, fps) -> io.NodeOutput:
        pick = RigPick(views, times, first_frame, stride, parse_offsets(offsets))
        plan = plan_rig(folder_paths.get_annotated_filepath(folder), pick)
        for remark in plan.remarks:
            tell(cls, remark)
        return io.NodeOutput(
            read_rig(plan, height, width, fit, fps, report=counting_progress(), remark=partial(tell, cls))
        )


def _layouts() -> list[io.DynamicCombo.Option]:
    coding = io.Combo.Input(
        "coding",
        options=list(CODINGS),
        tooltip="H.264 plays everywhere and stores colour at half size; lossless (FFV1) keeps every 8-bit value.",
    )
    kind = io.Combo.Input("kind", options=list(IMAGE_KINDS), tooltip="png keeps every 8-bit value, jpg is smaller.")
    time = io.Int.Input(
        "time",
        default=EVERY,
        min=EVERY,
        max=1023,
        tooltip="The time to export, counted from 0. -1: all times, for methods that learn motion.",
    )
    settings = {
        "video per view": [coding],
        "video per time": [coding],
        "images": [kind],
        "nerfstudio dataset": [kind, time],
    }
    return [io.DynamicCombo.Option(name, inputs) for name, inputs in settings.items()]


class FourRealSaveGridFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSaveGridFolder",
            display_name="4Real Save Grid Folder",
            category=CATEGORY,
            description="Save a grid as a folder of videos or images for other programs, or as a nerfstudio dataset with cameras.",
            search_aliases=["export", "image sequence", "transforms.json", "gaussian splatting"],
            is_output_node=True,
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.DynamicCombo.Input(
                    "layout",
                    options=_layouts(),
                    tooltip="video per view: view_0000.mp4 ... video per time: time_0000.mp4 ... images: view_0000/time_0000.png ... "
                    "nerfstudio dataset: images and transforms.json, for grids with cameras.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="grids/4real",
                    tooltip="Folder and start of the new folder's name inside the output folder; a number is added.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, filename_prefix, layout=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        chosen, settings = known_choice(layout, "layout", WRITERS)
        place = output_place(filename_prefix, grid.width, grid.height)
        WRITERS[chosen](grid, place.path, on_file=counting_progress(), **settings)
        return io.NodeOutput(ui={"text": (os.path.join(place.subfolder, place.name),)})
