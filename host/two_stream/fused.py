"""Fused view-time attention inside the host's blocks: a token attends to all tokens of equal view or equal time.

The host lets a patch stand in for its attention function, so queries, keys and values of a block are seen there with
their rotary positions applied. Positions are given so that frame (v, t) is at v + t: attention depends on differences
only, which are then those in time where views are equal and those in view where times are equal, what the block knows.
Exact, in one softmax: a frame's keys are those of the V + T - 1 frames that it sees. One pass per block instead of two.
Source: 4Real-Video-V2 (arXiv 2506.18839); positions and arrangement are [ours], as in fourreal_core/model/attention.py.

Legend as in layout.py.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from .block_hooks import Key
from .host_call import VIEW_TEXT, HostCall
from .layout import Layout, input_named
from .tokens import Arguments

OVERRIDE = "optimized_attention_override"


def fused_pass(call: HostCall, network: Any, keys: list[Key], synchronized: range) -> Tensor:
    """The model's prediction `[k V, C, T, h, w]` with fused attention in these blocks; ValueError with two prompts."""
    if call.kwargs.get(VIEW_TEXT) is not None:
        raise ValueError(
            "fused is a single stream with one prompt, got another prompt for the view stream: remove it, or "
            "choose hard"
        )
    positions = _positions(call, network)
    hooks = {keys[index]: partial(_fused_block, call, keys[index], positions) for index in synchronized}
    return call.time_stream(hooks)


def _positions(call: HostCall, network: Any) -> Tensor:
    """Rotary matrices `[k V, T S, 1, d/2, 2, 2]`, frame (v, t) turned as frame v + t of a video."""
    layout, x = call.layout, input_named("x", call.function, call.args, call.kwargs)
    known = {"device": x.device, "dtype": x.dtype, "transformer_options": call.options}
    accepted = inspect.signature(network.rope_encode).parameters
    frames = layout.views + layout.times - 1
    turns = network.rope_encode(
        frames, *x.shape[-2:], **{name: value for name, value in known.items() if name in accepted}
    )
    S = layout.frame_tokens
    views = [turns[:, view * S : (view + layout.times) * S] for view in range(layout.views)]
    return torch.cat(views * layout.chunks)


def _fused_block(call: HostCall, key: Key, positions: Tensor, arguments: Arguments, extra: Arguments) -> Arguments:
    options = arguments["transformer_options"]
    attend = FirstAttention(call.layout, options.get(OVERRIDE))
    given = {**arguments, "pe": positions, "transformer_options": {**options, OVERRIDE: attend}}
    other = call.options.get("patches_replace", {}).get("dit", {}).get(key)
    return extra["original_block"](given) if other is None else other(given, extra)


class FirstAttention:
    """Stands in for the host's attention during one block: its first call, the self-attention, is fused."""

    def __init__(self, layout: Layout, other: Callable | None):
        self.layout, self.other, self.first = layout, other, True

    def __call__(self, function: Callable, q: Tensor, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        attention = function if self.other is None else partial(self.other, function)
        if not self.first:
            return attention(q, k, v, *args, **kwargs)
        self.first = False
        return fused_attention(lambda *qkv: attention(*qkv, *args, **kwargs), q, k, v, self.layout)


def fused_attention(attention: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """q, k, v `[k V, T S, D]` -> `[k V, T S, D]`, one view at a time to keep copies of keys and values small."""
    q, k, v = (layout.grid_of_time(x) for x in (q, k, v))
    views = []
    for view in range(layout.views):
        keys, values = (_seen_from(view, x) for x in (k, v))
        attended = attention(rearrange(q[:, view], "k t s d -> (k t) s d"), keys, values)
        views.append(rearrange(attended, "(k t) s d -> k t s d", t=layout.times))
    return layout.time_tokens(torch.stack(views, dim=1))


def _seen_from(view: int, x_KVTSD: Tensor) -> Tensor:
    """What each frame of a view sees: its view at all times, the other views at its time. `[k T, (V + T - 1) S, D]`"""
    T = x_KVTSD.shape[2]
    same_view = repeat(x_KVTSD[:, view], "k f s d -> k t f s d", t=T)
    same_time = rearrange(x_KVTSD, "k f t s d -> k t f s d")
    seen = torch.cat([same_view, same_time[:, :, :view], same_time[:, :, view + 1 :]], dim=2)
    return rearrange(seen, "k t f s d -> (k t) (f s) d")
