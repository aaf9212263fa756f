"""Where the dB are lost: each stage of the fill by geometry is swapped for its exact answer, alone and together with those before it.

The rungs, in the order in which each builds on those before: cameras, depth, flow, label of what moves, depth at later times, motion of
hidden points, visibility, choice. Read `climb`. Shape suffixes: V views, T times, N candidates, H W pixels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ..data.rendered.exact import ExactScene
from ..files.records import add_record, read_records
from ..geometry.candidates import cell_candidates, still_layer
from ..geometry.deformation import NodeMotion
from ..geometry.depth import nearest_inverse_depth
from ..geometry.estimate import SceneSockets, estimate_scene, pixels_per_depth
from ..geometry.fusion import fusion_inputs
from ..geometry.networks import GeometryNetworks
from ..geometry.projection import pixel_centres, project, transfer, unproject
from ..geometry.scene import MOVES, SceneGeometry, working_size
from ..grid import Cameras, FrameGrid
from ..transport import transport
from ..transport.predictions import Predictions
from .image import moving_pixels, psnr, sharpness
from .measure import hide
from .oracles import NO_ERROR, ExactDepth, ExactMovers, PartlyExactMotion

RUNGS = ("cameras", "depth", "flow", "label", "depth later", "hidden motion", "visibility", "choice")
UNITS = {
    "cameras": "degrees",
    "depth": "px of parallax at the farthest view, movers",
    "flow": "px, moving points seen at time 0",
    "label": "IoU, views and times",
    "depth later": "px of parallax at the farthest view, movers",
    "hidden motion": "px in each view, points that view 0 does not see",
    "visibility": "IoU of what was hidden at time 0",
    "choice": "dB below the best candidate, moving pixels",
}
MOST_NODES = 1500  # exact points that carry the motion of all others
WORST = 30.0  # pixels: larger errors count as this
SAME_PLACE = 1.5  # pixels: a point of another view is seen by view 0 when its depth there agrees within this
EstimateCameras = Callable[[Tensor], Cameras]  # from frames [V, H, W, 3]; raises ValueError where there are none


@dataclass(frozen=True)
class Rise:
    """What one scene gives with some rungs exact. errors: of each rung in its unit (UNITS), NaN where there is nothing to measure."""

    swapped: frozenset[str]
    all: float  # dB
    moving: float  # dB
    sharpness: float  # of moving pixels, relative to the truth
    errors: dict[str, float]


def ways_up(rungs: Sequence[str] = RUNGS) -> list[frozenset[str]]:
    """Nothing exact; each rung alone; each together with all before it."""
    alone = [frozenset([rung]) for rung in rungs]
    together = [frozenset(rungs[:count]) for count in range(2, len(rungs) + 1)]
    return [frozenset(), *alone, *together]


@torch.no_grad()
def climb(
    networks: GeometryNetworks,
    exact: ExactScene,
    swapped: Set[str],
    predictions: Predictions,
    *,
    with_fusion: bool,
    estimate: EstimateCameras | None = None,
) -> Rise:
    """Fill the unknown cells of a rendered grid with the rungs in `swapped` exact, and measure.

    predictions: Transport's of the same task. with_fusion: the fusion network chooses, else the composition. estimate: for the cameras
    where they are not swapped (None: they are always exact). Raises ValueError when no cameras or no parallax are found, and for frames
    of another size than the networks work at.
    """
    size = tuple(exact.freeze_VHW3.shape[1:3])
    if working_size(*size) != size:
        raise ValueError(
            f"the networks work on frames of 128 x 72, got {size[1]} x {size[0]}: render the scenes at 128 x 72."
        )
    exact = _in_base_frame(exact)
    truth = exact.grid()
    cameras = exact.cameras
    if estimate is not None and "cameras" not in swapped:
        cameras = in_frame_of(estimate(truth.frames[:, 0]), exact.cameras)
    scene, motion = _scene(networks, exact, cameras, swapped)
    frames, best = _filled(networks if with_fusion else None, scene, truth, predictions)
    if "choice" in swapped:
        frames = best
    unknown = ~hide(truth).known
    moving_HW = moving_pixels(truth.frames)[unknown]
    made, right = frames[unknown], truth.frames[unknown]
    errors = _errors(scene, motion, exact, cameras)
    gap = psnr(best[unknown], right, moving_HW) - psnr(made, right, moving_HW)
    errors["choice"] = 0.0 if torch.equal(made, best[unknown]) else gap  # both may be infinite
    return Rise(
        frozenset(swapped), psnr(made, right), psnr(made, right, moving_HW), sharpness(made, right, moving_HW), errors
    )


def _in_base_frame(exact: ExactScene) -> ExactScene:
    """The scene in the frame of view 0, the farthest camera at distance 1: the units in which `estimate_scene` answers."""
    poses, geometry = exact.world_to_camera_V44.double(), exact.geometry
    base = poses[0]
    poses = poses @ torch.linalg.inv(base)
    length = float(torch.linalg.inv(poses)[:, :3, 3].norm(dim=-1).max()) or 1.0
    poses[:, :3, 3] /= length
    turned = replace(
        geometry,
        view_depth_VHW=geometry.view_depth_VHW * length,
        time_depth_THW=geometry.time_depth_THW * length,
        motion_VTHW3=geometry.motion_VTHW3.float() @ base[:3, :3].float().T / length,
    )
    return replace(exact, world_to_camera_V44=poses.float(), geometry=turned)


def in_frame_of(found: Cameras, exact: Cameras) -> Cameras:
    """Estimated cameras moved, turned and scaled so that the first one is where it truly is, and the way of all is as long."""
    found_poses, exact_poses = found.world_to_camera.double(), exact.world_to_camera.double()
    relative, true = (poses @ torch.linalg.inv(poses[0]) for poses in (found_poses, exact_poses))
    length, true_length = (torch.linalg.inv(poses)[:, :3, 3].norm(dim=-1).sum() for poses in (relative, true))
    relative[:, :3, 3] *= true_length / length.clamp_min(1e-12)
    return Cameras((relative @ exact_poses[0]).float(), found.intrinsics)


def _scene(
    networks: GeometryNetworks, exact: ExactScene, cameras: Cameras, swapped: Set[str]
) -> tuple[SceneGeometry, PartlyExactMotion]:
    """The estimated scene with exact stages in place, and the motion stage, which remembers what it said."""
    fixed, freeze = exact.fixed_THW3.float() / 255, exact.freeze_VHW3.float() / 255
    geometry, pairs = exact.geometry, list(zip(cameras.world_to_camera, cameras.intrinsics))
    limit = nearest_inverse_depth(freeze, cameras.world_to_camera, cameras.intrinsics)
    gain = pixels_per_depth(pairs, 0, limit, (freeze.shape[1], freeze.shape[2]))
    with torch.device("meta"):
        stages = GeometryNetworks()
    stages.depth = ExactDepth(exact, limit) if "depth" in swapped else networks.depth
    stages.movers = ExactMovers(exact) if "label" in swapped else networks.movers
    stages.motion = motion = PartlyExactMotion(networks.motion, exact, swapped, gain)
    flow = geometry.flow_THW2 if "flow" in swapped else None
    scene = estimate_scene(stages, fixed, freeze, cameras, sockets=SceneSockets(flow=flow))
    if (
        "depth later" in swapped
    ):  # hidden motion is fitted anew to the exact depths; the depth at time 0 stays what it is
        given = torch.cat([scene.view_depth_VHW, geometry.time_depth_THW[1:]])
        scene = estimate_scene(stages, fixed, freeze, cameras, sockets=SceneSockets(depth=given, flow=flow))
        doubt = torch.full_like(scene.time_doubt_THW, math.exp(NO_ERROR))
        scene = replace(scene, time_depth_THW=geometry.time_depth_THW, time_doubt_THW=doubt)
    if "depth" in swapped:  # also what is nearer than the nearest plane
        scene = replace(scene, view_depth_VHW=geometry.view_depth_VHW)
    if "hidden motion" in swapped:
        nodes_M3, motions = exact_motion(exact)
        scene = replace(scene, nodes_M3=nodes_M3, node_motion_T=motions)
    return scene, motion


def exact_motion(exact: ExactScene) -> tuple[Tensor, list[NodeMotion]]:
    """Nodes [M, 3] among all moving points of time 0, so many that each point finds its own, and how they move at each time."""
    geometry = exact.geometry
    points, motion = [], []
    for view, mover_HW in enumerate(geometry.view_mover_VHW):
        points.append(_points(exact, view)[mover_HW])
        motion.append(geometry.motion_VTHW3[view][:, mover_HW])
    points_P3, motion_TP3 = torch.cat(points), torch.cat(motion, 1)
    kept = torch.randperm(len(points_P3), generator=torch.Generator().manual_seed(0))[:MOST_NODES]
    still = NodeMotion.still(len(kept)).rotation_M33
    return points_P3[kept], [NodeMotion(still, moment[kept]) for moment in motion_TP3]


def _points(exact: ExactScene, view: int) -> Tensor:
    """[H, W, 3]: world points of the pixels of (v, 0)."""
    depth_HW = exact.geometry.view_depth_VHW[view]
    camera = (exact.world_to_camera_V44[view], exact.intrinsics_V33[view])
    return unproject(pixel_centres(*depth_HW.shape), depth_HW.clamp_min(1e-6), *camera)


def _filled(
    networks: GeometryNetworks | None, scene: SceneGeometry, truth: FrameGrid, predictions: Predictions
) -> tuple[Tensor, Tensor]:
    """The unknown cells [V, T, H, W, 3] as they are chosen, and with the candidate nearest to the truth for each pixel; known cells 0."""
    made, best = torch.zeros_like(truth.frames), torch.zeros_like(truth.frames)
    for view in range(1, truth.views):
        still = still_layer(scene, view)
        for time in range(1, truth.times):
            cell = cell_candidates(scene, still, view, time)
            at, place = (view, time), (view / (truth.views - 1), time / max(truth.times - 1, 1))
            pictures_N3HW, told = fusion_inputs(cell, predictions.cell(at), place)
            made[at] = cell.composed_HW3
            if networks is not None:
                made[at] = (
                    networks.fusion(pictures_N3HW[None], told[None]).carried_out(pictures_N3HW[None])[0].movedim(0, -1)
                )
            candidates_NHW3 = torch.cat([made[at][None], pictures_N3HW.movedim(1, -1)])
            nearest_HW = (candidates_NHW3 - truth.frames[at]).square().sum(-1).argmin(0)
            best[at] = candidates_NHW3.gather(0, nearest_HW[None, ..., None].expand(1, -1, -1, 3))[0]
    return made, best


def _errors(scene: SceneGeometry, motion: PartlyExactMotion, exact: ExactScene, cameras: Cameras) -> dict[str, float]:
    """Of every rung but the choice, in its unit."""
    geometry = exact.geometry
    relative, true = (
        poses.double() @ torch.linalg.inv(poses[0].double())
        for poses in (cameras.world_to_camera, exact.world_to_camera_V44)
    )
    turned = (relative[1:, :3, :3] @ true[1:, :3, :3].transpose(1, 2)).diagonal(dim1=1, dim2=2).sum(-1)
    flow = (scene.flow_THW2 - geometry.flow_THW2).norm(dim=-1)[geometry.moving_THW & geometry.seen_THW]
    state = motion.state
    assert state is not None
    later = geometry.mover_THW.clone()
    later[0] = False
    hidden = ~geometry.seen_THW
    return {
        "cameras": float(torch.rad2deg(torch.acos(((turned - 1) / 2).clamp(-1, 1))).mean()),
        "depth": _mean(
            [
                _parallax_error(exact, view, scene.view_depth_VHW[view], geometry.view_depth_VHW[view])[mover]
                for view, mover in enumerate(geometry.view_mover_VHW)
            ]
        ),
        "flow": _mean([flow.clamp_max(WORST)]),
        "label": fmean(
            _iou(found > MOVES, label)
            for found, label in (
                (scene.view_mover_VHW, geometry.view_mover_VHW),
                (scene.time_mover_THW, geometry.mover_THW),
            )
        ),
        "depth later": _mean(
            [
                _parallax_error(exact, 0, scene.time_depth_THW[time], geometry.time_depth_THW[time])[mover]
                for time, mover in enumerate(later)
            ]
        ),
        "hidden motion": _hidden_motion_error(scene, exact),
        "visibility": _iou(state.seen_THW < 0, hidden) if hidden.any() else math.nan,
    }


def _parallax_error(exact: ExactScene, view: int, found_HW: Tensor, true_HW: Tensor) -> Tensor:
    """[H, W]: pixels in the view farthest from this one, at most WORST."""
    far = len(exact.freeze_VHW3) - 1 if view < len(exact.freeze_VHW3) / 2 else 0
    start, end = ((exact.world_to_camera_V44[one], exact.intrinsics_V33[one]) for one in (view, far))
    centres = pixel_centres(*found_HW.shape)
    placed, right = (transfer(centres, depth_HW, *start, *end)[0] for depth_HW in (found_HW, true_HW))
    return (placed - right).norm(dim=-1).clamp_max(WORST)


def _hidden_motion_error(scene: SceneGeometry, exact: ExactScene) -> float:
    """Pixels, over all views and times, of moving points of (v, 0) that view 0 does not see."""
    geometry, centres = exact.geometry, pixel_centres(*scene.size)
    first = (exact.world_to_camera_V44[0], exact.intrinsics_V33[0])
    errors = []
    for view in range(1, len(exact.freeze_VHW3)):
        camera = (exact.world_to_camera_V44[view], exact.intrinsics_V33[view])
        place, inverse = transfer(centres, geometry.view_depth_VHW[view], *camera, *first)
        hidden = geometry.view_mover_VHW[view] & ~_seen_by_first(exact, place, inverse)
        points_P3 = _points(exact, view)[hidden]
        for time in range(1, len(exact.fixed_THW3)):
            found, _ = project(scene.moved(points_P3, time), *camera)
            right, _ = project(points_P3 + geometry.motion_VTHW3[view, time][hidden], *camera)
            errors.append((found - right).norm(dim=-1).clamp_max(WORST))
    return _mean(errors)


def _seen_by_first(exact: ExactScene, place_HW2: Tensor, inverse_HW: Tensor) -> Tensor:
    """bool [H, W]: points at these places in view 0 are what it shows there."""
    height, width = inverse_HW.shape
    x, y = place_HW2.floor().long().unbind(-1)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height) & (inverse_HW > 0)
    shown_HW = exact.geometry.view_depth_VHW[0][y.clamp(0, height - 1), x.clamp(0, width - 1)]
    start, end = ((exact.world_to_camera_V44[one], exact.intrinsics_V33[one]) for one in (0, -1))
    apart = (
        transfer(place_HW2, shown_HW, *start, *end)[0] - transfer(place_HW2, inverse_HW.clamp_min(0), *start, *end)[0]
    )
    return inside & (apart.norm(dim=-1) < SAME_PLACE)


def _iou(found: Tensor, exact: Tensor) -> float:
    union = int((found | exact).sum())
    return int((found & exact).sum()) / union if union else 1.0


def _mean(parts: Sequence[Tensor]) -> float:
    """Over all numbers; NaN where there is none."""
    return float(torch.cat([part.flatten() for part in parts]).mean())


def measure_all(
    networks: GeometryNetworks,
    scenes: Iterable[tuple[str, ExactScene]],
    results: Path,
    tell: Callable[[str, Rise], None],
    *,
    with_fusion: bool,
    estimate: EstimateCameras | None = None,
) -> list[Rise]:
    """All ways up of all scenes (name, scene), from the file of earlier results where it has them; each new one is added to it at once.

    A scene without cameras or parallax is left out whole, with a warning.
    """
    rungs = RUNGS if estimate is not None else RUNGS[1:]
    kind = f"{'estimated' if estimate else 'given'} cameras, {'fusion' if with_fusion else 'composition'}"
    done = _read(results)
    rises = []
    for name, exact in scenes:
        predictions: Predictions | None = None
        try:
            of_scene = []
            for swapped in ways_up(rungs):
                key = f"{name}, {kind}: {', '.join(rung for rung in RUNGS if rung in swapped)}"
                if key not in done:
                    predictions = predictions or transport(hide(exact.grid()))
                    done[key] = climb(networks, exact, swapped, predictions, with_fusion=with_fusion, estimate=estimate)
                    _add(results, key, done[key])
                    tell(name, done[key])
                of_scene.append(done[key])
            rises += of_scene
        except ValueError as reason:
            logging.getLogger(__name__).warning("%s is left out: %s", name, reason)
    return rises


def _read(results: Path) -> dict[str, Rise]:
    entries: list[Any] = read_records(results)
    return {entry.pop("key"): Rise(**entry | {"swapped": frozenset(entry["swapped"])}) for entry in entries}


def _add(results: Path, key: str, rise: Rise) -> None:
    add_record(results, {"key": key, **vars(rise), "swapped": sorted(rise.swapped)})


def table(rises: Sequence[Rise]) -> str:
    """The ladder as a Markdown table: a row for each rung, means over the scenes."""
    measured = {rise.swapped for rise in rises}
    rungs = [rung for rung in RUNGS if frozenset([rung]) in measured]
    lines = [
        "| exact stage | its own error: as it is, with all before it exact | alone: all / moving dB, sharpness | with all before it |",
        "| --- | --- | --- | --- |",
        f"| none | | {_numbers(rises, frozenset())} | |",
    ]
    for place, rung in enumerate(rungs):
        as_it_is, on_exact = (_own_error(rises, frozenset(before), rung) for before in ((), rungs[:place]))
        alone, together = (_numbers(rises, frozenset(which)) for which in ([rung], rungs[: place + 1]))
        lines.append(f"| {rung} | {as_it_is}, {on_exact} ({UNITS[rung]}) | {alone} | {together} |")
    return "\n".join(lines) + "\n"


def _numbers(rises: Sequence[Rise], swapped: frozenset[str]) -> str:
    chosen = [rise for rise in rises if rise.swapped == swapped]
    values = [_nan_mean([getattr(rise, name) for rise in chosen]) for name in ("all", "moving", "sharpness")]
    return "{:.2f} / {:.2f}, {:.2f}".format(*values)


def _own_error(rises: Sequence[Rise], swapped: frozenset[str], rung: str) -> str:
    return f"{_nan_mean([rise.errors[rung] for rise in rises if rise.swapped == swapped]):.2f}"


def _nan_mean(values: Sequence[float]) -> float:
    values = [value for value in values if math.isfinite(value)]
    return fmean(values) if values else math.nan
