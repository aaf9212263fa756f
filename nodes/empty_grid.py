"""4Real Empty Grid: the size of a grid of which nothing is known yet, for text to 4D and for redoing whole grids."""

import torch
from comfy_api.v0_0_2 import io

from ..fourreal_core.files.room import room
from ..fourreal_core.grid import FrameGrid, check_bytes
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.memory import expect_room_for_grid
from ..host.types import Grid


class FourRealEmptyGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealEmptyGrid",
            display_name="4Real Empty Grid",
            category="4Real/grid",
            description="A grid with no known cells: for text to 4D with a latent video model, or to redo a whole grid from a guess.",
            search_aliases=["4d", "text to 4d"],
            inputs=[
                io.Int.Input("views", default=8, min=1, max=1024, tooltip="How many views."),
                io.Int.Input("times", default=8, min=1, max=1024, tooltip="How many times."),
                io.Int.Input("width", default=512, min=16, max=8192, step=16, tooltip="Width of each cell in pixels."),
                io.Int.Input(
                    "height", default=288, min=16, max=8192, step=16, tooltip="Height of each cell in pixels."
                ),
                io.Float.Input(
                    "fps", default=12.0, min=0.1, max=1000.0, step=0.1, tooltip="Frames per second along time."
                ),
            ],
            outputs=[Grid.Output("grid", tooltip="A black grid; every cell is unknown.")],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, views, times, width, height, fps) -> io.NodeOutput:
        check_bytes(views, times, height, width)
        pixels = views * times * height * width
        expect_room_for_grid(pixels, what=f"a grid of {views} views and {times} times of {width}x{height}")
        unknown = torch.zeros(views, times, dtype=torch.bool)
        return io.NodeOutput(FrameGrid(room((views, times, height, width, 3)), unknown, fps=fps))
