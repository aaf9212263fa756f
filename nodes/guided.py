"""4Real Guided Steps: warped frames guide the sampling of a video model. How far is decided in host/guided.py."""

from comfy_api.v0_0_2 import io

from ..host.choices import within_limits
from ..host.guided import guide_of, guided

STRENGTH_TOOLTIP = (
    "How much the confidence counts, 0 to 1. At 1 fully certain places are the guess; lower lets the model change them. Guidance weakens by "
    "itself as the noise falls."
)
LATENT_TOOLTIP = "From 4Real Latent Grid Conditioning with guess and confidence, or paint: what to guide to."


class FourRealGuidedSteps(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealGuidedSteps",
            display_name="4Real Guided Steps",
            category="4Real/sampling",
            description=(
                "Pulls every sampling step of a video model towards the guess, more where it is certain and while there is much noise. Asks "
                "nothing of the weights and works with every sampler and guider."
            ),
            search_aliases=["guidance", "warp", "nvs-solver"],
            inputs=[
                io.Model.Input("model", tooltip="A latent video model, before or after 4Real Two-Stream."),
                io.Latent.Input("latent", tooltip=LATENT_TOOLTIP),
                io.Float.Input("strength", default=0.8, min=0.0, max=1.0, step=0.05, tooltip=STRENGTH_TOOLTIP),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Guide from this fraction of the sampling, 0 to 1.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Guide up to this fraction of the sampling, 0 to 1.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with guided steps; the input model is unchanged.")],
        )

    @classmethod
    @within_limits
    def execute(cls, model, latent, strength, start_percent, end_percent) -> io.NodeOutput:
        guide = guide_of(latent, strength=strength, start_percent=start_percent, end_percent=end_percent)
        return io.NodeOutput(guided(model, guide))
