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

from ..transport import LEAST_DOUBT, Direction, blend_predictions
from .channels import DISPLACEMENT_UNIT, Channels, pack, unpack

EVEN_ODDS_ERROR = 0.1  # rms error of a prediction of confidence 1/2, in model pixels (Transport is calibrated so)
GREY_ERROR = 0.5  # rms error of plain grey, where there is no guess
SMALLEST_ERROR = 0.02
MOST_ERRORS = 3.0  # a correction reaches this many times the guess's expected error at most
SHARE_OF_NOISE = 0.0001  # of the guess's squared error is left for the noise to decide; 16 steps lose 0.1 dB to speckles at 0.001, 1 dB at 0.02


class Prior:
    """Guess and evidence of frames at noise level sigma.

    x `[M, 3, H, W]`, sigma_M `[M]`, condition `[M, 4 or 22, H, W]` in the order of channels.py.
    evidence `[M, 3, H, W]` and channels `[M, condition channels, H, W]` are the network's input: the condition, with the guess and the
    difference of the two predictions in their place. time, view: Transport's two predictions, channel-first; None without a guess.
    """

    def __init__(self, x_MCHW: Tensor, sigma_M: Tensor, condition_MCHW: Tensor):
        self.x, self.sigma_M = x_MCHW, sigma_M.float()
        self.known, self.mask, self.time, self.view = unpack(condition_MCHW)
        if self.time is None or self.view is None:
            self.guess, self.channels = torch.zeros_like(x_MCHW), condition_MCHW
            variance = GREY_ERROR**2
        else:
            self.guess = _blend(self.time, self.view)
            difference = self.view._replace(frames=self.time.frames - self.view.frames)
            self.channels = pack(Channels(self.known, self.mask, self.time._replace(frames=self.guess), difference))
            self.error = blend_variance(self.time.confidence, self.view.confidence).sqrt()
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
        if self.time is not None and self.view is not None:
            time, view = displaced(self.time, out_MCHW[:, 5:7]), displaced(self.view, out_MCHW[:, 7:9])
            guess = _blend(time, view)
            correction = correction + out_MCHW[:, 4:5] * (time.frames - view.frames)
            for share, source in zip(out_MCHW[:, 9:11].split(1, dim=1), (time.source, view.source)):
                correction = correction + share * (source - guess)
            limit = MOST_ERRORS * self.error
            correction = torch.maximum(torch.minimum(correction, limit), -limit)
        return torch.where(self.mask > 0.5, self.known, guess + correction)


def displaced(direction: Direction, shift_M2HW: Tensor) -> Direction:
    """A prediction read this much further away in its source (`DISPLACEMENT_UNIT` pixels); 0 changes nothing.

    [ours] Most of Transport's error is misplacement by a few pixels, which no added colour mends without blur.
    """
    source, back = direction.source, direction.back
    return direction._replace(frames=direction.frames + read_at(source, back + shift_M2HW) - read_at(source, back))


def read_at(frames_MCHW: Tensor, back_M2HW: Tensor) -> Tensor:
    """Frames read at each pixel plus its displacement ((x, y), `DISPLACEMENT_UNIT` pixels), bilinear, border repeated."""
    height, width = frames_MCHW.shape[-2:]
    y, x = (torch.arange(n, device=frames_MCHW.device) + 0.5 for n in (height, width))
    x_MHW = (x + DISPLACEMENT_UNIT * back_M2HW[:, 0]) * (2 / width) - 1
    y_MHW = (y[:, None] + DISPLACEMENT_UNIT * back_M2HW[:, 1]) * (2 / height) - 1
    return F.grid_sample(frames_MCHW, torch.stack([x_MHW, y_MHW], dim=-1), padding_mode="border", align_corners=False)


def blend_variance(confidence_time: Tensor, confidence_view: Tensor) -> Tensor:
    """Expected squared error of the blend of two predictions: inverse variances add, and are the confidences' odds."""
    time, view = (x.clamp(LEAST_DOUBT, 1 - LEAST_DOUBT) for x in (confidence_time, confidence_view))
    odds = time / (1 - time) + view / (1 - view)
    return (EVEN_ODDS_ERROR**2 / odds).clamp(SMALLEST_ERROR**2, 1.0)


def _blend(time: Direction, view: Direction) -> Tensor:
    frames = (time.frames.movedim(1, -1), view.frames.movedim(1, -1))
    return blend_predictions(*frames, time.confidence[:, 0], view.confidence[:, 0]).movedim(-1, 1)
