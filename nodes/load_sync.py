"""4Real Load Sync: trained synchronization layers from a file of their own, for *4Real Two-Stream*."""

import os

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import folder_paths
from comfy_api.latest import io

from ..fourreal_core.model.sync_file import SyncLayers, load_sync
from ..host.types import Sync

SYNC_FOLDER = "fourreal_sync"


def register_sync_folder() -> None:
    """Make models/fourreal_sync a host model folder that lists safetensors files only."""
    folder = os.path.join(folder_paths.models_dir, SYNC_FOLDER)
    folder_paths.add_model_folder_path(SYNC_FOLDER, folder, is_default=True)
    paths, _ = folder_paths.folder_names_and_paths[SYNC_FOLDER]
    folder_paths.folder_names_and_paths[SYNC_FOLDER] = (paths, {".safetensors"})


def load_sync_patcher(path: str, name: str, disable_dynamic: bool = False):
    """Sync file -> ModelPatcher of its `SyncLayers`, the value of a FOURREAL_SYNC socket. See `load_sync` for what it raises.

    Weights stay in the file's number format; tokens are computed in the format of the model that they are attached to. The signature is
    what the host's `cached_patcher_init` calls when it needs a fresh copy.
    """
    layers = load_sync(path, operations=comfy.ops.manual_cast)
    patcher = sync_patcher(layers, name, disable_dynamic)
    patcher.cached_patcher_init = (load_sync_patcher, (path, name))
    return patcher


def sync_patcher(layers: SyncLayers, name: str, disable_dynamic: bool = False):
    """Layers built with the host's operations as a ModelPatcher, which the host loads and offloads; name: for the user."""
    layers.name = name
    patcher_type = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    devices = {
        "load_device": comfy.model_management.get_torch_device(),
        "offload_device": comfy.model_management.unet_offload_device(),
    }
    return patcher_type(layers.to(devices["offload_device"]), **devices)


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
            return (
                f"expected a file of synchronization layers, got none: put one into models/{SYNC_FOLDER}, then press R"
            )
        if folder_paths.get_full_path(SYNC_FOLDER, file) is None:
            return f"expected {file} in models/{SYNC_FOLDER}, found no such file: put it there, or choose another"
        return True

    @classmethod
    def fingerprint_inputs(cls, file):
        status = os.stat(folder_paths.get_full_path_or_raise(SYNC_FOLDER, file))  # training may have written it anew
        return status.st_mtime_ns, status.st_size

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        return io.NodeOutput(load_sync_patcher(folder_paths.get_full_path_or_raise(SYNC_FOLDER, file), file))
