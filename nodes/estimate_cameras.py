"""4Real Estimate Cameras: where each view of a grid stood, from its freeze-time frames."""

from comfy_api.v0_0_2 import io

from ..fourreal_core.geometry.grid_cameras import describe_cameras, estimate_grid_cameras
from ..fourreal_core.geometry.matches import LONGEST_SIDE
from ..fourreal_core.show.camera_path import draw_camera_path
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.clips import open_clip
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid

FREEZE_TIME = "the freeze-time video"


class FourRealEstimateCameras(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealEstimateCameras",
            display_name="4Real Estimate Cameras",
            category="4Real/grid",
            description=(
                "Estimate the camera of each view from the freeze-time frames and store it in the grid, for "
                "exports with poses, stereo and everything else that needs depth."
            ),
            search_aliases=["camera pose", "structure from motion", "sfm", "colmap", "camera tracking"],
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.MultiType.Input(
                    "freeze_time",
                    types=[io.Video, io.Image],
                    optional=True,
                    tooltip=(
                        "The whole freeze-time video that the grid was built from: with all frames at full size, "
                        "the cameras are more accurate. Without it the grid's own frames are used."
                    ),
                ),
                io.Boolean.Input(
                    "replace",
                    default=False,
                    advanced=True,
                    tooltip="Estimate cameras even if the grid has some. Off: existing cameras are kept.",
                ),
            ],
            outputs=[
                Grid.Output("grid", tooltip="The grid with its cameras."),
                io.Image.Output(
                    "picture",
                    tooltip="The camera positions from above and from the side; views are counted from 1.",
                ),
                io.String.Output(
                    "report", tooltip="Views placed, reprojection error, field of view, arc, and warnings."
                ),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, freeze_time=None, replace=False) -> io.NodeOutput:
        grid, found = expect_grid(grid), None
        if replace or grid.cameras is None:
            video = None if freeze_time is None else _all_frames(freeze_time)
            grid, found = estimate_grid_cameras(grid, video, on_progress=counting_progress())
        size = grid.height, grid.width
        report = describe_cameras(grid.cameras, size, found)
        points, guessed = (None, ()) if found is None else (found.points, found.guessed)
        picture = draw_camera_path(grid.cameras, size, points, guessed=guessed, caption=report.split("\n")[0])
        return io.NodeOutput(grid, picture[None], report, ui={"text": (report,)})


def _all_frames(freeze_time):
    """All frames [F, H, W, 3], shrunk while they are decoded to what is looked at."""
    clip = open_clip(freeze_time, FREEZE_TIME)
    scale = min(1.0, LONGEST_SIDE / max(clip.size))
    size = max(1, round(clip.size[0] * scale)), max(1, round(clip.size[1] * scale))
    return clip.take(0, "even", size, "stretch").frames
