"""4Real Light-Field Quilt: all views of one time in one picture, for Looking Glass displays."""

from comfy_api.v0_0_2 import io, ui

from ..fourreal_core.exchange.quilt import DEVICES, QuiltLayout, one_tile_per_view, quilts, write_quilts
from ..fourreal_core.exchange.stereo import EVERY, stands_right_of
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.paths.sound import sound_along
from ..host.cancel import stops_on_cancel
from ..host.choices import known_choice, within_limits
from ..host.places import output_place
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid, frames_to_video, tell
from .inputs import fit_input

EVERY_VIEW, OWN = "one tile per view", "own"
BETWEEN = ["repeat", "blend"]
WRONG_WAY = "the cameras say that these views run the other way: change right_to_left, or near and far are swapped"


def _layouts() -> list[io.DynamicCombo.Option]:
    own = [
        io.Int.Input("tiles_across", default=8, min=1, max=64, tooltip="Tiles per row."),
        io.Int.Input("tiles_up", default=6, min=1, max=64, tooltip="Tiles per column."),
        io.Int.Input("tile_width", default=420, min=2, max=8192, tooltip="Width of each tile in pixels."),
        io.Int.Input("tile_height", default=560, min=2, max=8192, tooltip="Height of each tile in pixels."),
    ]
    names = {EVERY_VIEW: [], **{device: [] for device in DEVICES}, OWN: own}
    return [io.DynamicCombo.Option(name, inputs) for name, inputs in names.items()]


class FourRealQuilt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealQuilt",
            display_name="4Real Light-Field Quilt",
            category="4Real/view",
            description="Neighbouring views of a grid as tiles of one picture or video, for Looking Glass 3D displays.",
            search_aliases=["looking glass", "hologram", "lightfield", "3d"],
            is_output_node=True,
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.DynamicCombo.Input(
                    "layout",
                    options=_layouts(),
                    tooltip="one tile per view: as many tiles as views, at the cells' size. A display: its own tiles and size. own: your own numbers.",
                ),
                io.Int.Input(
                    "first_view", default=0, min=0, max=1023, tooltip="The first view to show, counted from 0."
                ),
                io.Int.Input(
                    "views", default=0, min=0, max=1024, tooltip="How many views from there on. 0: all that follow."
                ),
                io.Int.Input(
                    "time", default=EVERY, min=EVERY, max=1023, tooltip="The time, counted from 0. -1: all, as a video."
                ),
                io.Boolean.Input(
                    "right_to_left",
                    default=False,
                    tooltip="Turn on if the first view is the rightmost, or if near and far look swapped.",
                ),
                io.Combo.Input(
                    "between",
                    options=BETWEEN,
                    default=BETWEEN[0],
                    tooltip="If there are more tiles than views: repeat shows the nearest view again, blend mixes the two neighbours (double edges).",
                ),
                fit_input(
                    "What to do if the aspect ratio differs from the display's: crop cuts the sides, pad adds black bars, stretch distorts."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="quilts/4real",
                    tooltip="Folder and start of the file name inside the output folder, for PNG or mp4; a number and a suffix that the "
                    "display's software reads, such as _qs8x6a0.75, are added. Empty: not saved.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="One quilt per time."),
                io.Video.Output("video", tooltip="The quilts as a video at the grid's frame rate."),
                io.String.Output(
                    "suffix", tooltip="The suffix for a quilt's file name, when you save it with another node."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls, grid, first_view, views, time, right_to_left, between, fit, filename_prefix, layout=None
    ) -> io.NodeOutput:
        grid = expect_grid(grid)
        chosen = _chosen_views(grid, first_view, views)
        times = range(grid.times) if time == EVERY else [_checked_time(grid, time)]
        tiles = _layout(layout, grid, len(chosen))
        if _wrong_way(grid, chosen, right_to_left):
            tell(cls, WRONG_WAY)
        from_left = chosen[::-1] if right_to_left else chosen
        quilts_NHWC = quilts(
            grid, tiles, from_left, times, blend=between == "blend", fit=fit, on_quilt=counting_progress()
        )
        shown = _save(quilts_NHWC, tiles, grid.fps, filename_prefix) if filename_prefix.strip() else None
        sound = sound_along(grid, [(0.0, float(at)) for at in times], grid.fps)
        return io.NodeOutput(quilts_NHWC, frames_to_video(quilts_NHWC, grid.fps, sound), tiles.suffix, ui=shown)


def _chosen_views(grid: FrameGrid, first_view: int, count: int) -> range:
    last = first_view + count if count else grid.views
    if not first_view < last <= grid.views:
        raise ValueError(
            f"expected views inside of this grid's 0 to {grid.views - 1}, got first_view {first_view} and "
            f"views {count}: choose fewer"
        )
    return range(first_view, last)


def _checked_time(grid: FrameGrid, time: int) -> int:
    if time >= grid.times:
        raise ValueError(f"expected time to be from 0 to {grid.times - 1}, or {EVERY} for all, got {time}")
    return time


def _layout(layout: dict | None, grid: FrameGrid, views: int) -> QuiltLayout:
    chosen, own = known_choice(layout, "layout", (EVERY_VIEW, *DEVICES, OWN))
    if chosen == EVERY_VIEW:
        return one_tile_per_view(views, grid.height, grid.width)
    if chosen == OWN:
        width, height = own["tile_width"], own["tile_height"]
        return QuiltLayout(own["tiles_across"], own["tiles_up"], width, height, width / height)
    return DEVICES[chosen]


def _wrong_way(grid: FrameGrid, views: range, right_to_left: bool) -> bool:
    return (
        grid.cameras is not None
        and len(views) > 1
        and stands_right_of(grid.cameras, views[0], views[-1]) == right_to_left
    )


def _save(quilts_NHWC, layout: QuiltLayout, fps: float, filename_prefix: str):
    """Write the quilts into the output folder; what the node shows of them."""
    place = output_place(filename_prefix, layout.width, layout.height)
    file = write_quilts(place.path, quilts_NHWC, layout, fps)
    saved = ui.SavedResult(file.name, place.subfolder, io.FolderType.output)
    return {"images": [saved]} if file.suffix == ".png" else ui.PreviewVideo([saved])
