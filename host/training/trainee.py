"""A MODEL of the host in training: a copy with two streams, its own weights frozen, gradients into synchronization layers alone.

Nodes run in inference mode, whose tensors can take no part in a gradient. So everything here happens outside of it, and a model that was
loaded inside is loaded once more from its file.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import comfy.model_management
import comfy.quant_ops
import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch import Tensor, amp
from torch.utils.checkpoint import checkpoint

from ...fourreal_core.model.sync import Sync
from ...fourreal_core.model.sync_file import SyncConfig, SyncLayers
from ..model import GridBaseModel
from ..two_stream.backbones import backbone_of
from ..two_stream.patch import patch_two_streams
from ..two_stream.plan import TwoStreamPlan

PRECISIONS = ("auto", "bfloat16", "float32")
NAMING_WEIGHTS = 12  # the shortest weights of a network, which are never quantized, name it


@contextlib.contextmanager
def outside_inference() -> Iterator[None]:
    """Gradients, and the host's slower functions that have one."""
    before = comfy.model_management.in_training
    with torch.inference_mode(False), torch.enable_grad():
        comfy.model_management.in_training = True
        try:
            yield
        finally:
            comfy.model_management.in_training = before


def training_copy(model: Any, layers: SyncLayers, *, checkpointing: bool, precision: str = "auto") -> Any:
    """A copy of the MODEL, LoRAs and patches included, that synchronizes two streams by these layers; to be called `outside_inference`.

    checkpointing: also for these layers, see `loaded`. precision: one of PRECISIONS; "auto" is the model's own, and bfloat16 instead of
    float16, in which gradients vanish.
    ValueError when two streams cannot run on the model, or its loader cannot load it again.
    """
    copy = _copy_with_gradients(model)
    copy.model.requires_grad_(False)
    if precision != "auto" or copy.model.get_dtype_inference() == torch.float16:
        copy.set_model_compute_dtype(torch.float32 if precision == "float32" else torch.bfloat16)
    copy.model_options["transformer_options"]["optimized_attention_override"] = _attention_with_gradient
    trained = tuple(_in_precision_of_tokens(layer, checkpointing) for layer in layers)
    return patch_two_streams(copy, TwoStreamPlan(layers.config.kind, trained=trained))


@contextlib.contextmanager
def loaded(patcher: Any, checkpointing: bool = False) -> Iterator[None]:
    """The model on its device, all of it, ready to be called.

    checkpointing: its blocks keep their inputs only and compute the rest again for the gradient (arXiv 1604.06174).
    """
    comfy.model_management.load_models_gpu([patcher], memory_required=1e20, force_full_load=True)
    patcher.pre_run()
    try:
        with (
            _positions_with_gradient(),
            _checkpointed_blocks(patcher.model.diffusion_model) if checkpointing else _kept_values(),
        ):
            yield
    finally:
        patcher.cleanup()


def name_of_weights(module: torch.nn.Module, patches: dict[str, list] | None = None) -> str:
    """16 hexadecimal digits that another network, or other LoRAs on it, would not have."""
    digest = hashlib.sha256(type(module).__name__.encode())
    weights = sorted(module.named_parameters(), key=lambda item: (item[1].numel(), item[0]))
    for name, weight in weights:
        digest.update(f"{name} {tuple(weight.shape)}".encode())
    for _, weight in weights[:NAMING_WEIGHTS]:
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    for key in sorted(patches or {}, key=str):
        digest.update(f"{key} {[patch[0] for patch in patches[key]]}".encode())
    return digest.hexdigest()[:16]


def _copy_with_gradients(model: Any) -> Any:
    again = model.is_dynamic() or any(weight.is_inference() for weight in model.model.parameters())
    if again and model.cached_patcher_init is None:
        raise ValueError(
            "this model cannot be loaded a second time for training: load it with ComfyUI's Load Diffusion "
            "Model or Load Checkpoint"
        )
    return model.clone(disable_dynamic=True, force_deepcopy=again)


def _attention_with_gradient(function: Callable, *args: Any, **kwargs: Any) -> Tensor:
    """Whatever attention the host has chosen for sampling: some kernels have no gradient."""
    return attention_pytorch(*args, **kwargs)


@contextlib.contextmanager
def _positions_with_gradient() -> Iterator[None]:
    """Cosmos Predict2 norms and turns its queries and keys in one kernel that has no gradient; the same package has it in plain PyTorch.

    ComfyUI itself does so while `in_training` for the kernels of its other models.
    """
    kernels = comfy.quant_ops.ck
    kernel = getattr(kernels, "rms_rope_split_half", None)
    if kernel is None:  # a ComfyUI that has only the plain one
        yield
        return
    from comfy_kitchen.backends.eager import rope

    kernels.rms_rope_split_half = rope.rms_rope_split_half
    try:
        yield
    finally:
        kernels.rms_rope_split_half = kernel


def _kept_values() -> contextlib.AbstractContextManager:
    """What a gradient needs is kept as a copy: some of the host's blocks add to their tokens in place after using them."""
    return torch.autograd.graph.saved_tensors_hooks(
        lambda kept: kept if kept.is_leaf else kept.clone(), lambda kept: kept
    )


@contextlib.contextmanager
def _checkpointed_blocks(network: Any) -> Iterator[None]:
    """The blocks themselves, not the host's hooks: the `original_block` of a hook is the last block's by the time of the gradient."""
    blocks = list(backbone_of(network).modules(network).values())
    before = [vars(block).get("forward") for block in blocks]
    try:
        for block in blocks:
            block.forward = _checkpointed(block.forward)
        yield
    finally:
        for block, forward in zip(blocks, before):
            del block.forward
            if forward is not None:
                block.forward = forward


def _checkpointed(forward: Callable) -> Callable:
    """A block's `forward` with checkpointing that bears what blocks do in place: to their tokens, and to values that a gradient needs.

    Only the reentrant kind does: the other one does not notice that a value has changed, and gives wrong gradients (tested).
    """

    @functools.wraps(forward)  # hooks read its arguments' names
    def called(*args: Any, **kwargs: Any) -> Any:
        values = [*args, *kwargs.values()]
        sizes = [len(value) if isinstance(value, tuple) else None for value in values]  # LTX-2: (video, sound)
        parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]

        def run(*parts: Any) -> Any:
            copies = map(_copied_tokens, parts)
            given = [next(copies) if size is None else tuple(islice(copies, size)) for size in sizes]
            with _kept_values():
                return forward(*given[: len(args)], **dict(zip(kwargs, given[len(args) :])))

        if not torch.is_grad_enabled() or not any(torch.is_tensor(part) and part.requires_grad for part in parts):
            return run(*parts)
        return checkpoint(run, *parts, use_reentrant=True, preserve_rng_state=False)

    return called


def _copied_tokens(value: Any) -> Any:
    """Tokens are `[N, L, D]`; Cosmos' keep their axes."""
    return value.clone() if torch.is_tensor(value) and value.ndim in (3, 5) and value.is_floating_point() else value


def _in_precision_of_tokens(layer: Sync, checkpointing: bool) -> Sync:
    """A layer whose weights are float32, computed in the tokens' number format."""

    def run(y_time: Tensor, y_view: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        with amp.autocast(y_time.device.type, y_time.dtype, enabled=y_time.dtype != torch.float32):
            x_time, x_view = layer(y_time, y_view, sigma)
        same = x_view is x_time
        x_time = x_time.to(y_time.dtype)
        return x_time, x_time if same else x_view.to(y_view.dtype)

    if not checkpointing:
        return run
    return lambda y_time, y_view, sigma: checkpoint(
        run, y_time, y_view, sigma, use_reentrant=False, preserve_rng_state=False
    )


def file_of(model: Any) -> str:
    """Name of the file that the model was loaded from, empty where its loader does not say."""
    source = (model.cached_patcher_init or (None, ("",)))[1][0]
    return os.path.basename(source) if isinstance(source, str) else ""


def expect_trainable(model: Any) -> tuple[str, int, int]:
    """(family, token width, number of blocks) of a MODEL that layers can be trained for; ValueError for all others."""
    if isinstance(model.model, GridBaseModel):
        raise ValueError(
            "expected one of ComfyUI's video models, got a 4Real model: train its layers with scripts/train.py, see docs/training.md"
        )
    network = model.get_model_object("diffusion_model")
    return backbone_of(network).sizes(network)


def layers_for(model: Any, sync: str, rank: int) -> SyncConfig:
    """Layers for this model; ValueError for a model that cannot have them and for a rank above its width."""
    family, size, depth = expect_trainable(model)
    if rank > size:
        raise ValueError(f"expected a rank of at most {size}, the width of this model, got {rank}: 16 to 128 are usual")
    return SyncConfig(family, size, depth, sync, rank)
