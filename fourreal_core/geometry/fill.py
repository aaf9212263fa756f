"""Fill a grid by what its two videos say about the scene; Transport where they say too little. The main path of this folder.

    cameras -> depth of every view -> motion and depth of view 0 at every time -> labels and hidden motion    (scene.py)
    -> each cell as every source would show it (candidates.py) -> a choice per pixel (fusion.py)

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import Cameras, FrameGrid
from ..transport import Predictions, transport
from ..transport.confidence import TYPICAL_ERROR
from .candidates import CellCandidates, cell_candidates, still_layer
from .estimate import SceneSockets, estimate_scene, working_size
from .fusion import fusion_inputs
from .networks import GeometryNetworks, load_networks
from .scene import SceneGeometry

METHODS = ("auto", "scene", "transport")
Stage = Callable[[str, float], None]


@dataclass(frozen=True)
class Filled:
    """A whole grid and how far to trust it."""

    grid: FrameGrid  # known cells bit-exact; carries the cameras that were used
    confidence: Tensor  # [V, T, H, W] 0..1; c means an expected squared error of about 0.05^2 (1 - c) / c
    report: str  # what was done and why, in sentences for the artist
    method: str  # "scene" or "transport"
    predictions: Predictions  # for a model that goes on from here


class SceneUnknown(ValueError):
    """The videos do not tell the scene's geometry; the message says why."""


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
) -> Filled:
    """Fill every unknown cell.

    method: "scene" uses the geometry of the scene and raises where it cannot be had; "transport" never does; "auto" uses it where it
    can be had and passes its own check. cameras: of all views (None: the grid's own, else estimated from its freeze-time video).
    depth: inverse depth of the known cells of any scale, [V + T - 1, h, w], views first; flow: [T, h, w, 2], pixels from each time of
    view 0 back to time 0; moving: [T, h, w], 1 where view 0 shows what moves. Each replaces what would be estimated; None estimates.
    on_stage(name, share done): called during the work; raising inside cancels. Raises ValueError for an unknown method, a grid
    without any known cell, inputs of wrong shapes, and with "scene" where geometry is not to be had.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}.")
    tell = on_stage or (lambda name, share: None)
    if method == "transport":
        return _by_transport(grid, tell, "Filled by Transport, as asked.")
    try:
        return _by_scene(
            grid, cameras, SceneSockets(depth, flow, moving), networks or load_networks(), tell, check=method == "auto"
        )
    except SceneUnknown as reason:
        if method == "scene":
            raise
        return _by_transport(grid, tell, f"Filled by Transport, because {reason}")


def _by_transport(grid: FrameGrid, tell: Stage, report: str) -> Filled:
    predictions = transport(grid, on_cell=lambda done, total: tell("transport", done / total))
    return Filled(grid.filled(predictions.blend), predictions.confidence, report, "transport", predictions)


def _by_scene(
    grid: FrameGrid,
    cameras: Cameras | None,
    sockets: SceneSockets,
    networks: GeometryNetworks,
    tell: Stage,
    *,
    check: bool,
) -> Filled:
    base = base_cell(grid)
    cameras, words = _cameras(grid, base, cameras, tell)
    freeze, fixed = grid.frames[:, base[1]], grid.frames[base[0]]
    try:
        scene = estimate_scene(networks, fixed, freeze, cameras, base=base, sockets=sockets, on_stage=tell)
    except ValueError as reason:
        raise SceneUnknown(str(reason)) from reason
    if check:
        words += " " + self_check(scene)
    predictions = transport(grid, on_cell=lambda done, total: tell("transport", done / total))
    frames, sure = fill_cells(networks, scene, grid.known, predictions, lambda share: tell("cells", share))
    filled = grid.replace(cameras=cameras).filled(frames)
    sure = torch.where(grid.known[..., None, None], torch.ones_like(sure), sure)
    chosen = Predictions(
        *(side._replace(frames=filled.frames, confidence=sure) for side in (predictions.time, predictions.view))
    )
    return Filled(filled, sure, f"Filled by the scene's geometry. {words}", "scene", chosen)


def base_cell(grid: FrameGrid) -> tuple[int, int]:
    """(view, time) whose view is known at all times and whose time is known from all views; the first of several.

    Raises SceneUnknown when there is none, or nothing to be learned from one view or one time.
    """
    if grid.views < 2:
        raise SceneUnknown("a single view has no depth: add a freeze-time video.")
    views, times = grid.known.all(1).nonzero(), grid.known.all(0).nonzero()
    if not len(views) or not len(times):
        raise SceneUnknown("it needs one view known at all times and one time known from all views.")
    return int(views[0]), int(times[0])


def _cameras(grid: FrameGrid, base: tuple[int, int], given: Cameras | None, tell: Stage) -> tuple[Cameras, str]:
    """Given cameras win, then the grid's own, then those estimated from the freeze-time frames."""
    if given is not None:
        if len(given.world_to_camera) != grid.views:
            raise ValueError(f"expected cameras of {grid.views} views, got {len(given.world_to_camera)}.")
        return given, "Cameras: given."
    if grid.cameras is not None:
        return grid.cameras, "Cameras: the grid's own."
    from .cameras import CamerasNotFound, PycolmapMissing, estimate_cameras

    try:
        estimate = estimate_cameras(
            grid.frames[:, base[1]], on_progress=lambda done, total: tell("cameras", done / total)
        )
    except (CamerasNotFound, PycolmapMissing) as reason:
        raise SceneUnknown(str(reason)) from reason
    words = [
        f"Cameras: estimated from the {grid.views} views, reprojection error {estimate.error:.2f} pixels.",
        *estimate.notes,
    ]
    return estimate.cameras, " ".join(words)


@torch.no_grad()
def fill_cells(
    networks: GeometryNetworks | None,
    scene: SceneGeometry,
    known_VT: Tensor,
    predictions: Predictions,
    on_share: Callable[[float], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Frames [V, T, H, W, 3] and confidences [V, T, H, W] of the unknown cells; known ones stay 0.

    networks None: the composition without a choosing network, its confidence from how far the sources agree.
    """
    views, times = known_VT.shape
    frames = torch.zeros(views, times, *scene.size, 3)
    sure = torch.zeros(views, times, *scene.size)
    todo = [(view, time) for view in range(views) for time in range(times) if not known_VT[view, time]]
    still, still_view = None, -1
    for done, (view, time) in enumerate(todo, start=1):
        if view != still_view:
            still, still_view = still_layer(scene, view), view
        cell = cell_candidates(scene, still, view, time)
        if networks is None:
            frames[view, time], error = cell.composed_HW3, disagreement(cell)
        else:
            place = (abs(view - scene.base[0]) / max(views - 1, 1), abs(time - scene.base[1]) / max(times - 1, 1))
            frames[view, time], error = _chosen(networks, cell, predictions, (view, time), place)
        sure[view, time] = 1 / (1 + (error / TYPICAL_ERROR) ** 2)
        if on_share is not None:
            on_share(done / len(todo))
    return frames, sure


def _chosen(
    networks: GeometryNetworks,
    cell: CellCandidates,
    predictions: Predictions,
    at: tuple[int, int],
    place: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    time, view = predictions.time, predictions.view
    pictures, told = fusion_inputs(
        cell, time.frames[at], view.frames[at], time.confidence[at], view.confidence[at], place
    )
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


def self_check(scene: SceneGeometry) -> str:
    """Predict known frames from the others: x[v0, t0] carried to each view by depth, what moves in it carried to each time.

    Raises SceneUnknown when the prediction is no better than the frame as it is. Returns what was found, in a sentence.
    """
    base, _start = scene.base
    views = [view for view in range(len(scene.cameras)) if view != base]
    depth_ratio = _median_ratio([_carried_error(scene, view) for view in views])
    if depth_ratio > 1:
        raise SceneUnknown("the depth found does not explain the freeze-time frames.")
    return f"Depth explains the freeze-time frames {1 / max(depth_ratio, 1e-3):.1f} times better than standing still."


def _carried_error(scene: SceneGeometry, view: int) -> tuple[float, float]:
    """Mean colour error of the shared frame carried to a view by depth, and of the frame as it is, over the pixels that it reaches."""
    from .candidates import carried_picture

    base, _start = scene.base
    picture, reached = carried_picture(scene, scene.freeze_VHW3[base], scene.view_depth_VHW[base], base, view)
    truth = scene.freeze_VHW3[view]
    return float((picture - truth).abs().mean(-1)[reached].mean()), float(
        (scene.freeze_VHW3[base] - truth).abs().mean(-1)[reached].mean()
    )


def _median_ratio(errors: list[tuple[float, float]]) -> float:
    ratios = sorted(after / max(before, 1e-6) for after, before in errors)
    return ratios[len(ratios) // 2] if ratios else 1.0
