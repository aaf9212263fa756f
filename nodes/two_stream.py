"""4Real Two-Stream: how the two streams of a grid model, or of one of the host's video models, are kept in agreement."""

import logging

from comfy_api.v0_0_2 import io

from ..fourreal_core.model.two_stream import OUTPUTS
from ..host.choices import within_limits
from ..host.synchronize import synchronized
from ..host.two_stream.plan import HOST_KINDS
from ..host.two_stream.trained import AUTO, plan_for
from ..host.types import Sync, tell
from .inputs import STRENGTH_TOOLTIP, SYNC_TOOLTIP

LAYERS_TOOLTIP = "Trained layers from 4Real Load Sync. They must have been trained on this model, and are used when sync is auto or their own kind."


def share(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=0.01, optional=True, advanced=True, tooltip=tooltip
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
                "and on Wan, LTXV, LTX-2, HunyuanVideo, Mochi, Kandinsky 5, CogVideoX and Cosmos; their latent has one video per view."
            ),
            search_aliases=["4d", "wan grid", "synchronize views"],
            inputs=[
                io.Model.Input("model", tooltip="A model from 4Real Load Model, or one of ComfyUI's video models."),
                io.Combo.Input("sync", options=[AUTO, *HOST_KINDS], default=AUTO, tooltip=SYNC_TOOLTIP),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip=STRENGTH_TOOLTIP),
                io.Combo.Input(
                    "output",
                    options=list(OUTPUTS),
                    default="mean",
                    advanced=True,
                    tooltip="Which stream's prediction is used. Use mean; the others are for comparison.",
                ),
                share("first_layer", 0.0, "Synchronize from this fraction of the model's depth, 0 to 1."),
                share("last_layer", 1.0, "Synchronize up to this fraction of the model's depth, 0 to 1."),
                share("start_percent", 0.0, "Synchronize from this fraction of the sampling, 0 to 1."),
                share(
                    "end_percent",
                    1.0,
                    "Synchronize up to this fraction of the sampling, 0 to 1; after it the streams run as with off.",
                ),
                Sync.Input("sync_layers", optional=True, tooltip=LAYERS_TOOLTIP),
            ],
            outputs=[io.Model.Output(tooltip="The model with these settings; the input model is unchanged.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    def execute(
        cls,
        model,
        sync,
        strength,
        output,
        first_layer=0.0,
        last_layer=1.0,
        start_percent=0.0,
        end_percent=1.0,
        sync_layers=None,
    ) -> io.NodeOutput:
        ranges = {
            "first_layer": first_layer,
            "last_layer": last_layer,
            "start_percent": start_percent,
            "end_percent": end_percent,
        }
        plan = plan_for(model, sync, sync_layers, strength=strength, output=output, **ranges)
        patched = synchronized(model, plan, [] if sync_layers is None else [sync_layers])
        tell(cls, plan.summary, logging.INFO)
        return io.NodeOutput(patched)
