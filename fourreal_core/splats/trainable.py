"""The numbers that a fit changes, and the Gaussians that they are at a time, differentiably. Next to read: fit.py.

Positions are counted in pixels at a Gaussian's own depth, and paths in a few pixels and a fraction of a radian, so that one learning rate suits near and far, large and small scenes.
Shape suffixes: N Gaussians, M nodes, K nodes that each may follow, D and C degrees of paths and shades, V views.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry.deformation import NEAR, near_nodes
from .gaussians import Gaussians, NodePaths, path_basis, rotation_matrices
from .points import Points

OPACITY = 0.7  # at the start
PATH_UNIT = (4.0, 4.0, 4.0, 0.15, 0.15, 0.15)  # pixels at the nodes' depth, and radians
DEAD = 0.02  # opacity below which a Gaussian shows nothing
PER_GAUSSIAN = (
    "offsets_N3",
    "log_scales_N3",
    "rotations_N4",
    "colours_N3",
    "logits_N",
    "shades_NC3",
    "share_logits_NK",
)
RATES = {
    "offsets_N3": 0.16,
    "log_scales_N3": 1.2e-2,
    "rotations_N4": 8e-3,
    "colours_N3": 8e-3,
    "logits_N": 2.5e-2,
    "shades_NC3": 3e-3,
    "share_logits_NK": 1e-2,
    "paths_MD6": 0.04,
    "gains_V3": 1e-3,
}


class Trainable:
    """Tensors by name, an Adam optimizer over them, and what they stand for."""

    def __init__(self, points: Points, times: int, rest: float, views: int, shades: int):
        count = len(points.positions_P3)
        self.times, self.rest = times, rest
        self.anchors_N3, self.pixels_N = points.positions_P3.clone(), points.pixels_P.clone()
        self.first_log_size_N = points.sizes_P.log()
        self.offsets_N3 = torch.zeros(count, 3)
        self.log_scales_N3 = self.first_log_size_N[:, None].repeat(1, 3)
        self.rotations_N4 = torch.tensor([1.0, 0, 0, 0]).repeat(count, 1)
        self.colours_N3 = points.colours_P3.clamp(0, 1).clone()
        self.logits_N = torch.full((count,), OPACITY).logit()
        self.shades_NC3 = torch.zeros(count, shades, 3)
        self.moves_N = torch.zeros(count, dtype=torch.bool)
        self.gains_V3 = torch.zeros(views, 3)
        self.background_3 = torch.zeros(3)
        self.set_nodes(torch.zeros(0, 3), torch.zeros(0, 0, 6), 1.0)

    def set_nodes(self, nodes_M3: Tensor, paths_MD6: Tensor, pixel: float) -> None:
        """Nodes at rest, their paths in units of PATH_UNIT, and the width of a pixel at their depth; who follows whom starts from distance."""
        self.nodes_M3, self.paths_MD6 = nodes_M3, paths_MD6
        self.path_unit_6 = torch.tensor(PATH_UNIT) * torch.tensor([pixel] * 3 + [1.0] * 3)
        count = len(self.anchors_N3)
        self.near_NK = torch.zeros(count, min(NEAR, len(nodes_M3)), dtype=torch.long)
        self.share_logits_NK = torch.zeros(count, self.near_NK.shape[1])
        if len(nodes_M3):
            for part in torch.arange(count).split(20_000):
                self.near_NK[part], shares = near_nodes(self.anchors_N3[part], nodes_M3)
                self.share_logits_NK[part] = (shares + 1e-4).log()

    def names(self) -> list[str]:
        return [name for name in RATES if getattr(self, name).numel()]

    def optimizer(self) -> torch.optim.Adam:
        """Over clones that ask for gradients; they replace the tensors."""
        groups = []
        for name in self.names():
            setattr(self, name, getattr(self, name).detach().clone().requires_grad_())
            groups.append({"params": [getattr(self, name)], "lr": RATES[name], "name": name})
        return torch.optim.Adam(groups, eps=1e-12)

    def freeze(self) -> None:
        for name in RATES:
            setattr(self, name, getattr(self, name).detach())

    def positions(self) -> Tensor:
        """[N, 3] at rest."""
        return self.anchors_N3 + self.offsets_N3 * self.pixels_N[:, None]

    def paths(self) -> Tensor:
        return self.paths_MD6 * self.path_unit_6

    def steps_at(self, time: float) -> Tensor:
        """[M, 6]: translation and rotation vector of every node at a time."""
        basis = path_basis(time, self.times, self.rest, self.paths_MD6.shape[1])
        return torch.einsum("d,mdc->mc", basis, self.paths())

    def at(self, time: float) -> Gaussians:
        """The Gaussians at a time, in their own order."""
        positions, rotations = self.positions(), self.rotations_N4
        moving = self.moves_N.nonzero()[:, 0]
        if len(moving):
            paths = NodePaths(
                self.nodes_M3, self.paths(), self.near_NK[moving], self.share_logits_NK[moving].softmax(1)
            )
            basis = path_basis(time, self.times, self.rest, self.paths_MD6.shape[1])
            moved, turned = paths.moved(positions[moving], rotations[moving], basis)
            positions, rotations = positions.index_copy(0, moving, moved), rotations.index_copy(0, moving, turned)
        shade = path_basis(time, self.times, self.rest, self.shades_NC3.shape[1])
        colours = (self.colours_N3 + torch.einsum("c,ncx->nx", shade, self.shades_NC3)).clamp(0, 1)
        return Gaussians(positions, self.log_scales_N3.exp(), rotations, colours, self.logits_N.sigmoid())

    @torch.no_grad()
    def keep_in_range(self) -> None:
        """Colours stay displayable, and nothing grows or shrinks out of all proportion."""
        self.colours_N3.clamp_(0, 1)
        self.log_scales_N3.clamp_(self.first_log_size_N[:, None] - 3, self.first_log_size_N[:, None] + 2.5)

    @torch.no_grad()
    def relocate(self, optimizer: torch.optim.Adam, error_N: Tensor, source: torch.Generator) -> int:
        """Gaussians that show nothing become halves of those under which most is wrong; how many did.

        After Kheradmand et al., "3D Gaussian splatting as Markov chain Monte Carlo", NeurIPS 2024, whose targets are opacities.
        """
        opacity_N = self.logits_N.sigmoid()
        dead = (opacity_N < DEAD).nonzero()[:, 0]
        alive_N = error_N * (opacity_N >= DEAD)
        if len(dead) == 0 or float(alive_N.sum()) <= 0:
            return 0
        # every target is halved once: two copies at one place would stay one
        targets = torch.multinomial(alive_N, min(len(dead), int((alive_N > 0).sum())), generator=source)
        dead = dead[: len(targets)]
        aside = torch.randn(len(targets), 3, generator=source) * self.log_scales_N3[targets].exp()
        aside = torch.einsum("nij,nj->ni", rotation_matrices(self.rotations_N4[targets]), aside) * 0.7
        for name in (*PER_GAUSSIAN, "anchors_N3", "pixels_N", "first_log_size_N", "moves_N", "near_NK"):
            values = getattr(self, name)
            values[dead] = values[targets]
        self.offsets_N3[dead] += aside / self.pixels_N[dead, None]
        half = (1 - (1 - opacity_N[targets]).clamp_min(1e-4).sqrt()).clamp(0.05, 0.95)
        for place in (dead, targets):
            self.logits_N[place] = half.logit()
            self.log_scales_N3[place] -= 0.2
        for group in optimizer.param_groups:
            state = optimizer.state.get(group["params"][0])
            if group["name"] in PER_GAUSSIAN and state:
                for moment in ("exp_avg", "exp_avg_sq"):
                    state[moment][dead] = 0
                    state[moment][targets] = 0
        return len(dead)
