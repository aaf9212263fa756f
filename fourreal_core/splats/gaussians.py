"""4D splats: Gaussians that move with a few nodes, and what they are at one time. Next to read: rasterizer.py draws them, fit.py finds them.

Gaussians: Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering", SIGGRAPH 2023. Nodes that carry them: embedded deformation
(Sumner et al., SIGGRAPH 2007), after SC-GS (Huang et al., CVPR 2024); the paths of the nodes are Legendre polynomials of time, which
a few numbers describe. World and cameras as in grid.Cameras (OpenCV). Times are counted in cells, 0 .. T - 1, and may be fractions.
Shape suffixes: N Gaussians, P of them moving, M nodes, K nodes that each follows, D degrees of a path, C degrees of a colour's change, V views.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..grid import MAX_LENGTH, Cameras

MOST_GAUSSIANS = 2**22
MOST_NODES = 2**15
MOST_NEAR = 8
MOST_DEGREE = 16
LARGEST = 1e9
SHARES_ERROR = 1e-3


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Gaussians at one time; float32 on one device.

    positions [N, 3]; scales [N, 3]: standard deviations along the own axes, > 0; rotations [N, 4]: unit quaternions w, x, y, z from the own
    axes to the world; colours [N, 3] 0..1, as displayed (sRGB); opacities [N] 0..1, at the centre.
    """

    positions_N3: Tensor
    scales_N3: Tensor
    rotations_N4: Tensor
    colours_N3: Tensor
    opacities_N: Tensor

    def __len__(self) -> int:
        return len(self.positions_N3)

    def shapes(self) -> Tensor:
        """[N, 3, 3]: A of each covariance A A^T."""
        return rotation_matrices(self.rotations_N4) * self.scales_N3[:, None, :]

    def to(self, device: torch.device | str) -> Gaussians:
        return Gaussians(**{part.name: getattr(self, part.name).to(device) for part in fields(self)})


@dataclass(frozen=True, eq=False)
class NodePaths:
    """How the last P Gaussians move: each follows K nodes, the nearer the more.

    nodes [M, 3] at the time of rest; paths [M, D, 6]: Legendre coefficients of degrees 1 .. D, of a translation (x, y, z, in the world's
    units) and of a rotation vector (radians) about the node; near int64 [P, K], numbers of nodes; shares [P, K] 0..1 of sum 1. M = P = 0: nothing moves.
    """

    nodes_M3: Tensor
    paths_MD6: Tensor
    near_PK: Tensor
    shares_PK: Tensor

    @staticmethod
    def none() -> NodePaths:
        return NodePaths(
            torch.zeros(0, 3), torch.zeros(0, 0, 6), torch.zeros(0, 0, dtype=torch.long), torch.zeros(0, 0)
        )

    def moved(self, positions_P3: Tensor, rotations_P4: Tensor, basis_D: Tensor) -> tuple[Tensor, Tensor]:
        """Positions [P, 3] and rotations [P, 4] at the time of `basis` (see `path_basis`), from those at rest.

        x' = sum_k share_k (R_k (x - c_k) + c_k + d_k),  q' = exp(sum_k share_k r_k) q,  (d_k, r_k) = sum_i basis_i path_ki,  R_k = exp(r_k)
        """
        steps_M6 = torch.einsum("d,mdc->mc", basis_D, self.paths_MD6)
        shift_M3, turn_M3 = steps_M6[:, :3], steps_M6[:, 3:]
        # about the node: R x + (c - R c + d), so that one matrix and one vector per node suffice
        matrix_M33 = rotation_matrices(quaternions(turn_M3))
        offset_M3 = self.nodes_M3 + shift_M3 - torch.einsum("mij,mj->mi", matrix_M33, self.nodes_M3)
        per_node_M15 = torch.cat([matrix_M33.flatten(1), offset_M3, turn_M3], dim=1)
        blended_P15 = (per_node_M15[self.near_PK] * self.shares_PK[..., None]).sum(1)
        positions = torch.einsum("pij,pj->pi", blended_P15[:, :9].view(-1, 3, 3), positions_P3) + blended_P15[:, 9:12]
        return positions, quaternion_product(quaternions(blended_P15[:, 12:]), rotations_P4)


@dataclass(frozen=True, eq=False)
class Splats:
    """A scene in 4D: Gaussians at rest (those that move last), their motion, and the grid that they were fitted to; on the CPU.

    shades [N, C, 3]: Legendre coefficients of degrees 1 .. C of what is added to the colours, which are then clamped to 0..1. rest: the time at which
    Gaussians and nodes stand as stored. times, fps, cameras, size (height, width): of the grid. background [3] 0..1: seen where no Gaussian is.
    facts: JSON values (scores, counts, what is not known). Raises ValueError on other shapes, values out of range or non-finite numbers.
    """

    gaussians: Gaussians
    motion: NodePaths
    shades_NC3: Tensor
    rest: float
    times: int
    fps: float
    cameras: Cameras
    size: tuple[int, int]
    background_3: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        _check_gaussians(self.gaussians, self.shades_NC3)
        _check_motion(self.motion, len(self.gaussians))
        if not 1 <= self.times <= MAX_LENGTH or not 0 <= self.rest <= self.times - 1:
            raise ValueError(
                f"expected 1 to {MAX_LENGTH} times and a time of rest among them, got {self.times} and {self.rest}."
            )
        if not 0 < self.fps < 1000 or min(self.size) < 1 or max(self.size) > 16384:
            raise ValueError(
                f"expected fps above 0 and a size in pixels, got {self.fps} and {self.size[1]}x{self.size[0]}."
            )
        _expect("background", self.background_3, (3,), 0, 1)

    @property
    def moving(self) -> int:
        """How many of the Gaussians move; they are the last ones."""
        return len(self.motion.near_PK)

    @torch.no_grad()
    def at(self, time: float) -> Gaussians:
        """The Gaussians at a time, 0 .. times - 1 (others are clamped): exactly what the rasterizer draws."""
        still, still_part = len(self.gaussians) - self.moving, self.gaussians
        positions, rotations = still_part.positions_N3, still_part.rotations_N4
        if self.moving:
            basis = path_basis(time, self.times, self.rest, self.motion.paths_MD6.shape[1])
            moved, turned = self.motion.moved(positions[still:], rotations[still:], basis)
            positions, rotations = torch.cat([positions[:still], moved]), torch.cat([rotations[:still], turned])
        shade = path_basis(time, self.times, self.rest, self.shades_NC3.shape[1])
        colours = (still_part.colours_N3 + torch.einsum("c,ncx->nx", shade, self.shades_NC3)).clamp(0, 1)
        return replace(still_part, positions_N3=positions, rotations_N4=rotations, colours_N3=colours)


def path_basis(time: float, times: int, rest: float, degree: int) -> Tensor:
    """[degree]: Legendre polynomials of degrees 1 .. degree at a time, less their values at the time of rest, so that nothing has moved there.

    Times 0 .. times - 1 become -1 .. 1; a single time is 0.
    """
    span = max(times - 1, 1)
    here, there = (min(max(moment, 0.0), float(times - 1)) * 2 / span - (times > 1) for moment in (time, rest))
    return torch.tensor(
        [first - second for first, second in zip(_legendre(here, degree), _legendre(there, degree))],
        dtype=torch.float32,
    )


def _legendre(x: float, degree: int) -> list[float]:
    """P_1 .. P_degree by Bonnet's recursion."""
    values = [1.0, x]
    for order in range(2, degree + 1):
        values.append(((2 * order - 1) * x * values[-1] - (order - 1) * values[-2]) / order)
    return values[1 : degree + 1]


def quaternions(turns: Tensor) -> Tensor:
    """Unit quaternions [..., 4] (w, x, y, z) of rotation vectors [..., 3]; smooth at zero."""
    squared = (turns * turns).sum(-1, keepdim=True)
    angle = squared.clamp_min(1e-12).sqrt()
    return torch.cat([(angle / 2).cos(), turns * ((angle / 2).sin() / angle)], dim=-1)


def quaternion_product(first: Tensor, second: Tensor) -> Tensor:
    """[..., 4]: the rotation `second`, then `first`."""
    a, b, c, d = first.unbind(-1)
    w, x, y, z = second.unbind(-1)
    return torch.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        dim=-1,
    )


def rotation_matrices(rotations: Tensor) -> Tensor:
    """[..., 3, 3] of quaternions [..., 4] (w, x, y, z) of any length above zero."""
    w, x, y, z = functional.normalize(rotations, dim=-1).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def _check_gaussians(parts: Gaussians, shades_NC3: Tensor) -> None:
    count = len(parts.positions_N3)
    if not 1 <= count <= MOST_GAUSSIANS:
        raise ValueError(f"expected 1 to {MOST_GAUSSIANS} Gaussians, got {count}.")
    _expect("positions", parts.positions_N3, (count, 3), -LARGEST, LARGEST)
    _expect("scales", parts.scales_N3, (count, 3), 0, LARGEST)
    _expect("rotations", parts.rotations_N4, (count, 4), -1.001, 1.001)
    lengths = parts.rotations_N4.norm(dim=-1)
    if float((lengths - 1).abs().max()) > SHARES_ERROR:
        raise ValueError("expected rotations to be unit quaternions.")
    _expect("colours", parts.colours_N3, (count, 3), 0, 1)
    _expect("opacities", parts.opacities_N, (count,), 0, 1)
    degrees = shades_NC3.shape[1] if shades_NC3.ndim == 3 else 0
    if degrees > MOST_DEGREE:
        raise ValueError(f"expected colours that change with at most degree {MOST_DEGREE}, got {degrees}.")
    _expect("shades", shades_NC3, (count, degrees, 3), -LARGEST, LARGEST)


def _check_motion(motion: NodePaths, count: int) -> None:
    nodes = len(motion.nodes_M3)
    moving, near = motion.near_PK.shape if motion.near_PK.ndim == 2 else (-1, 0)
    degree = motion.paths_MD6.shape[1] if motion.paths_MD6.ndim == 3 else -1
    if nodes > MOST_NODES or not 0 <= moving <= count or near > MOST_NEAR or not 0 <= degree <= MOST_DEGREE:
        raise ValueError(
            f"expected at most {MOST_NODES} nodes, {count} moving Gaussians that follow {MOST_NEAR} nodes, and paths of degree "
            f"{MOST_DEGREE}, got {nodes}, {moving}, {near} and {degree}."
        )
    _expect("nodes", motion.nodes_M3, (nodes, 3), -LARGEST, LARGEST)
    _expect("paths", motion.paths_MD6, (nodes, degree, 6), -LARGEST, LARGEST)
    _expect("shares", motion.shares_PK, (moving, near), 0, 1 + SHARES_ERROR)
    if moving == 0:
        return
    if near == 0 or float((motion.shares_PK.sum(1) - 1).abs().max()) > SHARES_ERROR:
        raise ValueError("expected the shares of the nodes that a Gaussian follows to have sum 1.")
    if motion.near_PK.dtype != torch.long or int(motion.near_PK.min()) < 0 or int(motion.near_PK.max()) >= nodes:
        raise ValueError(f"expected the nodes that Gaussians follow to be numbers from 0 to {nodes - 1}.")


def _expect(name: str, values: Tensor, shape: tuple[int, ...], low: float, high: float) -> None:
    if values.dtype != torch.float32 or tuple(values.shape) != shape:
        raise ValueError(f"expected {name} to be float32 {list(shape)}, got {values.dtype} {list(values.shape)}.")
    if values.numel() == 0:
        return
    least, most = (float(value) for value in values.aminmax())
    if not (math.isfinite(least) and math.isfinite(most)) or least < low or most > high:
        raise ValueError(f"expected {name} from {low:g} to {high:g}, got {least:g} to {most:g}.")
