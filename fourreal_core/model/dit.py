"""The base video model: a pixel-space diffusion transformer over one sequence of frames, with random-mask
conditioning and two modes, dynamic (along time) and freeze-time (along views). Read `two_stream.py` next.

Source: PAPER "Base video model" (4Real-Video, arXiv 2412.04462; masks: 4Real, arXiv 2406.07472). Where we deviate is
marked [ours].

Legend: N sequences, F frames per sequence, C channels, H W pixels, h w tokens down and across (H/8, W/8), S = h * w, L = F * S,
D width, E embedding width (= D).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..flow import velocity_from_x0
from .attention import attention, rotary_angles, rotate
from .config import PATCH, ModelConfig
from .conv import Head, Stem
from .prior import Prior

Layer = Callable[[Tensor], Tensor]
DYNAMIC, FREEZE_TIME = 0, 1  # mode embedding: which axis a sequence runs along
SIGMA_FEATURES = 64
ZERO_AT_INIT = tuple(
    f"{layer}.weight" for layer in ("modulation", "second", "attention_out", "text_out", "mlp_out", "head.out")
)


def sigma_features(sigma_N: Tensor, count: int = SIGMA_FEATURES) -> Tensor:
    """Sines and cosines `[N, count]` of sigma at frequencies 2 pi * 0.25 .. 2 pi * 16, float32."""
    frequency = 2 * math.pi * torch.logspace(-2, 4, count // 2, base=2.0, device=sigma_N.device)
    angle = sigma_N.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Block(nn.Module):
    """One transformer layer phi with its residual: y = x + phi(x; c) (PAPER, two-stream transformer).

    adaLN-single: the modulation is shared by all blocks plus a learned table per block (PixArt-alpha, 2310.00426).
    """

    def __init__(self, config: ModelConfig, *, operations: Any, **factory: Any):
        super().__init__()
        width = config.width
        self.head_width = config.head_width
        self.checkpointed = False  # keep the input only, and compute the rest again for the gradient (arXiv 1604.06174)
        self.table = nn.Parameter(torch.zeros(6, width, **factory))
        self.qkv = operations.Linear(width, 3 * width, **factory)
        self.attention_out = operations.Linear(width, width, **factory)
        self.mlp_in = operations.Linear(width, config.mlp_width, **factory)
        self.mlp_out = operations.Linear(config.mlp_width, width, **factory)
        if config.text_width:
            self.text_q = operations.Linear(width, width, **factory)
            self.text_kv = operations.Linear(config.text_width, 2 * width, **factory)
            self.text_out = operations.Linear(width, width, **factory)

    def forward(self, x_NLD: Tensor, modulation_N6D: Tensor, angles_LP: Tensor, text_NKD: Tensor | None) -> Tensor:
        def attend(x_NLD: Tensor) -> Tensor:
            q, k, v = self.heads(self.qkv(x_NLD), angles_LP)
            return self.attention_out(rearrange(attention(q, k, v), "n h l d -> n l (h d)"))

        read = None if text_NKD is None else lambda x_NLD: self.read_text(x_NLD, text_NKD)
        return self.around(attend, read, x_NLD, modulation_N6D)

    def around(self, attend: Layer, read: Layer | None, x_NLD: Tensor, modulation_N6D: Tensor) -> Tensor:
        """The layer around any self-attention `attend` and, where there is text, its cross-attention `read`."""
        if self.checkpointed:
            y_NLD = checkpoint(self._around, attend, read, x_NLD, modulation_N6D, use_reentrant=False)
            return cast(Tensor, y_NLD)
        return self._around(attend, read, x_NLD, modulation_N6D)

    def _around(self, attend: Layer, read: Layer | None, x_NLD: Tensor, modulation_N6D: Tensor) -> Tensor:
        table = self.table.to(modulation_N6D)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (modulation_N6D + table)[:, :, None].unbind(1)
        x_NLD = x_NLD + gate_a * attend(_normalize(x_NLD) * (1 + scale_a) + shift_a)
        if read is not None:
            x_NLD = x_NLD + read(_normalize(x_NLD))
        hidden = F.silu(self.mlp_in(_normalize(x_NLD) * (1 + scale_m) + shift_m))
        return x_NLD + gate_m * self.mlp_out(hidden)

    def heads(self, qkv_NLD: Tensor, angles_LP: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys (normalized, turned to their positions) and values per head, `[N, H, L, head_width]` each."""
        q, k, v = rearrange(qkv_NLD, "n l (three h d) -> three n h l d", three=3, d=self.head_width)
        return rotate(_normalize(q), angles_LP), rotate(_normalize(k), angles_LP), v

    def read_text(self, x_NLD: Tensor, text_NKD: Tensor) -> Tensor:
        """Cross-attention to text tokens `[N, K, text_width]`."""
        q = rearrange(self.text_q(x_NLD), "n l (h d) -> n h l d", d=self.head_width)
        k, v = rearrange(self.text_kv(text_NKD), "n k (two h d) -> two n h k d", two=2, d=self.head_width)
        return self.text_out(rearrange(attention(_normalize(q), _normalize(k), v), "n h l d -> n l (h d)"))


def _normalize(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


@dataclass(frozen=True)
class Embedded:
    """What the stem leaves for the blocks and the head. tokens `[M, S, D]`, one entry per frame M, frame-major."""

    tokens_MSD: Tensor
    skips: tuple[Tensor, Tensor]
    prior: Prior
    height: int  # in tokens
    width: int


class VideoDiT(nn.Module):
    """One video diffusion transformer. `forward` is the base model on sequences; the two-stream model reuses its
    parts `embed`, `modulation`, `blocks` and `predict`.

    operations, dtype, device are the host's seams (for example ComfyUI's `comfy.ops.manual_cast`).
    """

    def __init__(self, config: ModelConfig, *, operations: Any = nn, dtype=None, device=None):
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        self.config = config
        width = config.width
        out_channels = 11 if config.guess else 4  # see `Prior.clean_frames`
        self.stem = Stem(3 + config.condition_channels, config, operations=operations, **factory)
        self.sigma_in = operations.Linear(SIGMA_FEATURES, width, **factory)
        self.sigma_out = operations.Linear(width, width, **factory)
        self.mode = operations.Embedding(2, width, **factory)
        self.shared_modulation = operations.Linear(width, 6 * width, **factory)
        self.blocks = nn.ModuleList(Block(config, operations=operations, **factory) for _ in range(config.depth))
        self.head = Head(out_channels, config, operations=operations, **factory)

    def forward(
        self,
        x_NCFHW: Tensor,
        sigma_N: Tensor,
        condition_NCFHW: Tensor,
        mode_N: Tensor,
        text_NKD: Tensor | None = None,
        blocks: Iterable[Callable[..., Tensor]] | None = None,
    ) -> Tensor:
        """Velocity `[N, 3, F, H, W]` (float32) of noisy sequences at `sigma`, each along its own mode's axis.

        blocks: what runs in place of the model's blocks, each called as they are.
        """
        frames = x_NCFHW.shape[2]
        x_MCHW, condition_MCHW = (rearrange(x, "n c f h w -> (n f) c h w") for x in (x_NCFHW, condition_NCFHW))
        embedded = self.embed(x_MCHW, condition_MCHW, sigma_N.repeat_interleave(frames))
        tokens = rearrange(embedded.tokens_MSD, "(n f) s d -> n (f s) d", f=frames)
        modulation, angles = self.modulation(sigma_N, mode_N, tokens.dtype), self.angles(frames, embedded)
        for block in self.blocks if blocks is None else blocks:
            tokens = block(tokens, modulation, angles, text_NKD)
        tokens = rearrange(tokens, "n (f s) d -> (n f) s d", f=frames)
        velocity_MCHW = self.predict(tokens, embedded)
        return rearrange(velocity_MCHW, "(n f) c h w -> n c f h w", f=frames)

    def embed(self, x_MCHW: Tensor, condition_MCHW: Tensor, sigma_M: Tensor) -> Embedded:
        """Frames with their condition -> tokens. Sizes are padded up to multiples of 8 pixels."""
        prior = Prior(x_MCHW.float(), sigma_M, condition_MCHW.float())
        pixels = _pad_to_patch(torch.cat([prior.evidence, prior.channels], dim=1)).to(self.compute_dtype)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        tokens, skips = self.stem(pixels, self.sigma_embedding(sigma_M))
        height, width = tokens.shape[-2:]
        return Embedded(_centred(rearrange(tokens, "m d h w -> m (h w) d")), skips, prior, height, width)

    def predict(self, tokens_MSD: Tensor, embedded: Embedded) -> Tensor:
        """Tokens after the last block -> velocity `[M, 3, H, W]`, float32.

        x-prediction: the head gives the clean frame and the velocity follows (arXiv 2511.13720 finds x-prediction fit
        for pixel space).
        """
        prior = embedded.prior
        tokens = rearrange(tokens_MSD, "m (h w) d -> m d h w", h=embedded.height)
        out = self.head(tokens, embedded.skips, self.sigma_embedding(prior.sigma_M))
        out = out[..., : prior.x.shape[-2], : prior.x.shape[-1]].float()
        return velocity_from_x0(prior.x, prior.clean_frames(out), prior.sigma_M[:, None, None, None])

    def sigma_embedding(self, sigma_N: Tensor) -> Tensor:
        hidden = self.sigma_in(sigma_features(sigma_N).to(self.compute_dtype))
        return F.silu(self.sigma_out(F.silu(hidden)))

    def modulation(self, sigma_N: Tensor, mode_N: Tensor, dtype: torch.dtype) -> Tensor:
        """adaLN modulation `[N, 6, D]` from sigma and mode, shared by all blocks."""
        embedding = self.sigma_embedding(sigma_N)
        c = embedding + self.mode(mode_N).to(embedding)
        return rearrange(self.shared_modulation(c), "n (six d) -> n six d", six=6).to(dtype)

    def angles(self, frames: int, embedded: Embedded) -> Tensor:
        device = embedded.tokens_MSD.device
        return rotary_angles(frames, embedded.height, embedded.width, self.config.head_width, device)

    @property
    def compute_dtype(self) -> torch.dtype:
        """dtype of the convolutions and matrix products; the host may set another than the weights'."""
        return getattr(self, "_compute_dtype", None) or self.sigma_in.weight.dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype | None) -> None:
        self._compute_dtype = dtype


def _centred(tokens_MSD: Tensor) -> Tensor:
    """Each channel with mean 0 and variance 1 over the tokens of its frame.

    [ours] Normalized per token instead, a part that all tokens share grew until it drowned what sets them apart (measured).
    """
    variance, mean = torch.var_mean(tokens_MSD.float(), dim=1, keepdim=True, correction=0)
    return ((tokens_MSD - mean) * torch.rsqrt(variance + 1e-3)).to(tokens_MSD.dtype)


def _pad_to_patch(x_MCHW: Tensor) -> Tensor:
    height, width = x_MCHW.shape[-2:]
    missing = (0, -width % PATCH, 0, -height % PATCH)
    return F.pad(x_MCHW, missing, mode="replicate") if any(missing) else x_MCHW


def initialize(model: VideoDiT, generator: torch.Generator | None = None) -> None:
    """All of the base model's inits: scaled normals, residual branches and the output start at zero."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name.endswith("table") or name.endswith(ZERO_AT_INIT):
            nn.init.zeros_(parameter)
        else:
            fan_in = parameter[0].numel()
            nn.init.normal_(parameter, std=fan_in**-0.5, generator=generator)
    nn.init.normal_(model.mode.weight, std=0.02, generator=generator)
    with torch.no_grad():
        for block in cast(Iterable[Block], model.blocks):
            block.table[2].fill_(1.0)  # the gates of attention and MLP stand open; their last layers start at zero
            block.table[5].fill_(1.0)
