"""4Real Transport Fill: every unknown cell from the motion and parallax seen in the known ones, without a model."""

from comfy_api.latest import io

from ..fourreal_core.transport import transport_fill
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid


class FourRealTransportFill(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealTransportFill",
            display_name="4Real Transport Fill",
            category="4Real/sampling",
            description="Fill unknown cells by carrying the motion seen at the known view along the parallax seen "
            "at the known time. Needs no model: use it as a preview, a baseline, or a starting guess "
            "for samplers.",
            search_aliases=["optical flow", "4d", "bullet time"],
            inputs=[Grid.Input("grid", tooltip=GRID_TOOLTIP + " Any size; runs on the CPU.")],
            outputs=[
                Grid.Output("grid", tooltip="The filled grid; known cells exactly as they were."),
                io.Image.Output(
                    "confidence",
                    tooltip="How sure each pixel is, black (unsure) to white (sure): one image per cell, view by view.",
                ),
            ],
        )

    @classmethod
    def execute(cls, grid) -> io.NodeOutput:
        filled, confidence_VTHW = transport_fill(expect_grid(grid), on_cell=counting_progress())
        return io.NodeOutput(filled, confidence_VTHW.flatten(0, 1)[..., None].expand(-1, -1, -1, 3).contiguous())
