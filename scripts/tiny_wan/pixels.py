"""Linear latents in the place of a VAE's: 4 x 4 pixels of one frame become 16 numbers, their largest principal components.

Letters: N frames, H W pixels, h w latent pixels, C = 16 latent channels, P = 48 numbers of a 4 x 4 block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

SIDE, CHANNELS, PACKED = 4, 16, 4  # pixels, channels, and frames that a Wan VAE packs into a latent frame
FLATTENING = 0.5  # 1 gives every component the same spread, 0 leaves them as they are: detail would vanish in the loss


@dataclass(frozen=True)
class PixelLatents:
    """basis: orthonormal [C, P]; mean [P]; scale [C], by which components are divided. Latents have spread 1 on the whole."""

    basis: Tensor
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, frames_NHW3: Tensor) -> PixelLatents:
        """The principal components of these frames, uint8 with sides that 4 divides."""
        blocks = _blocks(frames_NHW3.float() / 255).flatten(0, 2)
        mean = blocks.mean(0)
        spread, vectors = torch.linalg.eigh(torch.cov((blocks - mean).T))
        basis, deviation = vectors[:, -CHANNELS:].flip(1).T, spread[-CHANNELS:].flip(0).sqrt()
        scale = deviation**FLATTENING
        return cls(basis.contiguous(), mean, scale * (deviation / scale).square().mean().sqrt())

    def encode(self, frames_NHW3: Tensor) -> Tensor:
        """Frames in 0..1 [..., H, W, 3] -> [..., h, w, C]."""
        return (_blocks(frames_NHW3) - self.mean) @ self.basis.T / self.scale

    def decode(self, latents_NhwC: Tensor) -> Tensor:
        """The nearest frames, not clamped."""
        blocks = (latents_NhwC * self.scale) @ self.basis + self.mean
        return rearrange(blocks, "... h w (a b c) -> ... (h a) (w b) c", a=SIDE, b=SIDE, c=3)


def _blocks(frames_NHW3: Tensor) -> Tensor:
    return rearrange(frames_NHW3, "... (h a) (w b) c -> ... h w (a b c)", a=SIDE, b=SIDE)
