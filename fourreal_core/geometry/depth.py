"""Inverse depth of every view at one instant, from the plane-sweep costs of its neighbours, read by a small network.

The costs (sweep.py) are ambiguous on plain surfaces and wrong beside edges; the network has seen exact depths of rendered scenes and picks
the plane with the picture beside it, as semi-global matching does with hand-made rules (Hirschmueller, CVPR 2005). After MVSNet (Yao et
al., ECCV 2018), with planes as channels. Next to read: motion.py. Shape suffixes: V views, D planes, G groups, B batch, H W pixels.
"""

from __future__ import annotations

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional

from .projection import parallax_gain, pixel_centres
from .scene import SceneUnknown
from .sweep import PLANES, TRUNCATED, features, neighbours, sweep_costs
from .unet import UNet

WINDOW = 2  # planes to each side of the best one that its position is averaged over
TRUST_UNIT = 5.0  # logits per unit of cost at trust 1
BEYOND = 1.25  # the nearest plane stands this much nearer than the nearest triangulated pixels
SAME = 0.002  # mean colour difference below which all views show one picture
MOST_SAMPLES = 2**22  # triangulated pixels that quantiles are taken of
NO_PARALLAX = (
    "the views show no measurable parallax: the camera stands still or turns without moving, the frames show "
    "too little detail, or the cameras do not belong to these frames."
)


class DepthNetwork(nn.Module):
    """Costs and picture to scores of the planes."""

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64, 96)):
        super().__init__()
        self.unet = UNet(3 * PLANES + 4, PLANES + 3, widths)
        with torch.no_grad():
            self.unet.head_bias[PLANES:] = 3.0

    def forward(self, costs_BGDHW: Tensor, frames_B3HW: Tensor, gain_BHW: Tensor) -> Tensor:
        """Logits [B, D, H, W]: what the surroundings say about each plane, less the costs times how far each group is trusted here.

        costs 0..TRUNCATED, frames 0..1, gain: pixels of parallax from one plane to the next in the farthest view."""
        told = torch.cat(
            [costs_BGDHW.flatten(1, 2) / TRUNCATED * 2 - 1, frames_B3HW * 2 - 1, (gain_BHW + 0.05).log()[:, None]],
            dim=1,
        )
        said = self.unet(told).float()
        trust_BG1HW = TRUST_UNIT * functional.softplus(said[:, PLANES:, None])
        return said[:, :PLANES] - (trust_BG1HW * costs_BGDHW).sum(1)


def read_planes(logits_BDHW: Tensor) -> tuple[Tensor, Tensor]:
    """The position [B, H, W] among the planes, 0..D-1 with fractions, and the probability [B, H, W] of its surroundings."""
    share = logits_BDHW.float().softmax(1)
    best_B1HW = share.argmax(1, keepdim=True)
    steps = torch.arange(-WINDOW, WINDOW + 1).view(1, -1, 1, 1)
    index = (best_B1HW + steps).clamp(0, share.shape[1] - 1)
    inside = ((best_B1HW + steps) == index).to(share)
    weights = share.gather(1, index) * inside
    mass = weights.sum(1)
    return (weights * index).sum(1) / mass, mass


def nearest_inverse_depth(frames_VHW3: Tensor, world_to_camera_V44: Tensor, intrinsics_V33: Tensor) -> float:
    """An inverse depth that nothing in the pictures exceeds: from optical flow between neighbouring views, triangulated.

    Raises SceneUnknown when hardly any pixel shows parallax.
    """
    if float((frames_VHW3 - frames_VHW3[:1]).abs().mean((1, 2, 3)).max()) < SAME:
        raise SceneUnknown(NO_PARALLAX)
    grey = (frames_VHW3.mean(-1) * 255).round().to(torch.uint8).numpy()
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    positions_HW2 = pixel_centres(*grey.shape[1:])
    found = []
    for view, other in zip(range(len(grey) - 1), range(1, len(grey))):
        there, back = (
            torch.from_numpy(search.calc(a, b, None))  # pyright: ignore[reportCallIssue, reportArgumentType]
            for a, b in ((grey[view], grey[other]), (grey[other], grey[view]))
        )
        returned = cv2.remap(
            back.numpy(),
            (positions_HW2[..., 0] - 0.5 + there[..., 0]).numpy(),
            (positions_HW2[..., 1] - 0.5 + there[..., 1]).numpy(),
            cv2.INTER_LINEAR,
        )
        sure = (there + torch.from_numpy(returned)).norm(dim=-1) < 1
        start, end = (
            (world_to_camera_V44[view], intrinsics_V33[view]),
            (world_to_camera_V44[other], intrinsics_V33[other]),
        )
        found.append(_triangulated(positions_HW2, there, start, end)[sure])
    found = torch.cat(found)
    found = found[torch.isfinite(found)]
    found = found[:: len(found) // MOST_SAMPLES + 1]
    if len(found) < 50 or float(found.quantile(0.95)) <= 0:
        raise SceneUnknown(NO_PARALLAX)
    return BEYOND * float(found.float().quantile(0.985))


def _triangulated(
    positions_HW2: Tensor, flow_HW2: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]
) -> Tensor:
    """Inverse depth [H, W] in `start` at which a pixel comes closest to where the flow takes it in `end`; NaN where depth moves nothing."""
    relative = end[0].double() @ torch.linalg.inv(start[0].double())
    turn = (end[1].double() @ relative[:3, :3] @ torch.linalg.inv(start[1].double())).float()
    shift = (end[1].double() @ relative[:3, 3]).float()
    ray = torch.cat([positions_HW2, torch.ones_like(positions_HW2[..., :1])], -1) @ turn.T
    target = positions_HW2 + flow_HW2
    # (ray + q shift) x target = 0, solved for q by least squares over the two image equations
    a = shift[:2] - target * shift[2]
    b = target * ray[..., 2:] - ray[..., :2]
    strength = (a * a).sum(-1)
    return torch.where(strength > 1e-6 * float(shift.norm()) ** 2, (a * b).sum(-1) / strength, torch.nan)


def plane_gain(
    view: int, world_to_camera_V44: Tensor, intrinsics_V33: Tensor, limit: float, height: int, width: int
) -> Tensor:
    """[H, W]: pixels of parallax in the farthest view from one plane to the next, at the middle plane."""
    far = neighbours(view, len(world_to_camera_V44))[2][0]
    step = limit / (PLANES - 1)
    middle = torch.full((height, width), limit / 2)
    here, there = ((world_to_camera_V44[v], intrinsics_V33[v]) for v in (view, far))
    return parallax_gain(pixel_centres(height, width), middle, here, there, step).mul(step).clamp(0, 50)


@torch.no_grad()
def estimate_depths(
    network: DepthNetwork, frames_VHW3: Tensor, world_to_camera_V44: Tensor, intrinsics_V33: Tensor, *, on_view=None
) -> tuple[Tensor, Tensor, float]:
    """Inverse depths [V, H, W], confidences 0..1 [V, H, W], and the inverse depth of the nearest plane.

    frames float32 0..1 of one instant, V >= 2; on_view(done, total) after each view. Raises SceneUnknown when there is no parallax.
    """
    views, height, width, _ = frames_VHW3.shape
    limit = nearest_inverse_depth(frames_VHW3, world_to_camera_V44, intrinsics_V33)
    planes = torch.linspace(0, limit, PLANES)
    seen, frames_V3HW = features(frames_VHW3), frames_VHW3.movedim(-1, 1)
    inverse, sure = [], []
    for view in range(views):
        costs = sweep_costs(seen, world_to_camera_V44, intrinsics_V33, view, planes)
        gain = plane_gain(view, world_to_camera_V44, intrinsics_V33, limit, height, width)
        position, mass = read_planes(network(costs[None], frames_V3HW[view][None], gain[None]))
        inverse.append(position[0] * limit / (PLANES - 1))
        sure.append(mass[0])
        if on_view is not None:
            on_view(view + 1, views)
    return torch.stack(inverse), torch.stack(sure), limit
