"""What the model is told about a grid beside the noise: known cells, their mask, and Transport's guess.

Channels of a condition, in this order: known pixels (3, zero where unknown), known mask (1), and with `config.guess`
the prediction along time (3), along view (3), their confidences (1 + 1), the frames that they were read from (3 + 3) and the
displacements to there (2 + 2, `DISPLACEMENT_UNIT` pixels). Colours are model pixels, -1..1.
Source: known frames enter as extra channels (PAPER, "Base video model"); the guess is [ours].

Legend: V views, T times, C channels, H W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..flow import to_model
from ..grid import FrameGrid
from ..transport import TransportGuess, transport
from .config import DISPLACEMENT_UNIT, KNOWN_CHANNELS, ModelConfig


def grid_condition(grid: FrameGrid, config: ModelConfig, guess: TransportGuess | None = None) -> Tensor:
    """Condition `[V, C, T, H, W]`, float32, with C = config.condition_channels.

    guess: Transport's predictions for this grid; computed here when missing and `config.guess` asks for them.
    """
    channels = known_channels(to_model(grid.frames), grid.known)
    if config.guess:
        channels = torch.cat([channels, guess_channels(guess or transport(grid))], dim=1)
    return channels


def lean_towards(predictions: TransportGuess, guess_VTHWC: Tensor, denoise: float) -> TransportGuess:
    """Predictions that slide from a user's own guess (denoise near 0) to Transport's (denoise 1), in pixels 0..1.

    The model only corrects what it is told to expect, so an own guess has to be in there to be kept. [ours] When the
    guess is Transport's blend, the blend stays what it was. Sources and displacements slide to the guess standing still.
    """
    slid = {
        name: guess_VTHWC.lerp(getattr(predictions, name), denoise)
        for name in ("along_time", "along_view", "source_time", "source_view")
    }
    still = {name: denoise * getattr(predictions, name) for name in ("back_time", "back_view")}
    return replace(predictions, **slid, **still)


def known_channels(pixels_VCTHW: Tensor, known_VT: Tensor) -> Tensor:
    """Known pixels and known mask `[V, 4, T, H, W]`."""
    mask = known_VT[:, None, :, None, None].to(pixels_VCTHW).expand(-1, 1, -1, *pixels_VCTHW.shape[-2:])
    return torch.cat([pixels_VCTHW * mask, mask], dim=1)


def guess_channels(guess: TransportGuess) -> Tensor:
    """Transport's predictions, confidences, sources and displacements `[V, 18, T, H, W]`."""
    confidences = [confidence[:, None] for confidence in (guess.confidence_time, guess.confidence_view)]
    colours = [to_model(x) for x in (guess.along_time, guess.along_view, guess.source_time, guess.source_view)]
    displacements = [x.movedim(-1, 1) / DISPLACEMENT_UNIT for x in (guess.back_time, guess.back_view)]
    return torch.cat([*colours[:2], *confidences, *colours[2:], *displacements], dim=1)


def unconditional(condition_VCTHW: Tensor) -> Tensor:
    """The same with no known cell: the negative of classifier-free guidance. The guess stays, as in training."""
    return torch.cat(
        [torch.zeros_like(condition_VCTHW[:, :KNOWN_CHANNELS]), condition_VCTHW[:, KNOWN_CHANNELS:]], dim=1
    )
