"""What the grids of a workflow can be filled from, found once for each: by 4Real Fill, for samplers, and for all tiles of a grid together."""

from typing import Any
from weakref import WeakKeyDictionary

from ..fourreal_core.geometry.fill import FillSources, Stage, find_sources
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.sampling.tiles import Tile
from ..fourreal_core.transport import Predictions, Predictor
from .fill_progress import OF_SOURCES, STAGES
from .stage_bar import StageBar

Size = tuple[int, int]  # (height, width)
_latest: WeakKeyDictionary[FrameGrid, FillSources] = WeakKeyDictionary()
_given: WeakKeyDictionary[FrameGrid, dict[str, Any]] = (
    WeakKeyDictionary()
)  # depth and the like that a fill was made with
_origins: WeakKeyDictionary[FrameGrid, tuple[FrameGrid, tuple[int, int]]] = WeakKeyDictionary()  # of tiles
_wholes: WeakKeyDictionary[FrameGrid, dict[tuple[str, bool], FillSources]] = WeakKeyDictionary()  # of the latest grid


def stages_of(grid: FrameGrid, guess: FrameGrid | None, size: Size | None = None) -> list[str]:
    """The stages that sampling this grid goes through: what is at hand already is not among them. size: (height, width) that the model works at."""
    sources = _latest.get(grid)
    if guess is None and sources is None and grid not in _origins:
        return [*OF_SOURCES, "steps", "cells"]
    predicted = sources is not None and sources.predictor.has_all(size or (grid.height, grid.width))
    return [*([] if predicted else ["transport"]), "steps", *(["cells"] if guess is None else [])]


def sources_of(grid: FrameGrid, bar: StageBar | None = None, size: Size | None = None) -> FillSources:
    """What the grid can be filled from, with the depth, flow and masks that 4Real Fill was given for it; a tile from what its whole grid says.

    size: (height, width) at which Transport's predictions of all cells are made beside the scene; None: the grid's. The latest sources
    are kept, because one grid is sampled with many seeds.
    """
    sources = _latest.get(grid)
    if sources is None:
        given = _given.get(grid, {})
        told = (bar or StageBar(STAGES, OF_SOURCES)).move
        if grid in _origins:
            whole, first = _origins[grid]
            sources = sources_of_whole(whole, told).part(grid, first)
        else:
            sources = find_sources(grid, **given, predicted=size or (grid.height, grid.width), on_stage=told)
        remember_sources(grid, sources, given)
    return sources


def predictions_of(grid: FrameGrid, bar: StageBar | None = None, size: Size | None = None) -> Predictions:
    """Transport's predictions of all cells, at a smaller (height, width) where one is given; the scene is not estimated for them."""
    sources, bar = _latest.get(grid), bar or StageBar(STAGES, ["transport"])
    if sources:
        predictor = sources.predictor
    elif grid in _origins:
        whole, first = _origins[grid]
        predictor = _of_whole(whole, "transport", {}, bar.move).part(grid, first).predictor
    else:
        predictor = Predictor(grid)
    return predictor.all_cells(lambda done, total: bar.move("transport", done / total), size)


def remember_sources(grid: FrameGrid, sources: FillSources, given: dict[str, Any]) -> None:
    """Spare `sources_of` the work where a fill of this grid by method "auto" is at hand. given: the arguments of `find_sources` that it was given."""
    _latest.clear()
    _latest[grid] = sources
    if given:
        _given[grid] = given


def remember_tile(tile: FrameGrid, whole: FrameGrid, part: Tile) -> None:
    """These cells are that part of a grid: they are filled from what all its known cells say."""
    _origins[tile] = whole, (part.views.start, part.times.start)


def sources_of_whole(grid: FrameGrid, told: Stage, *, scene: bool = True) -> FillSources:
    """What all tiles of a grid are filled from, found before the first one; scene: False for Transport alone, as predictions are beside a guess."""
    return _of_whole(grid, "auto", _given.get(grid, {}), told) if scene else _of_whole(grid, "transport", {}, told)


def sources_to_fill(grid: FrameGrid, method: str, given: dict[str, Any], told: Stage) -> FillSources:
    """What 4Real Fill fills a grid from; a tile from what its whole grid says, unless something was found for the tile alone.

    given: further arguments of `find_sources`. Raises SceneUnknown with method "scene", where there is none.
    """
    if grid not in _origins or given:
        return find_sources(grid, method=method, **given, on_stage=told)
    whole, first = _origins[grid]
    return _of_whole(whole, method, {}, told).part(grid, first)


def _of_whole(whole: FrameGrid, method: str, given: dict[str, Any], told: Stage) -> FillSources:
    """Kept until another grid is filled in tiles."""
    if whole not in _wholes:
        _wholes.clear()
    found = _wholes.setdefault(whole, {})
    asked = method, bool(given)
    if asked not in found:
        at_hand = _latest.get(whole) if method == "auto" and bool(_given.get(whole)) == bool(given) else None
        found[asked] = at_hand or find_sources(whole, method=method, **given, on_stage=told)
    return found[asked]
