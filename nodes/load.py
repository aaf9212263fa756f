"""4Real Load Model: the grid model as a MODEL, and the choice of how its two streams are kept in agreement."""

import os

import comfy.model_management
import comfy.model_patcher
import folder_paths
import torch
from comfy_api.latest import io

from ..fourreal_core.model.precision import fast_dtype
from ..fourreal_core.model.weights import checkpoint_hash, default_checkpoint, load_checkpoint
from ..host.model import OPTIONS_KEY, GridBaseModel, GridModelConfig
from ..host.preview import attach_grid_preview

MODEL_FOLDER = "fourreal"
BUNDLED = "bundled (default)"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SYNC_KINDS = ["soft", "hard", "fused", "sequential", "off"]

SYNC_TOOLTIP = (
    "How the time stream and the view stream agree after every layer. soft: each keeps its own features and gets its own "
    "correction (best in the paper). hard: both get the same features. fused: one stream, each frame attends to its view "
    "and its time at once. sequential: one stream, view and time layers in turn. "
    "off: two independent video models, averaged only at the end."
)
STRENGTH_TOOLTIP = (
    "Share of the synchronization that is applied, 0..1: 0 is the same as off, 1 is what was trained. "
    "Does nothing with fused and sequential."
)


def register_model_folder() -> None:
    """Make models/fourreal a host model folder that lists safetensors files only."""
    folder = os.path.join(folder_paths.models_dir, MODEL_FOLDER)
    folder_paths.add_model_folder_path(MODEL_FOLDER, folder, is_default=True)
    paths, _ = folder_paths.folder_names_and_paths[MODEL_FOLDER]
    folder_paths.folder_names_and_paths[MODEL_FOLDER] = (paths, {".safetensors"})


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


def _checkpoint_path(name: str) -> str:
    return str(default_checkpoint()) if name == BUNDLED else folder_paths.get_full_path_or_raise(MODEL_FOLDER, name)


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
                    tooltip="Number format of the network. auto: bfloat16 where this machine computes it fast, else float32.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The grid model, ready for 4Real Sampler or 4Real Grid Conditioning.")],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint, precision):
        status = os.stat(_checkpoint_path(checkpoint))  # training may have written a new file under the same name
        return status.st_mtime_ns, status.st_size

    @classmethod
    def execute(cls, checkpoint, precision) -> io.NodeOutput:
        return io.NodeOutput(load_grid_model(_checkpoint_path(checkpoint), precision))
