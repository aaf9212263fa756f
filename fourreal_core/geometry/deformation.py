"""Motion in 3D of what one camera sees: nodes that move as rigidly as possible and whose points are seen where the flow takes them.

One camera tells where points go across the picture, not how their depth changes; that what moves keeps its shape tells most of the rest.
Embedded deformation (Sumner et al., SIGGRAPH 2007) with as-rigid-as-possible edges (Sorkine and Alexa, SGP 2007), solved per time by
Gauss-Newton with Cauchy's robust weights, from the time before; motion in depth is held back a little. All residuals are in pixels.
Points that the camera does not see follow the nodes near them; where depth and flow are given, rigid fits (Kabsch, 1976) take the solver's place, and depth alone is one more error, of little weight. Next to read: candidates.py. Shape suffixes: N tracked points, M nodes, K near nodes, E edges, R groups of I errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .projection import Camera

NODES = 96
NEAR = 4  # nodes that a point follows
STEPS = 8  # of Gauss-Newton
DAMPING = 1e-3  # share of each unknown's own weight (Marquardt, 1963)
EDGES = 6  # neighbours of a node
RIGID = 6.0  # weight of the edges
SMOOTH = 0.2  # weight of the difference of neighbouring rotations
SHALLOW = 0.05  # weight of motion in depth
DEEP = 0.2  # weight of given depth: networks err by some percent, which is several pixels of parallax
COMMON_DEEP = 1.8  # as COMMON_ERROR, of weighted depth
COMMON_ERROR = 1.5  # pixels: errors of the flow beyond count less and less
MOST_TRACKED = 1200
SCALES = (8.0, 4.0, 2.0, 1.2)  # reach of a node's rigid fit, in distances between nodes
PRIOR = 0.5  # how many tracked points the coarser motion is worth


@dataclass(frozen=True)
class NodeMotion:
    """x -> R (x - c) + c + t for each node with centre c."""

    rotation_M33: Tensor
    shift_M3: Tensor

    @staticmethod
    def still(count: int) -> NodeMotion:
        return NodeMotion(torch.eye(3).expand(count, 3, 3).clone(), torch.zeros(count, 3))


def spread_nodes(points_P3: Tensor, count: int = NODES) -> Tensor:
    """[M, 3]: points far from each other, the first the one nearest to the middle (farthest point sampling)."""
    chosen = [int((points_P3 - points_P3.mean(0)).norm(dim=-1).argmin())]
    distance_P = torch.full((len(points_P3),), torch.inf)
    while len(chosen) < min(count, len(points_P3)):
        distance_P = torch.minimum(distance_P, (points_P3 - points_P3[chosen[-1]]).norm(dim=-1))
        chosen.append(int(distance_P.argmax()))
    return points_P3[chosen]


def node_spacing(nodes_M3: Tensor) -> float:
    """Median distance from a node to the next; 1 for a single node."""
    if len(nodes_M3) < 2:
        return 1.0
    apart = torch.cdist(nodes_M3, nodes_M3)
    apart.fill_diagonal_(torch.inf)
    return max(float(apart.amin(1).median()), 1e-6)


def near_nodes(points_N3: Tensor, nodes_M3: Tensor) -> tuple[Tensor, Tensor]:
    """Indices [N, K] of the nodes that a point follows and their weights [N, K], of sum 1."""
    distance, index = torch.cdist(points_N3, nodes_M3).topk(min(NEAR, len(nodes_M3)), dim=1, largest=False)
    weights = torch.exp(-0.5 * (distance / node_spacing(nodes_M3)) ** 2) + 1e-8
    return index, weights / weights.sum(1, keepdim=True)


def moved_by(
    motion: NodeMotion, points_N3: Tensor, nodes_M3: Tensor, near: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """[N, 3]: points moved with the nodes near them, the nearer the more. near: `near_nodes` of them, where it is at hand."""
    index_NK, weights_NK = near_nodes(points_N3, nodes_M3) if near is None else near
    away = points_N3[:, None] - nodes_M3[index_NK]
    turned = torch.einsum("nkij,nkj->nki", motion.rotation_M33[index_NK], away)
    return ((turned + nodes_M3[index_NK] + motion.shift_M3[index_NK]) * weights_NK[..., None]).sum(1)


def solve_motion(
    nodes_M3: Tensor,
    points_N3: Tensor,
    seen_N2: Tensor,
    sure_N: Tensor,
    camera: Camera,
    start: NodeMotion,
    away_N: Tensor | None = None,
) -> NodeMotion:
    """The motion of the nodes under which points at the base time are seen at pixels `seen` at another, each trusted 0..1.

    away_N: how far the points are along the camera's axis then, roughly, where that is given; it counts little, and outliers less.
    """
    if len(points_N3) > MOST_TRACKED:
        kept = torch.randperm(len(points_N3), generator=torch.Generator().manual_seed(0))[:MOST_TRACKED]
        points_N3, seen_N2, sure_N = points_N3[kept], seen_N2[kept], sure_N[kept]
        away_N = None if away_N is None else away_N[kept]
    if len(points_N3) < 3:
        return start
    pose, intrinsics = camera[0].float(), camera[1].float()
    depth = (points_N3 @ pose[:3, :3].T + pose[:3, 3])[:, 2].median()
    scale = float(intrinsics[0, 0] / depth.clamp_min(1e-6))  # pixels per unit of the world
    near, edges = near_nodes(points_N3, nodes_M3), _edges(nodes_M3)
    motion, unknowns = start, 6 * len(nodes_M3)
    for _ in range(STEPS):
        normal, right = torch.zeros(unknowns, unknowns), torch.zeros(unknowns)
        tracked = _tracking_errors(motion, nodes_M3, points_N3, seen_N2, sure_N, near, pose, intrinsics)
        for errors in (tracked, *_shape_errors(motion, nodes_M3, edges, scale, pose[2, :3])):
            _add_normal_equations(normal, right, errors)
        if away_N is not None:
            away = _away_errors(motion, nodes_M3, points_N3, away_N, sure_N, near, pose, scale)
            _add_normal_equations(normal, right, away)
        diagonal = normal.diagonal()  # each unknown is held by its own weight: angles and lengths have different ones
        diagonal.add_(DAMPING * diagonal + 1e-6 * float(diagonal.mean()))
        step_M6 = torch.linalg.solve(normal, -right).view(-1, 6)
        rotation = torch.matrix_exp(_cross(step_M6[:, :3].clamp(-0.5, 0.5))) @ motion.rotation_M33
        motion = NodeMotion(rotation, motion.shift_M3 + step_M6[:, 3:])
    return motion


def node_motion(nodes_M3: Tensor, before_N3: Tensor, after_N3: Tensor, sure_N: Tensor) -> NodeMotion:
    """The motion of the nodes between two instants from points tracked in 3D with weights 0..1; without any nothing moves.

    Each node takes the rigid motion that fits the points around it best, from coarse to fine, so that where nothing was
    tracked the coarser motion holds.
    """
    motion = NodeMotion.still(len(nodes_M3))
    if float(sure_N.sum()) < 3:
        return motion
    spacing = node_spacing(nodes_M3)
    cross_63 = torch.cat([torch.eye(3), -torch.eye(3)]) * spacing
    apart_MN = torch.cdist(nodes_M3, before_N3)
    rotation, translation = motion.rotation_M33, motion.shift_M3
    for scale in (torch.inf, *SCALES):
        prior_before = nodes_M3[:, None] + cross_63 * min(scale, SCALES[0])
        prior_after = torch.einsum("mij,mkj->mki", rotation, prior_before) + translation[:, None]
        weights_MN = sure_N * torch.exp(-0.5 * (apart_MN / (spacing * scale)) ** 2)
        rotation, translation = rigid_fits(before_N3, after_N3, weights_MN, prior_before, prior_after)
    return NodeMotion(rotation, torch.einsum("mij,mj->mi", rotation, nodes_M3) + translation - nodes_M3)


def rigid_fits(
    before_N3: Tensor, after_N3: Tensor, weights_MN: Tensor, prior_before_MK3: Tensor, prior_after_MK3: Tensor
) -> tuple[Tensor, Tensor]:
    """Rotations [M, 3, 3] and translations [M, 3] with after = R before + t, weighted least squares for each of M weightings.

    The prior pairs together count as PRIOR tracked points. Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976.
    """
    share = PRIOR / prior_before_MK3.shape[1]
    total_M1 = weights_MN.sum(1, keepdim=True) + PRIOR
    middle_before = (weights_MN @ before_N3 + share * prior_before_MK3.sum(1)) / total_M1
    middle_after = (weights_MN @ after_N3 + share * prior_after_MK3.sum(1)) / total_M1
    products_N9 = (before_N3[:, :, None] * after_N3[:, None, :]).flatten(1)
    covariance = (weights_MN @ products_N9).view(-1, 3, 3) + share * torch.einsum(
        "mki,mkj->mij", prior_before_MK3, prior_after_MK3
    )
    covariance = covariance - total_M1[..., None] * middle_before[:, :, None] * middle_after[:, None, :]
    u, _, vh = torch.linalg.svd(covariance.double())
    flip = torch.ones(len(u), 3, dtype=u.dtype)
    flip[:, 2] = torch.linalg.det(u) * torch.linalg.det(vh)
    rotation = (vh.transpose(1, 2) * flip[:, None]) @ u.transpose(1, 2)
    rotation = rotation.to(before_N3)
    return rotation, middle_after - torch.einsum("mij,mj->mi", rotation, middle_before)


def _cross(vectors: Tensor) -> Tensor:
    """[..., 3, 3]: matrices that multiply as the cross product with the vectors does."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vectors.shape[:-1], 3, 3)


def _edges(nodes_M3: Tensor) -> Tensor:
    """[E, 2]: indices of each node and of its nearest neighbours."""
    count = min(EDGES, len(nodes_M3) - 1)
    if count < 1:
        return torch.zeros(0, 2, dtype=torch.long)
    near = torch.cdist(nodes_M3, nodes_M3).topk(count + 1, dim=1, largest=False).indices[:, 1:]
    return torch.stack([torch.arange(len(nodes_M3)).repeat_interleave(count), near.reshape(-1)], 1)


class _Errors(NamedTuple):
    """R groups of I weighted errors, each of which K nodes decide."""

    values_RI: Tensor
    slopes_RIK6: Tensor  # by turn and shift of those nodes
    nodes_RK: Tensor  # indices


def _add_normal_equations(normal: Tensor, right: Tensor, errors: _Errors) -> None:
    """Adds slopes' x slopes to normal [6 M, 6 M] and slopes' x values to right [6 M]: only where a group's few nodes meet."""
    slopes_RIU, unknowns_RU = (
        errors.slopes_RIK6.flatten(2),
        (6 * errors.nodes_RK[..., None] + torch.arange(6)).flatten(1),
    )
    places_RUU = unknowns_RU[:, :, None] * len(right) + unknowns_RU[:, None]
    normal.view(-1).index_add_(0, places_RUU.flatten(), (slopes_RIU.mT @ slopes_RIU).flatten())
    right.index_add_(0, unknowns_RU.flatten(), (slopes_RIU.mT @ errors.values_RI[..., None]).flatten())


def _tracking_errors(motion, nodes_M3, points_N3, seen_N2, sure_N, near, pose, intrinsics) -> _Errors:
    """Moved points are seen where the flow says."""
    index_NK, weights_NK = near
    count, nodes = index_NK.shape
    turned = torch.einsum("nkij,nkj->nki", motion.rotation_M33[index_NK], points_N3[:, None] - nodes_M3[index_NK])
    moved = ((turned + nodes_M3[index_NK] + motion.shift_M3[index_NK]) * weights_NK[..., None]).sum(1)
    camera_N3 = moved @ pose[:3, :3].T + pose[:3, 3]
    z = camera_N3[:, 2].clamp_min(1e-4)
    pixels = camera_N3 @ intrinsics.T
    error_N2 = pixels[:, :2] / z[:, None] - seen_N2
    slope_N23 = torch.zeros(count, 2, 3)
    slope_N23[:, 0, 0], slope_N23[:, 1, 1] = intrinsics[0, 0] / z, intrinsics[1, 1] / z
    slope_N23[:, 0, 2], slope_N23[:, 1, 2] = (
        -intrinsics[0, 0] * camera_N3[:, 0] / z**2,
        -intrinsics[1, 1] * camera_N3[:, 1] / z**2,
    )
    slope_N23 = slope_N23 @ pose[:3, :3]
    by_node = torch.cat([-_cross(turned), torch.eye(3).expand(count, nodes, 3, 3)], -1) * weights_NK[..., None, None]
    slopes_N2K6 = torch.einsum("nij,nkjd->nikd", slope_N23, by_node)
    error_N = error_N2.norm(dim=-1)
    common = error_N.median().clamp_min(COMMON_ERROR)  # far from the solution everything is off, and nothing an outlier
    trust_N = (sure_N / (1 + (error_N / common) ** 2)).sqrt()
    return _Errors(error_N2 * trust_N[:, None], slopes_N2K6 * trust_N[:, None, None, None], index_NK)


def _away_errors(motion, nodes_M3, points_N3, away_N, sure_N, near, pose, scale: float) -> _Errors:
    """Moved points are as far along the camera's axis as given."""
    index_NK, weights_NK = near
    count, nodes = index_NK.shape
    turned = torch.einsum("nkij,nkj->nki", motion.rotation_M33[index_NK], points_N3[:, None] - nodes_M3[index_NK])
    error_N = DEEP * scale * (moved_by(motion, points_N3, nodes_M3, near) @ pose[2, :3] + pose[2, 3] - away_N)
    by_node = torch.cat([-_cross(turned), torch.eye(3).expand(count, nodes, 3, 3)], -1) * weights_NK[..., None, None]
    slopes_NK6 = DEEP * scale * torch.einsum("j,nkjd->nkd", pose[2, :3], by_node)
    common = error_N.abs().median().clamp_min(COMMON_DEEP)
    trust_N = (sure_N / (1 + (error_N / common) ** 2)).sqrt()
    return _Errors((error_N * trust_N)[:, None], (slopes_NK6 * trust_N[:, None, None])[:, None], index_NK)


def _shape_errors(motion, nodes_M3, edges_E2, scale: float, forward_3: Tensor) -> list[_Errors]:
    """Of the edges' lengths and directions, of the rotations' differences, and of motion in depth."""
    first_E, second_E = edges_E2.unbind(1)
    balance = (len(nodes_M3) / max(len(edges_E2), 1)) ** 0.5
    weight_rigid = RIGID * scale * balance
    weight_smooth = SMOOTH * scale * node_spacing(nodes_M3) * balance
    turned = torch.einsum("eij,ej->ei", motion.rotation_M33[first_E], nodes_M3[second_E] - nodes_M3[first_E])
    error_E3 = turned + nodes_M3[first_E] + motion.shift_M3[first_E] - nodes_M3[second_E] - motion.shift_M3[second_E]
    rigid, smooth = torch.zeros(2, len(edges_E2), 3, 2, 6).unbind()
    rigid[:, :, 0, :3] = -_cross(turned)
    rigid[:, :, 0, 3:], rigid[:, :, 1, 3:] = torch.eye(3), -torch.eye(3)
    smooth[:, :, 0, :3], smooth[:, :, 1, :3] = torch.eye(3), -torch.eye(3)
    relative = motion.rotation_M33[first_E] @ motion.rotation_M33[second_E].mT
    twist_E33 = 0.5 * (relative - relative.mT)
    twist_E3 = torch.stack([twist_E33[:, 2, 1], twist_E33[:, 0, 2], twist_E33[:, 1, 0]], -1)
    shallow = torch.zeros(len(nodes_M3), 1, 1, 6)
    shallow[..., 3:] = forward_3
    depth_M = motion.shift_M3 @ forward_3
    held_M = SHALLOW * scale / (1 + (depth_M * scale / 4).abs()).sqrt()
    every_M1 = torch.arange(len(nodes_M3))[:, None]
    return [
        _Errors(error_E3 * weight_rigid, rigid * weight_rigid, edges_E2),
        _Errors(twist_E3 * weight_smooth, smooth * weight_smooth, edges_E2),
        _Errors((depth_M * held_M)[:, None], shallow * held_M[:, None, None, None], every_M1),
    ]
