"""4Real Detail: a grid filled at a small size, by any model, brought to the size and the detail of the two videos."""

import logging

from comfy_api.v0_0_2 import io, ui

from ..fourreal_core.geometry.fill import detail_grid
from ..fourreal_core.show.contact_sheet import contact_sheet
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.fill_progress import FillProgress
from ..host.preview import PREVIEW_SIDE
from ..host.types import Grid, expect_grid, tell, with_provenance


class FourRealDetail(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealDetail",
            display_name="4Real Detail",
            category="4Real/sampling",
            description=(
                "Brings a grid that was filled at a small size to the full size of the two videos, with their detail, instead of running a "
                "model on every pixel. Works with any fill. Runs on the CPU."
            ),
            search_aliases=["upscale", "super resolution", "sharpen", "hires fix"],
            inputs=[
                Grid.Input(
                    "grid",
                    tooltip="The grid at full size, from 4Real Build Conditioning Grid. Its known cells stay exactly as they are.",
                ),
                Grid.Input(
                    "small",
                    tooltip="The same grid at a smaller size, filled: from 4Real Grid Decode, 4Real Sampler or any other node.",
                ),
            ],
            outputs=[
                Grid.Output("grid", tooltip="The grid at full size, showing what the small one shows."),
                io.Image.Output(
                    "confidence",
                    tooltip="White where the videos show in detail what the small grid has there, black where it was only enlarged. One image per cell.",
                ),
                io.String.Output("report", tooltip="What the detail was taken from."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, small) -> io.NodeOutput:
        grid, small = expect_grid(grid), expect_grid(small, "small")
        progress = FillProgress(cls, grid, "auto")
        filled = detail_grid(grid, small, on_stage=progress.on_stage, on_cell=progress.on_cell)
        tell(cls, filled.report, logging.INFO)
        facts = {**small.provenance, "detail": {"from": [small.width, small.height], "by": filled.method}}
        sheet_HW3 = contact_sheet(filled.grid.frames, grid.known, max_side=PREVIEW_SIDE)
        return io.NodeOutput(
            with_provenance(filled.grid, facts),
            filled.confidence[..., None].expand(-1, -1, -1, -1, 3).flatten(0, 1).contiguous(),
            filled.report,
            ui=ui.PreviewImage(sheet_HW3[None], cls=cls),
        )
