"""Fill a grid by what its two videos say about the scene; Transport where they say too little. The main path of this folder.

    cameras -> depth of every view -> motion and depth of view 0 at every time -> labels and hidden motion    (scene.py)
    -> each cell as every source would show it (candidates.py) -> a choice per pixel (fusion.py)                (cells.py)
                                                                  or after a small picture of it (agreeing.py)

Transport finds what it needs beside the first line, and predicts each cell when it is made.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import torch
from torch import Tensor

from ..files.room import give_back
from ..grid import Cameras, FrameGrid
from ..side_by_side import asking, beside
from ..transport import PartPredictor, Predictions, Predictor
from .agreeing import agreed
from .bases import base_cells, chosen_from
from .candidates import SHOWN, StillLayer, carried_picture, layer_from_views
from .cells import Cells, DrawCell, OnCell, confidence_of, fill_cells
from .estimate import SceneSockets, estimate_scene
from .networks import GeometryNetworks, load_networks
from .scene import MOVES, SceneGeometry, SceneUnknown

EXPLAINED = 0.8  # share of the frames' difference that a right depth leaves at most; 0.1 to 0.5 are usual
FOLLOWED = 0.95  # share of the change of what moves that is left at most where its motion was found
UNCHANGED = 0.01  # mean change of colour, 0..1, below which there is no motion to be checked
SAME_ASPECT = 1.05  # how far the shapes of a grid's cells and of a small copy's may differ: sides are whole tokens
UNSEEN_DEPTH = (
    "One fixed camera hardly shows how far things move towards it or away from it, so that was guessed: to have it seen, connect Load Depth "
    "Anything 3 to depth."
)
METHODS = ("auto", "scene", "transport")
Stage = Callable[[str, float], None]


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
    predictor: Predictor | PartPredictor  # Transport's
    report: str
    networks: GeometryNetworks | None = None  # None only without the scene
    still_layers: dict[int, StillLayer] = field(
        default_factory=dict
    )  # of views, once they are found: every fill needs them
    others: tuple[FillSources, ...] = ()  # of the same grid from other bases, each with a scene
    first: tuple[int, int] = (0, 0)  # view and time of the scene that are the grid's first

    @property
    def predictions(self) -> Predictions:
        """Transport's predictions of all cells, for a model that is told them: made at the first use, and kept."""
        return self.predictor.all_cells()

    def part(self, grid: FrameGrid, first: tuple[int, int]) -> FillSources:
        """What a part of the grid can be filled from: the whole grid's scene, with nothing found anew.

        grid: the part's cells, of which more may be known than here; first: its first view and time, counted from 0 in this grid.
        Raises ValueError for a part that does not lie within this grid, and of a part.
        """
        (view, time), whole = first, self.grid
        if not isinstance(self.predictor, Predictor):
            raise ValueError("expected the sources of a whole grid, got those of a part.")
        inside = 0 <= view <= whole.views - grid.views and 0 <= time <= whole.times - grid.times
        if not inside or grid.frames.shape[2:] != whole.frames.shape[2:]:
            raise ValueError(
                f"expected a part of {whole.views} views and {whole.times} times of {whole.width}x{whole.height}, got {grid.views} and "
                f"{grid.times} of {grid.width}x{grid.height} from view {view} and time {time} on."
            )
        cameras = whole.cameras and whole.cameras.of(slice(view, view + grid.views))
        predictor = PartPredictor(self.predictor, grid, first)
        return replace(self, grid=grid.replace(cameras=cameras), predictor=predictor, first=first)

    @torch.no_grad()
    def fill(
        self,
        drawn: Tensor | DrawCell | None = None,
        *,
        on_stage: Stage | None = None,
        on_cell: OnCell | None = None,
    ) -> Filled:
        """The whole grid. drawn: all cells as a model draws them, [V, T, H, W, 3] in 0..1, or what gives one of them when it is made; one
        more source to choose from per pixel. Without the scene's geometry there is nothing to choose, and its cells are taken. on_stage
        and on_cell as in `fill_grid`. Raises ValueError where drawn has another shape than the grid's frames."""
        if isinstance(drawn, Tensor) and drawn.shape != self.grid.frames.shape:
            raise ValueError(f"expected drawn cells of shape {list(self.grid.frames.shape)}, got {list(drawn.shape)}.")
        draw = (lambda at, _: drawn[at]) if isinstance(drawn, Tensor) else drawn

        def predicted(at: tuple[int, int]) -> tuple[Tensor, Tensor]:
            cell = self.predictor.cell(at)
            return cell.blend if draw is None else draw(at, cell), cell.confidence

        return self._filled(predicted, draw, None, on_stage, on_cell)

    @torch.no_grad()
    def detailed(self, small: Tensor, *, on_stage: Stage | None = None, on_cell: OnCell | None = None) -> Filled:
        """The whole grid as a smaller one shows it, with the detail of the known frames: see `detail_grid`. small: [V, T, h, w, 3] in 0..1."""

        def predicted(at: tuple[int, int]) -> tuple[Tensor, Tensor]:
            cell = self.predictor.cell(at)
            carried = torch.stack([side.frames for side in (cell.time, cell.view)])
            frame_HW3, error_HW = agreed(carried.movedim(-1, 1), small[at])
            return frame_HW3, confidence_of(error_HW)

        return self._filled(predicted, None, small, on_stage, on_cell)

    def _filled(
        self,
        predicted: Callable[[tuple[int, int]], tuple[Tensor, Tensor]],
        draw: DrawCell | None,
        small: Tensor | None,
        on_stage: Stage | None,
        on_cell: OnCell | None,
    ) -> Filled:
        """predicted: a cell and its confidence without the scene. Each cell is made from every base before the next one is."""
        tell = on_stage or (lambda name, share: None)
        bases = [
            Cells(one.networks, one.scene, one.still_layers)
            for one in (self, *self.others)
            if one.scene is not None and one.networks is not None
        ]

        def made(at: tuple[int, int]) -> tuple[Tensor, Tensor]:
            cell, (view, time) = self.predictor.cell(at), self.first
            drawn_HW3 = None if draw is None else draw(at, cell)
            small_HW3 = None if small is None else small[at]
            place = at[0] + view, at[1] + time  # in the scene
            filled = [cells.cell(place, cell, drawn_HW3, small_HW3) for cells in bases]
            shape = len(bases[0].scene.cameras), len(bases[0].scene.fixed_THW3)
            return chosen_from([cells.scene.base for cells in bases], shape, place, filled)

        share = partial(tell, "cells")
        grid, sure = fill_cells(self.grid, made if bases else predicted, bases, self.first[0], share, on_cell)
        return Filled(grid, sure, self.report, "scene" if bases else "transport")


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
    moves. h and w need not be those of the frames. Each replaces what would be estimated, but for depth without flow,
    which is a hint how far things move in depth; None estimates. `base_cell` says which
    view and time are the base; where several views or times are known throughout and nothing of this but cameras is given, the scene is
    found from up to three of them, and each pixel taken from one of them (bases.py). networks: None takes those that ship.
    on_stage(name, share done 0..1) is called during the work, at least once a second or so; raising inside cancels.
    on_cell(view, time, frame [H, W, 3]) is called with each cell that is filled.
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


def detail_grid(
    grid: FrameGrid, small: FrameGrid, *, on_stage: Stage | None = None, on_cell: OnCell | None = None
) -> Filled:
    """The unknown cells of a grid as a smaller grid shows them, in the size and with the detail of the known frames, which stay bit-exact. [ours]

    small: the same views and times at any smaller size, filled by anything, such as a video model that can do no larger. It decides what is
    shown; where what the known frames show agrees with it, that is taken, elsewhere it is enlarged. on_stage and on_cell as in `fill_grid`.
    Raises ValueError for grids of other views, times or aspects, and where the small one is not smaller.
    """
    if (small.views, small.times) != (grid.views, grid.times):
        raise ValueError(
            f"expected the small grid to have the {grid.views} views and {grid.times} times of the other one, got {small.views} and {small.times}."
        )
    if small.height > grid.height or small.width > grid.width or small.frames.shape == grid.frames.shape:
        raise ValueError(
            f"expected the small grid to have smaller cells than {grid.width}x{grid.height}, got {small.width}x{small.height}."
        )
    stretch = (small.width * grid.height) / (small.height * grid.width)
    if not 1 / SAME_ASPECT <= stretch <= SAME_ASPECT:
        raise ValueError(
            f"expected cells of one shape, got {small.width}x{small.height} and {grid.width}x{grid.height}: crop the one as the other."
        )
    return find_sources(grid, on_stage=on_stage).detailed(small.frames, on_stage=on_stage, on_cell=on_cell)


def find_sources(
    grid: FrameGrid,
    *,
    method: str = "auto",
    cameras: Cameras | None = None,
    depth: Tensor | None = None,
    flow: Tensor | None = None,
    moving: Tensor | None = None,
    networks: GeometryNetworks | None = None,
    predicted: tuple[int, int] | None = None,
    on_stage: Stage | None = None,
) -> FillSources:
    """What `fill_grid` fills the same grid from; arguments and errors are the same.

    predicted: make Transport's predictions of all cells for this (height, width) at once, beside the scene: see `Predictor.all_cells`.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}.")
    tell = _Telling(on_stage)
    sockets = SceneSockets(depth, flow, moving)
    sockets.check(grid.views, grid.times)
    if cameras is not None and len(cameras.world_to_camera) != grid.views:
        raise ValueError(f"expected one camera for each of the {grid.views} views, got {len(cameras.world_to_camera)}.")
    done = [0.0]

    predictor = Predictor(grid)

    def carried() -> None:
        def on_part(number: int, total: int) -> None:
            done[0] = number / total

        predictor.all_cells(on_part, predicted) if predicted else predictor.find_flows(on_part)

    scenes, using = [], grid.replace(cameras=grid.cameras)  # not the grid itself: see below
    with asking(tell.again), beside(carried) as finish:  # which is needed in any case
        if bool(grid.known.all()):
            report = "All cells were already known."
        elif method == "transport":
            report = "Filled by Transport, as requested."
        else:
            networks = networks or load_networks()
            try:
                using, scenes, report = _by_scenes(grid, cameras, sockets, networks, tell, check=method == "auto")
            except SceneUnknown as reason:
                if method == "scene":
                    raise
                report = f"Filled by Transport, because the scene's geometry could not be estimated: {reason}"
        finish(lambda: tell("transport", done[0]))
    tell("transport", 1.0)
    # The sources never hold the grid itself: whoever keeps sources per grid shall not keep the grid.
    first, *others = [FillSources(using, scene, predictor, report, networks) for scene in scenes or [None]]
    return replace(first, others=tuple(others))


class _Telling:
    """`on_stage`, which long work between two stages' shares has said again: that is where its user cancels."""

    def __init__(self, on_stage: Stage | None):
        self.on_stage, self.said = on_stage, None

    def __call__(self, name: str, share: float) -> None:
        self.said = name, share
        if self.on_stage is not None:
            self.on_stage(name, share)

    def again(self) -> None:
        if self.said is not None:
            self(*self.said)


def _by_scenes(
    grid: FrameGrid,
    cameras: Cameras | None,
    sockets: SceneSockets,
    networks: GeometryNetworks,
    tell: Stage,
    *,
    check: bool,
) -> tuple[FrameGrid, list[SceneGeometry], str]:
    """The grid with the cameras that were used, its scene from each base, and what was done, in sentences. Raises SceneUnknown."""
    given = [field.name for field in fields(sockets) if getattr(sockets, field.name) is not None]
    bases = base_cells(grid)[: 1 if given else None]
    cameras, words = _cameras(grid, bases[0], cameras, tell)
    scenes, lost = list[SceneGeometry](), list[str]()
    for number, base in enumerate(bases):
        part = _part_of(tell, number, len(bases))
        try:
            freeze, fixed = grid.frames[:, base[1]], grid.frames[base[0]]
            scene = estimate_scene(networks, fixed, freeze, cameras, base=base, sockets=sockets, on_stage=part)
            told = lambda share: part("following", 1.0)  # noqa: B023 - called at once
            checked = self_check(scene, told, given_depth=sockets.tracked_in_3d) if check else ""
        except SceneUnknown as reason:
            if base == bases[0]:
                raise
            lost.append(f" Not from view {base[0] + 1} and time {base[1] + 1} too: {reason}")
            continue
        words += f" {checked}" if checked and not scenes else ""
        scenes.append(scene)
    if len(scenes) > 1:
        places = ", ".join(f"view {scene.base[0] + 1} and time {scene.base[1] + 1}" for scene in scenes)
        words += f" Found from several places, each pixel from one of them: {places}."
    words += "".join(lost) + (f" Given: {', '.join(given)}." if given else "")
    if sockets.depth is None and len(scenes[0].nodes_M3):
        words += f" {UNSEEN_DEPTH}"
    return grid.replace(cameras=cameras), scenes, f"Filled by the scene's geometry. {words}"


def _part_of(tell: Stage, number: int, count: int) -> Stage:
    """Tells of one of several times that the same is done."""
    return lambda name, share: tell(name, (number + share) / count)


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
    give_back()
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


def self_check(
    scene: SceneGeometry, on_share: Callable[[float], None] = lambda share: None, *, given_depth: bool = False
) -> str:
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
        which, then = (
            ("given", ": try it without depth, or with another model's.") if given_depth else ("estimated", ".")
        )
        raise SceneUnknown(f"the {which} depth does not explain the freeze-time frames{then}")
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
