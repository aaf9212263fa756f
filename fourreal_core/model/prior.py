"""What is known about a frame before the network looks at it, and how the network's output turns into clean pixels.

[ours] The guess is Transport's blend (zero for the paper's configuration, which has none). The noisy pixels enter as
evidence: the linear (Wiener) estimate of how the clean frame differs from the guess. It vanishes at pure noise, where
noisy pixels say nothing, and equals the difference itself when there is no noise. With a guess it expects only a small
share of the guess's error (`SHARE_OF_NOISE`): a small model cannot turn more noise into a coherent picture.

Legend: M frames, C channels, H W pixels; all pixels are model pixels, -1..1, and all tensors float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..transport import LEAST_DOUBT, blend_predictions
from .config import KNOWN_CHANNELS

EVEN_ODDS_ERROR = 0.1  # rms error of a prediction of confidence 1/2, in model pixels (Transport is calibrated so)
GREY_ERROR = 0.5  # rms error of plain grey, where there is no guess
SMALLEST_ERROR = 0.02
SHARE_OF_NOISE = 0.001  # of the guess's squared error is left for the noise to decide; at 0.02 16 steps lose 1 dB to speckles


class Prior:
    """Guess and evidence of frames at noise level sigma.

    x `[M, 3, H, W]`, sigma_M `[M]`, condition `[M, 4 or 12, H, W]` as made by `conditioning.grid_condition`.
    evidence `[M, 3, H, W]` and channels `[M, condition channels, H, W]` are the network's input.
    """

    def __init__(self, x_MCHW: Tensor, sigma_M: Tensor, condition_MCHW: Tensor):
        self.x, self.sigma_M = x_MCHW, sigma_M.float()
        self.known, self.mask = condition_MCHW[:, :3], condition_MCHW[:, 3:4]
        if condition_MCHW.shape[1] == KNOWN_CHANNELS:
            self.guess, self.difference = torch.zeros_like(x_MCHW), None
            self.channels, variance = condition_MCHW, GREY_ERROR**2
        else:
            time, view, *confidences = condition_MCHW[:, KNOWN_CHANNELS:].split([3, 3, 1, 1], dim=1)
            self.guess, self.difference = _blend(time, view, *confidences), time - view
            self.channels = torch.cat([self.known, self.mask, self.guess, self.difference, *confidences], dim=1)
            self.error = blend_variance(*confidences).sqrt()
            variance = SHARE_OF_NOISE * self.error.square()
        self.evidence = self._evidence(variance)

    def _evidence(self, variance: Tensor | float) -> Tensor:
        """Best linear estimate of x0 - guess from x = (1 - s) x0 + s noise, if x0 - guess had this variance."""
        sigma = self.sigma_M[:, None, None, None]
        gain = (1 - sigma) * variance / ((1 - sigma) ** 2 * variance + sigma**2)
        return gain * (self.x - (1 - sigma) * self.guess)

    def clean_frames(self, out_MCHW: Tensor) -> Tensor:
        """Network output `[M, 5 (4 without a guess), H, W]` -> x0 `[M, 3, H, W]`, not clamped to -1..1.

        x0 = guess + out[:3] + out[3] * evidence + out[4] * (along_time - along_view)

        where all that is added to a guess stays within the guess's expected error, so that sure places stay as they
        are. An output of zeros is exactly the guess. Known frames are themselves.
        """
        correction = out_MCHW[:, :3] + out_MCHW[:, 3:4] * self.evidence
        if self.difference is not None:
            correction = correction + out_MCHW[:, 4:5] * self.difference
            correction = torch.maximum(torch.minimum(correction, self.error), -self.error)
        return torch.where(self.mask > 0.5, self.known, self.guess + correction)


def blend_variance(confidence_time: Tensor, confidence_view: Tensor) -> Tensor:
    """Expected squared error of the blend of two predictions: inverse variances add, and are the confidences' odds."""
    odds = sum(c / (1 - c) for c in (x.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT) for x in (confidence_time, confidence_view)))
    return (EVEN_ODDS_ERROR**2 / odds).clamp(SMALLEST_ERROR**2, 1.0)


def _blend(time: Tensor, view: Tensor, confidence_time: Tensor, confidence_view: Tensor) -> Tensor:
    channel_last = (time.movedim(1, -1), view.movedim(1, -1), confidence_time[:, 0], confidence_view[:, 0])
    return blend_predictions(*channel_last).movedim(-1, 1)
