"""Fill a grid by what its two videos say about the scene; Transport where they say too little. The main path of this folder.

    cameras -> depth of every view -> motion and depth of view 0 at every time -> labels and hidden motion    (scene.py)
    -> each cell as every source would show it (candidates.py) -> a choice per pixel (fusion.py)

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import Cameras, FrameGrid
from ..transport import Predictions, transport
from ..transport.confidence import TYPICAL_ERROR
from .candidates import (
    SHOWN,
    CellCandidates,
    StillLayer,
    carried_picture,
    cell_candidates,
    layer_from_views,
    still_layer,
)
from .estimate import SceneSockets, estimate_scene, working_size
from .fusion import fusion_inputs
from .networks import GeometryNetworks, load_networks
from .scene import MOVES, SceneGeometry, SceneUnknown

SMALLEST = 12  # pixels of the shorter side
EXPLAINED = 0.8  # share of the frames' difference that a right depth leaves at most; 0.1 to 0.5 are usual
FOLLOWED = 0.95  # share of the change of what moves that is left at most where its motion was found
UNCHANGED = 0.01  # mean change of colour, 0..1, below which there is no motion to be checked
METHODS = ("auto", "scene", "transport")
Stage = Callable[[str, float], None]
OnCell = Callable[[int, int, Tensor], None]


@dataclass(frozen=True, eq=False)
class Filled:
    """A whole grid and how far to trust it."""

    grid: FrameGrid  # known cells bit-exact; carries the cameras that were used
    confidence: Tensor  # [V, T, H, W] 0..1; c means an expected squared error of about 0.05^2 (1 - c) / c
    report: str  # what was done and why, in sentences for the artist
    method: str  # "scene" or "transport"


@dataclass(frozen=True, eq=False)
class FillSources:
    """Everything that the unknown cells of a grid can be made from, found once; `fill` makes them, with or without what a model draws."""

    grid: FrameGrid  # carries the cameras that are used
    scene: SceneGeometry | None  # None: Transport alone
    predictions: Predictions  # Transport's
    report: str
    networks: GeometryNetworks | None = None
    still_layers: dict[int, StillLayer] = field(
        default_factory=dict
    )  # of views, once they are found: every fill needs them

    @torch.no_grad()
    def fill(
        self, drawn: Tensor | None = None, *, on_stage: Stage | None = None, on_cell: OnCell | None = None
    ) -> Filled:
        """The whole grid. drawn: all cells as a model draws them, [V, T, H, W, 3] in 0..1, one more source to choose from per pixel;
        without the scene's geometry there is nothing to choose, and its cells are taken. on_stage and on_cell as in `fill_grid`.
        Raises ValueError where drawn has another shape than the grid's frames."""
        if drawn is not None and drawn.shape != self.grid.frames.shape:
            raise ValueError(f"expected drawn cells of shape {list(self.grid.frames.shape)}, got {list(drawn.shape)}.")
        if self.scene is None:
            frames = self.predictions.blend if drawn is None else drawn
            return Filled(self.grid.filled(frames), self.predictions.confidence, self.report, "transport")
        tell = on_stage or (lambda name, share: None)
        frames, sure = fill_cells(
            self.networks,
            self.scene,
            self.grid.known,
            self.predictions,
            drawn,
            partial(tell, "cells"),
            on_cell,
            self.still_layers,
        )
        sure = torch.where(self.grid.known[..., None, None], torch.ones_like(sure), sure)
        return Filled(self.grid.filled(frames), sure, self.report, "scene")


def fill_grid(
    grid: FrameGrid,
    *,
    method: str = "auto",
    cameras: Cameras | None = None,
    depth: Tensor | None = None,
    flow: Tensor | None = None,
    moving: Tensor | None = None,
    networks: GeometryNetworks | None = None,
    on_stage: Stage | None = None,
    on_cell: OnCell | None = None,
) -> Filled:
    """Fill every unknown cell; known ones stay bit-exact, the grid is not written to, the same input gives the same result.

    method: "scene" uses the geometry of the scene and raises where it cannot be had; "transport" never does; "auto" uses it where
    it can be had and passes its own check. cameras: of all views (None: the grid's own, else estimated from its freeze-time
    frames, which needs pycolmap). depth: inverse depth of the known cells, [V + T - 1, h, w], the views at the base time first,
    then the base view at its other times; each map has a scale and an offset of its own. flow: [T, h, w, 2], pixels of its own
    size (x, y) from each time of the base view back to the base time. moving: [T, h, w], 0..1, 1 where the base view shows what
    moves. h and w need not be those of the frames. Each replaces what would be estimated; None estimates. `base_cell` says which
    view and time are the base. networks: None takes those that ship.
    on_stage(name, share done 0..1) is called during the work, at least once a second or so; raising inside cancels.
    on_cell(view, time, frame [H, W, 3]) is called with each cell filled by "scene".
    Raises ValueError for an unknown method, a grid without any known cell, inputs of wrong shapes or values, and, as SceneUnknown,
    with "scene" where geometry is not to be had.
    """
    sources = find_sources(
        grid,
        method=method,
        cameras=cameras,
        depth=depth,
        flow=flow,
        moving=moving,
        networks=networks,
        on_stage=on_stage,
    )
    return sources.fill(on_stage=on_stage, on_cell=on_cell)


def find_sources(
    grid: FrameGrid,
    *,
    method: str = "auto",
    cameras: Cameras | None = None,
    depth: Tensor | None = None,
    flow: Tensor | None = None,
    moving: Tensor | None = None,
    networks: GeometryNetworks | None = None,
    on_stage: Stage | None = None,
) -> FillSources:
    """What `fill_grid` fills the same grid from; arguments and errors are the same."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}.")
    tell = on_stage or (lambda name, share: None)
    sockets = SceneSockets(depth, flow, moving)
    sockets.check(grid.views, grid.times)
    if cameras is not None and len(cameras.world_to_camera) != grid.views:
        raise ValueError(f"expected one camera for each of the {grid.views} views, got {len(cameras.world_to_camera)}.")
    if bool(grid.known.all()):
        return _by_transport(grid, tell, "All cells were already known.")
    if method == "transport":
        return _by_transport(grid, tell, "Filled by Transport, as requested.")
    try:
        return _by_scene(grid, cameras, sockets, networks or load_networks(), tell, check=method == "auto")
    except SceneUnknown as reason:
        if method == "scene":
            raise
        return _by_transport(
            grid, tell, f"Filled by Transport, because the scene's geometry could not be estimated: {reason}"
        )


def _by_transport(grid: FrameGrid, tell: Stage, report: str) -> FillSources:
    predictions = transport(grid, on_cell=lambda done, total: tell("transport", done / total))
    own = grid.replace(
        cameras=grid.cameras
    )  # not the grid itself: whoever keeps sources per grid shall not keep the grid
    return FillSources(own, None, predictions, report)


def _by_scene(
    grid: FrameGrid,
    cameras: Cameras | None,
    sockets: SceneSockets,
    networks: GeometryNetworks,
    tell: Stage,
    *,
    check: bool,
) -> FillSources:
    base = base_cell(grid)
    cameras, words = _cameras(grid, base, cameras, tell)
    freeze, fixed = grid.frames[:, base[1]], grid.frames[base[0]]
    scene = estimate_scene(networks, fixed, freeze, cameras, base=base, sockets=sockets, on_stage=tell)
    if check:
        words += " " + self_check(scene, lambda share: tell("following", 1.0))
    predictions = transport(grid, on_cell=lambda done, total: tell("transport", done / total))
    given = [name for name in ("depth", "flow", "moving") if getattr(sockets, name) is not None]
    words += f" Given: {', '.join(given)}." if given else ""
    report = f"Filled by the scene's geometry. {words}"
    return FillSources(grid.replace(cameras=cameras), scene, predictions, report, networks)


def base_cell(grid: FrameGrid) -> tuple[int, int]:
    """(view, time) whose view is known at all times and whose time is known from all views; the first of several.

    Raises SceneUnknown when there is none, or nothing to be learned from one view or one time.
    """
    if grid.views < 2:
        raise SceneUnknown("a single view has no parallax: add a freeze-time video.")
    if min(grid.height, grid.width) < SMALLEST:
        raise SceneUnknown(f"frames of less than {SMALLEST} pixels per side show too little.")
    views, times = grid.known.all(1).nonzero(), grid.known.all(0).nonzero()
    if not len(views) or not len(times):
        raise SceneUnknown("it needs one view known at all times and one time known from all views.")
    return int(views[0]), int(times[0])


def _cameras(grid: FrameGrid, base: tuple[int, int], given: Cameras | None, tell: Stage) -> tuple[Cameras, str]:
    """Given cameras win, then the grid's own, then those estimated from the freeze-time frames."""
    if given is not None:
        return _usable(given), "Cameras: given."
    if grid.cameras is not None:
        return _usable(grid.cameras), "Cameras: the grid's own."
    from .cameras import CamerasNotFound, PycolmapMissing, estimate_cameras

    frames = grid.frames[:, base[1]]
    try:
        estimate = estimate_cameras(frames, on_progress=lambda done, total: tell("cameras", done / total))
    except (CamerasNotFound, PycolmapMissing) as reason:
        raise SceneUnknown(str(reason)) from reason
    said = f"Cameras: estimated from the freeze-time frames, with {estimate.error:.2f} pixels of reprojection error."
    return estimate.cameras, " ".join([said, *estimate.notes])


def _usable(cameras: Cameras) -> Cameras:
    """Raises ValueError where a matrix of lens or pose cannot be inverted, or a lens mirrors."""
    turns, lenses = torch.linalg.det(cameras.world_to_camera[:, :3, :3]), cameras.intrinsics[:, [0, 1], [0, 1]]
    if float((turns - 1).abs().max()) > 0.01 or float(lenses.min()) <= 0:
        raise ValueError(
            "expected cameras with proper rotations and positive focal lengths, got others: check where the "
            "cameras come from."
        )
    return cameras


@torch.no_grad()
def fill_cells(
    networks: GeometryNetworks | None,
    scene: SceneGeometry,
    known_VT: Tensor,
    predictions: Predictions,
    drawn: Tensor | None = None,
    on_share: Callable[[float], None] | None = None,
    on_cell: OnCell | None = None,
    still_layers: dict[int, StillLayer] | None = None,
) -> tuple[Tensor, Tensor]:
    """Frames [V, T, H, W, 3] and confidences [V, T, H, W] of the unknown cells; known ones stay 0.

    networks None: the composition without a choosing network, its confidence from how far the sources agree. drawn: see `FillSources`.
    still_layers: those of the scene that are at hand, by view; the others are added.
    """
    views, times = known_VT.shape
    frames = torch.zeros(views, times, *scene.size, 3)
    sure = torch.zeros(views, times, *scene.size)
    todo = [(view, time) for view in range(views) for time in range(times) if not known_VT[view, time]]
    tell = on_share or (lambda share: None)
    layers = {} if still_layers is None else still_layers
    for done, (view, time) in enumerate(todo, start=1):
        if view not in layers:
            layers[view] = still_layer(scene, view, partial(tell, (done - 1) / len(todo)))
        cell = cell_candidates(scene, layers[view], view, time)
        if networks is None:
            frames[view, time], error = cell.composed_HW3, disagreement(cell)
        else:
            place = (abs(view - scene.base[0]) / max(views - 1, 1), abs(time - scene.base[1]) / max(times - 1, 1))
            frames[view, time], error = _chosen(
                networks, cell, predictions, (view, time), place, None if drawn is None else drawn[view, time]
            )
        sure[view, time] = 1 / (1 + (error / TYPICAL_ERROR) ** 2)
        if on_cell is not None:
            on_cell(view, time, frames[view, time])
        tell(done / len(todo))
    return frames, sure


def _chosen(
    networks: GeometryNetworks,
    cell: CellCandidates,
    predictions: Predictions,
    at: tuple[int, int],
    place: tuple[float, float],
    drawn_HW3: Tensor | None,
) -> tuple[Tensor, Tensor]:
    pictures, told = fusion_inputs(cell, predictions, at, place, drawn_HW3)
    size = tuple(told.shape[-2:])
    small = working_size(*size)
    if small == size:
        choice = networks.fusion(pictures[None], told[None])
    else:  # the choice is made where the network is at home, and carried out at the size of the frames
        shrink = partial(functional.interpolate, size=small, mode="bilinear", align_corners=False, antialias=True)
        choice = networks.fusion(shrink(pictures)[None], shrink(told[None])).resized(size)
    return choice.carried_out(pictures[None])[0].movedim(0, -1), choice.log_error_BHW[0].exp()


def disagreement(cell: CellCandidates) -> Tensor:
    """[H, W] colour difference between the composition and the sources that claim to show the same place, 0..1."""
    errors = [(layer.colour_HW3 - cell.composed_HW3).abs().mean(-1) * (layer.cover_HW > 0.5) for layer in cell.layers]
    return (
        torch.stack([*errors, 0.5 * (cell.shaded_HW3 - cell.still.colour_HW3).abs().mean(-1)]).amax(0).clamp_min(0.01)
    )


def self_check(scene: SceneGeometry, on_share: Callable[[float], None] = lambda share: None) -> str:
    """Predict known frames from the others: x[v0, t0] carried to each view by depth, and what moves in it moved to each time.

    Raises SceneUnknown when the depth predicts hardly more than the frame as it is. Returns what was found, in sentences.
    """
    base, start = scene.base
    views = [view for view in range(len(scene.cameras)) if view != base]
    errors = []
    for number, view in enumerate(views):
        on_share(number / len(views))
        errors.append(_carried_error(scene, view))
    depth_ratio = _median_ratio(errors)
    if depth_ratio > EXPLAINED:
        raise SceneUnknown("the estimated depth does not explain the freeze-time frames.")
    said = f"Depth explains the freeze-time frames {1 / max(depth_ratio, 1e-3):.1f} times better than no motion."
    ratios = {time: _moved_ratio(scene, time) for time in range(len(scene.fixed_THW3)) if time != start}
    lost = [time for time, ratio in ratios.items() if ratio > FOLLOWED]
    return f"{said} {_lost_motion(lost, len(ratios))}" if lost else said


def _lost_motion(lost: list[int], times: int) -> str:
    which = "any time" if len(lost) == times else f"time {', '.join(str(time + 1) for time in lost)}"
    return (
        f"What moves could not be followed to {which}: look there first, and give flow from RAFT, a painted mask of "
        "what moves, or a video with smaller steps between its times."
    )


def _moved_ratio(scene: SceneGeometry, time: int) -> float:
    """How much of the change of the base view's frame is left once what moves in it is moved to the time, over what moves; 0 where nothing does."""
    base, start = scene.base
    moved = layer_from_views(scene, [base], base, time)
    still_HW3, truth_HW3 = scene.fixed_THW3[start], scene.fixed_THW3[time]
    shown_HW = moved.cover_HW > SHOWN
    asked_HW = shown_HW | (scene.time_mover_THW[time] > MOVES)
    change = float((still_HW3 - truth_HW3).abs().mean(-1)[asked_HW].sum())
    if change < UNCHANGED * int(asked_HW.sum()):
        return 0.0
    drawn_HW3 = torch.where(shown_HW[..., None], moved.colour_HW3, still_HW3)
    return float((drawn_HW3 - truth_HW3).abs().mean(-1)[asked_HW].sum()) / max(change, 1e-6)


def _carried_error(scene: SceneGeometry, view: int) -> tuple[float, float]:
    """Mean colour error of the shared frame carried to a view by depth, and of the frame as it is, over the pixels that it reaches."""
    base, _ = scene.base
    picture, reached = carried_picture(scene, scene.freeze_VHW3[base], scene.view_depth_VHW[base], base, view)
    truth = scene.freeze_VHW3[view]
    if not bool(reached.any()):
        return 1.0, 0.0
    return float((picture - truth).abs().mean(-1)[reached].mean()), float(
        (scene.freeze_VHW3[base] - truth).abs().mean(-1)[reached].mean()
    )


def _median_ratio(errors: list[tuple[float, float]]) -> float:
    ratios = sorted(after / max(before, 1e-6) for after, before in errors)
    return ratios[len(ratios) // 2] if ratios else 1.0
