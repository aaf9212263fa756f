"""A grid as JPEG atlases in the host's temp folder, for the browser: web/shared/payload.mjs reads their description."""

import os
import uuid
from pathlib import Path
from weakref import WeakKeyDictionary

import folder_paths

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.show.atlas import AtlasLayout, GridAtlases, grid_atlases
from .types import counting_progress

FOLDER = "fourreal_player"  # inside the host's temp folder
OVERVIEW = "overview.jpg"
_written: WeakKeyDictionary[FrameGrid, dict] = WeakKeyDictionary()


def player_files(grid: FrameGrid) -> dict:
    """Write what the browser needs, unless it lies there from before, and describe it (web/shared/payload.mjs reads this)."""
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


def _layout(layout: AtlasLayout) -> dict:
    return {"across": layout.across, "cell": list(layout.cell), "pitch": list(layout.pitch)}
