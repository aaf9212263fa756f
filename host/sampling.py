"""A grid filled by a grid model with the host's own sampling, as a whole or in tiles: conditioning, samples, decoding."""

from dataclasses import dataclass, replace

import comfy.sample
import comfy.utils

from ..fourreal_core.flow import cell_noise
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.sampling.tiles import Tile, fill_in_tiles
from .grid_latent import condition_grid, decode_grid

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


def filled_by_host(model, grid: FrameGrid, sampling: HostSampling, guess: FrameGrid | None, tile: int) -> FrameGrid:
    """The grid with its unknown cells sampled; known cells come back bit-exact.

    tile: 0, or how many views and times at once at most; tile number n then has the seed `sampling.seed` + n. ValueError for tiles of
    one, for a guess of another size and for models that are no grid models.
    """
    if tile == 0:
        return _sampled(model, grid, sampling, guess)

    def fill(task: FrameGrid, place: Tile) -> FrameGrid:
        own_seed = replace(sampling, seed=(sampling.seed + place.number) % SEEDS)
        return _sampled(model, task, own_seed, guess and place.of(guess))

    return fill_in_tiles(grid, fill, tile=(tile, tile))


def _sampled(model, grid: FrameGrid, sampling: HostSampling, guess: FrameGrid | None) -> FrameGrid:
    positive, negative, latent = condition_grid(model, grid, guess, sampling.denoise)
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
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=sampling.seed,
    )
    return decode_grid({"samples": samples}, grid)
