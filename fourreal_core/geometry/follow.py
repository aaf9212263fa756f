"""Motion of what view 0 does not see: nearby points of one body move rigidly together, so hidden points follow the visible ones.

Embedded deformation (Sumner et al., SIGGRAPH 2007) in closed form: nodes among the moving points, each with the rigid motion (Kabsch 1976)
that fits the tracked points around it best, from coarse to fine, so that where nothing was tracked the coarser motion holds.
Next to read: candidates.py. Shape suffixes: N tracked points, M nodes, P points, T times.
"""

from __future__ import annotations

import torch
from torch import Tensor

NODES = 96
SCALES = (8.0, 4.0, 2.0, 1.2)  # reach of a node's fit, in distances between nodes
PRIOR = 0.5  # how many tracked points the coarser motion is worth
NEAR = 4  # nodes that a point follows


def spread_nodes(points_P3: Tensor, count: int = NODES) -> Tensor:
    """[M, 3]: points far from each other, the first the one nearest to the middle (farthest point sampling)."""
    chosen = [int((points_P3 - points_P3.mean(0)).norm(dim=-1).argmin())]
    distance_P = torch.full((len(points_P3),), torch.inf)
    while len(chosen) < min(count, len(points_P3)):
        distance_P = torch.minimum(distance_P, (points_P3 - points_P3[chosen[-1]]).norm(dim=-1))
        chosen.append(int(distance_P.argmax()))
    return points_P3[chosen]


def rigid_fits(before_N3: Tensor, after_N3: Tensor, weights_MN: Tensor, prior_before_MK3: Tensor, prior_after_MK3: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [M, 3, 3] and translations [M, 3] with after = R before + t, weighted least squares for each of M weightings.

    The prior pairs together count as PRIOR tracked points. Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976.
    """
    share = PRIOR / prior_before_MK3.shape[1]
    total_M1 = weights_MN.sum(1, keepdim=True) + PRIOR
    middle_before = (weights_MN @ before_N3 + share * prior_before_MK3.sum(1)) / total_M1
    middle_after = (weights_MN @ after_N3 + share * prior_after_MK3.sum(1)) / total_M1
    products_N9 = (before_N3[:, :, None] * after_N3[:, None, :]).flatten(1)
    covariance = (weights_MN @ products_N9).view(-1, 3, 3) + share * torch.einsum("mki,mkj->mij", prior_before_MK3, prior_after_MK3)
    covariance = covariance - total_M1[..., None] * middle_before[:, :, None] * middle_after[:, None, :]
    u, _, vh = torch.linalg.svd(covariance.double())
    flip = torch.ones(len(u), 3, dtype=u.dtype)
    flip[:, 2] = torch.linalg.det(u) * torch.linalg.det(vh)
    rotation = (vh.transpose(1, 2) * flip[:, None]) @ u.transpose(1, 2)
    rotation = rotation.to(before_N3)
    return rotation, middle_after - torch.einsum("mij,mj->mi", rotation, middle_before)


def node_motion(nodes_M3: Tensor, before_N3: Tensor, after_N3: Tensor, sure_N: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [M, 3, 3] and translations [M, 3] of the nodes between two instants, from tracked points with weights 0..1.

    Without any tracked point nothing moves.
    """
    count = len(nodes_M3)
    rotation, translation = torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3)
    if float(sure_N.sum()) < 3:
        return rotation, translation
    spacing = node_spacing(nodes_M3)
    cross_63 = torch.cat([torch.eye(3), -torch.eye(3)]) * spacing
    apart_MN = torch.cdist(nodes_M3, before_N3)
    for scale in (torch.inf, *SCALES):
        reach = spacing * scale
        prior_before = nodes_M3[:, None] + cross_63 * min(scale, SCALES[0])
        prior_after = torch.einsum("mij,mkj->mki", rotation, prior_before) + translation[:, None]
        weights_MN = sure_N * torch.exp(-0.5 * (apart_MN / reach) ** 2)
        rotation, translation = rigid_fits(before_N3, after_N3, weights_MN, prior_before, prior_after)
    return rotation, translation


def node_spacing(nodes_M3: Tensor) -> float:
    """Median distance from a node to the next; 1 for a single node."""
    if len(nodes_M3) < 2:
        return 1.0
    apart = torch.cdist(nodes_M3, nodes_M3)
    apart.fill_diagonal_(torch.inf)
    return max(float(apart.amin(1).median()), 1e-6)


def follow(points_P3: Tensor, nodes_M3: Tensor, rotation_M33: Tensor, translation_M3: Tensor) -> Tensor:
    """[P, 3]: points moved with the nodes near them, the nearer the more."""
    distance, index = torch.cdist(points_P3, nodes_M3).topk(min(NEAR, len(nodes_M3)), dim=1, largest=False)
    weights = torch.exp(-0.5 * (distance / node_spacing(nodes_M3)) ** 2) + 1e-8
    moved = torch.einsum("pkij,pj->pki", rotation_M33[index], points_P3) + translation_M3[index]
    return (moved * (weights / weights.sum(1, keepdim=True))[..., None]).sum(1)
