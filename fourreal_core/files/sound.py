"""The sound of a video: decoded from its file (stream.py opens it), and cut to the seconds that are shown.

Letters: C channels, N samples.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import av
import numpy as np
import torch
from av.error import FFmpegError
from torch import Tensor

from ..side_by_side import ask

MOST_SECONDS = 600.0  # of sound that is kept
MOST_CHANNELS = 8
RATES = (1000, 768_000)  # samples per second: the least and the most


@dataclass(frozen=True, eq=False)
class Sound:
    """samples float32 [C, N] of 1 to 8 channels, about -1..1; rate in samples per second. Raises ValueError on anything else."""

    samples: Tensor
    rate: int

    def __post_init__(self) -> None:
        shape, rate = list(getattr(self.samples, "shape", [])), self.rate
        if len(shape) != 2 or not 1 <= shape[0] <= MOST_CHANNELS or shape[1] < 1:
            raise ValueError(
                f"expected sound of shape [channels, samples] with 1 to {MOST_CHANNELS} channels, got {shape}."
            )
        if isinstance(rate, bool) or not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"expected {RATES[0]} to {RATES[1]} samples of sound per second, got {str(rate)[:20]}.")
        samples = self.samples.detach().to("cpu", torch.float32).contiguous()
        if not torch.isfinite(samples).all():
            raise ValueError("expected finite numbers as sound, got NaN or infinity.")
        object.__setattr__(self, "samples", samples)

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.rate

    def cut(self, start: float, seconds: float) -> Sound:
        """This part of it, with silence where it does not reach. start, seconds: at least 0 and above 0."""
        first, count = round(start * self.rate), max(1, round(seconds * self.rate))
        there = self.samples[:, first : first + count]
        return Sound(torch.nn.functional.pad(there, (0, count - there.shape[1])), self.rate)


def decoded_sound(container, start: float, seconds: float) -> Sound | None:
    """The sound in an open container between `start` and `start + seconds` on its clock; silence where it begins later or ends earlier.

    None where there is none, or for more than ten minutes. Raises FFmpegError or ValueError where it cannot be decoded.
    """
    track = next((one for one in container.streams.audio if one.codec_context is not None), None)
    if track is None or not 0 < seconds <= MOST_SECONDS:
        return None
    rate, channels = track.codec_context.sample_rate, track.codec_context.channels
    samples_CN = np.zeros((channels, max(1, round(seconds * rate))), np.float32)
    resampler, found = av.AudioResampler(format="flt"), False  # PyAV crashes on eight channels in a plane each
    if start > 1:
        with suppress(FFmpegError):  # a container that cannot seek is read from its beginning
            container.seek(int((start - 1) * av.time_base))
    for frame in container.decode(track):
        ask()
        for part in resampler.resample(frame):
            if part.time is None or part.time >= start + seconds:
                return Sound(torch.from_numpy(samples_CN), rate) if found else None
            part_CN = part.to_ndarray().reshape(-1, channels).T
            found |= _put(samples_CN, part_CN, round((part.time - start) * rate))
    return Sound(torch.from_numpy(samples_CN), rate) if found else None


def _put(samples_CN: np.ndarray, part_CN: np.ndarray, place: int) -> bool:
    """Writes a part where it belongs, as far as it lies inside; whether any did."""
    skipped = max(0, -place)
    place, part_CN = place + skipped, part_CN[:, skipped:]
    part_CN = part_CN[:, : max(0, samples_CN.shape[1] - place)]
    samples_CN[:, place : place + part_CN.shape[1]] = part_CN
    return part_CN.shape[1] > 0
