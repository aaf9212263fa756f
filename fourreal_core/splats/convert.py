"""The state of a fit as splats in the world of the given cameras, and back, to go on. Next to read: fit.py.

Shape suffixes: N Gaussians, M nodes, K nodes that each may follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import Cameras, FrameGrid
from .gaussians import Gaussians, NodePaths, Splats, quaternion_product
from .points import Points
from .trainable import Trainable
from .world import World, cameras_at

GONE = 0.01  # opacity below which a Gaussian is left out


@torch.no_grad()
def to_splats(
    trainable: Trainable, world: World, grid: FrameGrid, cameras: Cameras, facts: Mapping[str, Any]
) -> Splats:
    """What the fit has found; the cameras are those given, the grid tells size and rate."""
    shown = trainable.logits_N.sigmoid() >= GONE
    if not bool(shown.any()):
        shown = torch.ones_like(shown)
    moves = trainable.moves_N & shown
    order = torch.cat([(shown & ~moves).nonzero()[:, 0], moves.nonzero()[:, 0]])
    turn, shift, unit = _rotation(world), world.to_given_44[:3, 3].float(), world.unit
    upright = quaternion_of(turn)
    rotations = quaternion_product(upright.expand(len(order), 4), trainable.rotations_N4[order])
    gaussians = Gaussians(
        trainable.positions()[order] @ turn.T * unit + shift,
        trainable.log_scales_N3[order].exp() * unit,
        functional.normalize(rotations, dim=-1),
        trainable.colours_N3[order].clamp(0, 1).clone(),
        trainable.logits_N[order].sigmoid(),
    )
    moving = order[len(order) - int(moves.sum()) :]
    paths = trainable.paths()
    motion = NodePaths(
        trainable.nodes_M3 @ turn.T * unit + shift,
        torch.cat([paths[..., :3] @ turn.T * unit, paths[..., 3:] @ turn.T], -1),
        trainable.near_NK[moving].clone(),
        trainable.share_logits_NK[moving].softmax(1) if len(trainable.nodes_M3) else torch.zeros(0, 0),
    )
    facts = {
        **facts,
        "gaussians": len(order),
        "moving": len(moving),
        "nodes": len(motion.nodes_M3),
        "gains": [[round(float(gain), 4) for gain in gains] for gains in trainable.gains_V3.exp()],
    }
    size = grid.height, grid.width
    return Splats(
        gaussians,
        motion if len(moving) else NodePaths.none(),
        trainable.shades_NC3[order].clone(),
        float(trainable.rest),
        trainable.times,
        grid.fps,
        cameras,
        size,
        trainable.background_3.clone(),
        facts,
    )


def continued(splats: Splats, world: World, size: tuple[int, int]) -> tuple[Trainable, World]:
    """(the state that these splats stand for, the world with their typical depth as the unit). size: of the cells in the fit."""
    parts, motion, back = splats.gaussians, splats.motion, _rotation(world).T
    depth = _inward(parts.positions_N3, world)[:, 2]
    world = world.in_units(float(depth[depth > 0].median()) if bool((depth > 0).any()) else 1.0)
    places = _inward(parts.positions_N3, world)
    lens = cameras_at(splats.cameras, splats.size, size)[0][1]
    pixels = places[:, 2].clamp_min(0.1) / lens[0, 0]
    sizes = parts.scales_N3.clone() / world.unit
    trainable = Trainable(
        Points(places, parts.colours_N3.clone(), sizes.amax(1).clamp_min(1e-9), pixels),
        splats.times,
        splats.rest,
        len(splats.cameras.world_to_camera),
        splats.shades_NC3.shape[1],
    )
    still = len(parts) - splats.moving
    trainable.moves_N[still:] = True
    if splats.moving:
        pixel = float(pixels[still:].median())
        paths = torch.cat([motion.paths_MD6[..., :3] @ back.T / world.unit, motion.paths_MD6[..., 3:] @ back.T], -1)
        trainable.set_nodes(_inward(motion.nodes_M3, world), paths, pixel)
        trainable.paths_MD6 = paths / trainable.path_unit_6
        near = motion.near_PK.shape[1]
        trainable.near_NK = trainable.near_NK[:, :near].clone()
        trainable.share_logits_NK = trainable.share_logits_NK[:, :near].clone()
        trainable.near_NK[still:] = motion.near_PK
        trainable.share_logits_NK[still:] = motion.shares_PK.clamp_min(1e-6).log()
    trainable.log_scales_N3 = sizes.clamp_min(1e-9).log()
    trainable.rotations_N4 = quaternion_product(quaternion_of(back).expand(len(parts), 4), parts.rotations_N4)
    trainable.logits_N = parts.opacities_N.clamp(1e-4, 1 - 1e-4).logit()
    trainable.shades_NC3 = splats.shades_NC3.clone()
    trainable.background_3 = splats.background_3.clone()
    gains = splats.facts.get("gains")
    if isinstance(gains, list) and len(gains) == len(trainable.gains_V3):
        trainable.gains_V3 = torch.tensor(gains, dtype=torch.float32).clamp(0.1, 10).log()
    return trainable, world


def quaternion_of(matrix_33: Tensor) -> Tensor:
    """[4] w, x, y, z of a rotation matrix (Shepperd, "Quaternion from rotation matrix", 1978: the largest component first)."""
    m = matrix_33.double()
    trace = m.trace()
    squares = torch.stack([trace, m[0, 0], m[1, 1], m[2, 2]])
    largest = int(squares.argmax())
    if largest == 0:
        parts = [1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        parts = [m[k, j] - m[j, k], None, None, None]
        parts[1 + i] = 1 + 2 * m[i, i] - trace
        parts[1 + j], parts[1 + k] = m[i, j] + m[j, i], m[i, k] + m[k, i]
    return functional.normalize(torch.stack(parts), dim=-1).to(matrix_33.dtype)


def _inward(places_N3: Tensor, world: World) -> Tensor:
    """Places in the world of the given cameras as they are in the fit's."""
    return (places_N3 - world.to_given_44[:3, 3].float()) @ _rotation(world) / world.unit


def _rotation(world: World) -> Tensor:
    """[3, 3]: directions of the fit's world in that of the given cameras."""
    return world.to_given_44[:3, :3].float()
