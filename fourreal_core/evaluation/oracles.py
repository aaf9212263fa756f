"""Stages of the scene's geometry that know the answer, in the place of trained networks. Used by ladder.py.

Each takes the inputs of the network that it stands for and gives what that network would give if it made no mistake. Frames that it is
shown are recognized by their pixels. Shape suffixes: V views, T times, B batch, G groups, D planes, K channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..data.rendered.exact import ExactScene
from ..geometry.depth import DepthNetwork
from ..geometry.motion import MotionNetwork, MotionState
from ..geometry.movers import MoverNetwork
from ..geometry.sweep import PLANES

CERTAIN = 20.0  # logit
NO_ERROR = -2.5  # log pixels: an expected error as small as the networks learn to say
NEVER = -40.0  # log probability of planes that are not the right ones


class ExactDepth(DepthNetwork):
    """Scores of the planes from which exact inverse depths are read, up to the nearest plane at `limit`."""

    def __init__(self, exact: ExactScene, limit: float):
        nn.Module.__init__(self)
        self.frames_V3HW = exact.freeze_VHW3.float().movedim(-1, 1) / 255
        self.position_VHW = (exact.geometry.view_depth_VHW / limit * (PLANES - 1)).clamp(0, PLANES - 1)

    def forward(self, costs_BGDHW: Tensor, frames_B3HW: Tensor, gain_BHW: Tensor) -> Tensor:
        position_BHW = torch.stack([self.position_VHW[_recognized(frame, self.frames_V3HW)] for frame in frames_B3HW])
        below_BHW = position_BHW.floor().clamp(0, PLANES - 2)
        above = (position_BHW - below_BHW)[:, None]
        logits_BDHW = torch.full((len(frames_B3HW), PLANES, *position_BHW.shape[1:]), NEVER)
        index_B1HW = below_BHW.long()[:, None]
        logits_BDHW.scatter_(1, index_B1HW, (1 - above).log().clamp_min(NEVER))
        return logits_BDHW.scatter_(1, index_B1HW + 1, above.log().clamp_min(NEVER))


class ExactMovers(MoverNetwork):
    """Labels of what moves in every known cell."""

    may_err = False

    def __init__(self, exact: ExactScene):
        nn.Module.__init__(self)
        self.frames_N3HW = torch.cat([exact.freeze_VHW3, exact.fixed_THW3]).float().movedim(-1, 1) / 255
        self.mover_NHW = torch.cat([exact.geometry.view_mover_VHW, exact.geometry.mover_THW])

    def forward(self, told_NKHW: Tensor, prior_NHW: Tensor) -> Tensor:
        cells = [_recognized((told[:3] + 1) / 2, self.frames_N3HW) for told in told_NKHW]
        return CERTAIN * (2 * self.mover_NHW[cells].float() - 1)


class PartlyExactMotion(MotionNetwork):
    """A motion network some of whose answers are replaced by exact ones: any of "flow", "label", "depth later", "visibility".

    pixels_per_depth: of the parallaxes that it is told and gives. Its last answer stays in `state`.
    """

    def __init__(self, network: MotionNetwork, exact: ExactScene, swapped: Set[str], pixels_per_depth: float):
        nn.Module.__init__(self)
        self.network, self.swapped, self.pixels_per_depth = network, swapped, pixels_per_depth
        self.geometry = exact.geometry
        self.state: MotionState | None = None

    def forward(
        self, frames_T3HW: Tensor, parallax_HW: Tensor, sure_HW: Tensor, flow_T2HW: Tensor
    ) -> list[MotionState]:
        state = self.network(frames_T3HW, parallax_HW, sure_HW, flow_T2HW)[-1]
        exact, sure = self.geometry, torch.full_like(state.flow_error_THW, NO_ERROR)
        if "flow" in self.swapped:
            state = replace(state, flow_T2HW=exact.flow_THW2.movedim(-1, 1), flow_error_THW=sure)
        if "depth later" in self.swapped:
            parallax = exact.time_depth_THW * self.pixels_per_depth
            state = replace(state, parallax_THW=parallax, parallax_error_THW=sure)
        if "label" in self.swapped:
            moving, mover = (CERTAIN * (2 * value.float() - 1) for value in (exact.moving_THW, exact.mover_THW))
            state = replace(state, moving_THW=moving, mover_THW=mover)
        if "visibility" in self.swapped:
            state = replace(state, seen_THW=CERTAIN * (2 * exact.seen_THW.float() - 1))
        self.state = state
        return [state]


def _recognized(frame_3HW: Tensor, frames_V3HW: Tensor) -> int:
    """The view that a frame is of."""
    return int((frames_V3HW - frame_3HW).abs().mean((1, 2, 3)).argmin())
