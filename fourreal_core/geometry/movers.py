"""Which pixels of the other views belong to what moves, from the label of view 0 carried over by depth, and a small network for the rest.

What view 0 shows is labelled by its motion (motion.py). A view from the side also shows the far flank of a moving thing, and background that
view 0 does not see: the network tells the two apart by picture and depth. Next to read: deformation.py. Shape suffixes: V views, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .projection import Camera, depth_unit, pixel_centres, transfer
from .splatting import splat
from .unet import UNet

CHANNELS = 9
CARRIED, ARRIVED = 5, 6  # channels of the label of the base view and of where it arrived


class MoverNetwork(nn.Module):
    """Logit of being part of something that moves, from what is known of a view; works on 2x2 pixels at once."""

    def __init__(self, widths: tuple[int, ...] = (24, 32, 48, 64)):
        super().__init__()
        self.unet = UNet(4 * CHANNELS, 4, widths)

    def forward(self, told_BKHW: Tensor) -> Tensor:
        """[B, H, W] from `mover_evidence` [B, K, H, W]; H and W even."""
        said = functional.pixel_shuffle(self.unet(functional.pixel_unshuffle(told_BKHW, 2)), 2)[:, 0].float()
        return said + 6 * told_BKHW[:, CARRIED] - 2 * told_BKHW[:, ARRIVED] - 1


def mover_evidence(
    frame_HW3: Tensor,
    inverse_depth_HW: Tensor,
    sure_HW: Tensor,
    camera: Camera,
    first: tuple[Tensor, Tensor],
    first_camera: Camera,
) -> Tensor:
    """[K, H, W]: picture, depth and confidence of a view, and the label carried from view 0.

    first: inverse depth [H, W] and mover label 0..1 [H, W] of view 0. Inverse depths are told relative to a common one.
    """
    height, width, _ = frame_HW3.shape
    centres = pixel_centres(height, width)
    positions, depth = transfer(centres, first[0], *first_camera, *camera)
    carried = splat(positions.view(-1, 2), depth.view(-1), first[1].view(-1, 1), height, width)
    unit = depth_unit(inverse_depth_HW)
    arrived = carried.hit_HW.float()
    parts = [
        (inverse_depth_HW / unit - 1).clamp(-2, 4), sure_HW * 2 - 1, carried.values_HWC[..., 0] * arrived, arrived, carried.cover_HW.clamp_max(2),
        ((inverse_depth_HW - carried.inverse_depth_HW) / unit * arrived).clamp(-2, 2),
    ]  # fmt: skip
    return torch.cat([frame_HW3.movedim(-1, 0) * 2 - 1, torch.stack(parts)])


@torch.no_grad()
def label_movers(
    network: MoverNetwork,
    frames_VHW3: Tensor,
    inverse_depth_VHW: Tensor,
    sure_VHW: Tensor,
    cameras: list[Camera],
    mover_HW: Tensor,
    base: int = 0,
) -> Tensor:
    """Probability [V, H, W] of belonging to something that moves; `mover_HW` is that of the base view and stays."""
    first = (inverse_depth_VHW[base], mover_HW)
    labels = []
    for view, camera in enumerate(cameras):
        if view == base:
            labels.append(mover_HW)
        else:
            told = mover_evidence(
                frames_VHW3[view], inverse_depth_VHW[view], sure_VHW[view], camera, first, cameras[base]
            )
            labels.append(network(told[None])[0].sigmoid())
    return torch.stack(labels)
