"""One case of scripts/performance.py, in a process of its own: a fill of the example videos, its seconds, its memory or its operations."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from performance_detail import detail
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fourreal_core import FrameGrid, load_model, sample_grid
from fourreal_core.evaluation.measure import matrix_peak
from fourreal_core.evaluation.seams import movement_in_later_tiles, seam_jumps
from fourreal_core.files import room
from fourreal_core.files.recording import read_video
from fourreal_core.files.video import fit_frames, pick_frames
from fourreal_core.geometry.fill import detail_grid, fill_grid, find_sources
from fourreal_core.sampling.lifted import home_size, lifted
from fourreal_core.sampling.sample import Sampling
from fourreal_core.sampling.tiles import TILE, fill_in_tiles, filled_tiles, sampled_tiles
from fourreal_core.transport import transport_fill

EXAMPLES = Path(__file__).resolve().parent.parent / "example_inputs"
COPIED = 2**28  # bytes, more than a processor's caches hold


class Traffic(TorchDispatchMode):
    """Bytes of the tensors that operations of this thread read and write; views move nothing."""

    bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if not getattr(function, "is_view", False):
            tensors = [*arguments, *(result if isinstance(result, (tuple, list)) else [result])]
            self.bytes += sum(part.numel() * part.element_size() for part in tensors if isinstance(part, torch.Tensor))
        return result


def bandwidth() -> float:
    """Bytes per second, read and written, of the fastest of five copies."""
    source, target, best = torch.ones(COPIED // 4), torch.empty(COPIED // 4), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * COPIED / best


def example_grid(views: int, times: int, height: int, width: int, which: str = "") -> FrameGrid:
    """The example videos at that size; where more frames are asked for than they have, they go forth and back."""
    examples = [read_video(EXAMPLES / (which + name))[0] for name in ("fixed_view.mp4", "freeze_time.mp4")]
    fixed, freeze = (fit_frames(_picked(v, n), height, width) for v, n in zip(examples, (times, views)))
    return FrameGrid.from_videos(fixed, freeze)


def _picked(video: torch.Tensor, count: int) -> torch.Tensor:
    if count <= len(video):
        return pick_frames(video, count)
    turns = [*range(len(video)), *range(len(video) - 2, 0, -1)]
    return video[[turns[frame % len(turns)] for frame in range(count)]]


def sampled(model, grid: FrameGrid) -> FrameGrid:
    """As 4Real Sampler fills it: in tiles where it is larger than the model knows, through a small copy where its cells are."""
    if max(grid.views, grid.times) > max(TILE):  # measured with small cells only
        return fill_in_tiles(grid, sampled_tiles(model, Sampling(steps=1)), tile=TILE)
    small = home_size(grid.height, grid.width)
    if small == (grid.height, grid.width):
        return sample_grid(model, grid, steps=1)
    sources = find_sources(grid, predicted=small)
    told = sources.predictor.all_cells(size=small)
    changes = lifted(grid, told, None, lambda g, told, _: sample_grid(model, g, steps=1, predictions=told))
    return sources.fill(changes.drawn).grid


def ready(fill: str, grid: FrameGrid) -> Callable[[], object]:
    """The fill of that name, ready to be timed: what it starts from is there."""
    if fill == "transport":
        return lambda: fill_grid(grid, method="transport")
    if fill == "fill":
        return lambda: fill_grid(grid)
    if fill == "model":
        model = load_model()
        return lambda: sampled(model, grid)
    size = (72, 128) if grid.width > 128 else (grid.height // 2, grid.width // 2)
    small = fill_grid(grid.resized(*size, fit="stretch"), method="transport").grid
    return lambda: detail_grid(grid, small)


def seams(fill: str, where: str, which: str) -> dict:
    """Cells of 128x72 in tiles of 8, or at once: how much more cells differ across the places of the seams than beside them (None along an
    axis without), and the share of the given movement in the later tiles. 15x15 cells; of the hard example, which has 16 frames, 8x15."""
    hard = which == "the hard example"
    grid = example_grid(8 if hard else 15, 15, 72, 128, "hard_" if hard else "")
    start = time.process_time()
    if fill == "model":
        made = sampled(load_model(), grid)
    else:
        made = fill_in_tiles(grid, filled_tiles(), tile=TILE) if where == "tiles" else fill_grid(grid).grid
    seconds = time.process_time() - start
    jumps = [None if math.isnan(jump) else jump for jump in seam_jumps(made, grid.known, TILE)]
    moved = movement_in_later_tiles(made, grid.known, TILE)
    return {"jumps": jumps, "moved": moved, "cells": f"{grid.views}x{grid.times} cells of 128x72", "cpu": seconds}


def tiles(side: int) -> dict:
    """A grid of so many views and times of 128x72, filled by Transport in tiles of 8; memory as of `memory_of`."""
    made, result = memory_of(example_grid(side, side, 72, 128), lambda grid: fill_in_tiles(grid, carried, tile=TILE))
    return {"tiles": made.provenance.get("tiles", 1), **result}


def carried(task: FrameGrid, _) -> FrameGrid:
    return transport_fill(task)[0]


def whole(fill: str, views: int, times: int, height: int = 72, width: int = 128) -> dict:
    """A grid of so many views and times, filled by 4Real Fill at once or by 4Real Sampler; memory as of `memory_of`."""
    model = load_model() if fill == "model" else None
    run = partial(sampled, model) if model else lambda grid: fill_grid(grid).grid
    return memory_of(example_grid(views, times, height, width), run)[1]


def memory_of(grid: FrameGrid, run: Callable[[FrameGrid], FrameGrid]) -> tuple[FrameGrid, dict]:
    """The grid filled, with all cells in files whatever their size, its CPU seconds and the memory of the process's own, looked at a hundred
    times a second: pages of mapped files are the system's, which takes them back when it needs them."""
    room.IN_MEMORY = 2**20
    run(example_grid(3, 3, 48, 80))
    done, before, peak = threading.Event(), said("RssAnon"), [0]

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], said("RssAnon"))

    with ThreadPoolExecutor(1) as watching:
        watching.submit(watch)
        start = time.process_time()
        try:
            made = run(grid)
        finally:
            done.set()
    return made, {"memory": peak[0] - before, "cpu": time.process_time() - start}


def said(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(name + ":")[1].split()[0]) * 1024


def cost(fill: str, cells: int, height: int, width: int) -> dict:
    """CPU and wall seconds, bytes above those before, and the machine's peaks."""
    peaks = {"matrix": matrix_peak(torch.float32), "bandwidth": bandwidth(), "torch": torch.__version__}
    ready(fill, example_grid(2, 2, 24, 40))()  # what is loaded at the first use is no part of it
    run = ready(fill, example_grid(cells, cells, height, width))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forgets the peak so far
    before, cpu, wall = said("VmRSS"), time.process_time(), time.perf_counter()
    kept = run()
    result = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "memory": said("VmHWM") - before}
    del kept
    return {**result, **peaks}


def counted(fill: str, cells: int, height: int, width: int) -> dict:
    """Operations and bytes of the same fill, in a run of its own, since counting takes time and memory; only this thread's, so not Transport's."""
    ready(fill, example_grid(2, 2, 24, 40))()
    run = ready(fill, example_grid(cells, cells, height, width))
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}  # PyTorch leaves it out
    with FlopCounterMode(display=False, custom_mapping=attention) as counter, Traffic() as traffic:
        run()
    return {"flops": counter.get_total_flops(), "bytes": traffic.bytes}


def attention_flops(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_, **__) -> int:
    """Of softmax(q k^T) v, from the shapes [..., tokens, channels]."""
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


RUN = {"cost": cost, "all cores": cost, "counted": counted, "seams": seams, "tiles": tiles, "whole": whole}


def run(case: tuple, truth: str | None, picture: str | None) -> dict:
    """The result of a case of performance_tables.py. truth, picture: of a case of detail, folder of rendered grids and where the first one's picture goes."""
    kind, *rest = case
    return detail(truth, *rest, picture) if kind == "detail" else RUN[kind](*rest)
