"""4Real Camera Embedding: the camera's way through a grid's views, for ComfyUI's own nodes of Wan's Fun-camera weights."""

from comfy_api.v0_0_2 import io

from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.grid_cameras import PACKED, path_embedding
from ..host.types import Grid, expect_grid
from .inputs import whole_number

TOOLTIPS = {
    "grid": "A grid with cameras, from 4Real Estimate Cameras.",
    "width": "Width of the video in pixels. 0: that of the grid's cells.",
    "height": "Height of the video in pixels. 0: that of the grid's cells.",
    "length": "Frames of the video, 4 n + 1. They are spread evenly over the views.",
    "scale": "Factor for how far the camera moves. Estimated cameras have no unit: if the model's camera moves too little, raise it.",
}


class FourRealCameraEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        tip = TOOLTIPS
        return io.Schema(
            node_id="FourRealCameraEmbedding",
            display_name="4Real Camera Embedding",
            category="4Real/grid",
            description="The camera path of a grid's views for WanCameraImageToVideo, so that a Fun-camera model films another video on the same path.",
            search_aliases=["camera control", "camera trajectory", "fun camera", "plucker"],
            inputs=[
                Grid.Input("grid", tooltip=tip["grid"]),
                whole_number("width", 0, 0, 8192, tip, step=16),
                whole_number("height", 0, 0, 8192, tip, step=16),
                whole_number("length", 81, 1, 8193, tip, step=PACKED),
                io.Float.Input("scale", default=1.0, min=0.01, max=100.0, step=0.01, tooltip=tip["scale"]),
            ],
            outputs=[
                io.WanCameraEmbedding.Output("camera_embedding", tooltip="For WanCameraImageToVideo."),
                io.Int.Output("width", tooltip="Width of the video in pixels."),
                io.Int.Output("height", tooltip="Height of the video in pixels."),
                io.Int.Output("length", tooltip="Frames of the video."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, width, height, length, scale) -> io.NodeOutput:
        grid = expect_grid(grid)
        width, height = width or grid.width, height or grid.height
        return io.NodeOutput(path_embedding(grid, width, height, length, scale), width, height, length)
