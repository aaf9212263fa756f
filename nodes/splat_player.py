"""4Real Splat Player: shows 4D splats in its node; web/splat_player/ draws them."""

from comfy_api.v0_0_2 import io

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.splats.gaussians import Splats
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.player_files import player_files
from ..host.splat_player_files import splat_player_files
from ..host.splats import MovingSplats, expect_splats
from ..host.types import Grid, expect_grid
from .inputs import SPLATS_CATEGORY, SPLATS_TOOLTIP

SAME_ASPECT = 0.02  # cells of a whole number of pixels rarely have exactly the same aspect ratio


class FourRealSplatPlayer(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSplatPlayer",
            display_name="4Real Splat Player",
            category=SPLATS_CATEGORY,
            description=(
                "Fly through 4D splats in the node while time runs: drag to turn, wheel to zoom, snap to the cameras of "
                "the grid's views and compare with its cells."
            ),
            search_aliases=["4d", "gaussian", "splat", "viewer", "orbit", "free viewpoint"],
            is_output_node=True,
            inputs=[
                MovingSplats.Input("splats", tooltip=SPLATS_TOOLTIP),
                Grid.Input(
                    "grid",
                    optional=True,
                    tooltip="The grid that the splats were fitted to, for A/B comparison with its cells at the cameras of its views.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, splats, grid=None) -> io.NodeOutput:
        sent = splat_player_files(expect_splats(splats))
        if grid is not None:
            sent = {**sent, "cells": player_files(_of_these(expect_grid(grid), splats))}
        return io.NodeOutput(ui={"fourreal_splat_player": [sent]})


def _of_these(grid: FrameGrid, splats: Splats) -> FrameGrid:
    """`grid` itself; ValueError where it has other views, times or another aspect ratio than the splats' own."""
    height, width = splats.size
    views, same = len(splats.cameras.intrinsics), abs(grid.width * height / (grid.height * width) - 1) <= SAME_ASPECT
    if (grid.views, grid.times) != (views, splats.times) or not same:
        raise ValueError(
            f"expected the grid that the splats were fitted to, {views} views and {splats.times} times of {width}x{height}, got "
            f"{grid.views} views and {grid.times} times of {grid.width}x{grid.height}: connect that one, or none"
        )
    return grid
