"""4D splats in ComfyUI: its SPLAT batch and camera, progress of a fit on its node, and what a cancelled fit had found.

ComfyUI's 3D world has y up, the splats' world has y down: (x, y, z) of one is (x, -y, -z) of the other. Its SPLAT type keeps y down, as the files of splats do.
Letters: N Gaussians, T times, H W pixels.
"""

import math
import time
import weakref

import torch
from comfy_api.v0_0_2 import Types, io
from PIL import Image

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.splats.convert import quaternion_of
from ..fourreal_core.splats.exports import HARMONIC
from ..fourreal_core.splats.gaussians import Splats, rotation_matrices
from ..fourreal_core.splats.views import Shot, camera_between
from .preview import PREVIEW_SIDE
from .stage_bar import StageBar

MovingSplats = io.Custom("FOURREAL_SPLATS")
STAGES = {  # name: share of the whole bar, and what is said
    "cameras": (5, "Estimating cameras"),
    "depth": (3, "Estimating depth"),
    "still scene": (15, "Fitting the still scene"),
    "flow": (3, "Optical flow"),
    "motion": (6, "Finding motion"),
    "fit": (65, "Fitting all cells"),
    "score": (3, "Scoring"),
}
SECONDS = 1.0  # between two pictures
UPRIGHT = torch.tensor([1.0, -1.0, -1.0])
SMALLEST_FIELD, LARGEST_FIELD = 1.0, 170.0

_unfinished: weakref.WeakKeyDictionary[FrameGrid, tuple[tuple, Splats]] = weakref.WeakKeyDictionary()


def expect_splats(value, name: str = "splats") -> Splats:
    """The value itself if it is 4D splats; ValueError otherwise."""
    if not isinstance(value, Splats):
        raise ValueError(f"expected {name} to come from 4Real Fit Splats, got {type(value).__name__}")
    return value


def as_host_splat(splats: Splats) -> Types.SPLAT:
    """ComfyUI's SPLAT: a batch with one entry per time."""
    every = [splats.at(float(moment)) for moment in range(splats.times)]
    colours_TN13 = torch.stack([(parts.colours_N3 - 0.5) / HARMONIC for parts in every])[:, :, None]
    parts = splats.gaussians
    return Types.SPLAT(
        torch.stack([moment.positions_N3 for moment in every]),
        parts.scales_N3.expand(splats.times, -1, -1).contiguous(),
        torch.stack([moment.rotations_N4 for moment in every]),
        parts.opacities_N[:, None].expand(splats.times, -1, -1).contiguous(),
        colours_TN13,
    )


def camera_info(splats: Splats, view: float) -> dict:
    """ComfyUI's description of the camera of a view; its field of view is that of the smaller side."""
    pose, lens = camera_between(splats, view)
    eye = -pose[:3, :3].T @ pose[:3, 3]
    depth = float(((splats.gaussians.positions_N3 - eye) @ pose[2, :3]).clamp_min(1e-6).median())
    turn = (UPRIGHT[:, None] * pose[:3, :3].T) * UPRIGHT  # both frames turned about x
    w, x, y, z = quaternion_of(turn).tolist()
    field = 2 * math.degrees(math.atan(min(splats.size) / 2 / float(lens[0, 0])))
    return {
        "position": _named(eye * UPRIGHT),
        "target": _named((eye + depth * pose[2, :3]) * UPRIGHT),
        "quaternion": {"x": x, "y": y, "z": z, "w": w},
        "fov": field,
        "zoom": 1.0,
        "cameraType": "perspective",
    }


def shot_of(info: dict, size: tuple[int, int], moment: float) -> Shot:
    """What ComfyUI's camera sees in cells of `size` (height, width). Raises ValueError for a camera that is no perspective one."""
    if not isinstance(info, dict) or not {"position", "target"} <= set(info):
        raise ValueError("expected camera to come from Create Camera Info, Load 3D or Preview 3D, got something else")
    if str(info.get("cameraType", "perspective")).lower().startswith("ortho"):
        raise ValueError("expected a perspective camera, got an orthographic one: change it in the 3D node")
    eye, target = (_vector(info[name], name) * UPRIGHT for name in ("position", "target"))
    if info.get("quaternion"):
        parts = torch.tensor([_number(info["quaternion"].get(name), "quaternion") for name in "wxyz"])
        if float(parts.norm()) < 1e-6:
            raise ValueError("expected a quaternion of length 1 in camera, got zeros")
        turn = (UPRIGHT[:, None] * rotation_matrices(parts) * UPRIGHT).T
    else:
        turn = _looking(target - eye)
    field = min(max(_number(info.get("fov") or 35.0, "fov"), SMALLEST_FIELD), LARGEST_FIELD)
    zoom = max(_number(info.get("zoom") or 1.0, "zoom"), 1e-3)
    focal = min(size) / 2 / math.tan(math.radians(field) / 2) * zoom
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, -turn @ eye
    lens = torch.tensor([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
    return Shot(pose, lens, moment)


def _looking(ahead: torch.Tensor) -> torch.Tensor:
    """World to camera, upright."""
    if float(ahead.norm()) < 1e-9:
        raise ValueError("expected the camera's target to lie before it, got its own position")
    ahead = ahead / ahead.norm()
    down = torch.tensor([0.0, 1.0, 0.0])
    right = torch.linalg.cross(down, ahead)
    if float(right.norm()) < 1e-6:
        right = torch.tensor([1.0, 0.0, 0.0])
    right = right / right.norm()
    return torch.stack([right, torch.linalg.cross(ahead, right), ahead])


def _named(place: torch.Tensor) -> dict[str, float]:
    return dict(zip("xyz", place.tolist()))


def _vector(value, name: str) -> torch.Tensor:
    return torch.tensor([_number(value.get(axis, 0.0), name) for axis in "xyz"])


def _number(value, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"expected finite numbers in {name} of camera, got {str(value)[:40]}")
    return float(value)


def unfinished(grid: FrameGrid, settings: tuple) -> Splats | None:
    """What a fit of this very grid with these settings had found when it was cancelled."""
    found = _unfinished.get(grid)
    return found[1] if found is not None and found[0] == settings else None


def keep_unfinished(grid: FrameGrid, settings: tuple, splats: Splats | None) -> None:
    """None: forget. One fit is kept."""
    _unfinished.clear()
    if splats is not None:
        _unfinished[grid] = (settings, splats)


class FitProgress:
    """`on_stage` and `on_picture` for `fit_splats` on a running node; the first stops the work when the user cancels."""

    def __init__(self, node):
        self.bar, self.picture, self.drawn_at = StageBar(STAGES, node=node), None, 0.0

    def on_stage(self, name: str, share: float) -> None:
        self.bar.move(name, share, self._preview())

    def on_picture(self, picture_HW3: torch.Tensor) -> None:
        self.picture = picture_HW3

    def _preview(self):
        """The last cell that was drawn, at most once a second; None in between."""
        now = time.monotonic()
        if self.picture is None or now - self.drawn_at < SECONDS:
            return None
        self.drawn_at, picture, self.picture = now, self.picture, None
        return _jpeg(picture)

    def show(self, picture_HW3: torch.Tensor) -> None:
        """The editor shows the last preview of a node before the pictures that it gives: what is to stay is sent as one."""
        self.bar.move("score", 1.0, _jpeg(picture_HW3))


def _jpeg(picture_HW3: torch.Tensor):
    return "JPEG", Image.fromarray((picture_HW3 * 255).round().to(torch.uint8).numpy()), PREVIEW_SIDE
