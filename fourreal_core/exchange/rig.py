"""A real rig's recordings as a grid: one video file, or one folder of images, per view, that may have been started at different moments.

First `plan_rig` decides which frames of which files become cells, then `read_rig` reads just those. One recording: files/recording.py; folders
with a transforms.json, which have cameras: nerfstudio_reading.py.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..files.recording import Measured, Recording, share, view_recordings
from ..files.video import cell_size, crop_remark, fit_scale_and_shift, pick_frames
from ..grid import MAX_LENGTH, Cameras, FrameGrid, check_bytes
from .nerfstudio_reading import TRANSFORMS, Dataset, read_dataset

Size = tuple[int, int]  # height, width in pixels
MOST_REMARKS = 4
SAME_RATE = 0.01  # frame rates further apart than this share drift by a frame in the first hundred


@dataclass(frozen=True)
class RigPick:
    """Which cells to take from a folder of recordings.

    views: how many, evenly spaced, the first included; 0: all. times: how many; 0: as many as every view has. first_frame, counted from 0:
    the frame of time 0. stride: frames from one time to the next; 0: as far apart as `times` of them fit. offsets: for each recording of
    the folder, in natural order of the names, how many frames later it shows the same moment (empty: all started together).
    """

    views: int = 0
    times: int = 0
    first_frame: int = 0
    stride: int = 1
    offsets: tuple[int, ...] = ()

    def __post_init__(self):
        for name in ("views", "times", "first_frame", "stride"):
            if getattr(self, name) < 0:
                raise ValueError(f"expected {name} to be 0 or more, got {getattr(self, name)}.")
        if max(self.views, self.times) > MAX_LENGTH:
            raise ValueError(
                f"expected at most {MAX_LENGTH} views and {MAX_LENGTH} times, got {self.views} and {self.times}: pick fewer."
            )


@dataclass(frozen=True)
class RigPlan:
    """Which frames of which recording become the cells of each view.

    lengths: of the recordings, None where they did not need counting. dataset: the cameras of these views, if the folder tells them.
    """

    folder: str
    recordings: tuple[Recording, ...]
    frames: tuple[range, ...]
    lengths: tuple[int, ...] | None
    pick: RigPick
    dataset: Dataset | None = None

    @property
    def remarks(self) -> list[str]:
        """What the user should know, a sentence each: recordings of different length were cut to what all have, lenses
        are not straight, masks and the like are ignored."""
        remarks = [text for text in (self.dataset.distortion, self.dataset.ignored) if text] if self.dataset else []
        if not self.pick.times and self.lengths is not None and len(set(self.lengths)) > 1:
            shortest, longest = (
                chosen(range(len(self.lengths)), key=self.lengths.__getitem__) for chosen in (min, max)
            )
            remarks.append(
                f"the recordings have between {self.lengths[shortest]} ({self.recordings[shortest].name}) and "
                f"{self.lengths[longest]} ({self.recordings[longest].name}) frames: the grid keeps the "
                f"{len(self.frames[0])} times that all of them cover"
            )
        return remarks


def parse_offsets(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas or spaces, "0, 3, -2" -> (0, 3, -2); an empty text -> (). ValueError on anything else."""
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise ValueError(
            f"expected offsets to be whole numbers of frames, one per view, such as 0, 3, -2, got {text[:60]!r}."
        ) from error


def plan_rig(folder: str | Path, pick: RigPick = RigPick()) -> RigPlan:
    """What to read from `folder`: the images of its transforms.json if it has one, or its video files, or else its folders of images, in
    natural order of their names (view2 before view10).

    Raises ValueError on a missing or empty folder, fewer views or frames than asked for, and offsets that do not fit.
    """
    dataset = read_dataset(folder) if (Path(folder) / TRANSFORMS).is_file() else None
    found = dataset.recordings if dataset else view_recordings(folder)
    if pick.views > len(found):
        raise ValueError(
            f"expected at least {pick.views} views in {Path(folder).name}, got {len(found)}: ask for fewer views."
        )
    chosen_views = pick_frames(range(len(found)), pick.views) if pick.views else range(len(found))
    recordings = tuple(found[view] for view in chosen_views)
    starts = _starts(pick, found, chosen_views)
    counted = pick.times == 0 or (pick.stride == 0 and pick.times > 1)
    lengths = tuple(Measured(recording).length for recording in recordings) if counted else None
    left = min(length - start for length, start in zip(lengths, starts)) if lengths else None
    times, stride = _times_and_stride(pick, left, Path(folder).name)
    frames = tuple(range(start, start + (times - 1) * stride + 1, stride) for start in starts)
    return RigPlan(Path(folder).name, recordings, frames, lengths, pick, dataset and dataset.of_views(chosen_views))


def _starts(pick: RigPick, found: Sequence[Recording], chosen_views: Sequence[int]) -> list[int]:
    """The frame of time 0 in each chosen recording."""
    if pick.offsets and len(pick.offsets) != len(found):
        raise ValueError(f"expected {len(found)} offsets, one per recording, got {len(pick.offsets)}.")
    starts = []
    for view in chosen_views:
        offset = pick.offsets[view] if pick.offsets else 0
        starts.append(pick.first_frame + offset)
        if starts[-1] < 0:
            raise ValueError(
                f"{found[view].name} would start before its first frame: first frame {pick.first_frame} and "
                f"offset {offset} give {starts[-1]}. Choose a later first frame."
            )
    return starts


def _times_and_stride(pick: RigPick, left: int | None, name: str) -> tuple[int, int]:
    """left: how many frames every view has from its first on; only needed where a 0 asks for as many as there are."""
    if left is not None and left < max(1, pick.times):
        raise ValueError(
            f"expected at least {max(1, pick.times)} frames from the first frame on in every recording of "
            f"{name}, but the shortest has {max(left, 0)}: choose an earlier first frame or fewer times."
        )
    if pick.times == 1 or (pick.times and pick.stride):
        return pick.times, pick.stride or 1
    if left is None:
        raise ValueError("the number of frames is needed when times or stride is 0, got none")
    if pick.times:
        return pick.times, (left - 1) // (pick.times - 1)
    stride = pick.stride or 1
    times = (left - 1) // stride + 1
    if times > MAX_LENGTH:
        raise ValueError(
            f"expected at most {MAX_LENGTH} times, but the recordings in {name} have {times}: set how many "
            "times to take."
        )
    return times, stride


def read_rig(
    plan: RigPlan,
    height: int = 0,
    width: int = 0,
    fit: str = "crop",
    fps: float = 0.0,
    report: Callable[[int, int], None] | None = None,
    remark: Callable[[str], None] | None = None,
) -> FrameGrid:
    """The planned grid, every cell known, at height x width (0: follows the other, or the first view's own size; fit: see video.fit_frames).

    fps: frames per second along time; 0: the recordings' own, divided by the stride. Frames are shrunk while they are decoded.
    report(done, total) is called as decoding goes on; what it raises ends it. remark(sentence) is told what the user should know of the
    recordings. Raises ValueError as recording.Measured does, for views of different frame rates, and for grids above 64 GiB.
    """
    videos, rates, fits, size, said = [], [], [], None, []
    for view, (recording, wanted) in enumerate(zip(plan.recordings, plan.frames)):
        measured = Measured(recording)
        size = size or cell_size(measured.size, height, width)
        check_bytes(len(plan.recordings), len(wanted), *size)
        video_THWC, remarks = measured.read(wanted, size, fit, report and share(report, view, len(plan.recordings)))
        said += [*remarks, crop_remark(recording.name, measured.size, size, fit)]
        fits.append((measured.size, size, fit))
        videos.append(video_THWC)
        rates.append(measured.fps)
    if remark is not None:
        tell_in_short(said, remark)
    _check_rates(plan.recordings, rates)
    provenance = {
        "folder": plan.folder,
        "views": [recording.name for recording in plan.recordings],
        "first_frames": [wanted[0] for wanted in plan.frames],
        "stride": plan.frames[0].step,
    }
    grid = FrameGrid.from_views(videos, fps=fps or rates[0] / plan.frames[0].step)
    return grid.replace(provenance=provenance, cameras=plan.dataset and _fitted_cameras(plan.dataset, fits))


def _fitted_cameras(dataset: Dataset, fits: Sequence[tuple[Size, Size, str]]) -> Cameras:
    """The cameras as they see the cells. fits: for each view the size of its pictures, that of the cells, and how they were fitted."""
    lenses = []
    for lens, (source, size, fit) in zip(dataset.cameras.intrinsics, fits):
        to_source = _pixels(dataset.size, source, "stretch")  # the pictures may be smaller copies
        lenses.append(_pixels(source, size, fit) @ to_source @ lens)
    return Cameras(dataset.cameras.world_to_camera, torch.stack(lenses))


def _pixels(size: Size, new_size: Size, fit: str) -> Tensor:
    scale_y, scale_x, shift_y, shift_x = fit_scale_and_shift(*size, *new_size, fit)
    return torch.tensor([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]], dtype=torch.float32)


def tell_in_short(remarks: Sequence[str], remark: Callable[[str], None]) -> None:
    """The first few of the remarks that are not empty, and how many more there are."""
    told = [sentence for sentence in dict.fromkeys(remarks) if sentence]
    for sentence in told[:MOST_REMARKS]:
        remark(sentence)
    if len(told) > MOST_REMARKS:
        remark(f"and {len(told) - MOST_REMARKS} more warnings like these")


def _check_rates(recordings: Sequence[Recording], rates: Sequence[float]) -> None:
    for recording, rate in zip(recordings, rates):
        if abs(rate / rates[0] - 1) > SAME_RATE:
            raise ValueError(
                f"expected all views to have one frame rate, got {rates[0]:g} in {recordings[0].name} and "
                f"{rate:g} in {recording.name}: convert them to one rate, or they would drift apart."
            )
