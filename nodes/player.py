"""4Real Grid Player: shows a grid in its node, and gives back the grid whose marked cells are to be made again.

The grid goes to the browser as JPEG atlases in the host's temp folder; web/player/ draws them.
"""

from comfy_api.v0_0_2 import io

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.redo import most_doubtful, parse_marks, with_marks_unknown
from ..host.cancel import stops_on_cancel
from ..host.cell_images import cell_images
from ..host.choices import within_limits
from ..host.player_files import image_files, player_files
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, tell


class FourRealGridPlayer(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridPlayer",
            display_name="4Real Grid Player",
            category="4Real/view",
            description=(
                "Scrub through a grid in the node: drag sideways through time, up and down through views. Cells "
                "that you mark as bad come out as unknown, so that 4Real Sampler regenerates only those."
            ),
            search_aliases=["4d", "bullet time", "scrub", "viewer", "inpaint cells"],
            is_output_node=True,
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.String.Input(
                    "marked_cells",
                    default="[]",
                    socketless=True,
                    extra_dict={"hidden": True},
                    tooltip="JSON list of [view, time], written by the player: the cells to regenerate.",
                ),
                Grid.Input(
                    "compare",
                    optional=True,
                    tooltip="A second grid of the same shape and size for A/B comparison with a wipe, such as another fill.",
                ),
                io.Image.Input(
                    "confidence",
                    optional=True,
                    tooltip="How certain each pixel is: confidence of 4Real Fill or heat of 4Real Measure Grid. The player tints doubtful "
                    "areas and marks the worst cells.",
                ),
            ],
            outputs=[
                Grid.Output(
                    "to_redo",
                    tooltip="The grid with the marked cells unknown and all others known: 4Real Sampler and 4Real "
                    "Grid Conditioning fill only those.",
                ),
                io.Mask.Output(
                    "marked",
                    tooltip="The marked cells as one mask with a pixel per cell, views from top to bottom and "
                    "times from left to right: for redo of 4Real Sampler, which then also keeps track of "
                    "the cells that were given originally.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, marked_cells="[]", compare=None, confidence=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        marked_VT, outside = parse_marks(marked_cells, (grid.views, grid.times))
        if outside:
            tell(
                cls,
                f"{outside} marked cells lie outside of this grid of {grid.views} views and {grid.times} "
                "times and were ignored",
            )
        sent = player_files(grid)
        if compare is not None:
            sent = {**sent, "compare": player_files(_like(expect_grid(compare, "compare"), grid))}
        if confidence is not None:
            sent = {**sent, "confidence": image_files(confidence, grid, "confidence")}
            sent["doubtful"] = most_doubtful(cell_images(confidence, grid, "confidence"), ~grid.known)
        return io.NodeOutput(
            with_marks_unknown(grid, marked_VT), marked_VT.float()[None], ui={"fourreal_player": [sent]}
        )


def _like(compare: FrameGrid, grid: FrameGrid) -> FrameGrid:
    """`compare` itself; ValueError when it has another shape or size than the grid."""
    if compare.frames.shape != grid.frames.shape:
        raise ValueError(
            f"expected compare to have the grid's {_size(grid)}, got {_size(compare)}: connect another fill of the same grid"
        )
    return compare


def _size(grid: FrameGrid) -> str:
    return f"{grid.views} views and {grid.times} times of {grid.width}x{grid.height}"
