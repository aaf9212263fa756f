"""The patch of a MODEL: what is added to a clone of it, and what then happens in each model call.

The plan travels in the clone's transformer options and the wrappers are plain functions, so clones are independent,
patching again replaces, and nothing is kept between calls. Our work is always the innermost: a cache (EasyCache) added
before or after it sees one model that gives one prediction.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ..cancel import cancellable
from .alternating import ALTERNATING, MASK_FUNCTION, alternating_pass, held_by_noise_level, step_of
from .backbones import Backbone, backbone_of, expect_grid_inputs
from .fused import fused_pass
from .host_call import HostCall
from .layout import input_named, inputs_by_name, layout_of, map_inputs
from .plan import TwoStreamPlan
from .streams import Parallel, Sequential

log = logging.getLogger(__name__)

KEY = "fourreal_two_stream"
NOISE = "fourreal_two_stream_noise"  # in a call's own options: (sigma [k V], whether sync acts there)


def patch_two_streams(model: Any, plan: TwoStreamPlan, models: Sequence[Any] = ()) -> Any:
    """A clone of the MODEL that runs two streams by this plan; the given one is unchanged.

    models: ModelPatchers of trained synchronization layers, loaded and offloaded by the host with the model.
    Raises ValueError when the model or the plan does not fit.
    """
    network = model.get_model_object("diffusion_model")
    backbone = backbone_of(network)
    if plan.kind in ("fused", "sequential") and backbone.family == "fourreal":
        raise ValueError(
            f"a 4Real model runs {plan.kind} in all of its layers and steps: set first_layer 0, last_layer 1, "
            "start_percent 0 and end_percent 1, or choose soft or hard"
        )
    if plan.kind == "fused" and not backbone.fused:
        raise ValueError(f"fused works only on Wan models without VACE, got {backbone.name}: choose hard or sequential")
    backbone.patch_size(network)
    plan.layers(len(backbone.keys(network)))
    clone = without_two_streams(model)
    clone.model_options["transformer_options"] = {**clone.model_options.get("transformer_options", {}), KEY: plan}
    for kind, wrapper in WRAPPERS:
        clone.add_wrapper_with_key(kind, KEY, wrapper)
    if models:
        clone.set_additional_models(KEY, list(models))
    if plan.kind == ALTERNATING and MASK_FUNCTION not in clone.model_options:
        clone.set_model_denoise_mask_function(held_by_noise_level)
    return clone


def without_two_streams(model: Any) -> Any:
    """A clone of the MODEL as it was before `patch_two_streams`."""
    clone = model.clone()
    clone.model_options.get("transformer_options", {}).pop(KEY, None)
    for kind, _ in WRAPPERS:
        clone.remove_wrappers_with_key(kind, KEY)
    clone.remove_additional_models(KEY)
    if clone.model_options.get(MASK_FUNCTION) is held_by_noise_level:
        clone.model_options.pop(MASK_FUNCTION)
    return clone


def plan_of(model: Any) -> TwoStreamPlan | None:
    """The plan of a MODEL that `patch_two_streams` made, None for others."""
    return model.model_options.get("transformer_options", {}).get(KEY)


def announce(executor: Any, model: Any, noise_shape: Sequence[int], *args: Any, **kwargs: Any) -> Any:
    """Before sampling: log what runs, and tell the host of the other stream's memory. It would see one grid only."""
    plan = plan_of(model)
    log.info("4Real Two-Stream runs %s", plan.summary)
    grids = 1 if plan.kind == ALTERNATING else backbone_of(model.get_model_object("diffusion_model")).announced
    return executor(model, [grids * noise_shape[0], *noise_shape[1:]], *args, **kwargs)


def within_range(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Tell the call its noise level, and whether streams are synchronized there; counted as in the host's ranges."""
    base, function = executor.class_obj, executor.original
    options = input_named("transformer_options", function, args, kwargs)
    sigma_N = input_named("t", function, args, kwargs)
    start, end = (base.model_sampling.percent_to_sigma(share) for share in options[KEY].percents)
    told = {**options, NOISE: (sigma_N, bool(end <= float(sigma_N.max()) <= start))}
    args, kwargs = map_inputs(
        function, args, kwargs, lambda name, value: told if name == "transformer_options" else value
    )
    network = getattr(
        base.diffusion_model, "_orig_mod", base.diffusion_model
    )  # where torch.compile wraps the whole of it
    if backbone_of(network).own_wrapper:
        return executor(*args, **kwargs)
    return _innermost(executor, args, kwargs, network)


@torch.compiler.disable  # hooks differ from call to call: all of it would be compiled again each time
def two_streams(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
    """The wrapper around the host's network."""
    with cancellable(executor.class_obj):
        return _innermost(executor, args, kwargs, executor.class_obj)


WRAPPERS = (
    (WrappersMP.PREPARE_SAMPLING, announce),
    (WrappersMP.APPLY_MODEL, within_range),
    (WrappersMP.DIFFUSION_MODEL, two_streams),
)


def _innermost(executor: Any, args: Sequence[Any], kwargs: dict[str, Any], network: Any) -> Tensor:
    """Run the wrappers that were added after ours first, and two streams in place of the host's own function."""

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        return _predict(executor.original, args, kwargs, network)

    inner = WrapperExecutor.new_class_executor(forward, executor.class_obj, executor.wrappers, executor.idx + 1)
    return inner.execute(*args, **kwargs)


def _predict(function: Callable, args: Sequence[Any], kwargs: dict[str, Any], network: Any) -> Tensor:
    """One model call with two streams; function: the host's forward pass, of the network or of all around it."""
    inputs = inputs_by_name(function, args, kwargs)
    options, backbone = inputs["transformer_options"], backbone_of(network)
    chunks = len(options.get("cond_or_uncond", (0,)))
    layout = layout_of(_video_of(inputs["x"]), chunks, backbone.patch_size(network))
    expect_grid_inputs(network, inputs)
    sigma_N, active = options[NOISE]
    plan = options[KEY] if active else replace(options[KEY], kind="off")
    return _run(plan, HostCall(function, args, kwargs, layout), backbone, network, sigma_N[:: layout.views])


def _run(
    plan: TwoStreamPlan, call: HostCall, backbone: Backbone, network: Any, sigma_K: Tensor
) -> Tensor | list[Tensor]:
    keys = backbone.keys(network)
    if plan.kind == ALTERNATING:
        sigma = float(sigma_K.max())
        return alternating_pass(call, step_of(sigma, call.options.get("sample_sigmas")))
    if plan.kind == "fused":
        return fused_pass(call, network, keys, plan.synchronized(len(keys)))
    if plan.kind == "sequential":
        time, _ = Sequential(call, backbone, network, plan.synchronized(len(keys))).run()
        return time
    if plan.kind == "off" and plan.output == "time only":
        return call.time_stream({})
    time, view = Parallel(call, backbone, network, plan.layers(len(keys)), sigma_K).run()
    video = _video_of(time)
    chosen = {"mean": (video + view) / 2, "time only": video, "view only": view}[plan.output]
    return chosen if video is time else [chosen, *time[1:]]


def _video_of(latents: Any) -> Any:
    """LTX-2 gives and takes [video, sound]; sound is the time stream's alone."""
    return latents[0] if isinstance(latents, (list, tuple)) else latents
