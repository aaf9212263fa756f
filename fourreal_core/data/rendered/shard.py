"""Rendered grids in files, so many per file: one file is one job, here or on a worker of a cluster. Next to read: scenes.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..shards import write_shard
from .render import Renderer
from .scenes import random_scene, render_grid


@dataclass(frozen=True)
class Shards:
    """What is rendered. models: animated .glb files; leads: those that take turns as the main one, if any; environments: folder of .hdr panoramas.

    count: grids in all, of the seeds seed, seed + 1, ..., per_shard of them to a file in `output`; views, times, height, width: of each.
    """

    models: tuple[Path, ...]
    leads: tuple[Path, ...]
    environments: Path
    output: Path
    count: int
    seed: int = 0
    views: int = 8
    times: int = 8
    height: int = 72
    width: int = 128
    per_shard: int = 20

    def missing(self) -> list[int]:
        """The first grid of each file that is not there, counted from 0."""
        return [first for first in range(0, self.count, self.per_shard) if not self.file(first).exists()]

    def file(self, first: int) -> Path:
        return self.output / f"shard_{self.seed + first:08d}.safetensors"


def render_shard(shards: Shards, first: int, report: Callable[[str], None] = lambda line: None) -> None:
    """Render and write the file that begins with a grid. report(line) after each grid. Raises RendererUnavailable, ValueError, OSError."""
    grids, last = [], min(first + shards.per_shard, shards.count)
    with Renderer(shards.height, shards.width) as renderer:
        for index in range(first, last):
            lead = shards.leads[index % len(shards.leads)] if shards.leads else None
            scene = random_scene(shards.seed + index, shards.models, shards.environments, lead)
            size = shards.views, shards.times, shards.height, shards.width
            grids.append(render_grid(scene, *size, renderer))
            report(f"{shards.file(first).name}: {index + 1 - first} of {last - first} grids")
    write_shard(shards.file(first), grids)
