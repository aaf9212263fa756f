"""A grid, and what a player lays over it, as JPEG atlases in the host's temp folder: web/shared/payload.mjs reads their description."""

from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import torch

from ..fourreal_core.files.atomic import whole_file
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.show.atlas import AtlasLayout, GridAtlases, grid_atlases
from .cell_images import cell_images
from .player_folders import folder_of, looked_at, make_room, place_of
from .types import counting_progress

OVERVIEW = "overview.jpg"
ASPECT_TOLERANCE = 0.02  # an image of a whole number of pixels rarely has exactly the cells' aspect ratio
_written: WeakKeyDictionary[FrameGrid, dict] = WeakKeyDictionary()
_shown: WeakValueDictionary[str, FrameGrid] = WeakValueDictionary()
_images: dict[int, tuple[ref, dict]] = {}  # by the tensor's id, since tensors compare pixel by pixel


def player_files(grid: FrameGrid) -> dict:
    """Write what the browser needs, unless it lies there from before, and describe it (web/shared/payload.mjs reads this)."""
    described = _written.get(grid)
    if described is None or not (folder_of(described["id"]) / OVERVIEW).is_file():
        atlases = grid_atlases(grid, on_view=counting_progress())
        _write(atlases)
        described = _written[grid] = _describe(grid, atlases)
    _shown[described["id"]] = grid
    looked_at(described["id"])
    return described


def shown_grid(identity: str) -> FrameGrid | None:
    """The grid of what `player_files` described under this id, exactly; None once ComfyUI holds it no more."""
    return _shown.get(identity)


def image_files(images_NHWC: torch.Tensor, grid: FrameGrid, name: str) -> dict:
    """The same as `player_files` for one image per cell of a grid, such as a confidence; not kept for `shown_grid`.

    Raises ValueError, with `name` in the sentence, unless there are as many images as cells and they have the cells' aspect ratio.
    """
    images_VTHWC = cell_images(images_NHWC, grid, name)
    height, width = images_VTHWC.shape[2:4]
    if abs(width * grid.height / (height * grid.width) - 1) > ASPECT_TOLERANCE:
        raise ValueError(
            f"expected {name} with the aspect ratio of the cells, {grid.width}x{grid.height}, got {width}x{height}: connect the one "
            "that belongs to this grid"
        )
    known, described = _images.get(id(images_NHWC), (None, {}))
    if known is None or known() is not images_NHWC or not (folder_of(described["id"]) / OVERVIEW).is_file():
        described = player_files(FrameGrid(images_VTHWC, grid.known, grid.fps))
        key = id(images_NHWC)
        _images[key] = ref(images_NHWC, lambda _: _images.pop(key, None)), described
    looked_at(described["id"])
    return described


def _write(atlases: GridAtlases) -> None:
    """The overview comes last: where it lies, the rest does too. Equal grids have one folder, so each file appears at once."""
    folder = folder_of(atlases.identity)
    if (folder / OVERVIEW).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    make_room(folder)
    files = {_strip_name(view): strip for view, strip in enumerate(atlases.strips)} | {OVERVIEW: atlases.overview}
    for name, content in files.items():
        with whole_file(folder / name) as part:
            part.write_bytes(content)


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
        **place_of(atlases.identity),
        "overview": {"file": OVERVIEW, **_layout(atlases.overview_layout)},
        "strips": {"files": [_strip_name(view) for view in range(grid.views)], **_layout(atlases.strip_layout)},
    }


def _layout(layout: AtlasLayout) -> dict:
    return {"across": layout.across, "cell": list(layout.cell), "pitch": list(layout.pitch)}
