"""Where every pixel of the fixed-view video comes from, how deep it lies and whether it moves: one small network over all times.

(0, t) and (v, t) are a stereo pair at one instant, so once the depth of view 0 is known at time t, x[0, t] can be carried to every view. The
depth at time 0 comes from the freeze-time video (depth.py); flow carries it to time t (flow_search.py), where a network that has seen exact
flow and depth of rendered scenes corrects both, twice, with the pictures beside them. As in RAFT-3D (Teed and Deng, CVPR 2021), flow and
depth are updated together; what comes nearer grows, so the stretch of the flow is told. Next to read: candidates.py.

Depth is handled as parallax: inverse depth times the pixels that it moves in the farthest view. Shape suffixes: T times, H W pixels, h w half size, K channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .flow_search import flows_to_first
from .projection import pixel_centres
from .sweep import features
from .unet import UNet

PASSES = 2
REACH = 3  # steps of two pixels to each side in which matches are compared
FLOW_UNIT, PARALLAX_UNIT = 8.0, 16.0  # pixels per unit of the network
OUTPUTS = 8  # flow (2), parallax, moving, mover, log error of flow, log error of parallax, seen at time 0


@dataclass(frozen=True)
class MotionState:
    """What is believed about the pixels of times 0..T-1 of one view; differentiable while the network is trained."""

    flow_T2HW: Tensor  # pixels: from each pixel to where its point was seen at time 0
    parallax_THW: Tensor  # pixels in the farthest view
    moving_THW: Tensor  # logit: the point is not where it was at time 0
    mover_THW: Tensor  # logit: the point belongs to something that moves at any of the times
    flow_error_THW: Tensor  # log of the expected error in pixels
    parallax_error_THW: Tensor  # log of the expected error in pixels
    seen_THW: Tensor  # logit: the point was visible at time 0


class MotionNetwork(nn.Module):
    """Corrects flow and parallax from pictures, matches and the depth at time 0. Works on 2x2 pixels at once and mixes neighbouring times."""

    def __init__(self, widths: tuple[int, ...] = (48, 64, 96, 128)):
        super().__init__()
        self.unet = UNet(4 * 28 + (2 * REACH + 1) ** 2, 4 * OUTPUTS, widths, mixes_times=True)

    def forward(
        self, frames_T3HW: Tensor, parallax_HW: Tensor, sure_HW: Tensor, flow_T2HW: Tensor
    ) -> list[MotionState]:
        """The state after each pass. frames 0..1 of all times; parallax and confidence (0..1) of time 0; flow: a first guess.

        H and W must be even.
        """
        states = []
        parallax_THW = None
        for number in range(PASSES):
            told, carried_THW = _evidence(frames_T3HW, parallax_HW, sure_HW, flow_T2HW.detach(), parallax_THW, number)
            said = functional.pixel_shuffle(
                self.unet(
                    torch.cat([functional.pixel_unshuffle(told, 2), _matches(frames_T3HW, flow_T2HW.detach())], 1)
                ),
                2,
            ).float()
            flow_T2HW = flow_T2HW.detach() + FLOW_UNIT * said[:, :2]
            parallax_THW = (carried_THW if parallax_THW is None else parallax_THW.detach()) + PARALLAX_UNIT * said[:, 2]
            states.append(MotionState(flow_T2HW, parallax_THW, *said[:, 3:].unbind(1)))
        return states


def _evidence(
    frames_T3HW: Tensor,
    parallax_HW: Tensor,
    sure_HW: Tensor,
    flow_T2HW: Tensor,
    parallax_THW: Tensor | None,
    number: int,
) -> tuple[Tensor, Tensor]:
    """Channels [T, 28, H, W] told to the network, and the parallax of time 0 carried to each time [T, H, W]."""
    times, _, height, width = frames_T3HW.shape
    first_K = torch.cat([frames_T3HW[0], parallax_HW[None] / PARALLAX_UNIT, sure_HW[None]])
    carried = warp(first_K.expand(times, -1, -1, -1), flow_T2HW)
    here = carried[:, 3] * PARALLAX_UNIT if parallax_THW is None else parallax_THW
    middle = parallax_HW.median()
    stretch = torch.stack([_stretch(flow_T2HW, size) for size in (5, 9)], 1)
    change = functional.avg_pool2d((frames_T3HW - frames_T3HW[0]).abs().amax(1, keepdim=True), 5, 1, 2)
    place = (
        (pixel_centres(height, width) / torch.tensor([width, height]) * 2 - 1).movedim(-1, 0).expand(times, -1, -1, -1)
    )
    when = torch.linspace(0, 1, times).view(-1, 1, 1, 1).expand(-1, 1, height, width)
    in_place = ((parallax_HW - middle) / PARALLAX_UNIT).expand(times, 1, -1, -1)
    parts = [
        frames_T3HW * 2 - 1, frames_T3HW[0].expand(times, -1, -1, -1) * 2 - 1, carried[:, :3] * 2 - 1, frames_T3HW - carried[:, :3],
        flow_T2HW / FLOW_UNIT, ((here - middle) / PARALLAX_UNIT)[:, None], (carried[:, 3:4] - middle / PARALLAX_UNIT), carried[:, 4:5], in_place,
        sure_HW.expand(times, 1, -1, -1), stretch * (here / PARALLAX_UNIT)[:, None], stretch, change * 4, place, when, torch.full_like(when, float(number)),
    ]  # fmt: skip
    return torch.cat(parts, 1), carried[:, 3] * PARALLAX_UNIT


def warp(pictures_TKHW: Tensor, flow_T2HW: Tensor) -> Tensor:
    """[T, K, H, W]: pictures read at each pixel's displaced position; the border is repeated."""
    height, width = pictures_TKHW.shape[-2:]
    position = (pixel_centres(height, width) + flow_T2HW.movedim(1, -1)) / torch.tensor([width, height]) * 2 - 1
    return functional.grid_sample(pictures_TKHW, position, padding_mode="border", align_corners=False)


def _stretch(flow_T2HW: Tensor, size: int) -> Tensor:
    """[T, H, W]: log of how much larger things are at time t than at time 0, from the flow's slopes over a window."""
    smooth = functional.avg_pool2d(functional.pad(flow_T2HW, (size // 2,) * 4, mode="replicate"), size, 1)
    dx = (
        functional.pad(smooth, (1, 1, 0, 0), mode="replicate")[..., 2:]
        - functional.pad(smooth, (1, 1, 0, 0), mode="replicate")[..., :-2]
    ) / 2
    dy = (
        functional.pad(smooth, (0, 0, 1, 1), mode="replicate")[..., 2:, :]
        - functional.pad(smooth, (0, 0, 1, 1), mode="replicate")[..., :-2, :]
    ) / 2
    determinant = (1 + dx[:, 0]) * (1 + dy[:, 1]) - dx[:, 1] * dy[:, 0]
    return -0.5 * determinant.clamp(0.2, 5).log()


def _matches(frames_T3HW: Tensor, flow_T2HW: Tensor) -> Tensor:
    """[T, (2 REACH + 1)^2, h, w]: feature differences between time t and time 0 around where the flow points, at half size."""
    seen = features(frames_T3HW.movedim(1, -1))
    warped = warp(seen[:1].expand(len(seen), -1, -1, -1), flow_T2HW)
    small, small_warped = functional.avg_pool2d(seen, 2), functional.avg_pool2d(warped, 2)
    height, width = small.shape[-2:]
    padded = functional.pad(small_warped, (REACH,) * 4, mode="replicate")
    steps = range(2 * REACH + 1)
    costs = [(padded[..., y : y + height, x : x + width] - small).abs().sum(1) for y in steps for x in steps]
    return functional.avg_pool2d(torch.stack(costs, 1).clamp_max(0.6), 3, 1, 1, count_include_pad=False) * 4 - 1


@torch.no_grad()
def estimate_motion(
    network: MotionNetwork, frames_THW3: Tensor, parallax_HW: Tensor, sure_HW: Tensor, flow_THW2: Tensor | None = None
) -> MotionState:
    """The last state of the network for a fixed-view video. Frames float32 0..1 with even sides; flow: a guess of the flow to time 0."""
    flow_THW2 = flows_to_first(frames_THW3) if flow_THW2 is None else flow_THW2
    return network(frames_THW3.movedim(-1, 1), parallax_HW, sure_HW, flow_THW2.movedim(-1, 1))[-1]
