"""A dataset in nerfstudio's format as the recordings of a rig with known cameras: images and their poses from transforms.json.

The format is described in nerfstudio.py, which writes it. A view is what shares one pose and one lens, a time what shares one `time`. The
file may come from a stranger: nothing in it is executed, and images outside of its folder are refused.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..files.recording import Recording
from ..files.stills import Stills, natural_key
from ..grid import MAX_LENGTH, Cameras
from .nerfstudio import OPENGL_FROM_OPENCV

TRANSFORMS = "transforms.json"
ENDINGS = (".png", ".jpg", ".jpeg", ".PNG", ".JPG")  # of images whose path has none
MAX_CHARACTERS = 2**28
LENS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "s1", "s2", "s3", "s4")  # OpenCV's names
NO_DISTORTION = 1e-6
STRAIGHT = (
    "",
    "PINHOLE",
    "SIMPLE_PINHOLE",
    "PERSPECTIVE",
    "OPENCV",
    "FULL_OPENCV",
    "SIMPLE_RADIAL",
    "RADIAL",
)  # but for DISTORTION
FLAGS = (
    "is_fisheye",
    "is_equirectangular",
    "is_omni",
    "ftheta_p0",
    "ftheta_lens",
)  # of instant-ngp: lenses of other kinds
BESIDE = {  # what a grid holds no place for: name of what is ignored
    "mask_path": "masks",
    "dynamic_mask_path": "masks",
    "mask": "masks",
    "depth_file_path": "depth pictures",
    "depth_path": "depth pictures",
    "rolling_shutter": "the rolling shutter",
    "transform_matrix_end": "movement during the exposure",
    "exposure": "exposures",
}
LARGEST_NUMBER = sys.float_info.max  # JSON's whole numbers have no limit


@dataclass(frozen=True)
class Dataset:
    """recordings: one per view, with an image per time. cameras: of pictures of size (height, width).

    distortion: one sentence when lenses are not straight, which `cameras` then leave out, else an empty text. ignored: likewise, of
    masks, depth and the like that the file names beside the images.
    """

    recordings: tuple[Recording, ...]
    cameras: Cameras
    size: tuple[int, int]
    distortion: str = ""
    ignored: str = ""

    def of_views(self, views: Sequence[int]) -> Dataset:
        """The same with these views only."""
        chosen = list(views)
        cameras = Cameras(self.cameras.world_to_camera[chosen], self.cameras.intrinsics[chosen])
        return replace(self, recordings=tuple(self.recordings[view] for view in chosen), cameras=cameras)


def read_dataset(folder: str | Path) -> Dataset:
    """What transforms.json in `folder` says; the images themselves are not opened.

    Views are in natural order of their first image's name, times in order of `time` (without it there is one). Raises ValueError on a file
    that is no such description, images that are missing or lie elsewhere, pictures of several sizes, and views that do not all show the same times.
    """
    folder = Path(folder)
    described = _described(folder / TRANSFORMS)
    views: dict[tuple, dict[float, Path]] = {}
    for number, frame in enumerate(described["frames"]):
        key, time, file = _frame(folder, described, frame, number)
        if time in views.setdefault(key, {}):
            raise ValueError(
                f"expected one image per view and time, but {views[key][time].name} and {file.name} have the "
                "same pose and time."
            )
        views[key][time] = file
    _check_whole(views)
    files = {key: tuple(of_times[time] for time in sorted(of_times)) for key, of_times in views.items()}
    order = sorted(files, key=lambda key: natural_key(files[key][0].name))
    recordings = tuple(Recording(files[key][0].name, images=files[key]) for key in order)
    sizes = {lens[4:] for lens, _ in order}
    if len(sizes) > 1:
        listed = " and ".join(f"{width:g}x{height:g}" for width, height in sorted(sizes)[:2])
        raise ValueError(f"expected all images in {TRANSFORMS} to have one size, got w and h of {listed}.")
    [(width, height)] = sizes
    return Dataset(recordings, _cameras(order), (int(height), int(width)), _distortion(described), _ignored(described))


def _described(file: Path) -> dict:
    try:
        text = file.read_text(encoding="utf-8-sig")
        described = json.loads(text) if len(text) <= MAX_CHARACTERS else None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot read {TRANSFORMS} in {file.parent.name} ({str(error)[:80]}).") from error
    described = described if isinstance(described, dict) else {}
    frames = described.get("frames")
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_LENGTH**2:
        raise ValueError(f"found no list of frames in {TRANSFORMS} of {file.parent.name}: is it a nerfstudio dataset?")
    return described


def _frame(folder: Path, described: Mapping, frame, number: int) -> tuple[tuple, float, Path]:
    """((lens, pose), time, image file) of one frame; the first is the same for all frames of a view."""
    where = f"frame {number} of {TRANSFORMS}"
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise ValueError(f"{where} has no file_path.")
    file = _image(folder, frame["file_path"], where)
    lens = _lens({**described, **frame}, file, where)
    if min(lens[0], lens[1]) <= 0 or min(lens[4:]) < 1:
        raise ValueError(
            f"expected fl_x, fl_y, w and h above 0 in {where}, got {lens[0]:g}, {lens[1]:g}, {lens[4]:g} and {lens[5]:g}."
        )
    return (lens, _pose(frame.get("transform_matrix"), where)), _number(frame.get("time", 0), "time", where), file


def _image(folder: Path, said: str, where: str) -> Path:
    """The image of a `file_path`, which may come from Windows, or without its ending, as D-NeRF and instant-ngp have it."""
    path = folder / said.replace("\\", "/")
    try:
        for file in (path, *(Path(f"{path}{ending}") for ending in ENDINGS)):
            if _is_file_inside(folder, file):
                return file
    except ValueError:
        pass
    raise ValueError(f"the image of {where}, {said[:80]!r}, is not in the folder.")


def _lens(merged: Mapping, file: Path, where: str) -> tuple[float, ...]:
    """The numbers of LENS; where they are missing they follow as instant-ngp takes them: the size from the image, focal lengths from
    camera_angle_x and camera_angle_y (radians, the whole field of view), fl_y from fl_x, the centre from the size."""
    found = {name: _number(merged[name], name, where) for name in LENS if name in merged}
    if "w" not in found or "h" not in found:
        found["h"], found["w"] = map(float, Stills(file.name, (file,)).size())
    for focal, side, angle in (("fl_x", "w", "camera_angle_x"), ("fl_y", "h", "camera_angle_y")):
        if focal not in found and angle in merged:
            field = _number(merged[angle], angle, where)
            if not 0 < field < math.pi:
                raise ValueError(f"expected {angle} between 0 and pi in {where}, got {field:g}.")
            found[focal] = found[side] / 2 / math.tan(field / 2)
    if "fl_x" in found:
        found.setdefault("fl_y", found["fl_x"])
    found = {"cx": found["w"] / 2, "cy": found["h"] / 2, **found}
    return tuple(_number(found.get(name), name, where) for name in LENS)


def _is_file_inside(folder: Path, file: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder.resolve()) and file.is_file()
    except (
        OSError,
        ValueError,
        RuntimeError,
    ):  # names that no disk can hold: too long, with a null byte; links in a circle
        return False


def _number(value, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"expected {name} in {where} to be a number, got {str(value)[:40]}.")
    return float(value)


def _pose(matrix, where: str) -> tuple:
    if (
        not isinstance(matrix, list)
        or len(matrix) not in (3, 4)
        or any(not isinstance(line, list) or len(line) != 4 for line in matrix)
    ):
        raise ValueError(f"expected transform_matrix in {where} to be 4 lists of 4 numbers, got {str(matrix)[:40]}.")
    return tuple(tuple(_number(value, "transform_matrix", where) for value in line) for line in matrix[:3])


def _distortion(described: Mapping) -> str:
    for number, frame in enumerate(described["frames"]):
        merged = {**described, **frame}
        model = str(merged.get("camera_model") or "")[:40].upper()
        flag = next((name for name in FLAGS if merged.get(name)), "")
        if flag or model not in STRAIGHT:
            kind = (
                "a fisheye lens" if "FISHEYE" in (flag + model).upper() else f"a lens of another kind ({model or flag})"
            )
            return (
                f"the images of {TRANSFORMS} come from {kind}, which a grid's cameras cannot "
                "represent: undistort them first, for example with COLMAP's image_undistorter"
            )
        for name in DISTORTION:
            if abs(_number(merged.get(name) or 0, name, f"frame {number} of {TRANSFORMS}")) > NO_DISTORTION:
                return (
                    f"frame {number} of {TRANSFORMS} has lens distortion ({name} = {merged[name]:.3g}), which "
                    "a grid's cameras ignore: for exact poses undistort the images first, for example with "
                    "COLMAP's image_undistorter"
                )
    return ""


def _ignored(described: Mapping) -> str:
    named = {name for frame in (described, *described["frames"]) for name in BESIDE if _says_something(frame.get(name))}
    kinds = list(dict.fromkeys(BESIDE[name] for name in BESIDE if name in named))
    if not kinds:
        return ""
    listed = kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
    return f"{TRANSFORMS} also gives {listed}, which a grid has no place for: ignored"


def _says_something(value) -> bool:
    """Not for null, nothing, zero, or lists of zeros, as instant-ngp writes a shutter that does not roll."""
    return any(value) if isinstance(value, list) else bool(value)


def _check_whole(views: Mapping[tuple, Mapping[float, Path]]) -> None:
    of_views = list(views.values())
    times = set(of_views[0])
    for of_times in of_views[1:]:
        if set(of_times) != times:
            raise ValueError(
                f"expected every view at every time, but the view of {min(of_views[0].values()).name} has "
                f"{len(times)} times and the view of {min(of_times.values()).name} has {len(of_times)}, or "
                "other ones: only complete grids with static cameras can be read."
            )
    if max(len(views), len(times)) > MAX_LENGTH:
        raise ValueError(
            f"expected at most {MAX_LENGTH} views and {MAX_LENGTH} times in {TRANSFORMS}, got {len(views)} and {len(times)}."
        )


def _cameras(keys: Sequence[tuple]) -> Cameras:
    poses = (
        torch.tensor([[*pose, (0.0, 0.0, 0.0, 1.0)] for _, pose in keys], dtype=torch.float64)
        * torch.tensor(OPENGL_FROM_OPENCV).double()
    )
    if (torch.linalg.det(poses).abs() < 1e-9).any():
        raise ValueError(
            f"expected every transform_matrix in {TRANSFORMS} to be a pose, got one that cannot be inverted."
        )
    lenses = torch.tensor(
        [[[fl_x, 0, cx], [0, fl_y, cy], [0, 0, 1]] for (fl_x, fl_y, cx, cy, _, _), _ in keys], dtype=torch.float32
    )
    return Cameras(torch.linalg.inv(poses).float(), lenses)
