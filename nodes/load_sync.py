"""4Real Load Sync: trained synchronization layers from a file of their own, for *4Real Two-Stream*."""

import folder_paths
from comfy_api.v0_0_2 import io

from ..host.load import SYNC_FOLDER, load_sync_patcher
from ..host.places import time_and_size
from ..host.types import Sync


class FourRealLoadSync(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealLoadSync",
            display_name="4Real Load Sync",
            category="4Real/model",
            description=(
                "Load trained synchronization layers for a video model. Connect them to 4Real Two-Stream, which checks that they "
                "belong to its model."
            ),
            search_aliases=["4d", "soft sync", "wan grid"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folder_paths.get_filename_list(SYNC_FOLDER),
                    tooltip="A .safetensors file in models/fourreal_sync. Press R after adding one.",
                ),
            ],
            outputs=[Sync.Output("sync_layers", tooltip="The layers, for the sync_layers input of 4Real Two-Stream.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        if not isinstance(file, str) or not file:
            return f"found no synchronization layers: put a file into models/{SYNC_FOLDER}, then press R"
        if folder_paths.get_full_path(SYNC_FOLDER, file) is None:
            return f"found no {file} in models/{SYNC_FOLDER}: put it there, or choose another"
        return True

    @classmethod
    def fingerprint_inputs(cls, file):
        return time_and_size(
            folder_paths.get_full_path_or_raise(SYNC_FOLDER, file)
        )  # training may have written it anew

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        return io.NodeOutput(load_sync_patcher(folder_paths.get_full_path_or_raise(SYNC_FOLDER, file), file))
