"""Training grids on disk: frames with Transport's guess beside them, as bytes, one safetensors file per source.

Transport takes longer than a training step, so its guesses are computed once. Next: prepare.py fills such a folder, mixture.py
draws from several.

Legend: G grids of one file, V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...files.atomic import brief, write_tensors
from ...grid import FrameGrid, task_known
from ...transport import transport

ENDING = ".examples.safetensors"


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """One training grid, compact: frames, which pixels count, and Transport's guess from view 0 and time 0.

    frames, along_time, along_view uint8 `[V, T, H, W, 3]`; valid, confidence_time, confidence_view uint8 `[V, T, H, W]`;
    back_time, back_view float16 `[V, T, H, W, 2]` in pixels. The frames that were carried are those of time 0 and view 0.
    A single sequence (V = 1 or T = 1) has no guess of its own: everything would be known. `examples.py` makes it when it draws.
    """

    frames: Tensor
    valid: Tensor
    along_time: Tensor | None = None
    along_view: Tensor | None = None
    confidence_time: Tensor | None = None
    confidence_view: Tensor | None = None
    back_time: Tensor | None = None
    back_view: Tensor | None = None

    @property
    def is_sequence(self) -> bool:
        """Whether it is a static scene (T = 1) or a fixed-view sequence (V = 1)."""
        return min(self.frames.shape[:2]) == 1


def store_grid(frames_VTHWC: Tensor, valid_VTHW: Tensor | None = None) -> StoredGrid:
    """Transport's guess for a whole grid (0..1) as the task sees it, compact; of a single sequence the frames alone."""
    views, times = frames_VTHWC.shape[:2]
    valid = torch.ones(frames_VTHWC.shape[:-1]) if valid_VTHW is None else valid_VTHW.float()
    bytes_of = lambda part: (part.clamp(0, 1) * 255).round().to(torch.uint8)
    if min(views, times) == 1:
        return StoredGrid(bytes_of(frames_VTHWC), bytes_of(valid))
    known = task_known(views, times)
    task = FrameGrid(frames=frames_VTHWC * known[:, :, None, None, None], known=known)
    predictions = transport(task)
    time, view = predictions.time, predictions.view
    return StoredGrid(
        frames=bytes_of(frames_VTHWC),
        valid=bytes_of(valid),
        along_time=bytes_of(time.frames),
        along_view=bytes_of(view.frames),
        confidence_time=bytes_of(time.confidence),
        confidence_view=bytes_of(view.confidence),
        back_time=time.back.half(),
        back_view=view.back.half(),
    )


def write_examples(path: Path, grids: Sequence[StoredGrid], source: str) -> None:
    """Stores grids of one shape; `source` says what they were made from. The file appears under its name only when complete."""
    names = [name for name, value in vars(grids[0]).items() if value is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(
        path, {name: torch.stack([getattr(grid, name) for grid in grids]) for name in names}, {"source": source}
    )


def read_source(path: Path) -> str | None:
    """What `write_examples` was told about the source; None of an older file. ValueError when the file is broken."""
    with _opened(path) as file:
        return (file.metadata() or {}).get("source")


def read_examples(folder: Path) -> list[StoredGrid]:
    """Every stored grid of `folder`, in the order of the file names, memory mapped: pixels are read when they are used.

    ValueError when there is none or a file cannot be read.
    """
    grids = []
    for path in sorted(folder.glob("*" + ENDING)):
        with _opened(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        known = {field.name for field in fields(StoredGrid)}
        frames = tensors.get("frames")
        whole = known if frames is None or min(frames.shape[1:3]) > 1 else {"frames", "valid"}
        if frames is None or not whole <= set(tensors) <= known:
            raise ValueError(f"{path.name} was prepared by another version: delete it and prepare it again")
        grids += [
            StoredGrid(**{name: tensor[index] for name, tensor in tensors.items()}) for index in range(len(frames))
        ]
    if not grids:
        raise ValueError(f"there are no training examples in {folder}: prepare some with `scripts/train.py prepare`")
    return grids


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(
            f"{path.name} is not a readable file of examples ({brief(error)}): delete it and prepare it again"
        ) from error
