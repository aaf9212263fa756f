"""Grids in and out of a video VAE's latents: three ways to encode frames, because a video VAE compresses time and not views.

    frame     every cell encoded alone                                  T latent frames per view
    hold      a view as a video in which every cell after the first     T latent frames per view
              is held for one latent step, as F equal frames
    native    a view as a video, as it is; T = F n + 1                  1 + (T - 1) / F latent frames per view

The VAE is a `Codec`, so that nothing here knows a host. What the encodings are good for, and what they cost: docs/latents.md.

Letters: V views, T times, L latent frames of one view, F frames that the VAE packs into one latent frame after the first,
C latent channels, H W pixels, h w latent pixels, N frames of one video.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as functional
from torch import Tensor

ENCODINGS = ("hold", "frame", "native")
GREY = 0.5  # what the image-to-video models were shown in place of unknown frames
Progress = Callable[[int, int], None]  # called with (done, total); raising inside cancels


class Packed(Protocol):
    """Whatever packs frames into latent frames, F after the first."""

    @property
    def frames_per_latent(self) -> int: ...


@dataclass(frozen=True)
class Codec:
    """A VAE. encode: video [N, H, W, 3] in 0..1 -> latent [C, 1 + (N - 1) / F, h, w]; decode is its inverse.

    channels C; frames_per_latent F; pixels_per_latent: H / h; patch: latent pixels on a side of one token of the model, 1 or 2.
    Only videos of 1 + F n frames with sides that pixels_per_latent * patch divides are encoded.
    """

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    channels: int
    frames_per_latent: int
    pixels_per_latent: int
    patch: int = 1

    def latent_side(self, pixels: int) -> int:
        """h or w of frames that were padded to whole tokens."""
        return -(-pixels // (self.pixels_per_latent * self.patch)) * self.patch


def latent_cells(encoding: str, times: int, codec: Packed) -> list[range]:
    """The times that each latent frame of a view shows. ValueError when `native` cannot hold that many times."""
    packed = codec.frames_per_latent
    if encoding not in ENCODINGS:
        raise ValueError(f"expected the encoding to be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    if encoding != "native":
        return [range(time, time + 1) for time in range(times)]
    if (times - 1) % packed:
        below = times - (times - 1) % packed
        raise ValueError(
            f"expected {packed} n + 1 times for the native encoding, because this VAE packs {packed} frames into one latent "
            f"frame, got {times}: use {below} or {below + packed} times, or the encoding hold or frame"
        )
    return [range(1)] + [range(first, first + packed) for first in range(1, times, packed)]


def encode_frames(
    frames_VTHWC: Tensor, encoding: str, codec: Codec, wanted_VT: Tensor | None = None, on_piece: Progress | None = None
) -> Tensor:
    """Frames in 0..1 [V, T, H, W, 3] -> latents [V, C, L, h, w]; one cell or one view at a time.

    wanted: cells [V, T] whose latents are needed (None: all). A view is encoded up to its last wanted one: the VAEs of Wan and LTX
    never look ahead, and the others' latents are then free of what follows. Latents that nothing asked for are 0.
    Sides that are no whole tokens are padded with their last pixel; `decode_frames` crops them again.
    """
    views, times, height, width = frames_VTHWC.shape[:4]
    cells = latent_cells(encoding, times, codec)
    wanted_VL = _any_cell(torch.ones(views, times, dtype=torch.bool) if wanted_VT is None else wanted_VT, cells)
    pieces = _pieces(wanted_VL, encoding)
    latent_VCLhw = torch.zeros(views, codec.channels, len(cells), codec.latent_side(height), codec.latent_side(width))
    for done, (view, steps) in enumerate(pieces, 1):
        shown = [time for step in steps for time in cells[step]]
        repeats = torch.tensor([codec.frames_per_latent if encoding == "hold" and time else 1 for time in shown])
        video_NHWC = frames_VTHWC[view, shown].repeat_interleave(repeats, 0)
        latent_VCLhw[view, :, steps] = codec.encode(padded(video_NHWC, codec)).to("cpu", torch.float32)
        if on_piece is not None:
            on_piece(done, len(pieces))
    return latent_VCLhw


def decode_frames(
    latent_VCLhw: Tensor,
    encoding: str,
    codec: Codec,
    size: tuple[int, int, int, int],
    wanted_VT: Tensor | None = None,
    on_piece: Progress | None = None,
) -> Tensor:
    """Latents [V, C, L, h, w] -> frames [V, T, H, W, 3] in 0..1; the inverse of `encode_frames`. size: (V, T, H, W).

    wanted: cells [V, T] that are needed (None: all); what nothing asked for may stay black. Views are decoded whole, because some
    decoders look ahead. Of the F frames that `hold` spends on a cell the last is taken: the decoder has seen all of the cell then.
    """
    views, times, height, width = size
    cells = latent_cells(encoding, times, codec)
    _check_latent(
        latent_VCLhw, (views, codec.channels, len(cells), codec.latent_side(height), codec.latent_side(width))
    )
    wanted_VL = _any_cell(torch.ones(views, times, dtype=torch.bool) if wanted_VT is None else wanted_VT, cells)
    pieces = _pieces(
        wanted_VL if encoding == "frame" else wanted_VL.any(1, keepdim=True).expand_as(wanted_VL), encoding
    )
    frames_VTHWC = torch.zeros(views, times, height, width, 3)
    for done, (view, steps) in enumerate(pieces, 1):
        video_NHWC = codec.decode(latent_VCLhw[view, :, steps]).to("cpu", torch.float32)[:, :height, :width]
        video_NHWC = video_NHWC[:: codec.frames_per_latent] if encoding == "hold" else video_NHWC
        frames_VTHWC[view, [time for step in steps for time in cells[step]]] = video_NHWC.clamp(0, 1)
        if on_piece is not None:
            on_piece(done, len(pieces))
    return frames_VTHWC


def redo_mask(redo_VTHW: Tensor, encoding: str, codec: Codec) -> Tensor:
    """How strongly each pixel is to be sampled, 0 (known) to 1, [V, T, H, W] -> the same for latents, [V, 1, L, h, w].

    A latent frame is kept only if all of its cells are; otherwise it takes the mean of those that are not.
    """
    cells = latent_cells(encoding, redo_VTHW.shape[1], codec)
    padded_VTHW = padded(redo_VTHW[..., None].flatten(0, 1), codec)[..., 0].unflatten(0, redo_VTHW.shape[:2])
    small_VThw = functional.avg_pool2d(padded_VTHW, codec.pixels_per_latent)
    free_VT = redo_VTHW.flatten(2).amax(2) > 0
    masks_Vhw = []
    for step in cells:
        free_VF = free_VT[:, list(step)].float()
        total_Vhw = torch.einsum("vf,vfhw->vhw", free_VF, small_VThw[:, list(step)])
        masks_Vhw.append(total_Vhw / free_VF.sum(1).clamp(min=1)[:, None, None])
    return torch.stack(masks_Vhw, 1)[:, None]


def cell_flags(flag_VT: Tensor, encoding: str, codec: Codec) -> Tensor:
    """A number per cell [V, T, ...] -> F channels per latent frame [V, F, L, ...]: one for each frame that the latent frame packs.

    This is how image-to-video models are told which frames are given: the first latent frame has its one cell F times.
    """
    channels = [
        list(step) if len(step) > 1 else list(step) * codec.frames_per_latent
        for step in latent_cells(encoding, flag_VT.shape[1], codec)
    ]
    return flag_VT[:, torch.tensor(channels).T].float()


def _any_cell(flag_VT: Tensor, cells: list[range]) -> Tensor:
    return torch.stack([flag_VT[:, list(step)].any(1) for step in cells], 1)


def _pieces(wanted_VL: Tensor, encoding: str) -> list[tuple[int, list[int]]]:
    """What goes through the VAE at once: (view, latent frames). Single cells for `frame`, else a view's beginning."""
    if encoding == "frame":
        return [(view, [step]) for view, step in wanted_VL.nonzero().tolist()]
    lasts = [wanted_L.nonzero().flatten().tolist() for wanted_L in wanted_VL]
    return [(view, list(range(last[-1] + 1))) for view, last in enumerate(lasts) if last]


def padded(video_NHWC: Tensor, codec: Codec) -> Tensor:
    """Frames [N, H, W, C] with sides up to whole tokens, by repeating the last pixel."""
    height, width = video_NHWC.shape[1:3]
    lines = torch.arange(codec.latent_side(height) * codec.pixels_per_latent).clamp(max=height - 1)
    places = torch.arange(codec.latent_side(width) * codec.pixels_per_latent).clamp(max=width - 1)
    return video_NHWC if len(lines) == height and len(places) == width else video_NHWC[:, lines][:, :, places]


def _check_latent(latent_VCLhw: Tensor, expected: tuple[int, ...]) -> None:
    """Sides may be one latent pixel longer: whoever decodes need not know the model's patches."""
    longer = [found - wanted for found, wanted in zip(latent_VCLhw.shape, expected, strict=False)]
    if latent_VCLhw.ndim != 5 or longer[:3] != [0, 0, 0] or not {0, 1}.issuperset(longer[3:]):
        raise ValueError(
            f"expected a latent of shape {expected} (views, channels, latent frames, height, width) for "
            f"this grid, encoding and VAE, got {tuple(latent_VCLhw.shape)}: connect the grid, the VAE and the encoding that the latent was made with"
        )
    if not torch.isfinite(latent_VCLhw).all():
        raise ValueError(
            "the sampler returned numbers that are not finite: try another sampler, more steps or a lower cfg"
        )
