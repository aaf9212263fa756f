"""From a grid to Gaussians that move. The main path of this folder:

    cameras -> depth of every view at one time -> points (points.py) -> a still scene fitted to that time
    -> what moves, by optical flow in all views (motion_start.py) -> everything fitted to all cells (0.8 L1 + 0.2 DSSIM, Kerbl et al., 2023)

Some cells are kept out of the fit and score it. Shape suffixes: V views, T times, H W pixels of the fit.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..geometry.depth import estimate_depths
from ..geometry.grid_cameras import estimate_grid_cameras
from ..geometry.networks import load_networks
from ..geometry.projection import Camera, depth_unit
from ..geometry.scene import SceneUnknown, working_size
from ..geometry.upsampling import Upsampler
from ..grid import Cameras, FrameGrid
from .convert import continued, to_splats
from .gaussians import Splats
from .held_out import cells_beside, held_out_cells, rest_time
from .motion_start import Edges, find_tracks, shares, start_motion
from .points import MOST_POINTS, starting_points
from .rasterizer import render
from .report import Score, describe, psnr_of
from .trainable import RATES, Trainable
from .world import (
    Cells,
    World,
    cameras_at,
    expect_pinholes,
    single_camera,
    usable_cells,
    within,
    world_of,
)

COARSE = 160  # pixels of the longer side while most is decided
FLOW_SIDE = 192
MOST_EARLY, STILL_SHARE = 300, 1 / 3  # steps of the still scene and of the flow, of those of the last stage
COARSE_SHARE = 0.5  # of the steps, when cells are larger than that
RATE_LEFT = 0.1  # of the learning rates, at the end
WARM = 12  # steps until Adam knows how large gradients are
RELOCATE_EVERY, RELOCATE_UNTIL = 60, 0.7
DSSIM, THROUGH, RIGID, LARGE = 0.2, 0.02, 2e-3, 2e-3  # weights in the loss
GROWTH = 0.7  # log size that costs nothing
SSIM_WINDOW = 7
SHADES = 2
PICTURE_EVERY = 50  # steps
KEEP_EVERY_S = 15.0
MOST_SCORED = 64
MOST_MOVING = 0.5  # of the Gaussians; beyond, the report doubts the views
FLAT_DEPTH = 2.0  # of a scene without parallax, in distances of the farthest camera
OnStage = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Splats, their score, and a report in sentences for the artist."""

    splats: Splats
    score: Score
    report: str


@dataclass(frozen=True, eq=False)
class _Task:
    """What the stages of a fit share; `given` cameras are the user's, those of `world` the fit's."""

    cells: Cells
    used_VT: Tensor
    held_VT: Tensor
    rest: int
    size: tuple[int, int]
    steps: int
    given: Cameras
    world: World
    seed: int
    tell: OnStage
    on_picture: Callable[[Tensor], None] | None
    keep: Callable[[Splats], None] | None

    def cameras(self, size: tuple[int, int]) -> list[Camera]:
        return cameras_at(self.world.cameras, (self.cells.grid.height, self.cells.grid.width), size)


def fit_splats(
    grid: FrameGrid,
    *,
    cameras: Cameras | None = None,
    confidence: Tensor | None = None,
    steps: int = 600,
    gaussians: int = 0,
    longest: int = 512,
    start: Splats | None = None,
    seed: int = 0,
    on_stage: OnStage | None = None,
    on_picture: Callable[[Tensor], None] | None = None,
    keep: Callable[[Splats], None] | None = None,
) -> Fitted:
    """4D splats of a grid. Known cells count fully, filled ones by `confidence`, black unknown ones not at all.

    cameras: of all views (None: the grid's own, else estimated, which needs pycolmap). confidence [V, T, h, w] 0..1, as of `fill_grid`. steps: of the
    last stage, in each of which one cell is compared. gaussians: how many at first (0: as the pictures ask for). longest: pixels of the longer side at which
    cells are compared. start: splats of a grid with the same views and times to go on from; those that `keep` was given are continued where they were.
    on_stage(name, share done 0..1) often, raising cancels; on_picture([H, W, 3]) with a cell as drawn so far; keep(splats) every few seconds of the last
    stage. Grid and tensors given are not written to, and may be inference tensors. One thread of the CPU; equal inputs and seed give equal splats.
    Raises ValueError for bad input, CamerasNotFound and PycolmapMissing where cameras cannot be had; a scene that cannot be
    told (one view, no parallax) is fitted on a plane, and the report says so.
    """
    if steps < 1 or not 0 <= gaussians <= MOST_POINTS or not 16 <= longest <= 2048:
        raise ValueError(
            f"expected at least 1 step, 0 to {MOST_POINTS} Gaussians and 16 to 2048 pixels, got {steps}, {gaussians} and {longest}."
        )
    if min(grid.height, grid.width) < 16:
        raise ValueError(f"expected cells of at least 16 pixels per side, got {grid.width}x{grid.height}.")
    began, tell = clock.perf_counter(), on_stage or (lambda name, share: None)
    with _training():
        cells, notes = usable_cells(grid, confidence), []
        cameras = _cameras_for(grid, cameras, notes, tell)
        rest = rest_time(cells.weight_VT) if start is None else round(start.rest)
        held = held_out_cells(cells.weight_VT, rest)
        used = (cells.weight_VT > 0) & ~held
        base = int(used[:, rest].nonzero()[0, 0])
        size = within((grid.height, grid.width), longest)
        task = _Task(
            cells, used, held, rest, size, steps, cameras, world_of(cameras, base), seed, tell, on_picture, keep
        )
        if start is None:
            task, trainable = _still_scene(task, gaussians, notes)
            if grid.times > 1:
                _start_motion(task, trainable, notes)
            done = 0
        else:
            trainable, task, done = _started(task, start, notes)
        facts = {"notes": notes, "fitted_size": list(size)}
        _fit_all(task, trainable, min(done, steps - 1), facts)
        trainable.gains_V3 = gains_between(trainable.gains_V3, used.any(1))
        score = _score(task, trainable)
        facts |= {"score": score.facts(), "seconds": round(clock.perf_counter() - began, 1)}
        splats = to_splats(trainable, task.world, grid, cameras, facts)
        return Fitted(splats, score, describe(splats.facts))


@contextmanager
def _training() -> Iterator[None]:
    """Gradients also where the caller runs in inference mode, and one thread: small pictures are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def _cameras_for(grid: FrameGrid, cameras: Cameras | None, notes: list[str], tell: OnStage) -> Cameras:
    cameras = cameras or grid.cameras
    if cameras is not None:
        if len(cameras.world_to_camera) != grid.views:
            raise ValueError(f"expected one camera per view ({grid.views}), got {len(cameras.world_to_camera)}.")
        expect_pinholes(cameras)
        return Cameras(cameras.world_to_camera.clone(), cameras.intrinsics.clone())
    if grid.views == 1:
        return single_camera(grid.height, grid.width)
    _, estimate = estimate_grid_cameras(grid, on_progress=lambda done, total: tell("cameras", done / total))
    notes.append(f"cameras estimated from the views, reprojection error {estimate.error:.2f} pixels")
    notes.extend(estimate.notes)
    return estimate.cameras


def _early(steps: int) -> int:
    return max(1, min(MOST_EARLY, round(STILL_SHARE * steps)))


def _still_scene(task: _Task, count: int, notes: list[str]) -> tuple[_Task, Trainable]:
    """The scene at rest, fitted to the cells of that time; the task comes back with a typical depth as the unit of its world."""
    grid, size = task.cells.grid, task.size
    views = [view for view in range(grid.views) if task.used_VT[view, task.rest]]
    frames = torch.zeros(grid.views, *size, 3)
    for view in views:
        frames[view] = task.cells.picture(view, task.rest, size)
    depth = _depth(task, views, notes)
    unit = 1 / float(depth_unit(depth[views[0]]))
    task = replace(task, world=task.world.in_units(unit))
    order = [views[0], *views[:0:-1]]  # the farthest after the first: it sees most of what the first does not
    points = starting_points(frames, depth * unit, task.cameras(size), order, count)
    trainable = Trainable(points, grid.times, task.rest, grid.views, min(SHADES, grid.times - 1))
    trainable.background_3 = frames[views].mean((0, 1, 2)).clamp(0, 1)
    steps = _early(task.steps)
    _optimise(
        task, trainable, [(view, task.rest) for view in views], steps, [within(size, COARSE)] * steps, "still scene"
    )
    return task, trainable


def _depth(task: _Task, views: list[int], notes: list[str]) -> Tensor:
    """[V, H, W]: inverse depth of the views at rest, or a plane where it cannot be had."""
    grid, size = task.cells.grid, task.size
    flat = torch.full((grid.views, *size), 1 / FLAT_DEPTH)
    if len(views) < 2:
        notes.append(
            "a single view shows no depth: the scene was fitted on a plane, and looks right from that view alone"
            if grid.views == 1
            else "only one view is known at the time of rest: its depth cannot be told, the scene was fitted on a plane"
        )
        return flat
    small = working_size(grid.height, grid.width)
    frames = torch.stack([task.cells.picture(view, task.rest, small) for view in views])
    matrices, lenses = (torch.stack(parts) for parts in zip(*(task.cameras(small)[view] for view in views)))
    networks, tell = load_networks(), task.tell
    try:
        found, _, _ = estimate_depths(
            networks.depth, frames, matrices, lenses, on_view=lambda done, total: tell("depth", done / total)
        )
    except SceneUnknown as reason:
        notes.append(f"the depth of the scene cannot be told, it was fitted on a plane: {reason}")
        return flat
    large = Upsampler(torch.stack([task.cells.picture(view, task.rest, size) for view in views]), small)(found)
    return flat.index_copy(0, torch.tensor(views), large)


def _start_motion(task: _Task, trainable: Trainable, notes: list[str]) -> None:
    size, times = within(task.size, FLOW_SIDE), task.cells.grid.times
    tracks = find_tracks(task.cells, task.used_VT, task.rest, size, partial(task.tell, "flow"))
    degree = min(times - 1, max(3, min(8, 3 + (times - 8) // 3)))
    start_motion(
        trainable,
        task.cells,
        task.used_VT,
        tracks,
        task.cameras(size),
        degree,
        _early(task.steps),
        partial(task.tell, "motion"),
    )
    share = float(trainable.moves_N.float().mean())
    if share > MOST_MOVING:
        notes.append(
            f"{share:.0%} of the Gaussians had to move, as in few scenes: the views may be too far apart, the cameras wrong, or the "
            "cells not of one scene"
        )


def _started(task: _Task, start: Splats, notes: list[str]) -> tuple[Trainable, _Task, int]:
    """Earlier splats as the state of this fit, and how many of its steps they have behind them."""
    grid = task.cells.grid
    if (start.times, len(start.cameras.world_to_camera)) != (grid.times, grid.views):
        raise ValueError(
            f"expected splats of {grid.views} views and {grid.times} times to go on from, got "
            f"{len(start.cameras.world_to_camera)} and {start.times}."
        )
    trainable, world = continued(start, task.world, task.size)
    done = int(start.facts.get("steps_done", 0))
    notes.extend(note for note in start.facts.get("notes", []) if note not in notes)
    return trainable, replace(task, world=world), done


def _fit_all(task: _Task, trainable: Trainable, done: int, facts: dict) -> None:
    """All cells; the first part of the steps on small pictures."""
    grid, steps, coarse = task.cells.grid, task.steps, within(task.size, COARSE)
    cells = [tuple(cell) for cell in task.used_VT.nonzero().tolist()]
    sizes = [coarse if step < COARSE_SHARE * steps else task.size for step in range(steps)]
    kept = clock.perf_counter()

    def after(step: int) -> None:
        nonlocal kept
        if task.keep is not None and clock.perf_counter() - kept > KEEP_EVERY_S:
            unfinished = {**facts, "steps_done": step + 1}
            task.keep(to_splats(trainable, task.world, grid, task.given, unfinished))
            kept = clock.perf_counter()

    _optimise(task, trainable, cells, steps, sizes, "fit", done, after)


def _optimise(
    task: _Task,
    trainable: Trainable,
    cells: list[tuple[int, int]],
    steps: int,
    sizes: list[tuple[int, int]],
    name: str,
    done: int = 0,
    after: Callable[[int], None] = lambda step: None,
) -> None:
    """Adam; each step compares one cell, at the size that it has in `sizes`."""
    optimizer, source = trainable.optimizer(), torch.Generator().manual_seed(task.seed)
    edges = Edges(trainable) if len(trainable.nodes_M3) > 1 else None
    order: list[int] = []
    for step in range(done, steps):
        order = order or torch.randperm(len(cells), generator=source).tolist()
        view, time = cells[order.pop()]
        for group in optimizer.param_groups:
            group["lr"] = RATES[group["name"]] * RATE_LEFT ** (step / steps) * min(1, (step - done + 1) / WARM)
        drawn, loss = _compared(task, trainable, view, time, sizes[step], edges)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trainable.keep_in_range()
        if step % RELOCATE_EVERY == RELOCATE_EVERY - 1 and step < RELOCATE_UNTIL * steps:
            trainable.relocate(optimizer, _errors(task, trainable, cells, source), source)
        if task.on_picture is not None and step % PICTURE_EVERY == 0:
            task.on_picture(drawn.detach().clamp(0, 1))
        task.tell(name, (step + 1) / steps)
        after(step)
    trainable.freeze()


def drawn_cell(task: _Task, trainable: Trainable, view: int, time: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A cell as its view shows it, [H, W, 3], with the view's own exposure, and what light comes through, [H, W]."""
    drawn = render(trainable.at(time), *task.cameras(size)[view], *size)
    return drawn.over(trainable.background_3) * trainable.gains_V3[view].exp(), drawn.through_HW


def _compared(task: _Task, trainable: Trainable, view: int, time: int, size, edges: Edges | None):
    picture, through = drawn_cell(task, trainable, view, time, size)
    wanted, weights = task.cells.picture(view, time, size), task.cells.weights(view, time, size)
    weight = weights.mean()
    apart = (weights[..., None] * (picture - wanted).abs()).mean()
    loss = (1 - DSSIM) * apart + DSSIM * weight * (1 - similarity(picture, wanted))
    growth = trainable.log_scales_N3.amax(1) - trainable.first_log_size_N - GROWTH
    loss = loss + THROUGH * through.mean() + LARGE * growth.relu().mean() + 0.01 * trainable.gains_V3.square().mean()
    if edges is not None:
        loss = loss + RIGID * edges.bent(trainable.steps_at(time)[None])
    return picture, loss


def gains_between(gains_V3: Tensor, fitted_V: Tensor) -> Tensor:
    """[V, 3]: views of which no cell was fitted get the gain between those of the nearest fitted ones: the exposure of a video changes smoothly."""
    views, fitted = torch.arange(len(gains_V3)).numpy(), fitted_V.nonzero()[:, 0].numpy()
    between = [np.interp(views, fitted, gains_V3[fitted_V, channel].numpy()) for channel in range(3)]
    return torch.from_numpy(np.stack(between, -1)).float()


def similarity(first_HWC: Tensor, second_HWC: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al., 2004) of all channels, over windows of 7 x 7 pixels."""
    a, b = first_HWC.movedim(-1, 0), second_HWC.movedim(-1, 0)
    mean_a, mean_b, aa, bb, ab = functional.avg_pool2d(torch.stack([a, b, a * a, b * b, a * b]), SSIM_WINDOW, 1)
    spread = aa - mean_a**2 + bb - mean_b**2
    alike = (2 * mean_a * mean_b + 1e-4) * (2 * (ab - mean_a * mean_b) + 9e-4)
    return (alike / ((mean_a**2 + mean_b**2 + 1e-4) * (spread + 9e-4))).mean()


def _errors(task: _Task, trainable: Trainable, cells: list[tuple[int, int]], source: torch.Generator) -> Tensor:
    """[N]: how much is wrong under each Gaussian, over a few cells."""
    size, total = within(task.size, COARSE), torch.zeros(len(trainable.logits_N))
    for number in torch.randint(len(cells), (4,), generator=source).tolist():
        view, time = cells[number]
        with torch.no_grad():
            picture, _ = drawn_cell(task, trainable, view, time, size)
            wrong = (picture - task.cells.picture(view, time, size)).abs().mean(-1, keepdim=True)
        total += shares(
            trainable.at(time), task.cameras(size)[view], wrong * task.cells.weights(view, time, size)[..., None]
        )[:, 0]
    return total


@torch.no_grad()
def _score(task: _Task, trainable: Trainable) -> Score:
    """At the size of the fit; of many fitted cells, MOST_SCORED."""
    values_VT = torch.full(task.used_VT.shape, torch.nan)

    def mean_of(chosen_VT: Tensor) -> float:
        cells = chosen_VT.nonzero().tolist()
        cells = cells[:: -(-len(cells) // MOST_SCORED)]
        for done, (view, time) in enumerate(cells):
            if values_VT[view, time].isnan():
                picture, _ = drawn_cell(task, trainable, view, time, task.size)
                values_VT[view, time] = psnr_of(picture.clamp(0, 1), task.cells.picture(view, time, task.size))
            task.tell("score", (done + 1) / len(cells))
        return float(values_VT[tuple(zip(*cells))].mean())

    used_VT, held_VT = task.used_VT, task.held_VT
    fitted, held_out, beside = mean_of(used_VT), None, None
    if bool(held_VT.any()):
        held_out, beside = mean_of(held_VT), mean_of(cells_beside(held_VT, used_VT))
    return Score(fitted, held_out, beside, int(used_VT.sum()), int(held_VT.sum()))
