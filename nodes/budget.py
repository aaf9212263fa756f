"""4Real Budget: what sampling a grid will take, before it runs. The numbers are made in fourreal_core/sampling/budget.py."""

import re

import comfy.model_management
from comfy_api.latest import io, ui
from server import PromptServer

from ..fourreal_core.sampling import budget
from ..fourreal_core.sampling.budget import GridSize, Plan, VideoNetwork
from ..fourreal_core.sampling.latents import ENCODINGS
from ..host.model import OPTIONS_KEY, GridBaseModel
from ..host.two_stream.backbones import backbone_of
from ..host.two_stream.patch import plan_of
from ..host.types import Grid, expect_grid
from .load import SYNC_KINDS

AS_SET = "as the model is set"
GIB = 2**30
# Layers of a block that do not work on every video token: modulation, and whatever reads or changes text.
NOT_PER_TOKEN = re.compile(
    r"txt_|_y\b|modulation|\bmod_x|img_mod|cross_attn\.[kv]|attn2\.to_[kv]|cross_attention\.to_(key|value)"
)
LATENT_COPIES, INPUT_COPIES, VACE_COPIES = (
    8,
    5,
    3,
)  # float32: what a sampler keeps; the network's input, with concat channels; VACE's own
MORE = {  # widths per token beside the common ones, in one stream and in two (counted, see tests/host/inside/test_budget.py)
    "Wan VACE": (3.0, 6.0),  # the hints that its own blocks leave
    "HunyuanVideo": (0.0, 2.5),  # text and video joined, and parted again
}
MEASURED = ("Wan", "Wan VACE", "LTXV", "HunyuanVideo", "Mochi", "Kandinsky 5")
TIMESTEPS_PER_TOKEN = {"LTXV": (13.0, 21.0)}  # with known cells each token is modulated by itself


def network_of(model, sync: str, masked: bool) -> VideoNetwork:
    """The sizes of a MODEL. masked: some cells are known. ValueError for models and kinds of sync whose memory was not measured."""
    network = model.get_model_object("diffusion_model")
    if isinstance(model.model, GridBaseModel):
        layers = network.sync[sync] if sync in network.sync else []
        weights = (each for layer in layers for each in layer.named_parameters())
        trained = sum(weight.numel() for name, weight in weights if weight.ndim == 2 and "modulation" not in name)
        return budget.of_grid_model(network.config, network.base.compute_dtype.itemsize, trained)
    backbone = backbone_of(network)
    if backbone.name not in MEASURED:
        raise ValueError(
            f"expected a 4Real model or one of {', '.join(MEASURED)}, got {backbone.name}, whose memory was not measured: "
            "sample a small grid and look at what it takes"
        )
    if sync == "fused" and not backbone.fused:
        raise ValueError(f"fused works on Wan models without VACE only, got {backbone.name}: choose hard or sequential")
    _, width, depth = backbone.sizes(network)
    layers = list(_token_layers(network, [name for _, name in backbone.blocks]))
    extra = getattr(network, "vace_blocks", [])
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
        weights=sum(
            layer.in_features * layer.out_features for layer in [*layers, *_token_layers(network, ["vace_blocks"])]
        ),
        number_bytes=model.model.get_dtype_inference().itemsize,
        pixels_per_token=latent.spacial_downscale_ratio * patch,
        frames_per_latent=latent.temporal_downscale_ratio,
        kept_bytes=4 * patch**2 * channels,
        more=(TIMESTEPS_PER_TOKEN if masked else {}).get(backbone.name) or MORE.get(backbone.name, (0.0, 0.0)),
    )


def _token_layers(network, blocks):
    """The linear layers of these blocks that every video token goes through."""
    for name in blocks:
        for block in getattr(network, name, []):
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


def verdict(peak: int, weights: int, free: int, on_cpu: bool) -> str:
    """One sentence: whether it fits. On a CPU the weights lie in the same memory already."""
    beside = 0 if on_cpu else weights
    if budget.FACTOR * peak + beside <= free:
        return "It fits."
    if budget.FACTOR * peak <= free:
        outside = budget.FACTOR * peak + beside - free
        return f"It fits if the host keeps {_gib(outside)} of the weights in main memory, which is slower."
    return "It does not fit."


def report(network: VideoNetwork, plan: Plan, weights: int, free: int, on_cpu: bool) -> str:
    """The budget as the node shows it, line by line."""
    size, (frames, frame_tokens) = plan.size, budget.frames_and_tokens(network, plan.size)
    peak, cost = budget.peak_bytes(network, plan), budget.relative_cost(network, plan)
    lines = [
        f"{_described(size)}: {size.views} x {frames} latent frames of {frame_tokens:,} tokens = {budget.tokens(network, size):,} tokens"
        if size.encoding
        else f"{_described(size)}: {budget.tokens(network, size):,} tokens, {frame_tokens:,} in each cell",
        f"Memory: about {_gib(peak)} at the peak of a step, right within a factor of {budget.FACTOR:g}, beside {_gib(weights)} of weights.",
        f"Work: {cost:.1f} times that of one view alone, {_streams(plan)}.",
        f"Free: {_gib(free)}. {verdict(peak, weights, free, on_cpu)}",
    ]
    if budget.FACTOR * peak > free:
        better = budget.plans_that_fit(network, plan, free)
        found = [
            f"  {_change(changed, other)} ({_gib(budget.peak_bytes(network, other))})" for changed, other in better
        ]
        lines += (
            ["One of these would fit:", *found]
            if found
            else ["No single change makes it fit: make cells and grid smaller."]
        )
    return "\n".join(lines)


def _described(size: GridSize) -> str:
    return f"{size.views} views x {size.times} times of {size.width}x{size.height}" + (
        f", {size.encoding}" if size.encoding else ""
    )


def _streams(plan: Plan) -> str:
    prompts = f"; {plan.prompts} prompts at once" if plan.prompts > 1 else ""
    if plan.sync == budget.VIDEOS:
        return "which has no second stream: add 4Real Two-Stream, or views will not agree" + prompts
    return f"with sync {plan.sync}{prompts}"


def _change(changed: str, plan: Plan) -> str:
    size = plan.size
    said = {
        "sync": f"sync {plan.sync}",
        "encoding": f"encoding {size.encoding}" + f" and {size.times} times",
        "cells": f"cells of {size.width}x{size.height}",
        "times": f"{size.times} times",
        "views": f"{size.views} views",
    }
    return said[changed]


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= 0.1 * GIB else f"{count / 2**20:.0f} MiB"


def _prompts_at_once(network: VideoNetwork, plan: Plan, free: int) -> Plan:
    """The host runs both prompts in one call if one and a half times the memory is there, else one after the other."""
    return plan if 1.5 * budget.peak_bytes(network, plan) < free else Plan(plan.size, plan.sync)


TIPS = {
    "model": "The model that will sample: a 4Real model, or Wan, LTXV, HunyuanVideo, Mochi or Kandinsky 5, with or without 4Real Two-Stream.",
    "sync": "How the streams will be kept in agreement. 'as the model is set' reads it off the model.",
    "encoding": "How cells become latent frames, as on 4Real Latent Grid Conditioning. Without effect on 4Real models, which sample pixels.",
    "cfg": "The sampler's cfg. Above 1 there are two prompts per step, which the host runs at once if there is room.",
    "views": "Views of the grid. Without effect when a grid is connected.",
    "times": "Times of the grid. Without effect when a grid is connected.",
    "width": "Width of a cell in pixels. Without effect when a grid is connected.",
    "height": "Height of a cell in pixels. Without effect when a grid is connected.",
    "memory": "Memory to plan for, in GiB. 0: what is free on this machine now.",
    "grid": "The grid that will be sampled; its sizes are used, and whether cells are known.",
}


class FourRealBudget(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def side(name, default):
            return io.Int.Input(name, default=default, min=16, max=8192, step=8, tooltip=TIPS[name])

        return io.Schema(
            node_id="FourRealBudget",
            display_name="4Real Budget",
            category="4Real/model",
            description="Say what sampling a grid will take before it runs: tokens, memory and work for this model, and what would fit.",
            search_aliases=["memory", "vram", "estimate", "cost", "out of memory"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip=TIPS["model"]),
                io.Combo.Input("sync", options=[AS_SET, *SYNC_KINDS], default=AS_SET, tooltip=TIPS["sync"]),
                io.Combo.Input("encoding", options=list(ENCODINGS), default=ENCODINGS[0], tooltip=TIPS["encoding"]),
                io.Float.Input("cfg", default=1.0, min=0.0, max=100.0, step=0.1, tooltip=TIPS["cfg"]),
                io.Int.Input("views", default=8, min=1, max=256, tooltip=TIPS["views"]),
                io.Int.Input("times", default=8, min=1, max=1024, tooltip=TIPS["times"]),
                side("width", 832),
                side("height", 480),
                io.Float.Input(
                    "memory", default=0.0, min=0.0, max=4096.0, step=0.5, advanced=True, tooltip=TIPS["memory"]
                ),
                Grid.Input("grid", optional=True, tooltip=TIPS["grid"]),
            ],
            outputs=[
                io.String.Output("report", tooltip="The budget as text, as the node shows it."),
                io.Int.Output("tokens", tooltip="Video tokens of the whole grid."),
                io.Float.Output(
                    "peak_gib", tooltip="Estimated memory at the peak of a step in GiB, without the weights."
                ),
                io.Float.Output("cost", tooltip="Work per step, in multiples of one view alone."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs):
        return round(comfy.model_management.get_free_memory() / GIB)  # runs again when what is free has changed

    @classmethod
    def execute(cls, model, sync, encoding, cfg, views, times, width, height, memory, grid=None) -> io.NodeOutput:
        size = GridSize(views, times, height, width) if grid is None else _size_of(expect_grid(grid))
        is_ours = isinstance(model.model, GridBaseModel)
        kind = sync_of(model, sync)
        network = network_of(model, kind, masked=grid is None or bool(grid.known.any()))
        on_cpu = comfy.model_management.is_device_cpu(model.load_device)
        free = round(memory * GIB) or free_bytes(model.load_device)
        size = size if is_ours else GridSize(size.views, size.times, size.height, size.width, encoding)
        plan = _prompts_at_once(network, Plan(size, kind, 2 if cfg > 1 else 1), free)
        text = report(network, plan, model.model_size(), free, on_cpu)
        server = getattr(PromptServer, "instance", None)
        if server is not None and cls.hidden.unique_id is not None:
            server.send_progress_text(text, cls.hidden.unique_id)
        numbers = (
            budget.tokens(network, size),
            budget.peak_bytes(network, plan) / GIB,
            budget.relative_cost(network, plan),
        )
        return io.NodeOutput(text, *numbers, ui=ui.PreviewText(text))


def _size_of(grid) -> GridSize:
    return GridSize(grid.views, grid.times, grid.height, grid.width)
