"""Nodes that look at a grid: a video along a path through view x time, and a contact sheet."""

from comfy_api.v0_0_2 import io

from ..fourreal_core.paths import presets as paths
from ..fourreal_core.paths.between import moved_slice, paced, there_and_back
from ..fourreal_core.paths.drawn import positions_along
from ..fourreal_core.paths.sound import sound_along
from ..fourreal_core.show.contact_sheet import contact_sheet
from ..host.cancel import stops_on_cancel
from ..host.cell_images import cell_images
from ..host.choices import known_choice, within_limits
from ..host.types import (
    GRID_TOOLTIP,
    DrawnPath,
    Grid,
    counting_progress,
    expect_drawn_path,
    expect_grid,
    frames_to_video,
)
from .inputs import fps_input

CATEGORY = "4Real/view"
MIDDLE = -1
BETWEEN = ("none", "motion", "blend")
LONGEST = 3600.0  # seconds of a video

PRESETS = {
    "bullet time": lambda shape, freeze_at: paths.bullet_time(shape, None if freeze_at == MIDDLE else freeze_at),
    "fixed view": paths.fixed_view,
    "freeze time": paths.freeze_time,
    "diagonal": paths.diagonal,
    "ping-pong": paths.ping_pong,
    "custom": lambda shape, positions: paths.parse_path(positions, shape),
}


def path_inputs() -> dict[str, list[io.Input]]:
    return {
        "bullet time": [
            io.Float.Input(
                "freeze_at",
                default=float(MIDDLE),
                min=float(MIDDLE),
                max=1023.0,
                step=1.0,
                tooltip="The time, counted from 0, at which time stops while the camera sweeps. -1: the middle.",
            )
        ],
        "fixed view": [
            io.Float.Input("view", default=0.0, min=0.0, max=1023.0, step=1.0, tooltip="The view, counted from 0.")
        ],
        "freeze time": [
            io.Float.Input("time", default=0.0, min=0.0, max=1023.0, step=1.0, tooltip="The time, counted from 0.")
        ],
        "diagonal": [],
        "ping-pong": [],
        "custom": [
            io.String.Input(
                "positions",
                default="[[0, 0], [0, 1], [0.5, 1], [1, 1]]",
                multiline=True,
                tooltip="JSON list of [view, time] positions, one per frame of the video. Fractions blend neighbouring cells.",
            )
        ],
    }


class FourRealGridToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridToVideo",
            display_name="4Real Grid to Video",
            category=CATEGORY,
            description="Cuts a video along a path through view and time: bullet time, one view, one moment, or your own path.",
            search_aliases=["4d", "bullet time", "orbit"],
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.DynamicCombo.Input(
                    "path",
                    options=[io.DynamicCombo.Option(name, inputs) for name, inputs in path_inputs().items()],
                    tooltip="bullet time: time runs, freezes while the camera sweeps, runs on. fixed view: one camera. freeze "
                    "time: one moment. diagonal: both move at once. ping-pong: diagonal and back. custom: your own positions.",
                ),
                fps_input("Frames per second of the video. 0: the grid's own rate, or that of camera_path."),
                DrawnPath.Input(
                    "camera_path",
                    optional=True,
                    tooltip="A path drawn in 4Real Path. When connected, it overrides path.",
                ),
                io.Combo.Input(
                    "between",
                    options=list(BETWEEN),
                    default="none",
                    optional=True,
                    tooltip="Frames between cells. none: one frame per position of the path. motion: as many as fps needs, interpolated along "
                    "the motion. blend: as many, cross-faded; faster.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=LONGEST,
                    step=0.1,
                    optional=True,
                    tooltip="Length of the video with motion or blend. 0: as long as the path takes at the grid's frame rate.",
                ),
                io.Boolean.Input(
                    "back",
                    default=False,
                    optional=True,
                    tooltip="Ping-pong: forwards, then backwards, so that the video loops without a jump.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    "video",
                    tooltip="The video; width and height are even. It keeps the fixed-view video's sound if time runs forward at the original speed throughout.",
                ),
                io.Image.Output("images", tooltip="The same frames as an image batch."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, fps, path=None, camera_path=None, between="none", seconds=0.0, back=False) -> io.NodeOutput:
        grid = expect_grid(grid)
        shape = grid.views, grid.times
        if camera_path is not None:
            positions, own_fps = positions_along(expect_drawn_path(camera_path), shape), camera_path.fps
        else:
            chosen, settings = known_choice(path, "path", PRESETS)
            positions, own_fps = PRESETS[chosen](shape, **settings), grid.fps
        fps = fps or own_fps
        if between != "none":
            positions = with_in_betweens(positions, fps, seconds or duration(positions, own_fps, back), back)
        elif back:
            positions = there_and_back(positions)
        show = moved_slice if between == "motion" else paths.slice_grid
        frames_NHWC = show(grid, positions, counting_progress())
        return io.NodeOutput(frames_to_video(frames_NHWC, fps, sound_along(grid, positions, fps)), frames_NHWC)


def duration(positions: paths.Positions, fps: float, back: bool) -> float:
    """Seconds from the first frame to the last at one position per frame; there and back, until the first would come again."""
    return 2 * (len(positions) - 1) / fps if back else (len(positions) - 1) / fps


def with_in_betweens(positions: paths.Positions, fps: float, seconds: float, back: bool) -> paths.Positions:
    """One position per frame of a video of this length. There and back it ends one frame before its start."""
    steps = max(1, round(seconds * fps))
    return paced(there_and_back(positions) + positions[:1], steps + 1)[:-1] if back else paced(positions, steps + 1)


class FourRealContactSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealContactSheet",
            display_name="4Real Contact Sheet",
            category=CATEGORY,
            description="The whole grid in one picture: views from top to bottom, times from left to right, known cells framed.",
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.Int.Input(
                    "max_side",
                    default=2048,
                    min=0,
                    max=16384,
                    tooltip="Maximum length of the picture's longer side, in pixels; larger grids are scaled down. 0: full size.",
                ),
                io.Boolean.Input(
                    "mark_known", default=True, tooltip="Draw a thin bright frame around the cells that were given."
                ),
                io.Int.Input(
                    "gap", default=2, min=0, max=64, advanced=True, tooltip="Space between the cells, in pixels."
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Images to show instead of the cells: one per cell, view by view, such as confidence of 4Real Fill.",
                ),
            ],
            outputs=[io.Image.Output("image", tooltip="One picture.")],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, max_side, mark_known, gap, images=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        cells = grid if images is None else cell_images(images, grid, "images")
        sheet_HWC = contact_sheet(cells, grid.known, max_side=max_side or None, gap=gap, mark_known=mark_known)
        return io.NodeOutput(sheet_HWC[None])
