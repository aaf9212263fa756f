"""What of a filled grid a video model is shown as given, and what it paints: warp, then inpaint, with two sources and for all views at once.

A fill predicts every cell from the videos that are known and says how sure it is. Where it is sure enough the model is shown that, everything
else is grey and marked by a mask, in the layouts that inpainting video models were trained with: `vace_mask` for VACE (arXiv 2503.07598),
`given_flags` for image-to-video and Fun-InP weights. docs/latents.md has them in a table.

Letters as in latents.py; paint: bool [V, T, H, W], True where the model paints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from einops import rearrange
from torch import Tensor

from .latents import GREY, Codec, cell_flags, latent_cells, padded

TINT = (0.85, 0.25, 0.75)  # of what will be painted, in pictures for people


def places_to_paint(confidence_VTHW: Tensor, known_VT: Tensor, threshold: float, margin: int = 0) -> Tensor:
    """Bool [V, T, H, W]: everywhere but in known cells and where the confidence, 0..1, is at least `threshold`.

    margin: pixels by which what is painted grows into what is sure, because warps are worst beside their holes. ValueError for numbers out of range.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected the threshold from 0 to 1, got {threshold:g}")
    if margin < 0:
        raise ValueError(f"expected a margin of 0 pixels or more, got {margin}")
    unsure_VTHW = confidence_VTHW < threshold
    if margin:
        grown_NHW = functional.max_pool2d(unsure_VTHW.flatten(0, 1).float()[:, None], 2 * margin + 1, 1, margin)[:, 0]
        unsure_VTHW = grown_NHW.unflatten(0, unsure_VTHW.shape[:2]) > 0
    return unsure_VTHW & ~known_VT[:, :, None, None]


def shown_frames(frames_VTHWC: Tensor, paint_VTHW: Tensor) -> Tensor:
    """The frames as the model is shown them, [V, T, H, W, 3] in 0..1: grey where it paints."""
    return torch.where(paint_VTHW[..., None], torch.tensor(GREY), frames_VTHWC)


def tinted_frames(frames_VTHWC: Tensor, paint_VTHW: Tensor) -> Tensor:
    """The frames for people, [V, T, H, W, 3] in 0..1: what the fill has there shines through where the model paints."""
    return torch.where(paint_VTHW[..., None], 0.35 * frames_VTHWC + 0.65 * torch.tensor(TINT), frames_VTHWC)


def painted_share(paint_VTHW: Tensor) -> Tensor:
    """Share 0..1 of each cell's pixels that the model paints, [V, T]."""
    return paint_VTHW.float().mean((2, 3))


def share_report(paint_VTHW: Tensor, known_VT: Tensor) -> str:
    """The shares as a table in percent, views downwards and times rightwards, counted from 1; a known cell is a dot."""
    percent_VT = painted_share(paint_VTHW) * 100
    unknown = percent_VT[~known_VT]
    mean, most = (unknown.mean().item(), unknown.max().item()) if len(unknown) else (0.0, 0.0)
    lines = [
        f"{mean:.0f}% of the unknown cells will be painted, {most:.0f}% of the worst; the rest is shown as it was filled."
    ]
    lines.append("time   " + " ".join(f"{time + 1:3d}" for time in range(known_VT.shape[1])))
    for view, (shares, known) in enumerate(zip(percent_VT.tolist(), known_VT.tolist()), start=1):
        cells = ("  ." if is_known else f"{share:3.0f}" for share, is_known in zip(shares, known))
        lines.append(f"view {view:<2d}" + " ".join(cells))
    return "\n".join(lines)


def vace_mask(paint_VTHW: Tensor, encoding: str, codec: Codec) -> Tensor:
    """[V, p p, L, h, w] in 0..1, 1 where VACE paints: the p x p pixels of a latent pixel are its channels.

    `native`: each latent frame takes its nearest frame's, as in VACE's training; the others have a frame for each.
    """
    side, (views, times) = codec.pixels_per_latent, paint_VTHW.shape[:2]
    whole_NHW = padded(paint_VTHW.flatten(0, 1).float()[..., None], codec)[..., 0]
    mask_VETHW = rearrange(whole_NHW, "(v t) (h a) (w b) -> v (a b) t h w", v=views, a=side, b=side)
    frames = len(latent_cells(encoding, times, codec))
    size = (frames, *mask_VETHW.shape[-2:])
    return mask_VETHW if frames == times else functional.interpolate(mask_VETHW, size=size, mode="nearest-exact")


def given_flags(paint_VTHW: Tensor, encoding: str, codec: Codec) -> Tensor:
    """[V, F, L, h, w], 1 where something is to be made, 0 where all pixels of a latent pixel are given; a channel per frame in a latent frame."""
    whole_NHW = padded(paint_VTHW.flatten(0, 1).float()[..., None], codec)[..., 0]
    small_Nhw = functional.max_pool2d(whole_NHW[:, None], codec.pixels_per_latent)[:, 0]
    return cell_flags(small_Nhw.unflatten(0, paint_VTHW.shape[:2]), encoding, codec).contiguous()
