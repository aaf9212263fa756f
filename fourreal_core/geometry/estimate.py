"""Everything that the two videos say about a scene, estimated once per grid: depth, motion and labels of what moves. Next to read: movers.py, following.py, candidates.py.

Works at about 128 pixels a side, where the networks are at home, and brings the results to the size of the frames.
Shape suffixes: V views, T times, N maps, H W pixels, M nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..files.room import give_back
from ..grid import Cameras
from .depth import estimate_depths
from .flow_search import flows_to_first
from .following import fitted, followed, nodes_of_movers, tracks_of_movers, with_distances
from .motion import PASSES, MotionState, estimate_motion
from .movers import KnownCells, label_movers
from .networks import GeometryNetworks
from .projection import Camera, parallax_gain, pixel_centres
from .scene import MOVES, SceneGeometry, working_size
from .sweep import PLANES
from .upsampling import Upsampler


@dataclass(frozen=True)
class SceneSockets:
    """What is known better than it would be estimated here, from learned models or by hand; None: estimated."""

    depth: Tensor | None = (
        None  # [V + T - 1, h, w]: inverse depth of the freeze-time frames, then of the other fixed-view frames; any scale
    )
    flow: Tensor | None = None  # [T, h, w, 2]: pixels of its own size, from each fixed-view frame back to the base time
    moving: Tensor | None = None  # [T, h, w]: 0..1, what belongs to something that moves in the fixed-view frames

    @property
    def tracked_in_3d(self) -> bool:
        """Depth and flow: where points are at every time is given, and nothing of it is estimated."""
        return self.depth is not None and self.flow is not None

    def check(self, views: int, times: int) -> None:
        """Raises ValueError where a tensor has another shape than above or values that are not finite, negative or beyond 1."""
        maps = f"one map per view ({views}), then one per other time ({times - 1})"
        _check_maps("depth", self.depth, (views + times - 1, 0, 0), maps, "inverse depth", torch.inf)
        _check_maps("moving", self.moving, (times, 0, 0), f"one per time ({times})", "values", 1.0)
        _check_maps("flow", self.flow, (times, 0, 0, 2), f"one per time ({times})", None, torch.inf)


def _check_maps(
    name: str, maps: Tensor | None, shape: tuple[int, ...], count: str, what: str | None, largest: float
) -> None:
    """shape: 0 stands for any size; what: the name of values that must not be negative."""
    if maps is None:
        return
    fits = maps.ndim == len(shape) and all(wanted in (0, got) for wanted, got in zip(shape, maps.shape))
    if not fits or maps.numel() == 0:
        wanted = ", ".join(str(side or letter) for side, letter in zip(shape, "?hw?"))
        raise ValueError(f"expected {name} to have shape [{wanted}], {count}; got {list(maps.shape)}.")
    if not bool(torch.isfinite(maps).all()):
        raise ValueError(f"expected finite numbers in {name}, got NaN or infinity.")
    if what is not None and (float(maps.min()) < 0 or float(maps.max()) > largest):
        upper = "0..1" if largest == 1 else "0 and above"
        raise ValueError(
            f"expected {what} of {upper} in {name}, got {float(maps.min()):.3g} to {float(maps.max()):.3g}."
        )


def estimate_scene(
    networks: GeometryNetworks,
    fixed_THW3: Tensor,
    freeze_VHW3: Tensor,
    cameras: Cameras,
    *,
    base: tuple[int, int] = (0, 0),
    sockets: SceneSockets = SceneSockets(),
    on_stage: Callable[[str, float], None] | None = None,
) -> SceneGeometry:
    """Geometry of a fixed-view and a freeze-time video that share the frame `base`; frames float32 0..1.

    on_stage(name, share done 0..1) is called during the work; raising inside cancels. Raises SceneUnknown where there is no parallax.
    """
    tell = on_stage or (lambda name, share: None)
    known = known_cells(networks, fixed_THW3, freeze_VHW3, cameras, base=base, sockets=sockets, on_stage=tell)
    size, small, camera = _size(fixed_THW3), _size(known.fixed_THW3), known.cameras[base[0]]
    give_back()
    tell("labels", 0.0)
    painted = None if sockets.moving is None else _resized(sockets.moving[:, None].float(), small)[:, 0]
    view_mover, mover = label_movers(networks.movers, known, painted)
    depth, time_depth = known.depth_VHW, known.time_depth_THW
    tell("following", 0.0)
    nodes = nodes_of_movers(depth, view_mover, known.cameras)
    tracks, follow = tracks_of_movers(known, view_mover, mover), partial(tell, "following")
    if sockets.depth is not None:
        given = _sampled(sockets.depth, small)
        first, others = given[base[0]][None], given[len(depth) :]
        given_times = _aligned_in_time(
            torch.cat([others[: base[1]], first, others[base[1] :]]), time_depth[base[1]], 1 - 0.9 * mover, base[1]
        )
        tracks = [with_distances(track, given_times[base[1]], now, camera) for track, now in zip(tracks, given_times)]
        if sockets.tracked_in_3d:
            time_depth = given_times
    if sockets.tracked_in_3d:
        motions = fitted(nodes, tracks, time_depth, camera, follow)
    else:
        motions, time_depth = followed(nodes, tracks, mover, time_depth, camera, base[1], follow)
    give_back()
    tell("following", 1.0)
    of_views, of_times = (Upsampler(video, small) for video in (freeze_VHW3, fixed_THW3))
    large_view_mover, large_mover = of_views(view_mover), of_times(mover)
    flow = known.state.flow_T2HW.movedim(1, -1)
    return SceneGeometry(
        fixed_THW3=fixed_THW3,
        freeze_VHW3=freeze_VHW3,
        cameras=_cameras_at(_in_base_frame(cameras, base[0]), size, size),
        base=base,
        view_depth_VHW=of_views(depth, view_mover > MOVES, large_view_mover > MOVES),
        view_sure_VHW=of_views(known.sure_VHW),
        view_mover_VHW=large_view_mover,
        time_depth_THW=of_times(time_depth, mover > MOVES, large_mover > MOVES),
        time_doubt_THW=of_times(known.state.parallax_error_THW.clamp(-3, 4).exp()),
        time_mover_THW=large_mover,
        nodes_M3=nodes,
        node_motion_T=motions,
        flow_THW2=torch.stack([of_times(flow[..., axis]) * size[1 - axis] / small[1 - axis] for axis in (0, 1)], -1),
    )


def known_cells(
    networks: GeometryNetworks,
    fixed_THW3: Tensor,
    freeze_VHW3: Tensor,
    cameras: Cameras,
    *,
    base: tuple[int, int] = (0, 0),
    sockets: SceneSockets = SceneSockets(),
    on_stage: Callable[[str, float], None] = lambda name, share: None,
) -> KnownCells:
    """Depth and motion at the size at which the networks look, before anything is labelled or followed; inputs as of `estimate_scene`.

    Its cameras are in the frame of the base view. Raises SceneUnknown where there is no parallax.
    """
    size = _size(fixed_THW3)
    small = working_size(*size)
    fixed, freeze = (_resized(frames.movedim(-1, 1), small).movedim(1, -1) for frames in (fixed_THW3, freeze_VHW3))
    pairs = _cameras_at(_in_base_frame(cameras, base[0]), size, small)
    given = _sampled(sockets.depth, small) if sockets.depth is not None and sockets.tracked_in_3d else None
    depth, sure, limit = _view_depth(networks, freeze, pairs, given, partial(on_stage, "depth"))
    give_back()
    on_stage("motion", 0.0)
    gain = pixels_per_depth(pairs, base[0], limit, small)
    telling = partial(on_stage, "motion")
    state = _motion(networks, fixed, base, depth[base[0]] * gain, sure[base[0]], sockets.flow, telling)
    return KnownCells(freeze, fixed, depth, sure, (state.parallax_THW / gain).clamp_min(0), pairs, state, base)


def _view_depth(
    networks: GeometryNetworks,
    freeze: Tensor,
    pairs: list[Camera],
    given: Tensor | None,
    on_share: Callable[[float], None],
) -> tuple[Tensor, Tensor, float]:
    """Inverse depth of every view, confidence, and the inverse depth of the nearest plane; given maps win, at the scale of ours."""
    on_share(0.0)
    matrices, intrinsics = (torch.stack(parts) for parts in zip(*pairs))
    depth, sure, limit = estimate_depths(
        networks.depth, freeze, matrices, intrinsics, on_view=lambda done, total: on_share(done / total)
    )
    if given is None:
        return depth, sure, limit
    return _aligned(given[: len(freeze)], depth, sure), torch.ones_like(sure), limit


def _motion(
    networks: GeometryNetworks,
    fixed: Tensor,
    base: tuple[int, int],
    parallax_HW: Tensor,
    sure_HW: Tensor,
    flow: Tensor | None,
    on_share: Callable[[float], None],
) -> MotionState:
    """The motion network from the base time on, and from there backwards, as one state in the order of the times."""
    start, times = base[1], len(fixed)
    if flow is not None:
        scale = torch.tensor([fixed.shape[2] / flow.shape[2], fixed.shape[1] / flow.shape[1]])
        flow = _resized(flow.float().movedim(-1, 1), (fixed.shape[1], fixed.shape[2])).movedim(1, -1) * scale
    orders = [order for order in ([*range(start, times)], [*range(start, -1, -1)]) if len(order) > 1 or times == 1]
    parts = []
    for number, order in enumerate(orders):
        tell = partial(_tell_part, on_share, number, 2 * len(orders))
        first = flows_to_first(fixed[order], on_time=tell) if flow is None else flow[order]
        tell = partial(_tell_part, on_share, number + len(orders), 2 * len(orders))
        with _telling_layers(networks.motion, tell, PASSES):
            parts.append((order, estimate_motion(networks.motion, fixed[order], parallax_HW, sure_HW, first)))
    place = {time: (state, index) for order, state in parts for index, time in enumerate(order)}
    names = [field.name for field in fields(MotionState)]
    states = {name: torch.stack([getattr(place[t][0], name)[place[t][1]] for t in range(times)]) for name in names}
    state = MotionState(**states)
    return state if flow is None else replace(state, flow_T2HW=flow.movedim(-1, 1))


def _tell_part(on_share: Callable[[float], None], part: int, parts: int, done: int, total: int) -> None:
    on_share((part + done / total) / parts)


@contextmanager
def _telling_layers(network: nn.Module, tell: Callable[[int, int], None], passes: int) -> Iterator[None]:
    """tell(done, total) before every convolution: one pass over a long video takes longer than a user waits for a cancel."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    done, total = itertools.count(), passes * len(layers)
    hooks = [layer.register_forward_pre_hook(lambda *_: tell(min(next(done), total), total)) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _aligned(given_NHW: Tensor, own_NHW: Tensor, weight_NHW: Tensor) -> Tensor:
    """Given inverse depths brought to the scale of our own, each map by one factor and one offset (robust least squares)."""
    aligned = []
    for given, own, weight in zip(given_NHW, own_NHW, weight_NHW):
        weights = weight.double().flatten().clamp_min(1e-3)
        columns = torch.stack([given.double().flatten(), torch.ones_like(weights)], 1)
        for _ in range(8):
            root = weights.sqrt()[:, None]
            solution = torch.linalg.lstsq(columns * root, own.double().flatten()[:, None] * root).solution
            error = (columns @ solution)[:, 0] - own.double().flatten()
            spread = error.abs().median().clamp_min(1e-9)
            weights = weight.double().flatten().clamp_min(1e-3) / (1 + (error / spread) ** 2)
        aligned.append((columns @ solution)[:, 0].view_as(own).float().clamp_min(0))
    return torch.stack(aligned)


def _aligned_in_time(given_THW: Tensor, own_HW: Tensor, weight_THW: Tensor, start: int) -> Tensor:
    """The same for all times of one view: the map of the base time to our own, the others to that map, which sees the same still surfaces as well as they do."""
    first_1HW = _aligned(given_THW[start, None], own_HW[None], weight_THW[start, None])
    return _aligned(given_THW, first_1HW.expand_as(given_THW), weight_THW * weight_THW[start])


def _size(frames_NHW3: Tensor) -> tuple[int, int]:
    return frames_NHW3.shape[1], frames_NHW3.shape[2]


def _resized(pictures_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(pictures_NCHW.shape[-2:]) == size:
        return pictures_NCHW
    shrinks = size[0] < pictures_NCHW.shape[-2]
    return functional.interpolate(pictures_NCHW, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def _sampled(maps_NHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps whose values must not be mixed: a mean of two depths is the depth of neither."""
    return functional.interpolate(maps_NHW[:, None].float(), size=size, mode="nearest-exact")[:, 0]


def _in_base_frame(cameras: Cameras, base: int) -> Cameras:
    """The same cameras in the frame of the base view, the farthest at distance 1: what is computed depends on no unit or place."""
    poses = cameras.world_to_camera.double()
    poses = poses @ torch.linalg.inv(poses[base])
    farthest = _centres(poses).norm(dim=-1).max()
    poses[:, :3, 3] /= farthest if farthest > 0 else 1.0
    return Cameras(poses.float(), cameras.intrinsics)


def _centres(poses_V44: Tensor) -> Tensor:
    """[V, 3]: where the cameras stand."""
    return -torch.einsum("vji,vj->vi", poses_V44[:, :3, :3], poses_V44[:, :3, 3])


def _cameras_at(cameras: Cameras, size: tuple[int, int], small: tuple[int, int]) -> list[Camera]:
    scale = torch.tensor([[small[1] / size[1]], [small[0] / size[0]], [1.0]], dtype=cameras.intrinsics.dtype)
    return [(matrix, intrinsics * scale) for matrix, intrinsics in zip(cameras.world_to_camera, cameras.intrinsics)]


def pixels_per_depth(pairs: list[Camera], base: int, limit: float, size: tuple[int, int]) -> float:
    """How far a typical pixel of the base view moves in the farthest view, per unit of inverse depth there.

    Turns the inverse depth of the base view, whose unit depends on the scene's scale, into the pixels of parallax that
    MotionNetwork reads and gives.

    pairs: one camera per view, in the base view's frame or one with the same origin, with intrinsics for pictures of `size`;
    the farthest is the one that stands farthest from the origin. base: the view, counted from 0. limit: the largest inverse
    depth (in 1 over the cameras' unit, > 0); the gain is measured at half of it. size: (height, width) in pixels.
    Returns pixels per unit of inverse depth, the median over the picture, at least 1e-6.
    """
    far = pairs[int(_centres(torch.stack([pose for pose, _ in pairs])).norm(dim=-1).argmax())]
    gain_HW = parallax_gain(pixel_centres(*size), torch.full(size, limit / 2), pairs[base], far, limit / PLANES)
    return float(gain_HW.median().clamp_min(1e-6))
