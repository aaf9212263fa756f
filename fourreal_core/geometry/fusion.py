"""Chooses, per pixel, among the candidates of a cell, with a small network that has seen which of them are right, and corrects the choice a little.

Trained for sharp choice: on absolute colour and gradient errors, never on squared ones, which reward blends. Next to read: fill.py.
Shape suffixes: B cells, N candidates, K channels, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..side_by_side import ask
from ..transport.predictions import Predictions
from .candidates import CellCandidates
from .unet import UNet

CANDIDATES = 9  # composed, shaded, still, three layers, Transport's two predictions, what a model draws
EVIDENCE = 20
CORRECTION = 0.08  # most that a colour may be changed after the choice
COMMON_ERROR = 0.05  # colour error that an untrained network expects
CONTRAST = 0.7  # weight of the size of gradients in the training loss
# factor on the logits once trained: sharper, at a little more squared error
DECISIVE = 1.5
BACKGROUND = slice(1, 3)  # the candidates without anything that moves
ELSEWHERE = slice(6, CANDIDATES)  # those that know nothing of the scene, and show what moves where they think it is
# One pose, once trained: logits that a candidate loses which shows the background where the composition shows what moves (a network that is unsure of
# its place would rather leave it out), and that one of ELSEWHERE loses which shows something else where the composition shows the background
HIDDEN, GHOST = 4.0, 1.0
LEAD = 1.0  # logits that the composition gains: it alone shows all of a thing in one pose
HIDES, HIDES_WHOLLY = 0.5, 0.8  # cover from which they begin to lose, and lose all of it
ALIKE = 0.06  # difference of colours, 0..1, from which a picture hardly shows the background
BAND = 2**18  # pixels of a picture that are worked on at once
HEADSTART = 3.0  # logits by which the composition leads before training


class FusionNetwork(nn.Module):
    """Weights over candidates and a bounded correction, from the candidates and their evidence."""

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64, 96)):
        super().__init__()
        self.unet = UNet(3 * CANDIDATES + EVIDENCE, CANDIDATES + 4, widths)
        with torch.no_grad():
            self.unet.head_bias[0] = HEADSTART
            self.unet.head_bias[-1] = math.log(COMMON_ERROR)

    def forward(self, pictures_BN3HW: Tensor, evidence_BKHW: Tensor) -> Choice:
        """What to take from where. pictures 0..1; evidence as `fusion_inputs` gives it."""
        said = self.unet(torch.cat([pictures_BN3HW.flatten(1, 2) * 2 - 1, evidence_BKHW], 1)).float()
        logits = said[:, :CANDIDATES]
        if not self.training:
            logits = DECISIVE * (logits - _other_poses(pictures_BN3HW, evidence_BKHW[:, :1]))
        weights = logits.softmax(1)
        return Choice(weights, CORRECTION * torch.tanh(said[:, CANDIDATES:-1]), said[:, -1].clamp(-7, 0))


def _other_poses(pictures_BN3HW: Tensor, cover_B1HW: Tensor) -> Tensor:
    """[B, N, H, W]: the logits that candidates lose because they do not show what moves where the composition shows it."""
    shows_B1HW = ((cover_B1HW - HIDES) / (HIDES_WHOLLY - HIDES)).clamp(0, 1)
    apart = (pictures_BN3HW[:, ELSEWHERE] - pictures_BN3HW[:, BACKGROUND.start, None]).abs().mean(2)
    plain = torch.exp(-(functional.avg_pool2d(apart, 3, 1, 1, count_include_pad=False) / ALIKE).square())
    lost = pictures_BN3HW.new_zeros(pictures_BN3HW.shape[:2] + cover_B1HW.shape[2:])
    lost[:, 0] = -LEAD
    lost[:, BACKGROUND] = HIDDEN * shows_B1HW
    lost[:, ELSEWHERE] = HIDDEN * shows_B1HW * plain + GHOST * (1 - shows_B1HW) * (1 - plain)
    return lost


class Choice(NamedTuple):
    """The network's answer for B cells; may be made on small pictures and carried out on large ones."""

    weights_BNHW: Tensor  # of the candidates, their sum is 1
    correction_B3HW: Tensor  # added to the chosen colours
    log_error_BHW: Tensor  # log of the expected absolute error of the colours

    def resized(self, size: tuple[int, int]) -> Choice:
        """The same choice for pictures of another size."""
        if tuple(self.log_error_BHW.shape[-2:]) == size:
            return self
        large = partial(functional.interpolate, size=size, mode="bilinear", align_corners=False)
        return Choice(large(self.weights_BNHW), large(self.correction_B3HW), large(self.log_error_BHW[:, None])[:, 0])

    def carried_out(self, pictures_BN3HW: Tensor) -> Tensor:
        """Colours [B, 3, H, W] 0..1."""
        bands = [self._carried_out(pictures_BN3HW, band) for band in _bands(*self.log_error_BHW.shape[-2:])]
        return bands[0] if len(bands) == 1 else torch.cat(bands, -2)

    def _carried_out(self, pictures_BN3HW: Tensor, band: slice) -> Tensor:
        weighted_BN3HW = self.weights_BNHW[:, :, None, band] * pictures_BN3HW[..., band, :]
        return (weighted_BN3HW.sum(1) + self.correction_B3HW[:, :, band]).clamp(0, 1)


def _bands(height: int, width: int) -> Iterator[slice]:
    """All lines of large pictures, some at a time."""
    lines = max(1, BAND // width)
    for first in range(0, height, lines):
        ask()
        yield slice(first, first + lines)


def fusion_inputs(
    cell: CellCandidates,
    predicted: Predictions,
    place: tuple[float, float],
    drawn_HW3: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Pictures [N, 3, H, W] and evidence [K, H, W] of a cell; place: share of the way along views and times, 0..1.

    predicted: Transport's of this cell. drawn: the cell as a model draws it, 0..1; None: Transport's blend in its place, and the evidence says so.
    """
    is_drawn = float(drawn_HW3 is not None)
    ask()
    pictures = [
        cell.composed_HW3,
        cell.shaded_HW3,
        cell.still.colour_HW3,
        *(layer.colour_HW3 for layer in cell.layers),
        predicted.time.frames,
        predicted.view.frames,
        predicted.blend if drawn_HW3 is None else drawn_HW3,
    ]
    ask()
    unit = cell.still.unit
    told = [
        cell.cover_HW,
        cell.still.seen_HW.float(),
        (cell.still.inverse_depth_HW / unit - 1).clamp(-2, 4),
        predicted.time.confidence,
        predicted.view.confidence,
    ]
    for layer in cell.layers:
        ask()
        shown = (layer.cover_HW > 0.1).float()
        told += [
            layer.cover_HW,
            layer.density_HW.clamp_max(2),
            ((layer.inverse_depth_HW - cell.still.inverse_depth_HW) / unit * shown).clamp(-2, 2),
            layer.doubt_HW.clamp(0, 20) / 5 * shown,
        ]
    told += [torch.full_like(cell.cover_HW, share) for share in (*place, is_drawn)]
    return _stacked(pictures).movedim(-1, 1), _stacked(told)


def _stacked(maps: list[Tensor]) -> Tensor:
    """As torch.stack, one after the other, since each may be large."""
    stacked = maps[0].new_empty(len(maps), *maps[0].shape)
    for place, large in zip(stacked, maps):
        ask()
        place.copy_(large)
    return stacked


def gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels [..., H, W-1] and [..., H-1, W]; part of the training loss."""
    return pictures[..., :, 1:] - pictures[..., :, :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def fusion_loss(made_B3HW: Tensor, log_error_BHW: Tensor, truth_B3HW: Tensor, moving_BHW: Tensor) -> Tensor:
    """Mean absolute error of colours, of gradients and of their size (a blend of two poses has too small ones), moving pixels
    counted four times, and the error's own likelihood (Laplace)."""
    weight = 1 + 3 * moving_BHW[:, None]
    colour = ((made_B3HW - truth_B3HW).abs() * weight).mean()
    (made_x, made_y), (true_x, true_y) = gradients(made_B3HW), gradients(truth_B3HW)
    contrast = sum(
        ((made.abs() - true.abs()).abs() * part).mean()
        for made, true, part in ((made_x, true_x, weight[..., 1:]), (made_y, true_y, weight[..., 1:, :]))
    )
    slopes = ((made_x - true_x).abs() * weight[..., 1:]).mean() + ((made_y - true_y).abs() * weight[..., 1:, :]).mean()
    error_BHW = (made_B3HW - truth_B3HW).abs().mean(1).detach()
    return colour + slopes + CONTRAST * contrast + 0.02 * (error_BHW * torch.exp(-log_error_BHW) + log_error_BHW).mean()
