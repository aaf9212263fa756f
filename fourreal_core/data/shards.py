"""Compact storage of many rendered grids: safetensors files of uint8 frames with their cameras. Written whole or not at all; grids read one by one.

Legend: N grids of one shard, V views, T times, H W pixels. Tensors of a file: frames uint8 [N, V, T, H, W, 3],
world_to_camera float32 [N, V, 4, 4], intrinsics float32 [N, V, 3, 3], fps float32 [N]; header: "about" is a JSON list of N dictionaries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..files.atomic import write_tensors
from ..grid import Cameras, FrameGrid

FORMAT = "fourreal-shard-1"
TENSORS = ("frames", "world_to_camera", "intrinsics", "fps")


def write_shard(path: str | Path, grids: Sequence[FrameGrid], about: Sequence[dict] | None = None) -> None:
    """Stores whole grids (all cells known, with cameras, one size) rounded to 8 bit; `about` defaults to their provenance.

    The file appears under its name only when complete. Raises ValueError when the grids do not fit together.
    """
    shapes = {tuple(grid.frames.shape) for grid in grids}
    if len(shapes) != 1:
        raise ValueError(
            f"expected one or more grids, all of one shape, got the shapes {sorted(shapes)}: write one shard per shape"
        )
    cameras = [grid.cameras for grid in grids if grid.cameras is not None]
    if len(cameras) < len(grids) or not all(bool(grid.known.all()) for grid in grids):
        raise ValueError(
            "expected grids with every cell known and with cameras: a shard holds rendered or captured ground truth"
        )
    about = [dict(grid.provenance) for grid in grids] if about is None else list(about)
    if len(about) != len(grids):
        raise ValueError(f"expected one description per grid, got {len(about)} for {len(grids)} grids")
    tensors = {
        "frames": np.stack([(grid.frames * 255).round().to(torch.uint8).numpy() for grid in grids]),
        "world_to_camera": np.stack([each.world_to_camera.numpy() for each in cameras]),
        "intrinsics": np.stack([each.intrinsics.numpy() for each in cameras]),
        "fps": np.array([grid.fps for grid in grids], np.float32),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, "about": json.dumps(about)}
    write_tensors(path, {name: torch.from_numpy(array) for name, array in tensors.items()}, header)


class Shard:
    """An open shard. `about` describes its grids, `shape` is (V, T, H, W, 3), `frames(i)` and `grid(i)` read one of them.

    Raises ValueError when the file is missing, cut, or no shard.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._file = safe_open(self.path, framework="pt")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(f"there is no shard at {self.path}: check the path, or render it first") from error
        except SafetensorError as error:
            raise ValueError(f"{self.path.name} cannot be read ({error}): delete it and render it again") from error
        header = self._file.metadata() or {}
        if header.get("format") != FORMAT or set(self._file.keys()) != set(TENSORS):
            raise ValueError(
                f"{self.path.name} is not a shard of rendered grids: expected a file written by write_shard"
            )
        self.about: list[dict] = json.loads(header["about"])
        self.shape = tuple(self._file.get_slice("frames").get_shape()[1:])

    def __len__(self) -> int:
        return len(self.about)

    def frames(self, index: int) -> torch.Tensor:
        """uint8 [V, T, H, W, 3] of grid `index`; nothing else of the file is read."""
        return self._file.get_slice("frames")[index]

    def grid(self, index: int) -> FrameGrid:
        """Grid `index` with every cell known, its cameras, and its description as provenance."""
        frames = self.frames(index).float() / 255
        cameras = Cameras(self._file.get_slice("world_to_camera")[index], self._file.get_slice("intrinsics")[index])
        fps = float(self._file.get_tensor("fps")[index])
        return FrameGrid(
            frames, torch.ones(self.shape[:2], dtype=torch.bool), fps=fps, cameras=cameras, provenance=self.about[index]
        )


def read_shard(path: str | Path) -> Shard:
    """Opens one shard."""
    return Shard(path)


def iterate_grids(folder: str | Path) -> Iterator[FrameGrid]:
    """All grids of the *.safetensors shards in a folder, by file name and place. Raises ValueError when there is none."""
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise ValueError(f"found no shards (*.safetensors) in {folder}: render some with scripts/render.py")
    for file in files:
        shard = read_shard(file)
        for index in range(len(shard)):
            yield shard.grid(index)
