"""Clips of rendered grids, along time and along the camera's way, and what of them the model is shown.

Letters: B clips, F frames of a clip, H W pixels, 3 colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors import safe_open
from torch import Generator, Tensor

from .pixels import SIDE

SIZE, FRAMES = (32, 64), 6  # 128 x 72 at half the size without its outermost lines; of the 8 frames that scenes have
TIME, VIEW, ANY = range(3)  # prompts: the clock runs, the camera runs, nothing is said
PROMPTS = 3
UNTOLD = 0.15  # share of clips with the prompt ANY
FIRST, SOME, HOLES = (
    0.45,
    0.15,
    0.30,
)  # shares of clips that are shown their first frame, some frames, all with holes; the rest nothing
GREY = 0.5


@dataclass(frozen=True)
class Clips:
    """frames uint8 [N, F, H, W, 3]; axis [N], TIME or VIEW."""

    frames: Tensor
    axis: Tensor


def read_clips(files: Iterable[Path]) -> Clips:
    """Every row and column of whole grids, and the two videos of the other scenes, at half the size."""
    frames, axis = [], []
    for path in files:
        with safe_open(path, framework="pt") as file:
            if "frames_VTHW3" in file.keys():
                grid_VTHW3 = half_size(file.get_tensor("frames_VTHW3"))
                frames += [grid_VTHW3, grid_VTHW3.transpose(0, 1)]
                axis += [TIME] * len(grid_VTHW3) + [VIEW] * grid_VTHW3.shape[1]
            else:
                frames += [half_size(file.get_tensor(name))[None] for name in ("fixed_THW3", "freeze_VHW3")]
                axis += [TIME, VIEW]
    if not frames:
        raise ValueError("found no rendered scenes to train on")
    return Clips(torch.cat(frames), torch.tensor(axis))


def half_size(frames_NHW3: Tensor) -> Tensor:
    """uint8 [..., 72, 128, 3] -> [..., 32, 64, 3]."""
    leading = frames_NHW3.shape[:-3]
    small_N3HW = functional.avg_pool2d(frames_NHW3.flatten(0, -4).movedim(-1, 1).float(), 2)
    first = (small_N3HW.shape[2] - SIZE[0]) // 2
    return small_N3HW[:, :, first : first + SIZE[0]].round().to(torch.uint8).movedim(1, -1).unflatten(0, leading)


def drawn(clips: Clips, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """(frames [B, F, H, W, 3] in 0..1, prompts [B]) of `count` clips of FRAMES frames, some of them mirrored or run backwards."""
    chosen = torch.randint(len(clips.frames), (count,), generator=generator)
    first_B = torch.randint(clips.frames.shape[1] - FRAMES + 1, (count,), generator=generator)
    mirrored, backward, untold = torch.rand(3, count, generator=generator) < torch.tensor([[0.5], [0.5], [UNTOLD]])
    frames_BFHW3 = clips.frames[chosen[:, None], first_B[:, None] + torch.arange(FRAMES)].float() / 255
    frames_BFHW3 = torch.where(mirrored[:, None, None, None, None], frames_BFHW3.flip(3), frames_BFHW3)
    frames_BFHW3 = torch.where(backward[:, None, None, None, None], frames_BFHW3.flip(1), frames_BFHW3)
    return frames_BFHW3, torch.where(untold, ANY, clips.axis[chosen])


def painted(count: int, frames: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """Bool [B, F, H, W]: what the model has to make itself, as image-to-video, interpolation and inpainting weights were taught it."""
    kind = torch.rand(count, generator=generator)
    first_F = torch.arange(frames) > 0
    some_BF = (torch.rand(count, frames, generator=generator) < 0.6) & first_F
    paint_BF = torch.ones(count, frames, dtype=torch.bool)
    paint_BF = torch.where((kind < FIRST)[:, None], first_F, paint_BF)
    paint_BF = torch.where(((kind >= FIRST) & (kind < FIRST + SOME))[:, None], some_BF, paint_BF)
    paint_BFHW = paint_BF[:, :, None, None].expand(-1, -1, *size)
    holes = (kind >= FIRST + SOME) & (kind < FIRST + SOME + HOLES)
    holes_BFHW = _holes(count, frames, size, generator) & first_F[:, None, None]
    return torch.where(holes[:, None, None, None], holes_BFHW, paint_BFHW)


def _holes(count: int, frames: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """Blobs that move and grow from frame to frame, a different share of each clip."""
    coarse = torch.randn(count, 1, frames // 3 + 2, size[0] // 8 + 1, size[1] // 8 + 1, generator=generator)
    smooth_BFHW = functional.interpolate(coarse, (frames, *size), mode="trilinear")[:, 0]
    share_B = 0.1 + 0.6 * torch.rand(count, generator=generator)
    level_B = torch.stack([one.flatten().quantile(1 - share) for one, share in zip(smooth_BFHW, share_B.tolist())])
    return smooth_BFHW > level_B[:, None, None, None]


def given_latents(paint_BFHW: Tensor) -> Tensor:
    """Bool [B, F, h, w]: latent pixels all of whose pixels are given."""
    return (
        functional.max_pool2d(paint_BFHW.flatten(0, 1)[:, None].float(), SIDE)[:, 0].unflatten(0, paint_BFHW.shape[:2])
        == 0
    )
