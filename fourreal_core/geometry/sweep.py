"""Plane sweep: how badly each view's pixels agree with its neighbours at each of a set of inverse depths.

Collins, "A space-sweep approach to true multi-image matching", CVPR 1996. Next to read: depth.py, which reads depth off the costs.
Shape suffixes: V views, D planes, G groups of neighbours, H W pixels, C features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .projection import pixel_centres

PLANES = 48
TRUNCATED = 0.5  # summed feature differences count at most this much: what is hidden in a neighbour is not worse than what is wrong
OUTSIDE = 0.3  # cost of what a neighbour's picture does not reach
EDGES = 1.5  # weight of the derivatives beside the colours


def features(frames_VHW3: Tensor) -> Tensor:
    """[V, 5, H, W]: colours 0..1 and the two derivatives of the grey picture."""
    colours = frames_VHW3.movedim(-1, 1)
    grey = (colours * colours.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    sobel = grey.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    kernels = torch.stack([sobel, sobel.T])[:, None]
    edges = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return torch.cat([colours, EDGES * edges], dim=1)


def neighbours(view: int, views: int) -> list[list[int]]:
    """The other views in three groups: the next ones, the ones after, and one far away; a group may repeat another where views are few."""
    others = sorted((v for v in range(views) if v != view), key=lambda v: (abs(v - view), v))
    near, middle = others[:2], others[2:4] or others[-1:]
    far = max(others, key=lambda v: min(abs(v - view), (views + 1) // 2))
    return [near, middle, [far]]


def sweep_costs(
    features_V5HW: Tensor, world_to_camera_V44: Tensor, intrinsics_V33: Tensor, view: int, planes_D: Tensor
) -> Tensor:
    """[G, D, H, W]: for each group of neighbours the least cost among its members, 0 where the colours agree, at most 0.5."""
    height, width = features_V5HW.shape[-2:]
    mine = features_V5HW[view]
    groups = []
    for group in neighbours(view, len(features_V5HW)):
        costs = [
            _costs(
                mine,
                features_V5HW[other],
                _homographies(world_to_camera_V44, intrinsics_V33, view, other, planes_D),
                height,
                width,
            )
            for other in group
        ]
        groups.append(torch.stack(costs).amin(0))
    return torch.stack(groups)


def _homographies(
    world_to_camera_V44: Tensor, intrinsics_V33: Tensor, view: int, other: int, planes_D: Tensor
) -> Tensor:
    """[D, 3, 3] from pixels of `view` to pixels of `other` through each plane."""
    relative = world_to_camera_V44[other].double() @ torch.linalg.inv(world_to_camera_V44[view].double())
    turn = intrinsics_V33[other].double() @ relative[:3, :3] @ torch.linalg.inv(intrinsics_V33[view].double())
    shift = intrinsics_V33[other].double() @ relative[:3, 3]
    third = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return (turn + planes_D.double()[:, None, None] * torch.outer(shift, third)).float()


def _costs(mine_5HW: Tensor, other_5HW: Tensor, homographies_D33: Tensor, height: int, width: int) -> Tensor:
    """[D, H, W]: truncated feature differences, smoothed over 3x3."""
    centres = torch.cat([pixel_centres(height, width), torch.ones(height, width, 1)], dim=-1)
    seen_DHW3 = torch.einsum("dij,hwj->dhwi", homographies_D33, centres)
    depth = seen_DHW3[..., 2:].clamp_min(1e-6)
    position = 2 * seen_DHW3[..., :2] / depth / torch.tensor([width, height]) - 1
    warped = functional.grid_sample(
        other_5HW[None].expand(len(position), -1, -1, -1), position, padding_mode="border", align_corners=False
    )
    cost = (warped - mine_5HW).abs().sum(1).clamp_max(TRUNCATED)
    outside = (position.abs() > 1).any(-1) | (seen_DHW3[..., 2] <= 1e-6)
    cost = torch.where(outside, OUTSIDE, cost)
    return functional.avg_pool2d(cost[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
