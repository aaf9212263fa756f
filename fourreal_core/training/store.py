"""Training grids on disk: frames with Transport's guess beside them, as bytes, one safetensors file per shard.

Transport takes longer than a training step, so its guesses are computed once; `prepare` skips what is there already.

Legend: G grids of one file, V views, T times, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..atomic import write_tensors
from ..data.pseudo4d import pseudo_grid
from ..data.shards import read_shard
from ..grid import FrameGrid, task_known
from ..transport import transport
from ..video import pick_frames, read_video

ENDING = ".examples.safetensors"


@dataclass(frozen=True)
class StoredGrid:
    """One training grid, compact: frames, Transport's guess from view 0 and time 0, and which pixels count.

    frames, along_time, along_view uint8 `[V, T, H, W, 3]`; confidence_time, confidence_view, valid uint8 `[V, T, H, W]`;
    back_time, back_view float16 `[V, T, H, W, 2]` in pixels. The frames that were carried are those of time 0 and view 0.
    """

    frames: Tensor
    along_time: Tensor
    along_view: Tensor
    confidence_time: Tensor
    confidence_view: Tensor
    back_time: Tensor
    back_view: Tensor
    valid: Tensor


def store_grid(frames_VTHWC: Tensor, valid_VTHW: Tensor | None = None) -> StoredGrid:
    """Transport's guess for a whole grid (0..1) as the task sees it, compact."""
    known = task_known(*frames_VTHWC.shape[:2])
    guess = transport(FrameGrid(frames=frames_VTHWC * known[:, :, None, None, None], known=known))
    valid = torch.ones(frames_VTHWC.shape[:-1]) if valid_VTHW is None else valid_VTHW.float()
    parts = (frames_VTHWC, guess.along_time, guess.along_view, guess.confidence_time, guess.confidence_view, valid)
    *colours, valid = ((part.clamp(0, 1) * 255).round().to(torch.uint8) for part in parts)
    return StoredGrid(*colours, guess.back_time.half(), guess.back_view.half(), valid)


def prepare_shard(shard: Path, folder: Path, report: Callable[[str], None]) -> None:
    """Examples of one shard of rendered grids."""
    opened = read_shard(shard)
    grids = (store_grid(opened.frames(index).float() / 255) for index in range(len(opened)))
    _write_once(folder / (shard.stem + ENDING), grids, report)


def prepare_video(
    video: Path, folder: Path, shape: tuple[int, int, int, int], count: int, report: Callable[[str], None]
) -> None:
    """Pseudo-4D examples of an ordinary video: `count` grids of shape (V, T, H, W), each from its own stretch of it."""
    _write_once(folder / (video.stem + ENDING), _pseudo_grids(video, shape, count), report)


def load_examples(folder: Path) -> list[StoredGrid]:
    """Every stored grid below `folder`, in the order of the file names. ValueError when there is none."""
    grids = []
    for path in sorted(folder.glob("*" + ENDING)):
        tensors = load_file(path)
        count = len(tensors["frames"])
        grids += [StoredGrid(**{name: tensor[index] for name, tensor in tensors.items()}) for index in range(count)]
    if not grids:
        raise ValueError(f"there are no training examples in {folder}: prepare some with `scripts/train.py prepare`")
    return grids


def _pseudo_grids(video: Path, shape: tuple[int, int, int, int], count: int) -> Iterator[StoredGrid]:
    views, times, height, width = shape
    frames, _ = read_video(video)
    generator = torch.Generator().manual_seed(len(frames))
    for _ in range(count):
        stretch = min(len(frames), times * int(torch.randint(1, 4, (1,), generator=generator)))
        first = int(torch.randint(len(frames) - stretch + 1, (1,), generator=generator))
        clip = pick_frames(frames[first : first + stretch], times)
        grid, valid = pseudo_grid(clip, views, generator, height=height, width=width)
        yield store_grid(grid.frames, valid)


def _write_once(path: Path, grids: Iterator[StoredGrid], report: Callable[[str], None]) -> None:
    if path.exists():
        return
    stored = []
    for grid in grids:
        stored.append(grid)
        report(f"{path.name}: {len(stored)} grids")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, {name: torch.stack([vars(grid)[name] for grid in stored]) for name in vars(stored[0])})
