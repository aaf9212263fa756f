"""4Real Split into Tiles and 4Real Join Tiles: what lies between the two fills a large grid tile by tile."""

import logging
from functools import partial

from comfy_api.v0_0_2 import io

from ..fourreal_core.sampling.tiles import TILE
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.tile_loop import TILES, TilePlace, next_round, settings_of
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, tell

Tiles = io.Custom("FOURREAL_TILES")
SIZE_TOOLTIP = "Most {} of a tile. Neighbouring tiles share one."
PACKED_TOOLTIP = "With 4 n + 1 here, as Wan needs, or 8 n + 1, as LTX does, every tile has such a number."


class FourRealSplitIntoTiles(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSplitIntoTiles",
            display_name="4Real Split into Tiles",
            category="4Real/sampling",
            description=(
                "Cuts a large grid into tiles that share a view or a time, for models that know only so many views or times. All nodes between "
                "this node and 4Real Join Tiles run once per tile: any fill, any model. 4Real Fill and 4Real Sampler alone need no tiles."
            ),
            search_aliases=["loop", "for each", "large grid", "context window"],
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.Int.Input("views", default=TILE[0], min=2, max=1024, tooltip=SIZE_TOOLTIP.format("views")),
                io.Int.Input(
                    "times",
                    default=TILE[1],
                    min=2,
                    max=1024,
                    tooltip=f"{SIZE_TOOLTIP.format('times')} {PACKED_TOOLTIP}",
                ),
                io.String.Input(
                    "keep_as",
                    default="",
                    tooltip=(
                        "A name under which filled tiles are kept in the output folder, in 4real_tiles: a run that was stopped goes on there. "
                        "Delete the folder once the grid is saved. Empty: nothing is kept."
                    ),
                ),
                Tiles.Input(
                    "at", optional=True, advanced=True, tooltip="Used by 4Real Join Tiles; leave it unconnected."
                ),
            ],
            outputs=[
                Grid.Output("tile", tooltip="One tile: fill it."),
                Tiles.Output("tiles", tooltip="Connect it to 4Real Join Tiles."),
                io.Int.Output(
                    "number", tooltip="Number of the tile, from 0: add it to a seed for other noise in each tile."
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    def fingerprint_inputs(cls, keep_as="", **others):
        return float("nan") if keep_as.strip() else ""  # kept tiles may be more than they were

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, views, times, keep_as, at=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        if at is None:
            about = partial(settings_of, cls.hidden.dynprompt, cls.hidden.unique_id)
            at = TilePlace.first(grid, (views, times), keep_as, about)
        if at.part is not None:
            tell(cls, at.told(), logging.INFO)
        return io.NodeOutput(at.task(), at, at.number)


class FourRealJoinTiles(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealJoinTiles",
            display_name="4Real Join Tiles",
            category="4Real/sampling",
            description="Joins the filled tiles of 4Real Split into Tiles to one grid.",
            inputs=[
                Tiles.Input("tiles", tooltip="From 4Real Split into Tiles."),
                Grid.Input("filled", lazy=True, tooltip="The tile, filled."),
            ],
            outputs=[Grid.Output("grid", tooltip="The whole grid; its known cells exactly as they were.")],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            enable_expand=True,
        )

    @classmethod
    def check_lazy_status(cls, tiles, filled=None):
        return [] if tiles.part is None else ["filled"]

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, tiles, filled=None) -> io.NodeOutput:
        if tiles.part is not None:
            tiles = tiles.filled(expect_grid(filled, "filled"))
        if tiles.part is None:
            return io.NodeOutput(tiles.grid())
        prompt, join = cls.hidden.dynprompt, cls.hidden.unique_id
        grid, graph = next_round(prompt, prompt.get_node(join)["inputs"][TILES][0], join, tiles)
        return io.NodeOutput(grid, expand=graph)
