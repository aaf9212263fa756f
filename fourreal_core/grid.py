"""The view x time grid: every frame of a scene seen from V views at T times. Slicing it: paths/; saving it: grid_file.py; filling it: sampling/.

Shape suffixes: V views, T times, N frames, H W pixels, C = 3 colour channels (RGB).
Axis convention (ours, the papers contradict each other): `x[v, t]`, `x[v, :]` is a fixed-view video, `x[:, t]` a freeze-time video.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .files.recording import Measured, view_recordings
from .files.room import copied, room
from .files.sound import Sound
from .files.video import (
    MAX_FPS,
    MAX_SIDE,
    check_range,
    fit_frames,
    fit_scale_and_shift,
    frames_tensor,
    pick_frames,
)

GOES, RIG = (
    "will be removed in version 0.3",
    "exchange.rig reads such folders, read_rig(plan_rig(folder, RigPick(...)))",
)
MAX_LENGTH = 1024  # views or times
MAX_BYTES = 64 * 2**30  # of a grid's frames


@dataclass(frozen=True, eq=False)
class Cameras:
    """One pinhole camera per view, constant over time: OpenCV frame (x right, y down, z forward).

    world_to_camera float32 [V, 4, 4]; intrinsics float32 [V, 3, 3] in pixels, measured from the image's corner (the centre of an
    image of width W lies at W / 2). Raises ValueError on other shapes, non-finite numbers or last lines that are not 0 0 0 1 and 0 0 1.
    """

    world_to_camera: Tensor
    intrinsics: Tensor

    def __post_init__(self):
        for name, size in (("world_to_camera", 4), ("intrinsics", 3)):
            matrices = torch.as_tensor(getattr(self, name)).detach().to("cpu", torch.float32, copy=True).contiguous()
            if matrices.ndim != 3 or matrices.shape[1:] != (size, size) or len(matrices) == 0:
                raise ValueError(
                    f"expected cameras.{name} to have shape [V, {size}, {size}], got {list(matrices.shape)}: "
                    "give one matrix per view."
                )
            if not torch.isfinite(matrices).all():
                raise ValueError(
                    f"expected finite numbers in cameras.{name}, got NaN or infinity: check where the cameras come from."
                )
            last_line = torch.eye(size)[-1]
            if not torch.allclose(matrices[:, -1], last_line.expand(len(matrices), -1), atol=1e-4):
                raise ValueError(
                    f"expected the last row of cameras.{name} to be {last_line.int().tolist()}, got "
                    f"{matrices[0, -1].tolist()}: the matrices may be transposed."
                )
            object.__setattr__(self, name, matrices)
        if len(self.world_to_camera) != len(self.intrinsics):
            raise ValueError(
                f"expected as many intrinsics as world_to_camera matrices, got {len(self.intrinsics)} and {len(self.world_to_camera)}."
            )

    def of(self, views: slice) -> Cameras:
        """Those of some of the views."""
        return Cameras(self.world_to_camera[views], self.intrinsics[views])


@dataclass(frozen=True, eq=False)
class FrameGrid:
    """V x T frames on the CPU, which of them are known, and where they come from.

    frames float32 [V, T, H, W, 3] in 0..1 (up to 1e-3 beyond is clamped); known bool [V, T]; fps in frames per second along time.
    provenance: JSON values (model hash, sync, trained, seed, steps, inputs ...), copied. sound: what is heard while time runs from the
    first time on at `fps`.
    The constructor keeps the tensors it is given: hand them over, or use the from_* constructors, which copy. "Frozen" protects the
    fields and not the pixels: never write into `frames`, grids are shared. Raises ValueError on anything else.
    """

    frames: Tensor
    known: Tensor
    fps: float = 24.0
    cameras: Cameras | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sound: Sound | None = None

    def __post_init__(self):
        object.__setattr__(self, "frames", _checked_grid_frames(self.frames))
        self._check_all_but_frames()

    def _check_all_but_frames(self) -> None:
        if (
            not isinstance(self.known, Tensor)
            or self.known.dtype != torch.bool
            or self.known.shape != self.frames.shape[:2]
        ):
            raise ValueError(
                f"expected known to be a bool tensor of shape {list(self.frames.shape[:2])} (views, times), "
                f"got {getattr(self.known, 'dtype', type(self.known).__name__)} "
                f"{list(getattr(self.known, 'shape', []))}."
            )
        object.__setattr__(self, "known", self.known.detach().cpu().contiguous())
        object.__setattr__(self, "fps", _checked_fps(self.fps))
        if self.cameras is not None and len(self.cameras.world_to_camera) != self.views:
            raise ValueError(
                f"expected one camera per view ({self.views}), got {len(self.cameras.world_to_camera)} cameras."
            )
        object.__setattr__(self, "provenance", _copied_json(self.provenance))

    @property
    def views(self) -> int:
        return self.frames.shape[0]

    @property
    def times(self) -> int:
        return self.frames.shape[1]

    @property
    def height(self) -> int:
        return self.frames.shape[2]

    @property
    def width(self) -> int:
        return self.frames.shape[3]

    @classmethod
    def from_videos(cls, fixed_view_THWC, freeze_time_VHWC, *, fps: float = 24.0) -> FrameGrid:
        """The task's inputs: a fixed-view video [T, H, W, 3] and a freeze-time video [V, H, W, 3] that share their first frame.

        numpy or torch, uint8 or float 0..1, at least 2 frames each; copied. Unknown cells are black and `known` is False there. Cell
        (0, 0) is the fixed-view video's; first_frame_difference() says how well the two agree.
        """
        fixed_THWC = float_frames(fixed_view_THWC, "the fixed-view video")
        freeze_VHWC = float_frames(freeze_time_VHWC, "the freeze-time video")
        _check_pair(fixed_THWC, freeze_VHWC)
        for video, name in ((fixed_THWC, "fixed-view"), (freeze_VHWC, "freeze-time")):
            if len(video) < 2:
                raise ValueError(
                    f"expected the {name} video to have at least 2 frames, got 1: a still image cannot span a grid."
                )
        check_bytes(len(freeze_VHWC), *fixed_THWC.shape[:3])
        frames = room((len(freeze_VHWC), *fixed_THWC.shape))
        frames[:, 0] = freeze_VHWC
        frames[0] = fixed_THWC
        return cls(frames, task_known(*frames.shape[:2]), fps=fps)

    @classmethod
    def from_views(cls, videos: Sequence, *, fps: float = 24.0) -> FrameGrid:
        """V whole videos [T, H, W, 3], one per view, of one length and size; numpy or torch, uint8 or float 0..1; copied. All cells known."""
        if len(videos) == 0:
            raise ValueError("expected at least one video to build a grid from, got none.")
        first = float_frames(videos[0], "the video of view 0")
        _check_lengths(len(videos), len(first))
        check_bytes(len(videos), *first.shape[:3])
        frames = room((len(videos), *first.shape))
        for view, video in enumerate(videos):
            video_THWC = first if view == 0 else float_frames(video, f"the video of view {view}")
            if video_THWC.shape != first.shape:
                raise ValueError(
                    f"expected every view to have {_size(first)} like view 0, got {_size(video_THWC)} at view "
                    f"{view}: trim and resize the videos to one length and size."
                )
            frames[view] = video_THWC
        return cls(frames, torch.ones(frames.shape[:2], dtype=torch.bool), fps=fps)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        fps: float | None = None,
        views: int | None = None,
        times: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> FrameGrid:
        """One video file, or one folder of images, per view, in natural order of their names (view2 before view10). All cells known.

        views, times: how many to pick, evenly spaced and starting with the first (None: all). size: (height, width), cropped to fit
        (None: as they are). fps: None reads it from the first video, divided by the spacing of the picked times (image folders: 24). Goes in version 0.3: exchange.rig reads such folders.
        """
        warnings.warn(f"FrameGrid.from_folder {GOES}: {RIG}", DeprecationWarning, stacklevel=2)
        recordings = view_recordings(folder)
        recordings = recordings if views is None else pick_frames(recordings, views)
        _check_lengths(len(recordings), times or 1)
        videos, rates = [], []
        for recording in recordings:
            measured = Measured(recording)
            wanted = measured.pick(times or 0)
            _check_lengths(1, len(wanted))
            check_bytes(len(recordings), len(wanted), *(size or measured.size))
            videos.append(measured.read(wanted, size)[0])
            rates.append(measured.fps / wanted.step)
        return cls.from_views(videos, fps=rates[0] if fps is None else fps).replace(
            provenance={"folder": Path(folder).name}
        )

    def replace(self, **changes) -> FrameGrid:
        """A new grid with some fields changed; the others are shared, not copied. Frames that stay are not looked through again."""
        if "frames" in changes:
            return dataclasses.replace(self, **changes)
        other = object.__new__(type(self))
        for each in dataclasses.fields(self):
            object.__setattr__(other, each.name, changes.pop(each.name, getattr(self, each.name)))
        if changes:
            raise TypeError(f"a grid has no {', '.join(changes)}")
        other._check_all_but_frames()
        return other

    def filled(self, frames: Tensor) -> FrameGrid:
        """The grid with these frames [V, T, H, W, 3] in its unknown cells; known cells stay bit-exact, and `known` says which they are."""
        if frames is self.frames:
            return self
        whole = room(self.frames.shape)
        for target, known_T, own, other in zip(whole, self.known, self.frames, frames.expand_as(self.frames)):
            torch.where(known_T[:, None, None, None], own, other, out=target)
        return self.replace(frames=whole)

    def swapped(self) -> FrameGrid:
        """The grid with view and time exchanged: `swapped().frames[t, v] = frames[v, t]`. Goes in version 0.3."""
        warnings.warn(f"FrameGrid.swapped {GOES}: transpose frames and known", DeprecationWarning, stacklevel=2)
        return self.replace(
            frames=self.frames.transpose(0, 1).contiguous(), known=self.known.T.contiguous(), cameras=None, sound=None
        )

    def resized(self, height: int, width: int, fit: str = "crop") -> FrameGrid:
        """The grid at another size, cameras included. fit: "crop", "pad" or "stretch" as in video.fit_frames."""
        frames = torch.stack([fit_frames(video_THWC, height, width, fit) for video_THWC in self.frames])
        if self.cameras is None:
            return self.replace(frames=frames)
        scale_y, scale_x, shift_y, shift_x = fit_scale_and_shift(self.height, self.width, height, width, fit)
        pixels = torch.tensor([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]], dtype=torch.float32)
        return self.replace(
            frames=frames, cameras=Cameras(self.cameras.world_to_camera, pixels @ self.cameras.intrinsics)
        )


def task_known(views: int, times: int) -> Tensor:
    """Bool [V, T]: the task's known cells, the fixed-view video at view 0 and the freeze-time video at time 0."""
    known = torch.zeros(views, times, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    return known


def check_bytes(views: int, times: int, height: int, width: int) -> None:
    """ValueError when the frames of such a grid need more than 64 GiB: call it before memory is asked for."""
    needed = views * times * height * width * 3 * 4
    if needed > MAX_BYTES:
        raise ValueError(
            f"{views} views and {times} times of {width}x{height} need {needed / 2**30:.0f} GiB, more than "
            f"the limit of {MAX_BYTES // 2**30} GiB: pick fewer frames or choose a smaller size."
        )


def first_frame_difference(fixed_view, freeze_time) -> float:
    """Mean absolute difference, 0..1, of the frame that the two videos should share: their first. Inputs as in FrameGrid.from_videos."""
    fixed = float_frames(fixed_view[:1], "the fixed-view video")
    freeze = float_frames(freeze_time[:1], "the freeze-time video")
    _check_pair(fixed, freeze)
    return (fixed - freeze).abs().mean().item()


def float_frames(video, name: str) -> Tensor:
    """A copy of `video` [N, H, W, 3] (numpy or torch; uint8 0..255 or float 0..1) as float32 0..1 on the CPU; uint8 is divided by 255."""
    frames = frames_tensor(video, name)
    if frames.dtype == torch.uint8:
        return frames.detach().cpu().to(torch.float32) / 255
    return _in_range(frames.detach().to("cpu", torch.float32, copy=True), name).contiguous()


def _in_range(frames: Tensor, name: str) -> Tensor:
    low, high = check_range(frames, name)
    return frames if low >= 0 and high <= 1 else copied(frames).clamp_(0, 1)


def _checked_grid_frames(frames: Tensor) -> Tensor:
    if (
        not isinstance(frames, Tensor)
        or frames.dtype != torch.float32
        or frames.ndim != 5
        or frames.shape[-1] != 3
        or frames.numel() == 0
    ):
        raise ValueError(
            "expected grid frames to be a float32 tensor [views, times, height, width, 3] with no empty "
            f"axis, got {getattr(frames, 'dtype', type(frames).__name__)} {list(getattr(frames, 'shape', []))}."
        )
    _check_lengths(*frames.shape[:2])
    if max(frames.shape[2:4]) > MAX_SIDE:
        raise ValueError(
            f"expected frames of at most {MAX_SIDE} pixels per side, got {frames.shape[3]}x{frames.shape[2]}: "
            "resize them."
        )
    return _in_range(frames.detach().cpu(), "the grid").contiguous()


def _check_lengths(views: int, times: int) -> None:
    if max(views, times) > MAX_LENGTH:
        raise ValueError(
            f"expected at most {MAX_LENGTH} views and {MAX_LENGTH} times, got {views} and {times}: pick fewer frames."
        )


def _check_pair(fixed_THWC: Tensor, freeze_VHWC: Tensor) -> None:
    if fixed_THWC.shape[1:] != freeze_VHWC.shape[1:]:
        raise ValueError(
            "expected the fixed-view and the freeze-time video to have one frame size, got "
            f"{fixed_THWC.shape[2]}x{fixed_THWC.shape[1]} and {freeze_VHWC.shape[2]}x{freeze_VHWC.shape[1]}: resize one of them."
        )
    _check_lengths(len(freeze_VHWC), len(fixed_THWC))


def _checked_fps(fps) -> float:
    try:
        value = float(fps)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected fps (frames per second) to be a number, got {str(fps)[:40]!r}.") from error
    if not 0 < value <= MAX_FPS:
        raise ValueError(f"expected fps (frames per second) above 0 and at most {MAX_FPS:g}, got {value}.")
    return value


def _copied_json(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Also turns tuples into lists and keys into strings, so that a saved grid loads exactly equal."""
    try:
        return json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"expected provenance to contain only plain JSON values (text, finite numbers, lists, dicts): {error}."
        ) from error


def _size(video: Tensor) -> str:
    return f"{len(video)} frames of {video.shape[2]}x{video.shape[1]}"
