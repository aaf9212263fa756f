"""4Real Warp: what of a filled grid a video model is shown, and what it paints; looked at before anything is sampled."""

import logging

from comfy_api.v0_0_2 import io, ui

from ..fourreal_core.sampling.warp import places_to_paint, share_report, shown_frames, tinted_frames
from ..fourreal_core.show.contact_sheet import contact_sheet
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.known_cells import confidence_of
from ..host.preview import PREVIEW_SIDE
from ..host.types import Grid, expect_grid, tell

THRESHOLD_TOOLTIP = "Confidence from which the fill is shown to the model, 0 to 1. Lower keeps more of it, higher lets the model paint more. 0 keeps everything."
MARGIN_TOOLTIP = "Pixels by which painted places grow, because a fill is worst beside its holes."


class FourRealWarp(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealWarp",
            display_name="4Real Warp",
            category="4Real/sampling",
            description=(
                "Decides what of a filled grid a video model is shown and what it paints, and shows both before you sample. Known cells "
                "are never painted."
            ),
            search_aliases=["inpaint", "vace", "holes", "warp and paint"],
            inputs=[
                Grid.Input("grid", tooltip="A filled grid, from 4Real Fill."),
                io.Image.Input("confidence", tooltip="How certain the fill is, from the same 4Real Fill."),
                io.Float.Input("threshold", default=0.5, min=0.0, max=1.0, step=0.01, tooltip=THRESHOLD_TOOLTIP),
                io.Int.Input("margin", default=4, min=0, max=256, tooltip=MARGIN_TOOLTIP),
            ],
            outputs=[
                io.Mask.Output("paint", tooltip="One mask per cell, white where the model paints."),
                io.Image.Output("shown", tooltip="One image per cell as the model sees it: grey where it paints."),
                io.String.Output("report", tooltip="The share of each cell that will be painted, in percent."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, confidence, threshold, margin) -> io.NodeOutput:
        grid = expect_grid(grid)
        paint_VTHW = places_to_paint(confidence_of(grid, confidence), grid.known, threshold, margin)
        report = share_report(paint_VTHW, grid.known)
        tell(cls, report.split("\n")[0], logging.INFO)
        sheet_HWC = contact_sheet(tinted_frames(grid.frames, paint_VTHW), grid.known, max_side=PREVIEW_SIDE)
        return io.NodeOutput(
            paint_VTHW.flatten(0, 1).float(),
            shown_frames(grid.frames, paint_VTHW).flatten(0, 1),
            report,
            ui=ui.PreviewImage(sheet_HWC[None], cls=cls),
        )
