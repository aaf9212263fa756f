"""4Real Load Model: the grid model as a MODEL."""

import folder_paths
from comfy_api.v0_0_2 import io

from ..host.load import BUNDLED, MODEL_FOLDER, PRECISIONS, checkpoint_path, load_grid_model
from ..host.places import time_and_size


class FourRealLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealLoadModel",
            display_name="4Real Load Model",
            category="4Real/model",
            description="Load a 4Real grid model. It is an ordinary MODEL: samplers, guiders and LoRA loaders work on it.",
            search_aliases=["4d", "bullet time", "multi view video"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=[BUNDLED, *folder_paths.get_filename_list(MODEL_FOLDER)],
                    default=BUNDLED,
                    tooltip="The model that comes with the pack, or a .safetensors file in models/fourreal.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    advanced=True,
                    tooltip="Numerical precision of the network. auto: bfloat16 where it is fast on this machine, otherwise float32.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The grid model, ready for 4Real Sampler or 4Real Grid Conditioning.")],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint, precision):
        return time_and_size(checkpoint_path(checkpoint))  # training may have written a new file under the same name

    @classmethod
    def execute(cls, checkpoint, precision) -> io.NodeOutput:
        return io.NodeOutput(load_grid_model(checkpoint_path(checkpoint), precision))
