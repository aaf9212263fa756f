"""A whole grid in one picture: views downwards, times rightwards, known cells framed.

Shape suffixes: V views, T times, N = V T cells, H W pixels, C = 3 colour channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..grid import FrameGrid
from ..side_by_side import ask

BACKGROUND = (0.09, 0.09, 0.10)
KNOWN_MARK = (1.0, 0.72, 0.15)


def contact_sheet(
    grid_or_frames: FrameGrid | Tensor,
    known: Tensor | None = None,
    *,
    max_side: int | None = 1024,
    gap: int = 2,
    mark_known: bool = True,
) -> Tensor:
    """float32 [H', W', 3] in 0..1 on the CPU: cell (v, t) is the v-th from the top and the t-th from the left.

    grid_or_frames: a grid, or floats [V, T, H, W, 3] on any device, clamped to 0..1 (a sampler's preview). known: bool [V, T], for
    frames without a grid. max_side: the sheet is scaled down (antialiased, never up) to at most this many pixels (None: full size).
    gap: pixels between cells. mark_known: known cells get a thin bright frame, in the gap or, without one, inside the cell.
    """
    frames_VTHWC, known_VT = _frames_and_known(grid_or_frames, known)
    if gap < 0 or (max_side is not None and max_side < 1):
        raise ValueError(f"expected gap >= 0 and max_side >= 1, got {gap} and {max_side}.")
    cells_VTHWC = _fit_cells(frames_VTHWC, max_side, gap)
    sheet_HWC = _lay_out(cells_VTHWC, known_VT if mark_known else torch.zeros_like(known_VT), gap)
    return sheet_HWC if max_side is None or max(sheet_HWC.shape[:2]) <= max_side else _shrunk_to(sheet_HWC, max_side)


def _frames_and_known(grid_or_frames: FrameGrid | Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    if isinstance(grid_or_frames, FrameGrid):
        frames, known = grid_or_frames.frames, grid_or_frames.known if known is None else known
    else:
        frames = grid_or_frames.detach()
    if frames.ndim != 5 or frames.shape[-1] != 3 or not frames.is_floating_point():
        raise ValueError(
            f"expected float frames [views, times, height, width, 3], got {frames.dtype} {list(frames.shape)}."
        )
    known = torch.zeros(frames.shape[:2], dtype=torch.bool) if known is None else known.cpu()
    if known.shape != frames.shape[:2]:
        raise ValueError(
            f"expected known to have shape {list(frames.shape[:2])} (views, times), got {list(known.shape)}."
        )
    return frames, known


def _fit_cells(frames_VTHWC: Tensor, max_side: int | None, gap: int) -> Tensor:
    views, times, height, width, _ = frames_VTHWC.shape
    if max_side is None:
        return frames_VTHWC.cpu().float().clamp(0, 1)
    scale = min(1.0, (max_side - views * gap) / (views * height), (max_side - times * gap) / (times * width))
    size = max(1, int(height * scale)), max(1, int(width * scale))
    if size == (height, width):
        return frames_VTHWC.cpu().float().clamp(0, 1)
    cells = [_resized(cell_1HWC, size) for cell_1HWC in frames_VTHWC.flatten(0, 1).split(1)]
    return torch.cat(cells).unflatten(0, (views, times))


def _resized(video_NHWC: Tensor, size: tuple[int, int]) -> Tensor:
    ask()
    video_NCHW = F.interpolate(video_NHWC.float().permute(0, 3, 1, 2), size=size, mode="bilinear", antialias=True)
    return video_NCHW.permute(0, 2, 3, 1).cpu().clamp(0, 1)


def _lay_out(cells_VTHWC: Tensor, known_VT: Tensor, gap: int) -> Tensor:
    height, width = cells_VTHWC.shape[2:4]
    before = (gap + 1) // 2
    colours_VTC = torch.where(known_VT[:, :, None], torch.tensor(KNOWN_MARK), torch.tensor(BACKGROUND))
    framed_VTHWC = colours_VTC[:, :, None, None].expand(-1, -1, height + gap, width + gap, -1).clone()
    framed_VTHWC[:, :, before : before + height, before : before + width] = cells_VTHWC
    if gap == 0 and min(height, width) > 2:
        edge_HW = torch.ones(height, width, dtype=torch.bool)
        edge_HW[1:-1, 1:-1] = False
        framed_VTHWC[known_VT[:, :, None, None] & edge_HW] = torch.tensor(KNOWN_MARK)
    return rearrange(framed_VTHWC, "v t h w c -> (v h) (t w) c")


def _shrunk_to(sheet_HWC: Tensor, max_side: int) -> Tensor:
    """For grids with so many or so narrow cells that gaps and one-pixel cells alone exceed `max_side`."""
    height, width = sheet_HWC.shape[:2]
    scale = max_side / max(height, width)
    return _resized(sheet_HWC[None], (max(1, round(height * scale)), max(1, round(width * scale))))[0]
