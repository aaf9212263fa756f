"""Pseudo-4D grids from ordinary videos: every view is a moving 2D transform of the one video. No renderer needed.

Source: Collaborative Video Diffusion (arXiv 2405.17414) for the transform, PAPER.md "4D training" for the grid: x[v, t] = warp(video[t], H_v), H_0 = I.
Such a grid follows from its two input videos without any 3D: train on it, never judge on it.
Legend: V views, T times, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..grid import FrameGrid

# Standard deviations of the last view's parameters, in half picture heights, radians, log scale and shear.
TRANSLATION, ROTATION, SCALE, SHEAR, PROJECTION = 0.15, 0.12, 0.12, 0.08, 0.08
SMALLEST_CROP = 0.6


def pseudo_grid(
    video_THWC: Tensor,
    views: int,
    generator: torch.Generator,
    *,
    height: int | None = None,
    width: int | None = None,
    fps: float = 24.0,
) -> tuple[FrameGrid, Tensor]:
    """A grid with every cell known, and `valid` bool [V, T, H, W]: False where a view looks past the edge of the video.

    video_THWC: float 0..1 or uint8. A random crop (60 to 100 % of the largest) of the wanted shape is scaled to height x width (default: the
    video's own size). Pixels that are not valid repeat the edge; leave them out of the loss. Raises ValueError on other shapes.
    """
    if video_THWC.ndim != 4 or video_THWC.shape[-1] != 3 or len(video_THWC) == 0:
        raise ValueError(f"expected a video [T, H, W, 3] of at least one frame, got {list(video_THWC.shape)}")
    if views < 1:
        raise ValueError(f"expected at least one view, got {views}")
    video_TCHW = video_THWC.permute(0, 3, 1, 2)
    video_TCHW = video_TCHW.float() / 255 if video_THWC.dtype == torch.uint8 else video_TCHW.float()
    video_TCHW = random_crop(video_TCHW, height or video_THWC.shape[1], width or video_THWC.shape[2], generator)
    homographies_V33 = random_homographies(views, video_TCHW.shape[-1] / video_TCHW.shape[-2], generator)
    frames, valid = zip(*(warp(video_TCHW, homography_33) for homography_33 in homographies_V33), strict=True)
    times = len(video_TCHW)
    grid = FrameGrid(
        frames=torch.stack(frames).permute(0, 1, 3, 4, 2).contiguous(),
        known=torch.ones(views, times, dtype=torch.bool),
        fps=fps,
        provenance={"source": "pseudo-4D"},
    )
    return grid, torch.stack(valid)[:, None].expand(-1, times, -1, -1)


def random_crop(video_TCHW: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """The same random window of every frame, of the shape height : width, scaled to it with antialiasing."""
    full_height, full_width = video_TCHW.shape[-2:]
    share = SMALLEST_CROP + (1 - SMALLEST_CROP) * torch.rand(3, generator=generator)
    fit = min(full_height / height, full_width / width)
    crop_height, crop_width = (max(1, round(side * fit * share[0].item())) for side in (height, width))
    place = torch.rand(2, generator=generator)
    top, left = round(place[0].item() * (full_height - crop_height)), round(place[1].item() * (full_width - crop_width))
    window = video_TCHW[..., top : top + crop_height, left : left + crop_width]
    return interpolate(window, (height, width), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def random_homographies(views: int, aspect: float, generator: torch.Generator) -> Tensor:
    """H_v [V, 3, 3] = translate * rotate * scale * shear * project, from the video's plane to the view's; the first is the identity.

    Coordinates: origin in the middle of the picture, y from -1 to 1 downwards, x from -aspect to aspect. The last view's parameters are
    zero-mean normals, those before it are interpolated linearly from the identity.
    """
    spread = torch.tensor([TRANSLATION, TRANSLATION, ROTATION, SCALE, SCALE, SHEAR, SHEAR, PROJECTION, PROJECTION])
    last = torch.randn(len(spread), generator=generator) * spread
    share_V = torch.linspace(0, 1, views) if views > 1 else torch.zeros(1)
    return torch.stack([homography(share * last, aspect) for share in share_V])


def homography(parameters: Tensor, aspect: float) -> Tensor:
    """One matrix [3, 3] from (translate x y, rotate, log scale x y, shear x y, project x y); zeros give the identity."""
    move_x, move_y, angle, log_x, log_y, shear_x, shear_y, project_x, project_y = parameters.double()
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    cosine, sine = torch.cos(angle), torch.sin(angle)

    def matrix(*values: Tensor) -> Tensor:
        return torch.stack(values).reshape(3, 3)

    translate = matrix(one, zero, move_x, zero, one, move_y, zero, zero, one)
    rotate = matrix(cosine, -sine, zero, sine, cosine, zero, zero, zero, one)
    scale = matrix(log_x.exp(), zero, zero, zero, log_y.exp(), zero, zero, zero, one)
    shear = matrix(one, shear_x, zero, shear_y, one, zero, zero, zero, one)
    project = matrix(one, zero, zero, zero, one, zero, project_x / aspect, project_y, one)
    return translate @ rotate @ scale @ shear @ project


def warp(video_TCHW: Tensor, homography_33: Tensor) -> tuple[Tensor, Tensor]:
    """The video seen through a homography of its plane, and where it is inside the frame, bool [H, W]."""
    height, width = video_TCHW.shape[-2:]
    aspect = width / height
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height * 2 - 1
    x = ((torch.arange(width, dtype=torch.float64) + 0.5) / width * 2 - 1) * aspect
    target_HW3 = torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width, dtype=torch.float64)], -1
    )
    source_HW3 = target_HW3 @ torch.linalg.inv(homography_33).T
    in_front_HW = source_HW3[..., 2] > 1e-6
    place_HW2 = (
        source_HW3[..., :2] / source_HW3[..., 2:].clamp_min(1e-6) / torch.tensor([aspect, 1.0], dtype=torch.float64)
    )
    # Inside means between the outermost pixel centres, where every blended pixel is real, give or take a thousandth of a pixel.
    limit = 1 - 0.998 / torch.tensor([width, height], dtype=torch.float64)
    valid_HW = in_front_HW & (place_HW2.abs() <= limit).all(-1)
    place_THW2 = place_HW2.clamp(-2, 2).float().expand(len(video_TCHW), -1, -1, -1)
    return grid_sample(video_TCHW, place_THW2, mode="bilinear", padding_mode="border", align_corners=False).clamp(
        0, 1
    ), valid_HW
