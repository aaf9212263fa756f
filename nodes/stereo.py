"""4Real Stereo: side-by-side 3D from two views of a grid."""

from comfy_api.v0_0_2 import io

from ..fourreal_core.exchange.stereo import EVERY, VIEWINGS, stands_right_of, stereo_paths, stereo_video
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.paths.sound import sound_along
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, frames_to_video, tell
from .inputs import fps_input

EYES_EXCHANGED = (
    "the cameras say that the right eye's view is on the left: change the sign of spacing, or near and far are swapped"
)


class FourRealStereo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealStereo",
            display_name="4Real Stereo",
            category="4Real/view",
            description="Side-by-side 3D from two neighbouring views: for headsets, 3D screens, or free viewing.",
            search_aliases=["3d", "vr", "side by side", "sbs", "anaglyph"],
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.Int.Input(
                    "view",
                    default=0,
                    min=EVERY,
                    max=1023,
                    tooltip="The lower of the two views, counted from 0. -1: sweep over all views.",
                ),
                io.Int.Input(
                    "spacing",
                    default=1,
                    min=-1023,
                    max=1023,
                    tooltip="How many views apart the two eyes are: more gives more depth. Negative if the views "
                    "run from right to left; try it if near and far look swapped.",
                ),
                io.Int.Input(
                    "time",
                    default=EVERY,
                    min=EVERY,
                    max=1023,
                    tooltip="The time, counted from 0. -1: all times, as a video.",
                ),
                io.Combo.Input(
                    "viewing",
                    options=list(VIEWINGS),
                    default=VIEWINGS[0],
                    tooltip=(
                        "parallel: the left eye's picture on the left, for headsets and screens. cross-eyed: "
                        "swapped, for viewing with crossed eyes."
                    ),
                ),
                io.Boolean.Input(
                    "half_width",
                    default=False,
                    tooltip="Squeeze each eye to half its width, as many 3D screens and players expect (half SBS).",
                ),
                fps_input("Frames per second of the video. 0: the grid's own."),
            ],
            outputs=[
                io.Video.Output("video", tooltip="The side-by-side video, of even size."),
                io.Image.Output("images", tooltip="The same frames as an image batch."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, view, spacing, time, viewing, half_width, fps) -> io.NodeOutput:
        grid = expect_grid(grid)
        frames_NHWC = stereo_video(grid, view, time, spacing, viewing, half_width)
        if _eyes_exchanged(grid, max(view, 0), spacing):
            tell(cls, EYES_EXCHANGED)
        path, _ = stereo_paths((grid.views, grid.times), view, time, spacing)
        fps = fps or grid.fps
        return io.NodeOutput(frames_to_video(frames_NHWC, fps, sound_along(grid, path, fps)), frames_NHWC)


def _eyes_exchanged(grid: FrameGrid, view: int, spacing: int) -> bool:
    return grid.cameras is not None and stands_right_of(grid.cameras, view, view + abs(spacing)) != (spacing > 0)
