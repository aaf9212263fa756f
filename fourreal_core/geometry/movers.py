"""Which pixels of the other views belong to what moves, from the label of view 0 carried over by depth, and a small network for the rest.

What view 0 shows is labelled by its motion (motion.py). A view from the side also shows the far flank of a moving thing, and background that
view 0 does not see: the network tells the two apart by picture and depth. Next to read: follow.py. Shape suffixes: V views, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .projection import pixel_centres, transfer
from .splatting import splat
from .unet import UNet

CHANNELS = 9


class MoverNetwork(nn.Module):
    """Logit of being part of something that moves, from what is known of a view; works on 2x2 pixels at once."""

    def __init__(self, widths: tuple[int, ...] = (24, 32, 48, 64)):
        super().__init__()
        self.unet = UNet(4 * CHANNELS, 4, widths)

    def forward(self, told_BKHW: Tensor) -> Tensor:
        """[B, H, W] from `mover_evidence` [B, K, H, W]; H and W even."""
        return functional.pixel_shuffle(self.unet(functional.pixel_unshuffle(told_BKHW, 2)), 2)[:, 0].float()


def mover_evidence(frame_HW3: Tensor, inverse_depth_HW: Tensor, sure_HW: Tensor, camera: tuple[Tensor, Tensor], first: tuple[Tensor, Tensor], first_camera: tuple[Tensor, Tensor]) -> Tensor:
    """[K, H, W]: picture, depth and confidence of a view, and the label carried from view 0.

    first: inverse depth [H, W] and mover label 0..1 [H, W] of view 0. Inverse depths are told relative to their median.
    """
    height, width, _ = frame_HW3.shape
    centres = pixel_centres(height, width)
    positions, depth = transfer(centres, first[0], *first_camera, *camera)
    carried = splat(positions.view(-1, 2), depth.view(-1), first[1].view(-1, 1), height, width)
    unit = inverse_depth_HW.median().clamp_min(1e-6)
    arrived = carried.hit_HW.float()
    parts = [
        inverse_depth_HW / unit - 1, sure_HW * 2 - 1, carried.values_HWC[..., 0] * arrived, arrived, carried.cover_HW.clamp_max(2),
        ((inverse_depth_HW - carried.inverse_depth_HW) / unit * arrived).clamp(-2, 2),
    ]  # fmt: skip
    return torch.cat([frame_HW3.movedim(-1, 0) * 2 - 1, torch.stack(parts)])


@torch.no_grad()
def label_movers(network: MoverNetwork, frames_VHW3: Tensor, inverse_depth_VHW: Tensor, sure_VHW: Tensor, cameras: list[tuple[Tensor, Tensor]], mover_HW: Tensor) -> Tensor:
    """Probability [V, H, W] of belonging to something that moves, at time 0; `mover_HW` is that of view 0 and stays."""
    first = (inverse_depth_VHW[0], mover_HW)
    told = [mover_evidence(frames_VHW3[v], inverse_depth_VHW[v], sure_VHW[v], cameras[v], first, cameras[0]) for v in range(1, len(cameras))]
    return torch.cat([mover_HW[None], network(torch.stack(told)).sigmoid()]) if told else mover_HW[None]
