"""Exact scenes on disk, one safetensors file each, and rendering many of them: stopped at any time, it goes on where it was.

A file holds the tensors of `ExactScene` and `ExactGeometry` under their names, of a whole grid not the two videos that are part of it, and
3D motion only of pixels that ever move. Its header has "format", "fps" and "about" (JSON).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...files.atomic import read_tensors, write_tensors
from .exact import ExactGeometry, ExactScene, render_exact
from .render import Renderer
from .scenes import random_scene
from .triangles import TrianglePass

FORMAT = "fourreal-exact-scene-1"
VIDEOS, GRID, CAMERAS = ("fixed_THW3", "freeze_VHW3"), ("frames_VTHW3",), ("world_to_camera_V44", "intrinsics_V33")
GEOMETRY = tuple(field.name for field in fields(ExactGeometry) if field.name != "motion_VTHW3")
MOTION = "motion_NT3"  # of the N pixels of view_mover_VHW


def save_exact(scene: ExactScene, path: Path) -> None:
    """Writes a scene, bit for bit; the file appears under its name only when complete."""
    pictures = GRID if scene.frames_VTHW3 is not None else VIDEOS
    tensors = {name: getattr(scene, name) for name in pictures + CAMERAS}
    tensors |= {name: getattr(scene.geometry, name) for name in GEOMETRY}
    tensors[MOTION] = scene.geometry.motion_VTHW3.movedim(1, 3)[scene.geometry.view_mover_VHW]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"format": FORMAT, "fps": repr(scene.fps), "about": json.dumps(scene.about)})


def load_exact(path: Path) -> ExactScene:
    """Reads what `save_exact` wrote. Raises ValueError when the file is missing, cut or something else."""
    try:
        tensors, header = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}): delete it and render it again.") from error
    pictures = GRID if GRID[0] in tensors else VIDEOS
    if header.get("format") != FORMAT or tensors.keys() != {*pictures, *CAMERAS, *GEOMETRY, MOTION}:
        raise ValueError(f"{path.name} is not an exact scene: expected a file from `train_geometry.py render`.")
    frames = tensors.get(GRID[0])
    return ExactScene(
        fixed_THW3=tensors["fixed_THW3"] if frames is None else frames[0],
        freeze_VHW3=tensors["freeze_VHW3"] if frames is None else frames[:, 0],
        frames_VTHW3=frames,
        world_to_camera_V44=tensors["world_to_camera_V44"],
        intrinsics_V33=tensors["intrinsics_V33"],
        fps=float(header["fps"]),
        geometry=ExactGeometry(**{name: tensors[name] for name in GEOMETRY}, motion_VTHW3=_unpacked(tensors)),
        about=json.loads(header["about"]),
    )


def _unpacked(tensors: dict[str, Tensor]) -> Tensor:
    """[V, T, H, W, 3] of the motion of the moving pixels."""
    mover_VHW, motion_NT3 = tensors["view_mover_VHW"], tensors[MOTION]
    motion_VHWT3 = torch.zeros(*mover_VHW.shape, *motion_NT3.shape[1:])
    motion_VHWT3[mover_VHW] = motion_NT3
    return motion_VHWT3.movedim(3, 1).contiguous()


def exact_files(folder: Path) -> list[Path]:
    """The scenes in a folder, by name. Raises ValueError when there is none."""
    files = sorted(folder.glob("scene_*.safetensors"))
    if not files:
        raise ValueError(f"found no rendered scenes (scene_*.safetensors) in {folder}: render some first.")
    return files


def is_whole(path: Path) -> bool:
    """Whether a scene has its whole grid; reads the file's table of contents only."""
    with safe_open(path, framework="pt") as file:
        return GRID[0] in file.keys()


def render_folder(
    folder: Path,
    models: Sequence[Path],
    environments: Path,
    renderer: Renderer,
    *,
    count: int,
    seed: int = 0,
    views: int = 8,
    times: int = 8,
    whole_every: int = 0,
    report: Callable[[int, int], bool | None] = lambda done, count: None,
) -> None:
    """Renders `count` scenes into `folder`, the models taking turns as the main one; files that are there stay.

    whole_every: each such scene has its whole grid (1: all, 0: none), the others their two videos. report(done, count) is called after each
    scene and ends the work when it returns true.
    """
    triangles = TrianglePass(renderer)
    for index in range(count):
        path = folder / f"scene_{seed + index:08d}.safetensors"
        if not path.exists():
            scene = random_scene(seed + index, models, environments, models[index % len(models)])
            whole = whole_every > 0 and index % whole_every == 0
            save_exact(render_exact(scene, renderer, triangles, views, times, whole=whole), path)
        if report(index + 1, count):
            return
