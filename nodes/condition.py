"""4Real Grid Conditioning and 4Real Grid Decode: a grid into and out of the host's own samplers.

Decoding is for both kinds of model, 4Real's and latent ones; conditioning for the latter is in latent_condition.py.

Letters: V views, T times, H W pixels, C condition or latent channels, L latent frames of a view, h w latent pixels.
"""

import torch
from comfy_api.latest import io

from ..fourreal_core.flow import from_model, to_model
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.model.condition import prepare, unconditional
from ..fourreal_core.sampling.latents import ENCODINGS, decode_frames
from ..host.model import CONDITION_KEY
from ..host.types import GRID_TOOLTIP, Grid, counting_progress, expect_grid, with_provenance
from ..host.vae import vae_codec
from .load import expect_grid_model
from .transport import predictions_of

LATENT_KEY = "fourreal"
AS_CONDITIONED = "as conditioned"

GUESS_TOOLTIP = (
    "A grid of the same size to start the unknown cells from when denoise is below 1. "
    "Without it 4Real Transport Fill is used."
)

ENCODING_TOOLTIP = (
    "How cells become latent frames. hold: each view as a video whose cells are held for one latent step, closest to what video "
    "models know. frame: each cell alone, the same along views and times. native: each view as it is, 4 n + 1 times (Wan, "
    "Hunyuan) or 8 n + 1 (LTX); fewest latents."
)
TILED_TOOLTIP = (
    "Run the VAE in pieces of 512 pixels: less memory, slower. The host does so by itself when memory runs out."
)


def condition_grid(model, grid: FrameGrid, guess: FrameGrid | None = None, denoise: float = 1.0):
    """Grid -> (positive, negative, latent) for a grid model. Negative is the same without the known cells.

    denoise: how far the sampler will go from `guess`; below 1 the model is told to expect the guess as well.
    """
    grid_model = expect_grid_model(model)
    guess = None if guess is None else expect_grid(guess, "guess")
    condition_VCTHW, start_VTHWC = prepare(
        grid, grid_model.diffusion_model.config, guess, denoise, predict=predictions_of
    )
    latent = {
        "samples": to_model(grid.filled(start_VTHWC).frames),
        "noise_mask": _unknown_mask(grid),
        LATENT_KEY: {"grid": grid, "model": grid_model.checkpoint_hash},
    }
    return _conditioning(condition_VCTHW), _conditioning(unconditional(condition_VCTHW)), latent


def decode_grid(latent: dict, grid: FrameGrid | None = None) -> FrameGrid:
    """Sampled latent -> grid with the known cells exactly as they came in."""
    samples, grid = latent["samples"], _grid_of(latent, grid)
    expected = (grid.views, 3, grid.times, grid.height, grid.width)
    if tuple(samples.shape) != expected:
        raise ValueError(
            f"expected a latent of shape {expected} for this grid of {grid.views} views and {grid.times} times, "
            f"got {tuple(samples.shape)}: connect the grid that the latent was made from"
        )
    if not torch.isfinite(samples).all():
        raise ValueError(
            "the sampler returned pixels that are not numbers: try another sampler, more steps or a lower cfg"
        )
    sampled_VTHWC = from_model(samples.to("cpu", torch.float32))
    return grid.filled(sampled_VTHWC)


def decode_latent_grid(
    latent: dict, vae, encoding: str, tiled: bool = False, grid: FrameGrid | None = None
) -> FrameGrid:
    """Sampled latents [V, C, L, h, w] of a latent video model -> grid with the known cells exactly as they came in."""
    grid = _grid_of(latent, grid)
    if vae is None:
        raise ValueError(
            "expected the VAE that made this latent, got none: connect the one of 4Real Latent Grid Conditioning to vae"
        )
    size = (grid.views, grid.times, grid.height, grid.width)
    sampled_VTHWC = decode_frames(
        latent["samples"], encoding, vae_codec(vae, tiled), size, ~grid.known, counting_progress()
    )
    return grid.filled(sampled_VTHWC)


def _grid_of(latent: dict, grid: FrameGrid | None) -> FrameGrid:
    grid = grid or latent.get(LATENT_KEY, {}).get("grid")
    if grid is None:
        raise ValueError(
            "expected a latent made by 4Real Grid Conditioning, got one without a grid: "
            "connect the conditioning grid to the grid input as well"
        )
    return grid


def _encoding_of(latent: dict, chosen: str, vae) -> str | None:
    """The encoding of a latent, None when its latents are pixels."""
    facts = latent.get(LATENT_KEY, {})
    encoding = facts.get("encoding") if chosen == AS_CONDITIONED else chosen
    if encoding is None and vae is not None and LATENT_KEY not in latent:
        raise ValueError(
            "expected a latent that says how it was encoded, got one that was saved and loaded, which drops that: "
            f"choose the encoding that it was made with, {', '.join(ENCODINGS)}"
        )
    return encoding


def _unknown_mask(grid: FrameGrid) -> torch.Tensor:
    """The host's 5-D noise mask [V, 1, T, H, W]: 0 keeps a cell, 1 samples it."""
    free_VT = (~grid.known).float()
    return free_VT[:, None, :, None, None].expand(-1, -1, -1, grid.height, grid.width).contiguous()


def _conditioning(condition_VCTHW: torch.Tensor) -> list:
    no_text = torch.zeros(1, 1, 1)
    return [[no_text, {CONDITION_KEY: condition_VCTHW}]]


class FourRealGridConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridConditioning",
            display_name="4Real Grid Conditioning",
            category="4Real/sampling",
            description="Turn a grid into conditioning and a latent, so that the host's KSampler fills its unknown cells.",
            inputs=[
                io.Model.Input("model", tooltip="The model that will sample; it decides what the conditioning holds."),
                Grid.Input("grid", tooltip=GRID_TOOLTIP + " Its known cells stay exactly as they are."),
                Grid.Input("guess", optional=True, tooltip=GUESS_TOOLTIP),
            ],
            outputs=[
                io.Conditioning.Output("positive", tooltip="The known cells."),
                io.Conditioning.Output("negative", tooltip="No known cells; only used when cfg is above 1."),
                io.Latent.Output(
                    "latent", tooltip="Pixels [V, 3, T, H, W] in -1..1, with a mask that holds known cells."
                ),
            ],
        )

    @classmethod
    def execute(cls, model, grid, guess=None) -> io.NodeOutput:
        return io.NodeOutput(*condition_grid(model, expect_grid(grid), guess))


class FourRealGridDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridDecode",
            display_name="4Real Grid Decode",
            category="4Real/sampling",
            description="Turn a sampled grid latent back into a grid. Known cells come out bit-exact.",
            inputs=[
                io.Latent.Input("latent", tooltip="The latent that a sampler made from a 4Real conditioning node."),
                Grid.Input(
                    "grid",
                    optional=True,
                    tooltip="The grid that was conditioned on. Only needed when the latent was saved and loaded in between.",
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="The VAE, for latents of 4Real Latent Grid Conditioning only."
                ),
                io.Combo.Input(
                    "encoding",
                    options=[AS_CONDITIONED, *ENCODINGS],
                    default=AS_CONDITIONED,
                    optional=True,
                    advanced=True,
                    tooltip="Only when a latent of 4Real Latent Grid Conditioning was saved and loaded. "
                    + ENCODING_TOOLTIP,
                ),
                io.Boolean.Input("tiled", default=False, optional=True, advanced=True, tooltip=TILED_TOOLTIP),
            ],
            outputs=[Grid.Output("grid", tooltip="The filled grid.")],
        )

    @classmethod
    def execute(cls, latent, grid=None, vae=None, encoding=AS_CONDITIONED, tiled=False) -> io.NodeOutput:
        encoding = _encoding_of(latent, encoding, vae)
        decoded = decode_latent_grid(latent, vae, encoding, tiled, grid) if encoding else decode_grid(latent, grid)
        facts = {name: value for name, value in latent.get(LATENT_KEY, {}).items() if name != "grid"}
        return io.NodeOutput(with_provenance(decoded, facts))
