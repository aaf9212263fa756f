"""Nodes of 4D splats: fitting them to a grid, filming them, handing them to ComfyUI's own nodes. Saving and loading: splat_files.py."""

import logging
from functools import partial

import comfy.model_management
import torch
from comfy_api.v0_0_2 import io, ui

from ..fourreal_core.paths.drawn import positions_along
from ..fourreal_core.splats.fit import fit_splats
from ..fourreal_core.splats.points import MOST_POINTS
from ..fourreal_core.splats.views import Shot, draw, orbit, shots_along
from ..host.cancel import stops_on_cancel
from ..host.cell_images import cell_images
from ..host.choices import known_choice, within_limits
from ..host.splats import (
    FitProgress,
    MovingSplats,
    as_host_splat,
    camera_info,
    expect_splats,
    keep_unfinished,
    shot_of,
    unfinished,
)
from ..host.types import (
    GRID_TOOLTIP,
    DrawnPath,
    Grid,
    counting_progress,
    expect_drawn_path,
    expect_grid,
    frames_to_video,
    tell,
)
from .inputs import SPLATS_CATEGORY, SPLATS_TOOLTIP, fps_input
from .slice import LONGEST, MIDDLE, PRESETS, duration, path_inputs, with_in_betweens

ORBIT = "orbit"
PICTURES = 3  # cells that the node shows after a fit


class FourRealFitSplats(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealFitSplats",
            display_name="4Real Fit Splats",
            category=SPLATS_CATEGORY,
            description="Fit moving Gaussian splats to a grid: a scene in 4D that can be seen from anywhere at any time.",
            search_aliases=["gaussian splatting", "4d", "3dgs", "4dgs", "orbit"],
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP + " Fill it first; unknown black cells do not count."),
                io.Int.Input("steps", default=600, min=1, max=100_000, tooltip="More steps: sharper and slower."),
                io.Int.Input(
                    "longest",
                    default=512,
                    min=16,
                    max=2048,
                    tooltip="Larger cells are compared at this many pixels on their longer side. Smaller is faster.",
                ),
                io.Int.Input(
                    "gaussians",
                    default=0,
                    min=0,
                    max=MOST_POINTS,
                    advanced=True,
                    tooltip="How many Gaussians to start with. 0: as many as the pictures ask for.",
                ),
                io.Image.Input(
                    "confidence",
                    optional=True,
                    tooltip="Confidence of 4Real Fill: uncertain pixels count less.",
                ),
                MovingSplats.Input("start", optional=True, tooltip="Earlier splats of this grid to improve further."),
            ],
            outputs=[
                MovingSplats.Output("splats", tooltip="The scene in 4D."),
                Grid.Output("grid", tooltip="The grid with its cameras."),
                io.String.Output(
                    "report", tooltip="How well the splats show the grid, also where they were not fitted to it."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, grid, steps, longest, gaussians, confidence=None, start=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        sure = None if confidence is None else cell_images(confidence, grid, "confidence").mean(-1).clamp(0, 1)
        settings = (steps, longest, gaussians, id(confidence), id(start))
        begun = unfinished(grid, settings)
        if begun is not None:
            tell(cls, f"Going on at step {begun.facts['steps_done'] + 1} of {steps}.", logging.INFO)
        progress = FitProgress(cls)
        fitted = fit_splats(
            grid,
            confidence=sure,
            steps=steps,
            gaussians=gaussians,
            longest=longest,
            start=begun or (None if start is None else expect_splats(start, "start")),
            on_stage=progress.on_stage,
            on_picture=progress.on_picture,
            keep=partial(keep_unfinished, grid, settings),
        )
        keep_unfinished(grid, settings, None)
        tell(cls, fitted.report, logging.INFO)
        steps_VT = [(view, moment) for view, moment in zip(_spread(grid.views), _spread(grid.times))]
        shown = draw(fitted.splats, shots_along(fitted.splats, steps_VT))
        side_by_side = torch.cat(
            [torch.cat([grid.frames[int(v), int(t)] for v, t in steps_VT], 1), torch.cat(list(shown), 1)]
        )
        progress.show(side_by_side)
        with_cameras = grid.replace(cameras=fitted.splats.cameras)
        return io.NodeOutput(
            fitted.splats, with_cameras, fitted.report, ui=ui.PreviewImage(side_by_side[None], cls=cls)
        )


def _spread(count: int) -> list[float]:
    """First, middle and last of so many."""
    return [float(round(share * (count - 1) / (PICTURES - 1))) for share in range(PICTURES)]


class FourRealRenderSplats(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealRenderSplats",
            display_name="4Real Render Splats",
            category=SPLATS_CATEGORY,
            description="Film 4D splats along a path through view and time, on an orbit beyond the views, or from any camera.",
            search_aliases=["gaussian splatting", "4d", "orbit", "bullet time"],
            inputs=[
                MovingSplats.Input("splats", tooltip=SPLATS_TOOLTIP),
                io.DynamicCombo.Input(
                    "path",
                    options=[
                        io.DynamicCombo.Option(name, inputs)
                        for name, inputs in ({ORBIT: _orbit_inputs()} | path_inputs()).items()
                    ],
                    tooltip="orbit: the camera swings around the scene, also beyond the views. The others are those of 4Real Grid to Video.",
                ),
                fps_input("Frames per second of the video. 0: the grid's own rate, or that of camera_path."),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=LONGEST,
                    step=0.1,
                    tooltip="Length of the video. 0: as long as the path takes at the grid's frame rate.",
                ),
                io.Boolean.Input(
                    "back",
                    default=False,
                    tooltip="Ping-pong: forwards, then backwards, so that the video loops without a jump.",
                ),
                io.Int.Input(
                    "width", default=0, min=0, max=8192, tooltip="Width of the video in pixels. 0: that of the cells."
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=8192, tooltip="Height of the video in pixels. 0: that of the cells."
                ),
                DrawnPath.Input(
                    "camera_path",
                    optional=True,
                    tooltip="A path drawn in 4Real Path. When connected, it overrides path.",
                ),
                io.Load3DCamera.Input(
                    "camera",
                    optional=True,
                    tooltip="A camera of Create Camera Info, Load 3D or Preview 3D. When connected, it stays there while time runs as the path says.",
                ),
            ],
            outputs=[
                io.Video.Output("video", tooltip="The video; width and height are even."),
                io.Image.Output("images", tooltip="The same frames as an image batch."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls, splats, fps, seconds=0.0, back=False, width=0, height=0, path=None, camera_path=None, camera=None
    ) -> io.NodeOutput:
        splats = expect_splats(splats)
        shape, own_fps = (len(splats.cameras.world_to_camera), splats.times), splats.fps
        if camera_path is not None:
            positions, own_fps = positions_along(expect_drawn_path(camera_path), shape), camera_path.fps
            swing = None
        else:
            chosen, settings = known_choice(path, "path", [ORBIT, *PRESETS])
            swing = settings if chosen == ORBIT else None
            positions = _swing(shape, **settings) if swing else PRESETS[chosen](shape, **settings)
        fps = fps or own_fps
        length = seconds or duration(positions, own_fps, back)
        positions = with_in_betweens(positions, fps, length, back)
        size = height or splats.size[0], width or splats.size[1]
        shots, device = _shots(splats, positions, swing, camera), comfy.model_management.get_torch_device()
        frames_NHWC = draw(splats, shots, size, counting_progress(), device)
        return io.NodeOutput(frames_to_video(frames_NHWC, fps), frames_NHWC)


def _orbit_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "around",
            default=-1.0,
            min=-1.0,
            max=1023.0,
            step=0.5,
            tooltip="The view, counted from 0, in the middle of the swing. -1: the middle one.",
        ),
        io.Float.Input(
            "degrees",
            default=60.0,
            min=-720.0,
            max=720.0,
            step=1.0,
            tooltip="How far the camera swings in all, half of it to each side. 360: once around.",
        ),
        io.Float.Input(
            "up",
            default=0.0,
            min=-80.0,
            max=80.0,
            step=1.0,
            tooltip="How many degrees higher than the view the camera stands.",
        ),
        io.Float.Input("closer", default=1.0, min=0.05, max=20.0, step=0.05, tooltip="2: at half the distance."),
        io.Float.Input(
            "moment",
            default=float(MIDDLE),
            min=float(MIDDLE),
            max=1023.0,
            step=1.0,
            tooltip="The time, counted from 0, that is shown. -1: time runs.",
        ),
    ]


def _swing(shape, around, degrees, up, closer, moment) -> list[tuple[float, float]]:
    """Positions (share of the swing, time) of the grid's own length."""
    frames = max(shape[1], 16 if moment >= 0 or shape[1] == 1 else shape[1])
    if around > shape[0] - 1 or moment > shape[1] - 1:
        raise ValueError(
            f"expected around and moment within {shape[0]} views and {shape[1]} times, got {around:g} and {moment:g}"
        )
    shares = [number / max(frames - 1, 1) for number in range(frames)]
    return [(share, moment if moment >= 0 else share * (shape[1] - 1)) for share in shares]


def _shots(splats, positions, swing: dict | None, camera) -> list[Shot]:
    moments = [moment for _, moment in positions]
    if camera is not None:
        return [shot_of(camera, splats.size, moment) for moment in moments]
    if swing is None:
        return shots_along(splats, positions)
    around = swing["around"] if swing["around"] >= 0 else (len(splats.cameras.world_to_camera) - 1) / 2
    turns = [(share - 0.5) * swing["degrees"] for share, _ in positions]
    return orbit(splats, around, turns, moments, swing["up"], swing["closer"])


class FourRealSplatsToSplat(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSplatsToSplat",
            display_name="4Real Splats to SPLAT",
            category=SPLATS_CATEGORY,
            description="Hand 4D splats to ComfyUI's own splat nodes, as a batch with one entry per time.",
            search_aliases=["gaussian splatting", "render splat", "mesh"],
            inputs=[
                MovingSplats.Input("splats", tooltip=SPLATS_TOOLTIP),
                io.Float.Input("view", default=0.0, min=0.0, max=1023.0, step=1.0, tooltip="The view, counted from 0."),
            ],
            outputs=[
                io.Splat.Output("splat", tooltip="One entry per time. ComfyUI's Splat to File saves only the first."),
                io.Load3DCamera.Output("camera_info", tooltip="The camera of that view, for Render Splat."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, splats, view) -> io.NodeOutput:
        splats = expect_splats(splats)
        if view > len(splats.cameras.world_to_camera) - 1:
            raise ValueError(f"expected a view from 0 to {len(splats.cameras.world_to_camera) - 1}, got {view:g}")
        return io.NodeOutput(as_host_splat(splats), camera_info(splats, view))
