"""4Real Latent Grid Conditioning: a grid as latents, mask and conditioning of the host's own video models (Wan, LTX, Hunyuan ...).

What the known cells become depends on what the weights were trained on; what each layout means is in docs/latents.md.

Letters: V views, T times, H W pixels, L latent frames of a view, C latent channels, F frames packed into a latent frame.
"""

import node_helpers
from comfy_api.v0_0_2 import io

from ..fourreal_core.model.condition import check_guess
from ..fourreal_core.sampling.latents import ENCODINGS, GREY, redo_mask
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.grid_cameras import with_cameras
from ..host.grid_latent import LATENT_KEY
from ..host.guided import SURE_KEY
from ..host.known_cells import (
    KNOWN_CELLS,
    MASK_ONLY,
    LatentGrid,
    check_model_and_grid,
    known_cell_conditions,
    needed_condition,
    painted_of,
    patch_of,
    redo_strength,
    with_view_prompt,
)
from ..host.stages import KNOWN_LATENTS
from ..host.types import GRID_TOOLTIP, Grid, expect_grid
from ..host.vae import vae_codec
from .inputs import ENCODING_TOOLTIP, TILED_TOOLTIP

NODE_TOOLTIPS = {
    "model": "The video model that will sample: it decides how known cells are passed to it, and which VAE fits.",
    "vae": "The model's own VAE.",
    "positive": "What you want to see. Both streams get it, unless positive_view is connected.",
    "negative": "What you do not want to see.",
    "known_cells": "How the model is told about known cells, besides the mask that preserves them. auto: as its "
    "weights were trained: image to video for those checkpoints and Fun-InP, vace for VACE, fun control for Fun-Control, noise "
    "mask only for text to video.",
    "hold_back": (
        "Only with confidence: how much of the guess to keep where it is certain, 0 to 1. 0 regenerates all "
        "unknown cells equally; 1 leaves fully certain places alone. Works best with ComfyUI's Differential "
        "Diffusion on the model."
    ),
    "vace_strength": "Strength of the VACE layers, for VACE models only. 1 is what they were trained with.",
    "guess": (
        "A grid of the same size, for example from 4Real Fill, that unknown cells start from. Needed when the "
        "sampler's denoise is below 1, no effect at 1."
    ),
    "confidence": "How certain the guess is: one image per cell, from 4Real Fill. See hold_back.",
    "positive_view": "Another positive prompt for the view stream, for example 'a frozen moment, the camera orbits'.",
    "negative_view": "Another negative prompt for the view stream.",
    "paint": "Where the model paints, white, one mask per cell from 4Real Warp. Everywhere else it is shown the guess as if it were given: "
    "in VACE's, image-to-video's or Fun-Control's own input, else by holding the guess back.",
    "clip_vision_output": "From the shared first frame, for Wan 2.1 image-to-video models, which need it.",
}


class FourRealLatentGridConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        tip = NODE_TOOLTIPS
        return io.Schema(
            node_id="FourRealLatentGridConditioning",
            display_name="4Real Latent Grid Conditioning",
            category="4Real/sampling",
            description="Turns a grid into latents, mask and conditioning for a latent video model (Wan, LTX, "
            "Hunyuan ...), so that ComfyUI's samplers can fill its unknown cells. For 4Real models use "
            "4Real Grid Conditioning.",
            search_aliases=["4d", "wan", "ltx", "hunyuan", "vace", "image to video grid"],
            inputs=[
                io.Model.Input("model", tooltip=tip["model"]),
                io.Vae.Input("vae", tooltip=tip["vae"]),
                io.Conditioning.Input("positive", tooltip=tip["positive"]),
                io.Conditioning.Input("negative", tooltip=tip["negative"]),
                Grid.Input(
                    "grid",
                    tooltip=GRID_TOOLTIP + " 4Real Empty Grid for text to 4D. Known cells stay exactly as they are.",
                ),
                io.Combo.Input("encoding", options=list(ENCODINGS), default=ENCODINGS[0], tooltip=ENCODING_TOOLTIP),
                io.Combo.Input("known_cells", options=KNOWN_CELLS, default=KNOWN_CELLS[0], tooltip=tip["known_cells"]),
                io.Float.Input("hold_back", default=0.8, min=0.0, max=1.0, step=0.05, tooltip=tip["hold_back"]),
                io.Float.Input(
                    "vace_strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    advanced=True,
                    tooltip=tip["vace_strength"],
                ),
                io.Boolean.Input("tiled", default=False, advanced=True, tooltip=TILED_TOOLTIP),
                Grid.Input("guess", optional=True, tooltip=tip["guess"]),
                io.Image.Input("confidence", optional=True, tooltip=tip["confidence"]),
                io.Conditioning.Input("positive_view", optional=True, tooltip=tip["positive_view"]),
                io.Conditioning.Input("negative_view", optional=True, tooltip=tip["negative_view"]),
                io.ClipVisionOutput.Input("clip_vision_output", optional=True, tooltip=tip["clip_vision_output"]),
                io.Mask.Input("paint", optional=True, tooltip=tip["paint"]),
            ],
            outputs=[
                io.Conditioning.Output("positive", tooltip="The prompt with the known cells."),
                io.Conditioning.Output("negative", tooltip="The negative prompt with the known cells."),
                io.Latent.Output("latent", tooltip="Latents [V, C, T', h, w], with a mask that protects known cells."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls, model, vae, positive, negative, grid, encoding, known_cells, hold_back, vace_strength, tiled,
        guess=None, confidence=None, positive_view=None, negative_view=None, clip_vision_output=None, paint=None,
    ) -> io.NodeOutput:  # fmt: skip
        grid = expect_grid(grid)
        check_guess(grid, guess if guess is None else expect_grid(guess, "guess"))
        if guess is None and (confidence is not None or paint is not None):
            raise ValueError(
                f"expected the guess that the {'paint' if confidence is None else 'confidence'} belongs to, got none: connect both "
                "outputs of one 4Real Fill"
            )
        paint_VTHW = None if paint is None else painted_of(grid, paint)
        warp = None if paint is None else (guess, paint_VTHW)
        latents = LatentGrid(grid, encoding, vae_codec(vae, tiled, patch_of(model)), warp)
        check_model_and_grid(model, latents.codec, grid)
        kind = needed_condition(model) if known_cells == "auto" else known_cells
        held_back = redo_strength(grid, confidence, hold_back, paint_VTHW if kind == MASK_ONLY else None)
        mask_VCLhw = redo_mask(held_back, encoding, latents.codec)
        if guess is not None:
            start_VCLhw = latents.encode(guess.frames)
            shown_VCLhw = start_VCLhw if kind == MASK_ONLY else latents.shown()
        else:
            start_VCLhw = shown_VCLhw = latents.encode(GREY, grid.known if kind == MASK_ONLY else None)
        values = known_cell_conditions(model, latents, kind, shown_VCLhw, vace_strength)
        if clip_vision_output is not None:
            values["clip_vision_output"] = clip_vision_output
        if positive_view is not None or negative_view is not None:  # both get one, or the host cannot batch them
            positive, negative = (
                with_view_prompt(positive, positive_view or positive),
                with_view_prompt(negative, negative_view or negative),
            )
        positive, negative = (
            with_cameras(model, prompt, grid, start_VCLhw.shape, latents.codec.pixels_per_latent)
            for prompt in (positive, negative)
        )
        values[KNOWN_LATENTS] = start_VCLhw
        latent = {
            "samples": start_VCLhw,
            "noise_mask": mask_VCLhw,
            LATENT_KEY: {"grid": grid, "encoding": encoding, "model": type(model.model).__name__},
        }
        if confidence is not None or paint is not None:
            latent[SURE_KEY] = 1 - redo_mask(redo_strength(grid, confidence, 1.0, paint_VTHW), encoding, latents.codec)
        conditioned = (node_helpers.conditioning_set_values(prompt, values) for prompt in (positive, negative))
        return io.NodeOutput(*conditioned, latent)
