"""What is known about a frame before the network looks at it, and how the network's output turns into clean pixels.

[ours] The guess is Transport's blend (zero for the paper's configuration, which has none). The noisy pixels enter as
evidence: the linear (Wiener) estimate of how the clean frame differs from the guess. It vanishes at pure noise, where
noisy pixels say nothing, and equals the difference itself when there is no noise. With a guess it expects only a small
share of the guess's error (`SHARE_OF_NOISE`): a small model cannot turn more noise into a coherent picture.

Legend: M frames, C channels, H W pixels; all pixels are model pixels, -1..1, and all tensors float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..transport import LEAST_DOUBT, blend_predictions
from .config import DISPLACEMENT_UNIT, KNOWN_CHANNELS

EVEN_ODDS_ERROR = 0.1  # rms error of a prediction of confidence 1/2, in model pixels (Transport is calibrated so)
GREY_ERROR = 0.5  # rms error of plain grey, where there is no guess
SMALLEST_ERROR = 0.02
MOST_ERRORS = 3.0  # a correction reaches this many times the guess's expected error at most
SHARE_OF_NOISE = 0.0001  # of the guess's squared error is left for the noise to decide; 16 steps lose 0.1 dB to speckles at 0.001, 1 dB at 0.02


class Prior:
    """Guess and evidence of frames at noise level sigma.

    x `[M, 3, H, W]`, sigma_M `[M]`, condition `[M, 4 or 22, H, W]` as made by `conditioning.grid_condition`.
    evidence `[M, 3, H, W]` and channels `[M, condition channels, H, W]` are the network's input.
    """

    def __init__(self, x_MCHW: Tensor, sigma_M: Tensor, condition_MCHW: Tensor):
        self.x, self.sigma_M = x_MCHW, sigma_M.float()
        self.known, self.mask = condition_MCHW[:, :3], condition_MCHW[:, 3:4]
        if condition_MCHW.shape[1] == KNOWN_CHANNELS:
            self.guess, self.carried = torch.zeros_like(x_MCHW), None
            self.channels, variance = condition_MCHW, GREY_ERROR**2
        else:
            self.carried = CarriedPair(condition_MCHW[:, KNOWN_CHANNELS:])
            time, view, confidences = self.carried.time, self.carried.view, self.carried.confidences
            self.guess = _blend(time, view, *confidences)
            parts = [self.known, self.mask, self.guess, time - view, *confidences, *self.carried.origins]
            self.channels = torch.cat(parts, dim=1)
            self.error = blend_variance(*confidences).sqrt()
            variance = SHARE_OF_NOISE * self.error.square()
        self.evidence = self._evidence(variance)

    def _evidence(self, variance: Tensor | float) -> Tensor:
        """Best linear estimate of x0 - guess from x = (1 - s) x0 + s noise, if x0 - guess had this variance."""
        sigma = self.sigma_M[:, None, None, None]
        gain = (1 - sigma) * variance / ((1 - sigma) ** 2 * variance + sigma**2)
        return gain * (self.x - (1 - sigma) * self.guess)

    def clean_frames(self, out_MCHW: Tensor) -> Tensor:
        """Network output `[M, 11 (4 without a guess), H, W]` -> x0 `[M, 3, H, W]`, not clamped to -1..1.

        x0 = guess' + out[:3] + out[3] * evidence + out[4] * (along_time' - along_view')
                    + out[9] * (source_time - guess') + out[10] * (source_view - guess')

        where the dash means: read anew, displaced by out[5:7] (along time) and out[7:9] (along view). The sources are the
        frames before anything was carried, right where a carried thing left its place. What is added to guess' stays within
        `MOST_ERRORS` times the guess's expected error. An output of zeros is exactly the guess. Known frames are themselves.
        """
        correction = out_MCHW[:, :3] + out_MCHW[:, 3:4] * self.evidence
        guess = self.guess
        if self.carried is not None:
            time, view = self.carried.displaced(out_MCHW[:, 5:7], out_MCHW[:, 7:9])
            guess = _blend(time, view, *self.carried.confidences)
            correction = correction + out_MCHW[:, 4:5] * (time - view)
            for share, source in zip(out_MCHW[:, 9:11].split(1, dim=1), self.carried.origins[:2]):
                correction = correction + share * (source - guess)
            limit = MOST_ERRORS * self.error
            correction = torch.maximum(torch.minimum(correction, limit), -limit)
        return torch.where(self.mask > 0.5, self.known, guess + correction)


class CarriedPair:
    """Transport's two predictions with the frames they were read from, so that the network can read them elsewhere.

    [ours] Most of Transport's error is misplacement by a few pixels, which no added colour mends without blur.
    """

    def __init__(self, channels_MCHW: Tensor):
        """channels `[M, 18, H, W]` as made by `conditioning.guess_channels`."""
        self.time, self.view, *rest = channels_MCHW.split([3, 3, 1, 1, 3, 3, 2, 2], dim=1)
        self.confidences, self.origins = rest[:2], rest[2:]

    def displaced(self, shift_time_M2HW: Tensor, shift_view_M2HW: Tensor) -> tuple[Tensor, Tensor]:
        """Both predictions `[M, 3, H, W]` read this much further away (`DISPLACEMENT_UNIT` pixels); 0 changes nothing."""
        source_time, source_view, back_time, back_view = self.origins
        return (
            self.time + look_up(source_time, back_time + shift_time_M2HW) - look_up(source_time, back_time),
            self.view + look_up(source_view, back_view + shift_view_M2HW) - look_up(source_view, back_view),
        )


def look_up(frames_MCHW: Tensor, back_M2HW: Tensor) -> Tensor:
    """Frames read at each pixel plus its displacement ((x, y), `DISPLACEMENT_UNIT` pixels), bilinear, border repeated."""
    height, width = frames_MCHW.shape[-2:]
    y, x = (torch.arange(n, device=frames_MCHW.device) + 0.5 for n in (height, width))
    x_MHW = (x + DISPLACEMENT_UNIT * back_M2HW[:, 0]) * (2 / width) - 1
    y_MHW = (y[:, None] + DISPLACEMENT_UNIT * back_M2HW[:, 1]) * (2 / height) - 1
    return F.grid_sample(frames_MCHW, torch.stack([x_MHW, y_MHW], dim=-1), padding_mode="border", align_corners=False)


def blend_variance(confidence_time: Tensor, confidence_view: Tensor) -> Tensor:
    """Expected squared error of the blend of two predictions: inverse variances add, and are the confidences' odds."""
    odds = sum(c / (1 - c) for c in (x.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT) for x in (confidence_time, confidence_view)))
    return (EVEN_ODDS_ERROR**2 / odds).clamp(SMALLEST_ERROR**2, 1.0)


def _blend(time: Tensor, view: Tensor, confidence_time: Tensor, confidence_view: Tensor) -> Tensor:
    channel_last = (time.movedim(1, -1), view.movedim(1, -1), confidence_time[:, 0], confidence_view[:, 0])
    return blend_predictions(*channel_last).movedim(-1, 1)
