"""A grid filled by a grid model with the host's own sampling, as a whole or in tiles: conditioning, samples, decoding.

Cells much larger than the bundled model knows are filled through a small copy, unless its full size is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import comfy.sample
import comfy.utils

from ..fourreal_core.flow import cell_noise
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.model.weights import checkpoint_hash, default_checkpoint
from ..fourreal_core.sampling.budget import GridSize
from ..fourreal_core.sampling.lifted import HOME, home_size, lifted
from ..fourreal_core.sampling.tiles import TILE, Tile, fill_in_tiles, numbered_tiles, spans
from ..fourreal_core.transport import Predictions
from .fill_progress import OF_SOURCES, STAGES
from .grid_latent import chosen, condition_grid, decode_grid
from .load import expect_grid_model
from .preview import OnBar
from .sources import predictions_of, remember_tile, sources_of, sources_of_whole, stages_of
from .stage_bar import StageBar

SEEDS = 2**64


@dataclass(frozen=True)
class HostSampling:
    """Settings of the host's sampling, as KSampler has them; in a grid's provenance under these names. seed: of the noise per cell."""

    seed: int
    steps: int
    sampler: str
    scheduler: str
    cfg: float
    denoise: float


def filled_by_host(
    model, grid: FrameGrid, sampling: HostSampling, guess: FrameGrid | None, tile: int, full_size: bool = False
) -> FrameGrid:
    """The grid with its unknown cells sampled; known cells come back bit-exact.

    tile: how many views and times at once at most, 0: as the model knows them (`tile_at_home`); tile number n has the seed `sampling.seed` + n. full_size: never through
    a small copy. ValueError for tiles of one, for a guess of another size and for models that are no grid models.
    """
    through_copy = not full_size and at_home(model, grid) != (grid.height, grid.width)
    fill_one, size = (_through_small_copy, at_home(model, grid)) if through_copy else (_sampled, None)
    tile = tile or tile_at_home(model, grid)
    if tile == 0:
        return fill_one(model, grid, sampling, guess, StageBar(STAGES, stages_of(grid, guess, size)))
    return _filled_in_tiles(model, grid, sampling, guess, tile, fill_one, size)


def _filled_in_tiles(
    model,
    grid: FrameGrid,
    sampling: HostSampling,
    guess: FrameGrid | None,
    tile: int,
    fill_one: Callable,
    size: tuple[int, int] | None,
) -> FrameGrid:
    """The scene is found once, from all known cells; each tile takes its cells' sources from it. size: that fill_one samples at, if another."""
    parts = 1 + len(numbered_tiles(grid, (tile, tile)))
    bar = StageBar(STAGES, OF_SOURCES if guess is None else ["transport"], parts=parts)
    whole = sources_of_whole(grid, bar.move, scene=guess is None)

    def fill(task: FrameGrid, place: Tile) -> FrameGrid:
        nonlocal bar
        remember_tile(task, grid, place)
        own_seed = replace(sampling, seed=(sampling.seed + place.number) % SEEDS)
        bar = StageBar(STAGES, stages_of(task, guess, size), part=1 + place.number, parts=parts, before=bar)
        return fill_one(model, task, own_seed, guess and place.of(guess), bar)

    filled = fill_in_tiles(grid, fill, tile=(tile, tile))
    return filled if guess is not None else filled.replace(cameras=whole.grid.cameras)


def at_home(model, grid: FrameGrid | GridSize) -> tuple[int, int]:
    """(height, width) at which a grid model is best asked to work on this grid: the grid's own where nothing is known of the model."""
    return home_size(grid.height, grid.width) if _bundled(model) else (grid.height, grid.width)


def tile_at_home(model, grid: FrameGrid | GridSize) -> int:
    """Views and times of the tiles in which a grid is best filled that is larger than the model was trained on; 0: it is not, or nothing is known of the model."""
    return max(TILE) if _bundled(model) and (grid.views > TILE[0] or grid.times > TILE[1]) else 0


def asked_at_once(model, grid: GridSize) -> GridSize:
    """What a grid model is asked for at once when it samples this grid: the largest tile, at the size at which it is at home."""
    height, width = at_home(model, grid)
    tile = tile_at_home(model, grid) or max(grid.views, grid.times)
    views, times = (
        max(part.stop - part.start for part in spans(length, max(tile, 2))) for length in (grid.views, grid.times)
    )
    return replace(grid, views=views, times=times, height=height, width=width)


def _bundled(model) -> bool:
    return expect_grid_model(model).checkpoint_hash == checkpoint_hash(default_checkpoint())


def size_remark(model, grid: FrameGrid, then: str) -> str:
    """What the user should know when the grid's cells are larger than the model was trained on, and `then`; empty when they are not."""
    height, width = at_home(model, grid)
    if (height, width) == (grid.height, grid.width):
        return ""
    known, given = f"{HOME[1]}x{HOME[0]}", f"{grid.width}x{grid.height}"
    return f"the bundled model was trained on cells of {known}, this grid has {given}: {then.format(size=f'{width}x{height}')}"


def _through_small_copy(
    model, grid: FrameGrid, sampling: HostSampling, guess: FrameGrid | None, bar: StageBar
) -> FrameGrid:
    def fill_small(small: FrameGrid, predictions: Predictions, small_guess: FrameGrid | None) -> FrameGrid:
        return _sampled(model, small, sampling, small_guess, bar, predictions)

    size = at_home(model, grid)
    if guess is not None:
        return lifted(grid, predictions_of(grid, bar, size), guess, fill_small).over_grid(grid, guess)
    sources = sources_of(grid, bar, size)
    changes = lifted(grid, predictions_of(grid, bar, size), None, fill_small)
    return chosen(grid, sources, changes.drawn, bar)


def _sampled(
    model,
    grid: FrameGrid,
    sampling: HostSampling,
    guess: FrameGrid | None,
    bar: StageBar,
    predictions: Predictions | None = None,
) -> FrameGrid:
    positive, negative, latent = condition_grid(model, grid, guess, sampling.denoise, predictions, bar)
    noise = cell_noise(sampling.seed, grid.views, grid.times, grid.height, grid.width)
    samples = comfy.sample.sample(
        model,
        noise,
        sampling.steps,
        sampling.cfg,
        sampling.sampler,
        sampling.scheduler,
        positive,
        negative,
        latent["samples"],
        denoise=sampling.denoise,
        noise_mask=latent["noise_mask"],
        callback=OnBar(partial(bar.move, "steps")),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=sampling.seed,
    )
    return decode_grid({**latent, "samples": samples}, grid, bar)
