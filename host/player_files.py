"""A grid as JPEG atlases in the host's temp folder, for the browser: web/shared/payload.mjs reads their description."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

import folder_paths

from ..fourreal_core.files.atomic import whole_file
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.show.atlas import AtlasLayout, GridAtlases, grid_atlases
from .types import counting_progress

FOLDER = "fourreal_player"  # inside the host's temp folder
OVERVIEW = "overview.jpg"
MOST_BYTES = 2 * 2**30  # of all grids together; those looked at longest ago go first
_written: WeakKeyDictionary[FrameGrid, dict] = WeakKeyDictionary()


def player_files(grid: FrameGrid) -> dict:
    """Write what the browser needs, unless it lies there from before, and describe it (web/shared/payload.mjs reads this)."""
    described = _written.get(grid)
    if described is None or not (_folder(described["id"]) / OVERVIEW).is_file():
        atlases = grid_atlases(grid, on_view=counting_progress())
        _write(atlases)
        described = _written[grid] = _describe(grid, atlases)
    with suppress(OSError):
        os.utime(_folder(described["id"]))  # looked at now
    return described


def _folder(identity: str) -> Path:
    return Path(folder_paths.get_temp_directory()) / FOLDER / identity


def _write(atlases: GridAtlases) -> None:
    """The overview comes last: where it lies, the rest does too. Equal grids have one folder, so each file appears at once."""
    folder = _folder(atlases.identity)
    if (folder / OVERVIEW).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _make_room(folder)
    files = {_strip_name(view): strip for view, strip in enumerate(atlases.strips)} | {OVERVIEW: atlases.overview}
    for name, content in files.items():
        with whole_file(folder / name) as part:
            part.write_bytes(content)


def _make_room(newest: Path) -> None:
    """Removes the folders that were not looked at for longest, until all together take less than MOST_BYTES; `newest` stays."""
    sizes = {}
    for folder in newest.parent.iterdir():
        with suppress(OSError):
            sizes[folder] = (folder.stat().st_mtime, sum(file.stat().st_size for file in folder.iterdir()))
    total = sum(size for _, size in sizes.values())
    for folder in sorted(sizes.keys() - {newest}, key=sizes.__getitem__):
        if total <= MOST_BYTES:
            break
        shutil.rmtree(folder, ignore_errors=True)
        total -= sizes[folder][1]


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
