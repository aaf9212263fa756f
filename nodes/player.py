"""4Real Grid Player: shows a grid in its node, and gives back the grid whose marked cells are to be made again.

The grid goes to the browser as JPEG atlases in the host's temp folder; web/player/ draws them.
"""

import os
import uuid
from pathlib import Path
from weakref import WeakKeyDictionary

import folder_paths
from comfy_api.latest import io

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.marks import parse_marks, with_marks_unknown
from ..fourreal_core.show.atlas import GridAtlases, Layout, grid_atlases
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid, tell

FOLDER = "fourreal_player"  # inside the host's temp folder
OVERVIEW = "overview.jpg"

_written: WeakKeyDictionary[FrameGrid, dict] = WeakKeyDictionary()


class FourRealGridPlayer(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridPlayer",
            display_name="4Real Grid Player",
            category="4Real/view",
            description="Play a grid in the node: drag sideways through time and up and down through views. Cells marked as "
            "bad come out unknown, so that 4Real Sampler makes just those again.",
            search_aliases=["4d", "bullet time", "scrub", "viewer", "inpaint cells"],
            is_output_node=True,
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                io.String.Input(
                    "marked_cells",
                    default="[]",
                    socketless=True,
                    extra_dict={"hidden": True},
                    tooltip="JSON list of [view, time], written by the player: the cells that are to be made again.",
                ),
            ],
            outputs=[
                Grid.Output(
                    "to_redo",
                    tooltip="The grid with the marked cells unknown and all others known: 4Real Sampler and 4Real Grid "
                    "Conditioning fill just those.",
                ),
                io.Mask.Output(
                    "marked",
                    tooltip="The marked cells as one mask with a pixel per cell, views downwards and times rightwards: for redo of "
                    "4Real Sampler, which then also remembers which cells were given at first.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, grid, marked_cells="[]") -> io.NodeOutput:
        grid = expect_grid(grid)
        marked_VT, outside = parse_marks(marked_cells, (grid.views, grid.times))
        if outside:
            tell(
                cls,
                f"{outside} marked cells lie outside of this grid of {grid.views} views and {grid.times} times and were left out",
            )
        return io.NodeOutput(
            with_marks_unknown(grid, marked_VT), marked_VT.float()[None], ui={"fourreal_player": [player_files(grid)]}
        )


def player_files(grid: FrameGrid) -> dict:
    """Write what the browser needs, unless it lies there from before, and describe it (web/player/payload.mjs reads this)."""
    described = _written.get(grid)
    if described is None or not (_folder(described["id"]) / OVERVIEW).is_file():
        atlases = grid_atlases(grid, on_view=counting_progress())
        _write(atlases)
        described = _written[grid] = _describe(grid, atlases)
    return described


def _folder(identity: str) -> Path:
    return Path(folder_paths.get_temp_directory()) / FOLDER / identity


def _write(atlases: GridAtlases) -> None:
    """The overview comes last: where it lies, the rest does too. Equal grids have one folder, so each file appears at once."""
    folder = _folder(atlases.identity)
    if (folder / OVERVIEW).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    files = {_strip_name(view): strip for view, strip in enumerate(atlases.strips)} | {OVERVIEW: atlases.overview}
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        for name, content in files.items():
            part.write_bytes(content)
            os.replace(part, folder / name)
    finally:
        part.unlink(missing_ok=True)


def _strip_name(view: int) -> str:
    return f"view_{view:04}.jpg"


def _describe(grid: FrameGrid, atlases: GridAtlases) -> dict:
    return {
        "id": atlases.identity,
        "views": grid.views,
        "times": grid.times,
        "width": grid.width,
        "height": grid.height,
        "fps": grid.fps,
        "known": ["".join("1" if known else "0" for known in line) for line in grid.known.tolist()],
        "subfolder": f"{FOLDER}/{atlases.identity}",
        "type": "temp",
        "overview": {"file": OVERVIEW, **_layout(atlases.overview_layout)},
        "strips": {"files": [_strip_name(view) for view in range(grid.views)], **_layout(atlases.strip_layout)},
    }


def _layout(layout: Layout) -> dict:
    return {"across": layout.across, "cell": list(layout.cell), "pitch": list(layout.pitch)}
