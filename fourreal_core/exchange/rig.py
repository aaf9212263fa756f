"""A real rig's recordings as a grid: one video file, or one folder of images, per view, that may have been started at different moments.

First `plan_rig` decides which frames of which files become cells, then `read_rig` reads just those. One recording: recordings.py.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..grid import MAX_BYTES, MAX_LENGTH, FrameGrid
from ..video import fit_frames, pick_frames, view_sources
from .recordings import count_frames, read_frames

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
                raise ValueError(f"expected {name} of 0 or more, got {getattr(self, name)}.")
        if max(self.views, self.times) > MAX_LENGTH:
            raise ValueError(f"expected at most {MAX_LENGTH} views and {MAX_LENGTH} times, got {self.views} and {self.times}: pick fewer.")


@dataclass(frozen=True)
class RigPlan:
    """Which frames of which recording become the cells of each view. lengths: of the recordings, None where they did not need counting."""

    folder: str
    sources: tuple[Path, ...]
    frames: tuple[range, ...]
    lengths: tuple[int, ...] | None
    pick: RigPick

    @property
    def uneven(self) -> str:
        """One sentence when recordings of different length were cut to what all have, else an empty text."""
        if self.pick.times or self.lengths is None or len(set(self.lengths)) == 1:
            return ""
        shortest, longest = (chosen(range(len(self.lengths)), key=self.lengths.__getitem__) for chosen in (min, max))
        return (f"the recordings have from {self.lengths[shortest]} ({self.sources[shortest].name}) to {self.lengths[longest]} "
                f"({self.sources[longest].name}) frames: the grid has the {len(self.frames[0])} times that all of them show")


def parse_offsets(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas or spaces, "0, 3, -2" -> (0, 3, -2); an empty text -> (). ValueError on anything else."""
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise ValueError(f"expected offsets as whole numbers of frames, one per view, such as 0, 3, -2, got {text[:60]!r}.") from error


def plan_rig(folder: str | Path, pick: RigPick = RigPick()) -> RigPlan:
    """What to read from `folder`: its video files, or else its folders of images, in natural order of their names (view2 before view10).

    Raises ValueError on a missing or empty folder, fewer views or frames than asked for, and offsets that do not fit.
    """
    sources = view_sources(folder)
    if pick.offsets and len(pick.offsets) != len(sources):
        raise ValueError(f"expected {len(sources)} offsets, one per recording in {Path(folder).name}, got {len(pick.offsets)}.")
    if pick.views > len(sources):
        raise ValueError(f"expected at least {pick.views} videos or image folders in {Path(folder).name}, got {len(sources)}: ask for fewer views.")
    recordings = list(zip(sources, pick.offsets or [0] * len(sources)))
    recordings = pick_frames(recordings, pick.views) if pick.views else recordings
    starts = [pick.first_frame + offset for _, offset in recordings]
    for (source, offset), start in zip(recordings, starts):
        if start < 0:
            raise ValueError(f"expected {source.name} to start at frame 0 or later, first frame {pick.first_frame} and offset {offset} give {start}: "
                             "choose a later first frame.")
    counted = pick.times == 0 or (pick.stride == 0 and pick.times > 1)
    lengths = tuple(count_frames(source) for source, _ in recordings) if counted else None
    left = min(length - start for length, start in zip(lengths, starts)) if lengths else None
    times, stride = _times_and_stride(pick, left, Path(folder).name)
    frames = tuple(range(start, start + (times - 1) * stride + 1, stride) for start in starts)
    return RigPlan(Path(folder).name, tuple(source for source, _ in recordings), frames, lengths, pick)


def _times_and_stride(pick: RigPick, left: int | None, name: str) -> tuple[int, int]:
    """left: how many frames every view has from its first on; only needed where a 0 asks for as many as there are."""
    if left is not None and left < max(1, pick.times):
        raise ValueError(f"expected at least {max(1, pick.times)} frames from the first frame on in every recording of {name}, the shortest has "
                         f"{max(left, 0)}: choose an earlier first frame or fewer times.")
    if pick.times:
        return pick.times, pick.stride or ((left - 1) // (pick.times - 1) if pick.times > 1 else 1)
    stride = pick.stride or 1
    times = (left - 1) // stride + 1
    if times > MAX_LENGTH:
        raise ValueError(f"expected at most {MAX_LENGTH} times, the recordings in {name} have {times}: say how many times to take.")
    return times, stride


def read_rig(plan: RigPlan, height: int = 0, width: int = 0, fit: str = "crop", fps: float = 0.0,
             on_view: Callable[[int, int], None] | None = None) -> FrameGrid:
    """The planned grid, every cell known, at height x width (0: follows the other, or the first view's own size; fit: see video.fit_frames).

    fps: frames per second along time; 0: the recordings' own, divided by the stride. on_view(done, total) is called after each view; what
    it raises ends the reading. Raises ValueError as recordings.read_frames does, for views of different frame rates, and for grids above 64 GiB.
    """
    videos, rates, size = [], [], None
    for view, (source, wanted) in enumerate(zip(plan.sources, plan.frames), start=1):
        video_THWC, rate = read_frames(source, wanted)
        size = size or _cell_size(video_THWC.shape[1:3], height, width)
        _check_bytes(len(plan.sources), len(wanted), size)
        videos.append(video_THWC if video_THWC.shape[1:3] == size else fit_frames(video_THWC, *size, fit))
        rates.append(rate)
        if on_view is not None:
            on_view(view, len(plan.sources))
    _check_rates(plan.sources, rates)
    provenance = {"folder": plan.folder, "views": [source.name for source in plan.sources], "first_frames": [wanted[0] for wanted in plan.frames],
                  "stride": plan.frames[0].step}
    return FrameGrid.from_views(videos, fps=fps or rates[0] / plan.frames[0].step).replace(provenance=provenance)


def _cell_size(source_size: Sequence[int], height: int, width: int) -> tuple[int, int]:
    source_height, source_width = source_size
    if height == 0 and width == 0:
        return source_height, source_width
    return height or max(1, round(width * source_height / source_width)), width or max(1, round(height * source_width / source_height))


def _check_bytes(views: int, times: int, size: tuple[int, int]) -> None:
    needed = views * times * size[0] * size[1] * 3 * 4
    if needed > MAX_BYTES:
        raise ValueError(f"expected a grid of at most {MAX_BYTES // 2**30} GiB, {views} views and {times} times of {size[1]}x{size[0]} need "
                         f"{needed / 2**30:.0f}: pick fewer frames or give a smaller size.")


def _check_rates(sources: Sequence[Path], rates: Sequence[float]) -> None:
    for source, rate in zip(sources, rates):
        if abs(rate / rates[0] - 1) > SAME_RATE:
            raise ValueError(f"expected all views to have one frame rate, got {rates[0]:g} in {sources[0].name} and {rate:g} in {source.name}: "
                             "they would drift apart, convert them to one rate.")
