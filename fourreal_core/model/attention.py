"""Attention over (frame, y, x) tokens: the only place that chooses a kernel, and rotary positions.

Legend: N sequences, L = F * h * w tokens per sequence, H heads, D channels per head; in a grid B grids, V views,
T times, S tokens per frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from ..side_by_side import ask

CACHED_SCORES = 2**22  # score elements per chunk that stay inside a CPU's cache
MOST_SCORES = 2**25  # of one sequence; more would cost memory that grows with the square of the cells
MOST_WORK = 2**34  # multiplications of queries and keys in one call on a CPU: about a second


def attention(q_NHLD: Tensor, k_NHLD: Tensor, v_NHLD: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v. On a CPU what would take long is done in parts, some queries of one sequence at a time, and may be ended in between (`side_by_side.asking`).

    CPUs with bf16 matrix units run plain matrix products several times faster than the fused kernel as long as the
    scores stay in the cache (measured 2.4 times at 512 tokens), hence the chunks.
    """
    N, H, L, D = q_NHLD.shape
    work_per_query = H * k_NHLD.shape[2] * D
    if q_NHLD.device.type == "cpu" and N * L * work_per_query > MOST_WORK and N * L > 1:
        return _in_parts(q_NHLD, k_NHLD, v_NHLD, max(1, MOST_WORK // work_per_query))
    scores_per_sequence = H * L * k_NHLD.shape[2]
    if q_NHLD.device.type != "cpu" or q_NHLD.dtype != torch.bfloat16 or scores_per_sequence > MOST_SCORES:
        return F.scaled_dot_product_attention(q_NHLD, k_NHLD, v_NHLD)
    chunk = max(1, CACHED_SCORES // max(1, scores_per_sequence))
    return torch.cat([_plain(*parts) for parts in zip(*(x.split(chunk) for x in (q_NHLD, k_NHLD, v_NHLD)))])


def _in_parts(q_NHLD: Tensor, k_NHLD: Tensor, v_NHLD: Tensor, queries: int) -> Tensor:
    done = []
    for q, k, v in zip(*(x.split(1) for x in (q_NHLD, k_NHLD, v_NHLD))):
        parts = []
        for part in q.split(queries, 2):
            ask()
            parts.append(attention(part, k, v))
        done.append(torch.cat(parts, 2))
    return torch.cat(done)


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(-1) @ v


def grid_attention(q_BHVTSD: Tensor, k_BHVTSD: Tensor, v_BHVTSD: Tensor) -> Tensor:
    """Fused view-time attention: a token attends to all tokens of equal view or equal time, in one softmax.

    Exact: the keys of a frame are those of the V + T - 1 frames that it sees, its own once, so nothing is computed and
    then masked: the cost is (V + T - 1) / (V T) of dense attention over the grid. One view at a time, to keep the
    copies of keys and values small. Source: 4Real-Video-V2 (arXiv 2506.18839); this arrangement is [ours].
    """
    B, _, V, T = q_BHVTSD.shape[:4]
    views = []
    for view in range(V):
        q_NHSD = rearrange(q_BHVTSD[:, :, view], "b h t s d -> (b t) h s d")
        k_NHLD, v_NHLD = (_seen_from(view, x) for x in (k_BHVTSD, v_BHVTSD))
        views.append(rearrange(attention(q_NHSD, k_NHLD, v_NHLD), "(b t) h s d -> b h t s d", b=B, t=T))
    return torch.stack(views, dim=2)


def _seen_from(view: int, x_BHVTSD: Tensor) -> Tensor:
    """What each frame of a view sees: its view at all times, then the other views at its time. `[B T, H, F S, D]`"""
    T = x_BHVTSD.shape[3]
    same_view = repeat(x_BHVTSD[:, :, view], "b h f s d -> b t h f s d", t=T)
    same_time = rearrange(x_BHVTSD, "b h f t s d -> b t h f s d")
    seen = torch.cat([same_view, same_time[:, :, :, :view], same_time[:, :, :, view + 1 :]], dim=3)
    return rearrange(seen, "b t h f s d -> (b t) h (f s) d")


def rotary_angles(frames: int, height: int, width: int, head_width: int, device: torch.device) -> Tensor:
    """Angles `[L, head_width / 2]` of rotary positions over (frame, y, x), tokens in frame-major order.

    A quarter of the pairs turns with the frame index, the rest half each with y and x. Positions are token indices
    from 0, so a stream's frame index is its own axis' index. [ours: the split; RoPE: arXiv 2104.09864]
    """
    pairs = head_width // 2
    frame_pairs = max(1, pairs // 4)
    y_pairs = (pairs - frame_pairs) // 2
    x_pairs = pairs - frame_pairs - y_pairs
    axes = []
    for length, count in ((frames, frame_pairs), (height, y_pairs), (width, x_pairs)):
        frequency = 100.0 ** -(torch.arange(count, device=device) / max(1, count))
        axes.append(torch.arange(length, device=device)[:, None] * frequency)
    f, y, x = axes
    shape = (frames, height, width, -1)
    grid = torch.cat(
        [f[:, None, None].expand(shape), y[None, :, None].expand(shape), x[None, None].expand(shape)], dim=-1
    )
    return grid.reshape(frames * height * width, pairs)


def rotate(x_NHLD: Tensor, angles_LP: Tensor) -> Tensor:
    """Turn each channel pair (i, i + D/2) by its angle; keeps the dtype of `x`."""
    cos, sin = angles_LP.cos().to(x_NHLD.dtype), angles_LP.sin().to(x_NHLD.dtype)
    first, second = x_NHLD.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
