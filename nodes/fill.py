"""4Real Fill: every unknown cell from what the known ones say about the scene; by Transport where they say too little."""

import logging

from comfy_api.v0_0_2 import io, ui

from ..fourreal_core.files.room import copied
from ..fourreal_core.geometry.fill import METHODS
from ..fourreal_core.geometry.scene import SceneUnknown
from ..fourreal_core.show.contact_sheet import contact_sheet
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.fill_progress import FillProgress
from ..host.known_geometry import DepthGeometry, OpticalFlow, PointGeometry, known_geometry
from ..host.learned_depth import Da3Model, da3_network
from ..host.preview import PREVIEW_SIDE
from ..host.sources import remember_sources, sources_to_fill
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, tell, with_provenance

METHOD_TOOLTIP = (
    "scene: cameras, depth and motion of the scene decide what each cell shows; fails if they cannot be "
    "estimated. transport: carries motion along parallax, without depth; always works. auto: scene where the "
    "views show depth and it passes its own check, else transport; the report says why."
)
DEPTH_TOOLTIP = (
    "Depth of the known frames, mainly for motion towards or away from the camera. Connect Load Depth Anything 3: the node runs it on the "
    "known frames. Also takes geometry of Run Depth Anything 3 or MoGe, or grey images where nearer is brighter. First all frames of the "
    "freeze-time video, then those of the fixed-view video without the shared one; or one map per cell, in the order of 4Real Grid to Images."
)
MOVING_TOOLTIP = (
    "Masks of what moves (white), one per time of the fixed-view video: painted, or from SAM 3. One mask per "
    "cell also works."
)
FLOW_TOOLTIP = (
    "RAFT from Load Optical Flow Model: finds the motion of the fixed-view video instead of the built-in search."
)


class FourRealTransportFill(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealTransportFill",
            display_name="4Real Fill",
            category="4Real/sampling",
            description=(
                "Fill unknown cells from what the two videos show of the scene: its cameras, depth and motion. A "
                "result, a preview, or a guess for samplers to start from."
            ),
            search_aliases=["transport fill", "optical flow", "4d", "bullet time", "depth"],
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP + " Any size; runs on the CPU."),
                io.Combo.Input("method", options=list(METHODS), default="auto", optional=True, tooltip=METHOD_TOOLTIP),
                io.MultiType.Input(
                    "depth",
                    types=[DepthGeometry, PointGeometry, io.Image, Da3Model],
                    optional=True,
                    tooltip=DEPTH_TOOLTIP,
                ),
                io.Mask.Input("moving", optional=True, tooltip=MOVING_TOOLTIP),
                OpticalFlow.Input("flow", optional=True, tooltip=FLOW_TOOLTIP),
            ],
            outputs=[
                Grid.Output("grid", tooltip="The filled grid; known cells exactly as they were."),
                io.Image.Output(
                    "confidence",
                    tooltip=(
                        "How certain each pixel is, from black (uncertain) to white (certain): one image per "
                        "cell, view by view."
                    ),
                ),
                io.String.Output("report", tooltip="What was done, and why."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, method="auto", depth=None, moving=None, flow=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        models = {"given depth": da3_network(depth) is not None, "flow": flow is not None}
        progress = FillProgress(cls, grid, method, [name for name, runs in models.items() if runs])
        given = {}
        if method != "transport":
            try:
                given = known_geometry(grid, depth, moving, flow, progress.on_stage)
            except SceneUnknown:
                if method == "scene":
                    raise
        sources = sources_to_fill(grid, method, given, progress.on_stage)
        filled = sources.fill(on_stage=progress.on_stage, on_cell=progress.on_cell)
        tell(cls, filled.report, logging.INFO)
        confidence_VTHW3 = filled.confidence[..., None].expand(-1, -1, -1, -1, 3)
        sheet_HW3 = contact_sheet(confidence_VTHW3, grid.known, max_side=PREVIEW_SIDE)
        whole = with_provenance(filled.grid, {"fill": filled.method})
        if method == "auto":
            remember_sources(whole, sources, given)
        return io.NodeOutput(
            whole,
            copied(confidence_VTHW3).flatten(0, 1),
            filled.report,
            ui=ui.PreviewImage(sheet_HW3[None], cls=cls),
        )
