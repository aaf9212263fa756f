"""One grid, two layouts: what the host's model gets for V videos over time, re-laid for T frozen moments over view.

Legend: k chunks of conditioning in one model call (prompt, negative prompt), V views, T times, S tokens per frame,
L = V * S or T * S tokens per sequence, D width, C channels, h w latent pixels. A call's entries are chunk-major, `(k V)`.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

TIMESTEPS = ("timestep", "timesteps")  # may be one per video, per frame or per token


@dataclass(frozen=True)
class Layout:
    """The sizes of the grid in one model call."""

    chunks: int
    views: int
    times: int
    frame_size: tuple[int, int]  # (height, width) in tokens

    @property
    def frame_tokens(self) -> int:
        return math.prod(self.frame_size)

    def grid_of_time(self, tokens_NLD: Tensor) -> Tensor:
        """Time stream `[k V, T S, D]` -> `[k, V, T, S, D]`, without a copy where tokens are contiguous."""
        return tokens_NLD.reshape(self.chunks, self.views, self.times, self.frame_tokens, -1)

    def grid_of_view(self, tokens_NLD: Tensor) -> Tensor:
        """View stream `[k T, V S, D]` -> `[k, V, T, S, D]`."""
        return tokens_NLD.reshape(self.chunks, self.times, self.views, self.frame_tokens, -1).transpose(1, 2)

    def time_tokens(self, grid_KVTSD: Tensor) -> Tensor:
        return grid_KVTSD.reshape(self.chunks * self.views, self.times * self.frame_tokens, -1)

    def view_tokens(self, grid_KVTSD: Tensor) -> Tensor:
        return grid_KVTSD.transpose(1, 2).reshape(self.chunks * self.times, self.views * self.frame_tokens, -1)


def layout_of(x_NCThw: Tensor, chunks: int, patch_size: tuple[int, int, int]) -> Layout:
    """Views are inferred: the host never splits a prompt's batch, so a call has k times as many videos as views.

    Raises ValueError when the latent is not a grid.
    """
    if not torch.is_tensor(x_NCThw) or x_NCThw.ndim != 5:
        shape = tuple(x_NCThw.shape) if torch.is_tensor(x_NCThw) else "several tensors in one"
        raise ValueError(
            f"expected a grid latent of 5 dimensions (views, channels, times, height, width), got {shape}: "
            "two streams need a video latent with one video per view"
        )
    entries, _, times, height, width = x_NCThw.shape
    frame_size = math.ceil(height / patch_size[1]), math.ceil(width / patch_size[2])
    return Layout(chunks, entries // chunks, times, frame_size)


def map_inputs(
    function: Callable, args: Sequence[Any], kwargs: dict[str, Any], change: Callable[[str, Any], Any]
) -> tuple:
    """The same call with every input changed by `change(name, value)`; positional ones stay positional."""
    names = list(inspect.signature(function).parameters)
    return [change(*pair) for pair in zip(names, args)], {name: change(name, value) for name, value in kwargs.items()}


def inputs_by_name(function: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All inputs of a call, positional ones too, by name."""
    return {**dict(zip(inspect.signature(function).parameters, args)), **kwargs}


def input_named(name: str, function: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The input of a call with this name, None where it is not given."""
    return inputs_by_name(function, args, kwargs).get(name)


def for_view_stream(name: str, value: Any, layout: Layout) -> Any:
    """An input of the host's model for V views of length T, re-laid for T moments of length V.

    What has a frame axis is exchanged; what belongs to a whole video (text, image embedding) is taken from each
    chunk's first view and given to every moment.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(for_view_stream(name, item, layout) for item in value)
    if not torch.is_tensor(value) or value.ndim == 0:
        return value
    k, V, T = layout.chunks, layout.views, layout.times
    if value.ndim == 5 and value.shape[0] == 1 and value.shape[2] == T:
        value = value.expand(k * V, -1, -1, -1, -1)
    if value.shape[0] != k * V:
        return value
    if name in TIMESTEPS and value.ndim > 1 and value.shape[1] in (T, T * layout.frame_tokens):
        return rearrange(value, "(k v) (t s) ... -> (k t) (v s) ...", k=k, t=T)
    if value.ndim == 5 and value.shape[2] == T:
        return rearrange(value, "(k v) c t h w -> (k t) c v h w", k=k)
    if value.ndim == 6 and value.shape[3] == T:
        return rearrange(value, "(k v) n c t h w -> (k t) n c v h w", k=k)
    first_view = value.unflatten(0, (k, V))[:, :1]
    return first_view.expand(k, T, *value.shape[1:]).flatten(0, 1)


def exchanged(output_NCVhw: Tensor, layout: Layout) -> Tensor:
    """What the model gives for the view stream `[k T, C, V, h, w]` -> the grid's own layout `[k V, C, T, h, w]`."""
    return rearrange(output_NCVhw, "(k t) c v h w -> (k v) c t h w", k=layout.chunks)
