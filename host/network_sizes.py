"""The sizes of a MODEL that decide what sampling takes, for *4Real Budget*. The numbers are made in fourreal_core/sampling/budget.py."""

import re

import comfy.model_management

from ..fourreal_core.sampling import budget
from ..fourreal_core.sampling.budget import VideoNetwork
from .model import OPTIONS_KEY, GridBaseModel
from .two_stream.backbones import backbone_of
from .two_stream.patch import plan_of

AS_SET = "as the model is set"
# Layers of a block that do not work on every video token: modulation, and whatever reads or changes text.
NOT_PER_TOKEN = re.compile(
    r"txt_|_y\b|modulation|\bmod_x|img_mod|cross_attn\.[kv]|attn2\.to_[kv]|cross_attention\.to_(key|value)"
    r"|audio|norm\d\.linear|blocks\.1\.block\.attn\.to_[kv]"  # LTX-2, CogVideoX, Cosmos
)
LATENT_COPIES, INPUT_COPIES, VACE_COPIES = (
    8,
    5,
    3,
)  # float32: what a sampler keeps; the network's input, with concat channels; VACE's own
MORE = {  # widths per token beside the common ones, in one stream and in two (counted, see tests/host/inside/test_budget.py)
    "Wan VACE": (3.0, 6.0),  # the hints that its own blocks leave
    "HunyuanVideo": (0.0, 2.5),  # text and video joined, and parted again
    "CogVideoX": (7.0, 10.0),  # the same, around each layer of a block
    "Cosmos": (0.0, 2.0),
    "Cosmos Predict2": (2.0, 4.0),
}
TIMESTEPS_PER_TOKEN = {"LTXV": (13.0, 21.0)}  # with known cells each token is modulated by itself


def network_of(model, sync: str, masked: bool) -> VideoNetwork:
    """The sizes of a MODEL. masked: some cells are known. ValueError for models and kinds of sync that two streams do not take."""
    network = model.get_model_object("diffusion_model")
    if isinstance(model.model, GridBaseModel):
        layers = network.sync[sync] if sync in network.sync else []
        weights = (each for layer in layers for each in layer.named_parameters())
        trained = sum(weight.numel() for name, weight in weights if weight.ndim == 2 and "modulation" not in name)
        return budget.of_grid_model(network.config, network.base.compute_dtype.itemsize, trained)
    backbone = backbone_of(network)
    if sync == "fused" and not backbone.fused:
        raise ValueError(f"fused works only on Wan models without VACE, got {backbone.name}: choose hard or sequential")
    _, width, depth = backbone.sizes(network)
    extra = getattr(network, "vace_blocks", [])
    layers = list(_token_layers(backbone.modules(network).values()))
    latent, patch = model.get_model_object("latent_format"), backbone.patch_size(network)[-1]
    channels = LATENT_COPIES * latent.latent_channels + INPUT_COPIES * getattr(
        network, "in_dim", latent.latent_channels
    )
    if hasattr(network, "vace_patch_embedding"):
        channels += VACE_COPIES * network.vace_patch_embedding.in_channels
    return VideoNetwork(
        width=width,
        widest=max(layer.out_features for layer in layers),
        depth=depth + len(extra),
        weights=sum(layer.in_features * layer.out_features for layer in [*layers, *_token_layers(extra)]),
        number_bytes=model.model.get_dtype_inference().itemsize,
        pixels_per_token=latent.spacial_downscale_ratio * patch,
        frames_per_latent=latent.temporal_downscale_ratio,
        kept_bytes=4 * patch**2 * channels,
        more=(TIMESTEPS_PER_TOKEN if masked else {}).get(backbone.name) or MORE.get(backbone.name, (0.0, 0.0)),
    )


def _token_layers(blocks):
    """The linear layers of these blocks that every video token goes through."""
    for block in blocks:
        for place, layer in block.named_modules():
            if hasattr(layer, "out_features") and not NOT_PER_TOKEN.search(place):
                yield layer


def sync_of(model, chosen: str) -> str:
    """The synchronization that will run: the chosen one, or what the MODEL is set to."""
    if chosen != AS_SET:
        return chosen
    plan, is_ours = plan_of(model), isinstance(model.model, GridBaseModel)
    if plan is not None:
        alone = not is_ours and plan.kind == "off" and plan.output == "time only"
        return budget.VIDEOS if alone else plan.kind
    if not is_ours:
        return budget.VIDEOS
    network = model.get_model_object("diffusion_model")
    return model.model_options.get("transformer_options", {}).get(OPTIONS_KEY, {}).get("sync", network.best_sync)


def free_bytes(device) -> int:
    """Memory for weights and sampling: what is free, and what the host would free by unloading models."""
    free = int(comfy.model_management.get_free_memory(device))
    if comfy.model_management.is_device_cpu(device):
        return free
    loaded = (
        each
        for each in comfy.model_management.current_loaded_models
        if each.device == device and each.model is not None
    )
    return free + sum(each.model_loaded_memory() for each in loaded)
