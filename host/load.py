"""Files of models/fourreal and models/fourreal_sync as what the host loads and offloads: the grid model as a MODEL, layers beside one."""

import os

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import folder_paths
import torch

from ..fourreal_core.model.precision import fast_dtype
from ..fourreal_core.model.sync_file import SyncLayers, load_sync
from ..fourreal_core.model.weights import checkpoint_hash, default_checkpoint, load_checkpoint
from .model import OPTIONS_KEY, GridBaseModel, GridModelConfig
from .preview import attach_grid_preview

MODEL_FOLDER = "fourreal"
SYNC_FOLDER = "fourreal_sync"
BUNDLED = "bundled (default)"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def register_model_folders() -> None:
    """Make models/fourreal and models/fourreal_sync model folders of the host that list safetensors files only."""
    for name in (MODEL_FOLDER, SYNC_FOLDER):
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name), is_default=True)
        paths, _ = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (paths, {".safetensors"})


def checkpoint_path(name: str) -> str:
    """The file that 4Real Load Model lists under this name."""
    return str(default_checkpoint()) if name == BUNDLED else folder_paths.get_full_path_or_raise(MODEL_FOLDER, name)


def load_grid_model(path: str, precision: str = "auto", disable_dynamic: bool = False):
    """Checkpoint file -> ModelPatcher; CheckpointError (ValueError) when the file is not a sound grid model.

    The signature is what the host's `cached_patcher_init` calls when it needs a fresh copy of the model.
    """
    state_dict, config, _ = load_checkpoint(path)
    load_device = comfy.model_management.get_torch_device()
    dtype = PRECISIONS.get(precision) or fast_dtype(str(load_device))
    host_config = GridModelConfig({"image_model": "fourreal", "config": config})
    host_config.set_inference_dtype(dtype, None, device=load_device)
    patcher_type = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    model = host_config.get_model(state_dict, device=comfy.model_management.unet_offload_device())
    patcher = patcher_type(model, load_device=load_device, offload_device=comfy.model_management.unet_offload_device())
    model.load_model_weights({key: weight.to(dtype) for key, weight in state_dict.items()}, assign=patcher.is_dynamic())
    model.checkpoint_hash = checkpoint_hash(path)
    patcher.cached_patcher_init = (load_grid_model, (path, precision))
    attach_grid_preview(patcher)
    return patcher


def expect_grid_model(model) -> GridBaseModel:
    """The grid model inside a MODEL; ValueError when it is another kind of model."""
    if not isinstance(model.model, GridBaseModel):
        raise ValueError(
            f"expected a model from 4Real Load Model, got {type(model.model).__name__}: "
            "other models sample with KSampler, after 4Real Two-Stream"
        )
    return model.model


def with_sync(model, **options):
    """A clone of a 4Real MODEL with sync, and strength and output where given; what is not given stays as it is."""
    kinds = expect_grid_model(model).diffusion_model.sync_kinds
    if options["sync"] not in kinds:
        raise ValueError(f"expected sync to be one of {', '.join(kinds)} for this checkpoint, got {options['sync']}")
    clone = model.clone()
    transformer_options = clone.model_options.get("transformer_options", {})
    merged = transformer_options.get(OPTIONS_KEY, {}) | options
    clone.model_options["transformer_options"] = {**transformer_options, OPTIONS_KEY: merged}
    return clone


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
