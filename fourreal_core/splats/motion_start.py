"""How the Gaussians of a fit start to move: which of them do, and node paths under which they are seen where optical flow takes them, in all views at once.

Flow (DIS, as Transport's) runs from the time of rest to every other time, in each view; what it agrees on in several views is motion in 3D. Nodes that are near each other keep
their distances: as rigid as possible (Sorkine and Alexa, SGP 2007). Next to read: fit.py. Shape suffixes: V views, T times, H W pixels, N Gaussians, P moving ones, M nodes, E edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..geometry.deformation import EDGES, node_spacing, spread_nodes
from ..geometry.projection import Camera, project
from ..transport.correspondence import CellFlows
from .gaussians import path_basis, quaternions, rotation_matrices
from .rasterizer import render
from .trainable import Trainable
from .world import Cells

NODES = 128
FOLLOWERS = 6  # Gaussians per node, at least
CHANGED = 10 / 255  # colour difference to the time of rest
FAR = 1.0  # pixels of flow
MOVES = 0.3  # share of what a Gaussian shows that changes or flows
MISMATCH = 14.0  # per colour difference: how fast trust in a flow falls
RATE, RATE_LEFT = 0.2, 0.05
RIGID = 0.05
VIEWS_PER_STEP = 2
MOST_FLOWING = 20_000  # Gaussians that are tracked
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Tracks:
    """Flow [V, T, H, W, 2] from each pixel at rest to the other times, in pixels, and trust [V, T, H, W] 0..1 in it."""

    flow: Tensor
    trust: Tensor


def find_tracks(cells: Cells, used_VT: Tensor, rest: int, size: tuple[int, int], tell: Tell) -> Tracks:
    """In pictures of `size`, through the cells that are used; where one is missing, trust is 0."""
    grid = cells.grid
    flows = CellFlows(lambda cell: cells.picture(*cell, size).numpy(), size, used_VT.numpy())
    flow = torch.zeros(grid.views, grid.times, *size, 2)
    trust = torch.zeros(grid.views, grid.times, *size)
    done = 0
    for view in range(grid.views):
        for time in range(grid.times):
            done += 1
            if time == rest or not (used_VT[view, time] and used_VT[view, rest]):
                continue
            start, end = (view, rest), (view, time)
            found = cv2.resize(flows.flow(start, end), size[::-1], interpolation=cv2.INTER_AREA) / flows.scale
            wrong = cv2.resize(flows.mismatch(start, end), size[::-1], interpolation=cv2.INTER_AREA)
            flow[view, time] = torch.from_numpy(found)
            trust[view, time] = torch.from_numpy(np.exp(-MISMATCH * wrong)) * cells.weights(view, time, size)
            tell(done / (grid.views * grid.times))
    return Tracks(flow, trust)


def changing_pixels(cells: Cells, used_VT: Tensor, rest: int, tracks: Tracks) -> Tensor:
    """[V, H, W] 0 or 1: pixels at rest whose colour changes at some time, or that flow away."""
    size = tracks.trust.shape[2], tracks.trust.shape[3]
    masks = []
    for view in range(cells.grid.views):
        times = [time for time in range(cells.grid.times) if used_VT[view, time]]
        if not used_VT[view, rest]:
            masks.append(torch.zeros(size))
            continue
        still = cells.picture(view, rest, size)
        changed = torch.stack([(cells.picture(view, time, size) - still).abs().amax(-1) for time in times]).amax(0)
        changed = functional.max_pool2d((changed > CHANGED).float()[None, None], 3, 1, 1)[0, 0]
        masks.append(torch.maximum(changed, (tracks.flow[view].norm(dim=-1).amax(0) > FAR).float()))
    return torch.stack(masks)


def start_motion(
    trainable: Trainable,
    cells: Cells,
    used_VT: Tensor,
    tracks: Tracks,
    cameras: list[Camera],
    degree: int,
    steps: int,
    tell: Tell,
) -> None:
    """Sets which Gaussians move, the nodes and their paths. cameras: for pictures of the tracks' size."""
    rest = int(trainable.rest)
    changing = changing_pixels(cells, used_VT, rest, tracks)
    votes_N2, seen_VN = votes(trainable, changing, cameras, [bool(used) for used in used_VT[:, rest]])
    moves = votes_N2[:, 0] / votes_N2[:, 1].clamp_min(1e-6) > MOVES
    if int(moves.sum()) < FOLLOWERS:
        return
    trainable.moves_N = moves
    places = trainable.positions().detach()
    nodes = spread_nodes(places[moves], min(NODES, max(8, int(moves.sum()) // FOLLOWERS)))
    pixel = float(trainable.pixels_N[moves].median())
    trainable.set_nodes(nodes, torch.zeros(len(nodes), degree, 6), pixel)
    _follow_flow(trainable, tracks, cameras, seen_VN, steps, tell)


def votes(trainable: Trainable, masks_VHW: Tensor, cameras: list[Camera], voting: list[bool]) -> tuple[Tensor, Tensor]:
    """([N, 2]: how much of a Gaussian is seen in masked pixels and in all, [V, N]: in all, view by view), at rest, in pixels."""
    gaussians = trainable.at(trainable.rest)
    count = len(gaussians)
    total, seen = torch.zeros(count, 2), []
    for mask_HW, camera, votes_here in zip(masks_VHW, cameras, voting):
        share = shares(gaussians, camera, torch.stack([mask_HW, torch.ones_like(mask_HW)], -1))
        seen.append(share[:, 1] * votes_here)
        total += share * votes_here
    return total, torch.stack(seen)


def shares(gaussians, camera: Camera, pictures_HWC: Tensor) -> Tensor:
    """[N, C]: each picture summed over its pixels, by the share that a Gaussian has in them: the derivative of a picture by its features."""
    features = torch.zeros(len(gaussians), pictures_HWC.shape[-1], requires_grad=True)
    still = type(gaussians)(*(part.detach() for part in vars(gaussians).values()))
    drawn = render(still, *camera, *pictures_HWC.shape[:2], features_NC=features)
    return torch.autograd.grad((drawn.features_HWC * pictures_HWC).sum(), features)[0]


def _follow_flow(
    trainable: Trainable, tracks: Tracks, cameras: list[Camera], seen_VN: Tensor, steps: int, tell: Tell
) -> None:
    """Adam on the paths: every moving Gaussian is seen where the flow of the views that show it says, edges keep their shape."""
    moving = trainable.moves_N.nonzero()[:, 0]
    if len(moving) > MOST_FLOWING:
        moving = moving[torch.randperm(len(moving), generator=torch.Generator().manual_seed(0))[:MOST_FLOWING]]
    places_P3 = trainable.positions().detach()[moving]
    targets, trusts = zip(*(_tracked(places_P3, tracks, view, camera) for view, camera in enumerate(cameras)))
    trusts = [trust_TP * (seen / 0.3).clamp(max=1) for trust_TP, seen in zip(trusts, seen_VN[:, moving])]
    views = [view for view, trust in enumerate(trusts) if float(trust.sum()) > 0]
    if not views:
        return
    near_PK, shares_PK = trainable.near_NK[moving], trainable.share_logits_NK[moving].softmax(1).detach()
    edges, basis_TD = Edges(trainable), all_bases(trainable)
    paths = torch.zeros_like(trainable.paths_MD6, requires_grad=True)
    optimizer = torch.optim.Adam([paths], lr=RATE, betas=(0.9, 0.98))
    source = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * RATE_LEFT ** (step / steps)
        steps_TM6 = torch.einsum("td,mdc->tmc", basis_TD, paths * trainable.path_unit_6)
        moved_TP3 = _moved(places_P3, trainable.nodes_M3, steps_TM6, near_PK, shares_PK)
        loss = RIGID * edges.bent(steps_TM6)
        for number in torch.randperm(len(views), generator=source)[:VIEWS_PER_STEP].tolist():
            view = views[number]
            pixels, _ = project(moved_TP3, *cameras[view])
            off_TP = ((pixels - targets[view]).square().sum(-1) + 1).sqrt() - 1
            loss = loss + (trusts[view] * off_TP).sum() / (trusts[view].sum() + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tell(step / steps)
    trainable.paths_MD6 = paths.detach()


def all_bases(trainable: Trainable) -> Tensor:
    degree = trainable.paths_MD6.shape[1]
    return torch.stack([path_basis(time, trainable.times, trainable.rest, degree) for time in range(trainable.times)])


def _moved(places_P3: Tensor, nodes_M3: Tensor, steps_TM6: Tensor, near_PK: Tensor, shares_PK: Tensor) -> Tensor:
    """[T, P, 3]: as NodePaths.moved, at all times together."""
    matrix = rotation_matrices(quaternions(steps_TM6[..., 3:]))
    offset = nodes_M3 + steps_TM6[..., :3] - torch.einsum("tmij,mj->tmi", matrix, nodes_M3)
    blended = (torch.cat([matrix.flatten(2), offset], -1)[:, near_PK] * shares_PK[..., None]).sum(2)
    return torch.einsum("tpij,pj->tpi", blended[..., :9].unflatten(-1, (3, 3)), places_P3) + blended[..., 9:]


def _tracked(places_P3: Tensor, tracks: Tracks, view: int, camera: Camera) -> tuple[Tensor, Tensor]:
    """Where one view sees each point at each time, [T, P, 2] pixels, and trust [T, P]; 0 outside of the picture."""
    height, width = tracks.trust.shape[2:]
    pixels_P2, inverse = project(places_P3, *camera)
    scale = torch.tensor([width, height])
    inside = (inverse > 0) & (pixels_P2 > 0).all(-1) & (pixels_P2 < scale).all(-1)
    where = (2 * pixels_P2 / scale - 1)[None, :, None].expand(len(tracks.flow[view]), -1, -1, -1)
    stacked = torch.cat([tracks.flow[view], tracks.trust[view][..., None]], -1).movedim(-1, 1)
    read = functional.grid_sample(stacked, where, padding_mode="border", align_corners=False)[..., 0].movedim(1, -1)
    return pixels_P2 + read[..., :2], read[..., 2] * inside


class Edges:
    """Pairs of near nodes, and how much their paths bend what lies between, in pixels^2."""

    def __init__(self, trainable: Trainable):
        nodes = trainable.nodes_M3
        count = min(EDGES, len(nodes) - 1)
        apart = torch.cdist(nodes, nodes)
        apart.fill_diagonal_(torch.inf)
        near = apart.topk(count, dim=1, largest=False).indices
        self.first_E = torch.arange(len(nodes)).repeat_interleave(count)
        self.second_E = near.reshape(-1)
        self.between_E3 = nodes[self.second_E] - nodes[self.first_E]
        self.pixel = float(trainable.path_unit_6[0]) / 4.0
        self.reach = node_spacing(nodes)

    def bent(self, steps_TM6: Tensor) -> Tensor:
        """Mean over times and edges of |d_j - d_i - (R_i - 1) (c_j - c_i)|^2, in pixels at the nodes' depth."""
        matrix = rotation_matrices(quaternions(steps_TM6[..., 3:]))
        turned = torch.einsum("teij,ej->tei", matrix[:, self.first_E], self.between_E3) - self.between_E3
        off = steps_TM6[:, self.second_E, :3] - steps_TM6[:, self.first_E, :3] - turned
        return (off / self.pixel).square().sum(-1).mean()
