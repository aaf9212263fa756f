"""4Real Path: a path through view x time, drawn in its node. Python recomputes it from the widget's text; web/path_editor/ draws it."""

from comfy_api.v0_0_2 import io

from ..fourreal_core.paths.drawn_text import FIRST, drawn_path_text, parse_drawn_path
from ..host.player_files import player_files
from ..host.types import DrawnPath, Grid, expect_grid


class FourRealPath(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealPath",
            display_name="4Real Path",
            category="4Real/view",
            description=(
                "Draw a path through view and time over the grid's cells and preview the video. 4Real Grid to "
                "Video cuts that video out of a grid."
            ),
            search_aliases=["4d", "bullet time", "camera path", "trajectory", "curve", "draw"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "path",
                    default=drawn_path_text(FIRST),
                    socketless=True,
                    extra_dict={"hidden": True},
                    tooltip="JSON, written by the path editor: points, holds, speeds, easing, length and frame rate.",
                ),
                Grid.Input(
                    "grid",
                    optional=True,
                    tooltip=(
                        "The grid to draw on. Its cells appear after the first run; without a grid the plane is empty."
                    ),
                ),
            ],
            outputs=[
                DrawnPath.Output(
                    "camera_path",
                    tooltip=(
                        "The path, for 4Real Grid to Video. It is scaled to the grid: first view to first view, "
                        "last to last."
                    ),
                )
            ],
        )

    @classmethod
    def execute(cls, path, grid=None) -> io.NodeOutput:
        drawn = parse_drawn_path(path)
        shown = {} if grid is None else {"fourreal_path": [player_files(expect_grid(grid))]}
        return io.NodeOutput(drawn, ui=shown)
