"""4Real Two-Stream: how the two streams of a grid model, or of one of the host's video models, are kept in agreement."""

from comfy_api.latest import io

from ..fourreal_core.model.two_stream import OUTPUTS
from .host_model import GridBaseModel
from .latent_stages import keep_known_cells
from .load import SYNC_KINDS, with_sync
from .two_stream_patch.patch import patch_two_streams
from .two_stream_patch.plan import TwoStreamPlan

SYNC_TOOLTIP = (
    "How the time stream and the view stream agree after every layer. hard: both get the same features; needs no training. "
    "soft: each keeps its own features and gets its own correction (best in the paper); needs trained layers, which 4Real models "
    "have. sequential: one stream, view and time layers in turn. fused: one stream, each frame attends to its view and its time at "
    "once (4Real and Wan models). off: two independent video models, averaged only at the end."
)
STRENGTH_TOOLTIP = (
    "Share of the synchronization that is applied, 0..1: 0 is the same as off, 1 is all. Does nothing with fused and sequential."
)


def share(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=0.01, optional=True, advanced=True, tooltip=f"{tooltip} Host video models only."
    )


class FourRealTwoStream(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealTwoStream",
            display_name="4Real Two-Stream",
            category="4Real/model",
            description=(
                "Run a grid through a model as two streams, one over time and one over views, kept in agreement. Works on 4Real models "
                "and on Wan, LTXV, HunyuanVideo, Mochi and Kandinsky 5; their latent has one video per view."
            ),
            search_aliases=["4d", "wan grid", "synchronize views"],
            inputs=[
                io.Model.Input("model", tooltip="A model from 4Real Load Model, or a video model of the host."),
                io.Combo.Input("sync", options=SYNC_KINDS, default="soft", tooltip=SYNC_TOOLTIP),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip=STRENGTH_TOOLTIP),
                io.Combo.Input(
                    "output",
                    options=list(OUTPUTS),
                    default="mean",
                    advanced=True,
                    tooltip="Which stream's prediction moves the sample. mean is normal; the others are for comparisons.",
                ),
                share("first_layer", 0.0, "Streams are synchronized from this share of the model's depth on, 0..1."),
                share("last_layer", 1.0, "Streams are synchronized up to this share of the model's depth, 0..1."),
                share("start_percent", 0.0, "Streams are synchronized from this share of the sampling on, 0..1."),
                share("end_percent", 1.0, "Streams are synchronized up to this share of the sampling, 0..1; then they are as with off."),
            ],
            outputs=[io.Model.Output(tooltip="The model with these settings; the input model is unchanged.")],
        )

    @classmethod
    def execute(
        cls, model, sync, strength, output, first_layer=0.0, last_layer=1.0, start_percent=0.0, end_percent=1.0
    ) -> io.NodeOutput:
        ranges = (first_layer, last_layer, start_percent, end_percent)
        if not isinstance(model.model, GridBaseModel):
            plan = TwoStreamPlan(sync, strength, *ranges, output)
            patched = patch_two_streams(model, plan)
            keep_known_cells(patched)
            return io.NodeOutput(patched)
        if ranges != (0.0, 1.0, 0.0, 1.0):
            raise ValueError(
                "expected first_layer 0, last_layer 1, start_percent 0 and end_percent 1 for a 4Real model, got other values: "
                "ranges work on the host's own video models only"
            )
        return io.NodeOutput(with_sync(model, sync=sync, strength=strength, output=output))
