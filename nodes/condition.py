"""4Real Grid Conditioning and 4Real Grid Decode: a grid into and out of the host's own samplers.

Decoding is for both kinds of model, 4Real's and latent ones; conditioning for the latter is in latent_condition.py.

Letters: V views, T times, H W pixels, C condition or latent channels, L latent frames of a view, h w latent pixels.
"""

from comfy_api.v0_0_2 import io

from ..fourreal_core.sampling.latents import ENCODINGS
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.grid_latent import AS_CONDITIONED, LATENT_KEY, condition_grid, decode_grid, decode_latent_grid, encoding_of
from ..host.sampling import size_remark
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, tell, with_provenance
from .inputs import ENCODING_TOOLTIP, GUESS_TOOLTIP, TILED_TOOLTIP

SMALLER_CELLS = "build a grid of {size}, or use 4Real Sampler, which works on such a copy by itself"


class FourRealGridConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGridConditioning",
            display_name="4Real Grid Conditioning",
            category="4Real/sampling",
            description="Turns a grid into conditioning and a latent, so that KSampler can fill its unknown cells.",
            inputs=[
                io.Model.Input("model", tooltip="The model that will sample; it decides what the conditioning holds."),
                Grid.Input("grid", tooltip=GRID_TOOLTIP + " Its known cells stay exactly as they are."),
                Grid.Input("guess", optional=True, tooltip=GUESS_TOOLTIP),
            ],
            outputs=[
                io.Conditioning.Output("positive", tooltip="The known cells."),
                io.Conditioning.Output("negative", tooltip="No known cells; only used when cfg is above 1."),
                io.Latent.Output(
                    "latent", tooltip="Pixels [V, 3, T, H, W] in -1..1, with a mask that protects known cells."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, model, grid, guess=None) -> io.NodeOutput:
        grid = expect_grid(grid)
        if remark := size_remark(model, grid, SMALLER_CELLS):
            tell(cls, remark)
        return io.NodeOutput(*condition_grid(model, grid, guess))


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
    @within_limits
    @stops_on_cancel
    def execute(cls, latent, grid=None, vae=None, encoding=AS_CONDITIONED, tiled=False) -> io.NodeOutput:
        encoding = encoding_of(latent, encoding, vae)
        decoded = decode_latent_grid(latent, vae, encoding, tiled, grid) if encoding else decode_grid(latent, grid)
        facts = {name: value for name, value in latent.get(LATENT_KEY, {}).items() if name != "grid"}
        return io.NodeOutput(with_provenance(decoded, facts))
