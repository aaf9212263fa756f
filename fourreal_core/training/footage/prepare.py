"""From footage to a folder of training examples: one job per source, one file per job, Transport's guesses in several processes.

A file appears when it is complete, so what was stopped goes on. Read `prepare`, then the jobs of the kind of source in question.

Legend: V views, T times, H W pixels; shape = (V, T, H, W).
"""

from __future__ import annotations

import json
import signal
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Generator, Tensor

from ...batch.spread import Cluster, joined, task_of
from ...data.folder import find_captures, find_grids, find_videos, random_stretch, read_capture
from ...data.pseudo4d import pseudo_grid
from ...data.shards import read_shard
from ...files.recording import Measured, Recording
from ...grid_file import load_grid
from .store import ENDING, StoredGrid, read_source, store_grid, write_examples

Shape = tuple[int, int, int, int]
Report = Callable[[str], None]
Raw = tuple[Tensor, Tensor | None]  # frames uint8 [V, T, H, W, 3], and which pixels count, bool [V, T, H, W]
PER_FILE = 20  # procedural grids


@dataclass(frozen=True)
class Job:
    """One file of examples: its name, how many grids it will hold at most, what they are made from, and a way to read them."""

    name: str
    count: int
    source: str
    read: Callable[[], Iterator[Raw]]


def prepare(
    jobs: Iterable[Job],
    folder: Path,
    report: Report = lambda line: None,
    workers: int = 1,
    cluster: Cluster | None = None,
) -> int:
    """Write the files of all jobs into `folder`; what exists is kept. Gives how many of them are there.

    A source that cannot be read is skipped with a sentence. workers: processes that compute Transport's guesses, of one thread each;
    1: this one. cluster: a Ray cluster instead. Which of them computes a guess changes nothing. Raises ValueError when two jobs have one name.
    """
    jobs = list(jobs)
    names = [job.name for job in jobs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two sources would both be written to {twice + ENDING}: prepare them into two folders")
    todo = [job for job in jobs if not _is_there(folder, job, report)]
    written, grids = len(jobs) - len(todo), []
    progress = Progress(sum(job.count for job in todo))
    with _submitter(workers, cluster) as (submit, ahead):
        for job, result in _results(todo, submit, ahead):
            if isinstance(result, StoredGrid):
                grids.append(result)
                report(f"{job.name + ENDING}: {len(grids)} grids  {progress.advance()}")
                continue
            if result is None and grids:
                write_examples(folder / (job.name + ENDING), grids, job.source)
                written += 1
            else:
                report(f"skipped {job.name}: {result or 'it holds no grid'}\n")
            grids = []
    return written


class Progress:
    """How many of how many, at what pace, how much longer."""

    def __init__(self, total: int):
        self.total, self.done, self.started = total, 0, time.monotonic()

    def advance(self) -> str:
        self.done += 1
        pace = (time.monotonic() - self.started) / self.done
        return f"{self.done}/{self.total}, {pace:.2f} s each, {max(0, self.total - self.done) * pace / 60:.1f} min left"


def shard_jobs(folder: Path) -> list[Job]:
    """Rendered grids, one job per shard. ValueError when `folder` holds none."""
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise ValueError(f"found no rendered shards (*.safetensors) in {folder}: render some with scripts/render.py")

    def read(path: Path) -> Iterator[Raw]:
        shard = read_shard(path)
        return ((shard.frames(index), None) for index in range(len(shard)))

    return [
        Job(path.stem, _length_of_shard(path), _source("shard", path), lambda path=path: read(path)) for path in shards
    ]


def pseudo_jobs(paths: Iterable[Path], shape: Shape, count: int) -> list[Job]:
    """Pseudo-4D of ordinary videos: `count` grids each, every one from its own stretch of the video."""

    def read(name: str, path: Path) -> Iterator[Raw]:
        views, times, height, width = shape
        video, generator = _long_enough(path, times), _generator(name)
        for _ in range(count):
            clip = _read(video, random_stretch(video.length, times, generator))
            grid, valid = pseudo_grid(clip, views, generator, height=height, width=width)
            yield _bytes(grid.frames), valid

    return [
        Job(name, count, _source("pseudo-4D", path, shape, count), lambda n=name, p=path: read(n, p))
        for name, path in find_videos(paths).items()
    ]


def sequence_jobs(paths: Iterable[Path], shape: Shape, count: int, kind: str) -> list[Job]:
    """Sequences without a second axis. kind "fixed-view": ordinary videos as [1, T]; "freeze-time": static scenes as [V, 1].

    `count` stretches of each video or folder of images, or fewer where it is short.
    """
    axis = {"freeze-time": 0, "fixed-view": 1}[kind]

    def read(name: str, path: Path) -> Iterator[Raw]:
        video, generator = _long_enough(path, 2), _generator(name)
        for stretch in _stretches(video.length, shape[axis], count, generator):
            yield _read(video, stretch, shape[2:]).unsqueeze(1 - axis), None

    found = {f"{name}.{kind}": path for name, path in find_videos(paths).items()}
    return [
        Job(name, count, _source(kind, path, shape, count), lambda n=name, p=path: read(n, p))
        for name, path in found.items()
    ]


def capture_jobs(paths: Iterable[Path], shape: Shape, count: int) -> list[Job]:
    """Multi-view captures: `count` windows each at random places and spacings of views and times, views in either order.

    A capture with fewer views or times than `shape` gives smaller grids; at least two of both are needed.
    """

    def read(name: str, path: Path) -> Iterator[Raw]:
        frames_VTHWC, generator = read_capture(path, shape[2:]), _generator(name)
        if min(frames_VTHWC.shape[:2]) < 2:
            raise ValueError(
                f"expected at least 2 views and 2 times in {path.name}, got {len(frames_VTHWC)} and {frames_VTHWC.shape[1]}"
            )
        for _ in range(count):
            views, times = (
                random_stretch(length, most, generator) for length, most in zip(frames_VTHWC.shape[:2], shape[:2])
            )
            window = frames_VTHWC[views, times]
            yield window.flip(0) if _below(2, generator) else window, None

    found = {f"{name}.capture": path for name, path in find_captures(paths).items()}
    return [
        Job(name, count, _source("capture", path, shape, count), lambda n=name, p=path: read(n, p))
        for name, path in found.items()
    ]


def saved_grid_jobs(paths: Iterable[Path], shape: Shape) -> list[Job]:
    """Grids saved by 4Real Save Grid, with every cell known: whole, at the size of `shape`."""

    def read(path: Path) -> Iterator[Raw]:
        grid = load_grid(path)
        if not bool(grid.known.all()):
            raise ValueError(
                f"expected a grid with all cells known, but {int((~grid.known).sum())} cells of {path.name} "
                "are unknown: only complete footage can be used for training"
            )
        yield _bytes(grid.resized(*shape[2:]).frames), None

    found = {f"{name}.grid": path for name, path in find_grids(paths).items()}
    return [Job(name, 1, _source("grid", path, shape), lambda p=path: read(p)) for name, path in found.items()]


def procedural_jobs(count: int, seed: int, shape: Shape) -> list[Job]:
    """Made-up scenes seed, seed + 1, ..., `PER_FILE` to a file."""

    def read(first: int, number: int) -> Iterator[Raw]:
        from ...data.invented.scenes import procedural_frame_grids

        views, times, height, width = shape
        for grid in procedural_frame_grids(number, views=views, times=times, height=height, width=width, seed=first):
            yield _bytes(grid.frames), None

    parts = [(first, min(PER_FILE, seed + count - first)) for first in range(seed, seed + count, PER_FILE)]
    return [
        Job(f"procedural_{f:08d}", n, _source("procedural", Path(), shape, n), lambda f=f, n=n: read(f, n))
        for f, n in parts
    ]


def _results(
    jobs: Iterable[Job], submit: Callable[[Raw], Future | _Unpacked], ahead: int
) -> Iterator[tuple[Job, StoredGrid | ValueError | None]]:
    """Each job's grids in order, then None, or the error that ended it; up to `ahead` more are under way meanwhile."""
    waiting: deque[tuple[Job, Future | _Unpacked]] = deque()
    for job in jobs:
        for future in _submitted(job, submit):
            waiting.append((job, future))
            while len(waiting) > ahead:
                job_of, first = waiting.popleft()
                yield job_of, first.result()
    for job, future in waiting:
        yield job, future.result()


def _submitted(job: Job, submit: Callable[[Raw], Future | _Unpacked]) -> Iterator[Future | _Unpacked]:
    last: ValueError | None = None
    try:
        for raw in job.read():
            if raw[0].shape[:2].numel() < 2:
                raise ValueError("expected at least two views or two times, got a single frame")
            yield submit(raw)
    except ValueError as error:
        last = error
    yield _done(last)


@contextmanager
def _submitter(workers: int, cluster: Cluster | None) -> Iterator[tuple[Callable[[Raw], Future | _Unpacked], int]]:
    """(A function that begins to compute a stored grid: here, in one of several processes, or on a cluster; how many to begin ahead)."""
    if cluster is not None:
        with joined() as ray:
            task = task_of(ray, cluster, _stored_arrays_alone)
            many = max(1, int(ray.cluster_resources().get("CPU", 1) / max(cluster.cpus, 0.1)))
            yield lambda raw: _Unpacked(task.remote(*_arrays(raw)).future()), 2 * many
        return
    if workers <= 1:
        yield lambda raw: _done(_stored(raw)), 0
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker)
    try:
        yield lambda raw: _Unpacked(pool.submit(_stored_arrays, *_arrays(raw))), 2 * workers
    finally:
        pool.shutdown(cancel_futures=True)


class _Unpacked:
    """A worker's answer, turned from arrays (which travel by value, or are Ray's and cannot be written to) into a StoredGrid."""

    def __init__(self, future: Future):
        self._future = future

    def result(self) -> StoredGrid:
        return StoredGrid(**{name: torch.tensor(array) for name, array in self._future.result().items()})


def _done(result: object) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


def _arrays(raw: Raw) -> tuple[np.ndarray, np.ndarray | None]:
    """As they travel."""
    return raw[0].numpy(), None if raw[1] is None else raw[1].numpy()


def _begin_worker() -> None:
    """One thread each, and Ctrl-C is the first process's business."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stored_arrays_alone(frames: np.ndarray, valid: np.ndarray | None) -> dict[str, np.ndarray]:
    """On a worker of a cluster, which gave it one core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return _stored_arrays(frames, valid)


def _stored_arrays(frames: np.ndarray, valid: np.ndarray | None) -> dict[str, np.ndarray]:
    stored = _stored((torch.from_numpy(frames), None if valid is None else torch.from_numpy(valid)))
    return {name: value.numpy() for name, value in vars(stored).items() if value is not None}


def _stored(raw: Raw) -> StoredGrid:
    frames, valid = raw
    return store_grid(frames.float() / 255, valid)


def _is_there(folder: Path, job: Job, report: Report) -> bool:
    path = folder / (job.name + ENDING)
    if not path.exists():
        return False
    if read_source(path) not in (None, job.source):
        report(
            f"kept {path.name}, which was made from another source or with other settings: delete it to "
            "prepare it again\n"
        )
    return True


def _source(kind: str, path: Path, shape: Shape | None = None, count: int | None = None) -> str:
    return json.dumps({"kind": kind, "path": str(path.resolve()), "shape": shape, "count": count})


def _length_of_shard(path: Path) -> int:
    try:
        return len(read_shard(path))
    except ValueError:  # told when its turn comes
        return 0


def _long_enough(path: Path, frames: int) -> Measured:
    video = Measured(Recording.at(path))
    if video.length < frames:
        raise ValueError(f"expected at least {frames} frames in {path.name}, got {video.length}")
    return video


def _read(video: Measured, stretch: slice, size: tuple[int, int] | None = None) -> Tensor:
    return video.read(range(*stretch.indices(video.length)), size)[0]


def _stretches(length: int, most: int, count: int, generator: Generator) -> Iterator[slice]:
    """Random stretches, all different; fewer than `count` when there are no more."""
    seen = set()
    for _ in range(4 * count):
        stretch = random_stretch(length, most, generator)
        if len(seen) < count and (stretch.start, stretch.step) not in seen:
            seen.add((stretch.start, stretch.step))
            yield stretch


def _bytes(frames: Tensor) -> Tensor:
    return (frames * 255).round().to(torch.uint8)


def _generator(name: str) -> Generator:
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (1,), generator=generator))
