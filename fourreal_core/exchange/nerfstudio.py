"""A grid with cameras as a dataset of images and poses in nerfstudio's format: images/ and transforms.json.

Source: https://docs.nerf.studio/quickstart/data_conventions.html. Poses are camera-to-world with OpenGL axes: x right, y up, z back, where a
grid's cameras are world-to-camera with OpenCV axes: x right, y down, z forward. Intrinsics are in pixels from the picture's corner in both.
Every frame has a `time` from 0 to 1, as D-NeRF's dataset has it, for methods that learn motion; nerfstudio's static methods leave it unread.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ..grid import Cameras, FrameGrid
from ..redo import filled_cells
from .folders import OnFile, time_name, view_name, write_image
from .whole_folder import whole_folder

OPENGL_FROM_OPENCV = (1.0, -1.0, -1.0, 1.0)
LARGEST_SKEW = 1e-4  # of the focal length; the format has no place for it


def write_nerfstudio(
    grid: FrameGrid, folder: str | Path, kind: str = "png", on_file: OnFile | None = None, time: int | None = None
) -> None:
    """Write every filled cell, or those of one time, with its pose, whole or not at all. kind: "png" or "jpg"; on_file: see folders.py.

    Names do not repeat between views, because nerfstudio looks for smaller copies by name alone. Raises ValueError when the grid has no
    cameras, no filled cell or no such time, cameras are skewed, `folder` exists already, or writing fails.
    """
    description = transforms(grid, kind, time)
    with whole_folder(folder) as part:
        (part / "images").mkdir()
        for done, frame in enumerate(description["frames"], start=1):
            write_image(part / frame["file_path"], grid.frames[frame.pop("cell")])
            if on_file is not None:
                on_file(done, len(description["frames"]))
        (part / "transforms.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def transforms(grid: FrameGrid, kind: str = "png", time: int | None = None) -> dict:
    """What transforms.json holds, each frame with its "cell" (view, time) on top. Raises ValueError as write_nerfstudio does."""
    if time is not None and not 0 <= time < grid.times:
        raise ValueError(f"expected time to be from 0 to {grid.times - 1} for this grid, got {time}.")
    if grid.cameras is None:
        raise ValueError(
            "this grid has no cameras, so there are no poses to write: give it cameras, or write images and "
            "let nerfstudio's ns-process-data (COLMAP) find the poses of one time."
        )
    cells = [(v, t) for v, t in filled_cells(grid).nonzero().tolist() if time in (None, t)]
    if not cells:
        raise ValueError("all cells of this grid are empty: fill it before writing a dataset.")
    poses, lenses = opengl_camera_to_world(grid.cameras).tolist(), _lenses(grid.cameras)
    shared = lenses[0] if all(lens == lenses[0] for lens in lenses) else {}
    last = max(grid.times - 1, 1)
    frames = [
        {
            "file_path": f"images/{view_name(v)}_{time_name(t)}.{kind}",
            **({} if shared else lenses[v]),
            "time": t / last,
            "transform_matrix": poses[v],
            "cell": (v, t),
        }
        for v, t in cells
    ]
    return {"camera_model": "OPENCV", "w": grid.width, "h": grid.height, **shared, "frames": frames}


def opengl_camera_to_world(cameras: Cameras) -> Tensor:
    """float64 [V, 4, 4]: the poses with y up and z back, as nerfstudio, Blender and OpenGL have them."""
    return torch.linalg.inv(cameras.world_to_camera.double()) * torch.tensor(OPENGL_FROM_OPENCV, dtype=torch.float64)


def _lenses(cameras: Cameras) -> list[dict[str, float]]:
    lenses = []
    for view, ((fl_x, skew, cx), (_, fl_y, cy), _) in enumerate(cameras.intrinsics.tolist()):
        if abs(skew) > LARGEST_SKEW * abs(fl_x):
            raise ValueError(
                f"transforms.json cannot store skew, but the camera of view {view} has {skew:g} pixels of it: "
                "use cameras without skew."
            )
        lenses.append({"fl_x": fl_x, "fl_y": fl_y, "cx": cx, "cy": cy})
    return lenses
