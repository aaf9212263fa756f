"""A grid as a LATENT with its conditioning, and back: what goes through the host's own samplers.

Decoding is for both kinds of model, 4Real's and latent ones; conditioning for the latter is in known_cells.py.

Letters: V views, T times, H W pixels, C condition or latent channels, L latent frames of a view, h w latent pixels.
"""

import torch

from ..fourreal_core.flow import from_model, to_model
from ..fourreal_core.geometry.cells import DrawCell
from ..fourreal_core.geometry.fill import FillSources
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.model.condition import prepare, unconditional
from ..fourreal_core.sampling.latents import ENCODINGS, decode_frames
from ..fourreal_core.transport import Predictions
from .fill_progress import STAGES
from .load import expect_grid_model
from .model import CONDITION_KEY
from .sources import predictions_of, sources_of
from .stage_bar import StageBar
from .types import counting_progress, expect_grid
from .vae import vae_codec

LATENT_KEY = "fourreal"
SOURCES_KEY = "fourreal_sources"  # True in a latent whose sampled pixels are chosen among the sources of its grid
AS_CONDITIONED = "as conditioned"


def chosen(
    grid: FrameGrid, sources: FillSources, drawn: torch.Tensor | DrawCell, bar: StageBar | None = None
) -> FrameGrid:
    """The grid with each pixel of its unknown cells chosen from what a model drew, as `FillSources.fill` takes it, and the other sources."""
    bar = bar or StageBar(STAGES, ["cells"])
    whole = sources.fill(drawn, on_stage=bar.move).grid
    bar.move("cells", 1.0)  # also where there was nothing to choose from
    return grid.replace(frames=whole.frames, cameras=whole.cameras)


def condition_grid(
    model,
    grid: FrameGrid,
    guess: FrameGrid | None = None,
    denoise: float = 1.0,
    predictions: Predictions | None = None,
    bar: StageBar | None = None,
):
    """Grid -> (positive, negative, latent) for a grid model. Negative is the same without the known cells.

    denoise: how far the sampler will go from `guess`; below 1 the model is told to expect the guess as well.
    predictions: of this grid, where they are at hand. bar: the node's, which has the stages before "steps"; None: one of its own.
    """
    grid_model = expect_grid_model(model)
    guess = None if guess is None else expect_grid(guess, "guess")
    condition_VCTHW, start_VTHWC = prepare(
        grid,
        grid_model.diffusion_model.config,
        guess,
        denoise,
        predict=lambda asked: predictions or _predicted(asked, guess, bar),
    )
    latent = {
        "samples": to_model(grid.filled(start_VTHWC).frames),
        "noise_mask": _unknown_mask(grid),
        LATENT_KEY: {"grid": grid, "model": grid_model.checkpoint_hash},
    }
    if guess is None and predictions is None:
        latent[SOURCES_KEY] = True  # not the sources: they take much memory, and the host keeps latents
    return _conditioning(condition_VCTHW), _conditioning(unconditional(condition_VCTHW)), latent


def decode_grid(latent: dict, grid: FrameGrid | None = None, bar: StageBar | None = None) -> FrameGrid:
    """Sampled latent -> grid with the known cells exactly as they came in. bar: the node's, which has "cells"; None: one of its own.

    Per pixel what the model drew is chosen, or what another source of the cell shows, unless the latent was made with a guess of one's own.
    """
    samples, grid = latent["samples"], _grid_of(latent, grid)
    expected = (grid.views, 3, grid.times, grid.height, grid.width)
    if tuple(samples.shape) != expected:
        raise ValueError(
            f"expected a latent of shape {expected} for this grid of {grid.views} views and {grid.times} times, "
            f"got {tuple(samples.shape)}: connect the grid that the latent was made from"
        )
    if not torch.isfinite(samples).all():
        raise ValueError(
            "the sampler returned pixels that are not finite: try another sampler, more steps or a lower cfg"
        )
    drawn_VTHWC = from_model(samples.to("cpu", torch.float32))
    if not latent.get(SOURCES_KEY) or latent[LATENT_KEY]["grid"] is not grid:
        return grid.filled(drawn_VTHWC)
    return chosen(grid, sources_of(grid), drawn_VTHWC, bar)


def decode_latent_grid(
    latent: dict, vae, encoding: str, tiled: bool = False, grid: FrameGrid | None = None
) -> FrameGrid:
    """Sampled latents [V, C, L, h, w] of a latent video model -> grid with the known cells exactly as they came in."""
    grid = _grid_of(latent, grid)
    if vae is None:
        raise ValueError(
            "expected the VAE that made this latent, got none: connect the VAE of 4Real Latent Grid Conditioning to vae"
        )
    size = (grid.views, grid.times, grid.height, grid.width)
    sampled_VTHWC = decode_frames(
        latent["samples"], encoding, vae_codec(vae, tiled), size, ~grid.known, counting_progress()
    )
    return grid.filled(sampled_VTHWC)


def encoding_of(latent: dict, chosen: str, vae) -> str | None:
    """The encoding of a latent, None when its latents are pixels."""
    facts = latent.get(LATENT_KEY, {})
    encoding = facts.get("encoding") if chosen == AS_CONDITIONED else chosen
    if encoding is None and vae is not None and LATENT_KEY not in latent:
        raise ValueError(
            "this latent does not say how it was encoded, because saving it drops that: choose the encoding "
            f"that it was made with, {', '.join(ENCODINGS)}"
        )
    return encoding


def _grid_of(latent: dict, grid: FrameGrid | None) -> FrameGrid:
    grid = grid or latent.get(LATENT_KEY, {}).get("grid")
    if grid is None:
        raise ValueError(
            "this latent has no grid: it must come from 4Real Grid Conditioning, or the conditioning grid "
            "must be connected to the grid input"
        )
    return grid


def _predicted(grid: FrameGrid, guess: FrameGrid | None, bar: StageBar | None) -> Predictions:
    if guess is None:
        sources_of(grid, bar)  # beside which they are made
    return predictions_of(grid, bar)


def _unknown_mask(grid: FrameGrid) -> torch.Tensor:
    """The host's 5-D noise mask [V, 1, T, H, W]: 0 keeps a cell, 1 samples it."""
    free_VT = (~grid.known).float()
    return free_VT[:, None, :, None, None].expand(-1, -1, -1, grid.height, grid.width).contiguous()


def _conditioning(condition_VCTHW: torch.Tensor) -> list:
    no_text = torch.zeros(1, 1, 1)
    return [[no_text, {CONDITION_KEY: condition_VCTHW}]]
