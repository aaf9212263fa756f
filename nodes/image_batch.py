"""A whole grid as one IMAGE batch and back, so that upscalers, colour nodes and others that work on images can change every cell."""

import torch
from comfy_api.v0_0_2 import io

from ..fourreal_core.exchange.batch import ORDERS, grid_from_images, grid_images, grid_like
from ..fourreal_core.files.stills import IMAGE_FOLDER_FPS
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.redo import cells_from_mask
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.types import GRID_TOOLTIP, Grid, expect_grid

CATEGORY = "4Real/grid"
ORDER_TOOLTIP = "view by view: all times of the first view first. time by time: all views of the first time first."


class FourRealGridToImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridToImages",
            display_name="4Real Grid to Images",
            category=CATEGORY,
            description="All cells of a grid as one image batch: for upscalers, colour correction and other nodes that work on images.",
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.Combo.Input("order", options=list(ORDERS), default=ORDERS[0], tooltip=ORDER_TOOLTIP),
            ],
            outputs=[
                io.Image.Output("images", tooltip="One image per cell."),
                io.Mask.Output(
                    "known", tooltip="One mask per image: white where the cell was given, black where it was generated."
                ),
                io.Int.Output("views", tooltip="How many views."),
                io.Int.Output("times", tooltip="How many times."),
                io.Float.Output("fps", tooltip="Frames per second along time."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, order) -> io.NodeOutput:
        grid = expect_grid(grid)
        known_VT = grid.known if order == ORDERS[0] else grid.known.T
        known_NHW = known_VT.flatten()[:, None, None].float().repeat(1, grid.height, grid.width)
        return io.NodeOutput(grid_images(grid, order), known_NHW, grid.views, grid.times, grid.fps)


class FourRealImagesToGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealImagesToGrid",
            display_name="4Real Images to Grid",
            category=CATEGORY,
            description="Turns an image batch with one image per cell back into a grid: the inverse of 4Real Grid to Images.",
            inputs=[
                io.Image.Input("images", tooltip="One image per cell, all of one size."),
                io.Int.Input(
                    "views",
                    default=8,
                    min=1,
                    max=1024,
                    tooltip="How many views the images are divided into. Ignored when like is connected.",
                ),
                io.Float.Input(
                    "fps",
                    default=IMAGE_FOLDER_FPS,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    tooltip="Frames per second along time. Ignored when like is connected.",
                ),
                io.Combo.Input("order", options=list(ORDERS), default=ORDERS[0], tooltip=ORDER_TOOLTIP),
                Grid.Input(
                    "like",
                    optional=True,
                    tooltip="The grid that the images came from: its views, known cells, frame rate, cameras and history are kept. The "
                    "images may have another size.",
                ),
                io.Mask.Input(
                    "known",
                    optional=True,
                    tooltip="Which cells are known, one mask per image; one white pixel is enough. Without it: all, or those known in like.",
                ),
            ],
            outputs=[Grid.Output("grid", tooltip="The grid.")],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, images, views, fps, order, like=None, known=None) -> io.NodeOutput:
        grid = (
            grid_from_images(images, views, fps, order)
            if like is None
            else grid_like(expect_grid(like, "like"), images, order)
        )
        return io.NodeOutput(grid if known is None else grid.replace(known=_known_cells(known, grid, order)))


def _known_cells(mask: torch.Tensor, grid: FrameGrid, order: str) -> torch.Tensor:
    if order == ORDERS[0]:
        return cells_from_mask(mask, (grid.views, grid.times))
    return cells_from_mask(mask, (grid.times, grid.views)).T.contiguous()
