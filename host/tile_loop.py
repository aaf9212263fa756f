"""A part of a workflow that runs once per tile: what lies between 4Real Split into Tiles and 4Real Join Tiles.

Joining a tile answers with a copy of that part for the next one, as ComfyUI's node expansion allows, so that any nodes can fill tiles.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import folder_paths
from comfy_execution.graph_utils import GraphBuilder, is_link

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.sampling.kept_tiles import TileRun, alone_in
from ..fourreal_core.sampling.tiles import Tile, numbered_tiles
from .sources import remember_tile

KEPT = "4real_tiles"  # folder in the output folder
AT, TILES = (
    "at",
    "tiles",
)  # the input of the splitting node that says which tile, and of the joining one that comes from it


@dataclass(frozen=True, eq=False)
class TilePlace:
    """The tile that is being filled, and the run that it belongs to. part: None once all are."""

    run: TileRun
    part: Tile | None
    size: tuple[int, int]

    @classmethod
    def first(cls, grid: FrameGrid, size: tuple[int, int], name: str, about: Callable[[], str]) -> "TilePlace":
        """Where a run begins, or goes on that was kept under this name; about() gives what its tiles depend on, and is asked where they are kept."""
        order = numbered_tiles(grid, size)
        if not order:
            return cls(TileRun(grid, order, grid.frames), None, size)
        folder = kept_folder(name)
        with alone_in(folder):
            run = TileRun.start(grid, order, folder, about() if folder else "")
        return cls(run, next(iter(run.left()), None), size)

    @property
    def number(self) -> int:
        return 0 if self.part is None else self.part.number

    def told(self) -> str:
        """Which tile it is of how many, counted from 1, and which views and times it has."""
        assert self.part is not None
        (first, last), (start, end) = ((cells.start + 1, cells.stop) for cells in self.part.cells)
        return f"Tile {self.part.number + 1} of {self.part.count}: views {first} to {last}, times {start} to {end}"

    def grid(self) -> FrameGrid:
        """The whole grid, once all tiles are filled."""
        return self.run.result(self.size) if self.run.order else self.run.grid

    def task(self) -> FrameGrid:
        """This tile's cells; the whole grid's where all are filled."""
        if self.part is None:
            return self.grid()
        cells = self.run.task(self.part)
        remember_tile(cells, self.run.grid, self.part)
        return cells

    def filled(self, tile: FrameGrid) -> "TilePlace":
        """The next place, once this tile is filled."""
        assert self.part is not None
        with alone_in(self.run.folder):
            self.run.place(self.part, tile)
        return replace(self, part=next(iter(self.run.left()), None))


def kept_folder(name: str) -> Path | None:
    """Where tiles are kept under a name; None for an empty one. ValueError for a name that leads elsewhere."""
    if not name.strip():
        return None
    root = os.path.join(folder_paths.get_output_directory(), KEPT)
    folder = os.path.abspath(os.path.join(root, name.strip()))
    if not folder_paths.is_within_directory(root, folder) or folder == os.path.abspath(root):
        raise ValueError(f"expected a name for the tiles that stays inside the output folder, got {name!r}")
    return Path(folder)


def settings_of(dynprompt, split: str) -> str:
    """A digest of every setting that the tiles of a splitting node depend on: those of the nodes above its joining node, not of those above itself.

    Tiles that were kept with other settings are no part of a run. What is loaded from files goes by their names.
    """
    nodes = dynprompt.get_original_prompt()
    joins = [
        name
        for name, node in nodes.items()
        if any(is_link(v) and v[0] == split and k == TILES for k, v in node["inputs"].items())
    ]
    above = sources_in(nodes)
    asked = set().union(*(above(join) for join in joins)) - above(split) - {split}
    told = {
        name: [
            nodes[name]["class_type"],
            {key: value for key, value in nodes[name]["inputs"].items() if not is_link(value)},
        ]
        for name in asked
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def sources_in(nodes: Mapping[str, dict]) -> Callable[[str], set[str]]:
    """A function from a node's id to the ids of all nodes above it. nodes: by id, as in a prompt, which has no circles."""
    found: dict[str, set[str]] = {}

    def above(node: str) -> set[str]:
        if node not in found:
            links = {value[0] for value in nodes[node]["inputs"].values() if is_link(value)}
            found[node] = links.union(*(above(link) for link in links))
        return found[node]

    return above


def next_round(dynprompt, split: str, join: str, place: TilePlace):
    """(the link to the next join's grid, its graph): a copy of all nodes between the two, for another tile."""
    nodes = {node: dynprompt.get_node(node) for node in dynprompt.all_node_ids()}
    above, graph = sources_in(nodes), GraphBuilder()
    between = [node for node in [*above(join), join] if node == split or split in above(node)]
    copies = {node: graph.node(nodes[node]["class_type"]) for node in between}
    for node, copy in copies.items():
        copy.set_override_display_id(dynprompt.get_display_node_id(node))
        for name, value in nodes[node]["inputs"].items():
            inside = is_link(value) and value[0] in copies
            copy.set_input(name, copies[value[0]].out(value[1]) if inside else value)
    copies[split].set_input(AT, place)
    return copies[join].out(0), graph.finalize()
