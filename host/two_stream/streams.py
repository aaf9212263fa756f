"""Two streams through the host's own network, without a network of our own.

The host runs its forward pass twice, once per stream, for embeddings and head; the passes are nested:

    the view stream's pass   every block only notes what it was given (positions, modulation, text, ...)
      its last block runs    the time stream's pass, in which every block runs for both streams and synchronizes them
    the view stream's pass   goes on through the head with its own tokens

So each block, embedding and head sees exactly what the host would have given it, and the cost is that of V + T videos.
Nothing outlives a call. PAPER "Two-stream transformer" (4Real-Video, arXiv 2412.04462); the nesting is [ours].

Legend as in layout.py; y: a stream after its block, x: after synchronization.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...fourreal_core.model.sync import Sync
from .backbones import Backbone
from .block_hooks import Key
from .host_call import HostCall
from .tokens import Arguments

Block = Callable[[Arguments], Arguments]


class NestedPasses(ABC):
    """One model call in both layouts. `block` decides what a block does with the two streams."""

    def __init__(self, call: HostCall, backbone: Backbone, network: Any):
        self.call, self.layout, self.backbone, self.network = call, call.layout, backbone, network
        self.keys, self.hooks = backbone.keys(network), backbone.hooks(network)
        self.grown_after = {self.keys[index] for index in backbone.grown_after(network)}
        self.time_length = self.layout.times * self.layout.frame_tokens
        self.view_length = self.layout.views * self.layout.frame_tokens
        self.noted: dict[Key, Arguments] = {}  # what the host gives each block in the view stream's pass
        self.grown: dict[Key, Tensor] = {}  # what the host adds after a block in the view stream's pass
        self.view_tokens: Tensor | None = None  # None: the same as the time stream's
        self.view_beside: Tensor | None = None  # what the view stream carries beside its tokens
        self.time_output: Tensor | list[Tensor] | None = None

    def run(self) -> tuple[Tensor | list[Tensor], Tensor]:
        """(prediction of the time stream, of the view stream), both `[k V, C, T, h, w]`; ValueError without hooks."""
        hooks = {key: partial(self._note, key) for key in self.keys}
        with self.hooks.replaced(hooks):
            view_output = self.call.view_stream(hooks)
        if self.time_output is None:
            raise ValueError(f"two streams cannot run on this model: it ignores patches of its {self.keys[0][0]}s")
        return self.time_output, view_output

    def _note(self, key: Key, arguments: Arguments, extra: Arguments) -> Arguments:
        """A block of the view stream's pass."""
        place = self.backbone.tokens_of(key, self.layout)
        tokens, beside = place.read(arguments, self.view_length)
        index = self.keys.index(key)
        if index == 0:
            self._expect_grid(tokens)
            self.view_tokens, self.view_beside = tokens, beside
        elif self.keys[index - 1] in self.grown_after:
            self.grown[self.keys[index - 1]] = tokens
        self.noted[key] = {name: value for name, value in arguments.items() if name != place.name}
        if index < len(self.keys) - 1:
            return {**arguments, place.name: self._nothing(key, arguments[place.name])}
        hooks = {each: partial(self._replaced, each) for each in self.keys}
        with self.hooks.replaced(hooks):
            self.time_output = self.call.time_stream(hooks, patches=self._followed_patches())
        return place.write(arguments, self.view_tokens, self.view_beside)

    def _replaced(self, key: Key, arguments: Arguments, extra: Arguments) -> Arguments:
        """A block of the time stream's pass."""
        other = self.call.options.get("patches_replace", {}).get("dit", {}).get(key)
        original = self.hooks.original(key, extra)

        def run(given: Arguments) -> Arguments:
            out = original(given) if other is None else other(given, {"original_block": original})
            return out if isinstance(out, dict) else {self.backbone.tokens: out}

        return self.block(key, arguments, run)

    @abstractmethod
    def block(self, key: Key, arguments: Arguments, run: Block) -> Arguments:
        """Run a block of the host, given the time stream's arguments, and return the time stream."""

    def run_view(self, key: Key, tokens: Tensor, arguments: Arguments, run: Block) -> Tensor:
        """The block on the view stream's tokens, with the arguments that the host made for it."""
        noted, place = self.noted[key], self.backbone.tokens_of(key, self.layout)
        sizes = {
            name: noted["transformer_options"][name] for name in ("grid_sizes",) if name in noted["transformer_options"]
        }
        given = {**noted, "transformer_options": {**arguments["transformer_options"], **sizes}}
        out, self.view_beside = place.read(run(place.write(given, tokens, self.view_beside)), self.view_length)
        return out

    def _followed_patches(self) -> Arguments:
        """Patches that run after a block (Uni3C) see the time stream; what they add there, the view stream gets too."""
        patches = self.call.options.get("patches", {})
        after = [partial(self._followed, patch) for patch in patches.get("double_block", [])]
        return {**patches, **({"double_block": after} if after else {})}

    def _followed(self, patch: Callable, arguments: Arguments) -> Arguments:
        if self.view_tokens is None:
            return patch(arguments)
        before = arguments["img"].clone()
        out = patch(arguments)
        self.view_tokens = self.view_tokens + self.layout.view_tokens(self.layout.grid_of_time(out["img"] - before))
        return out

    def _nothing(self, key: Key, tokens: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """What a block of the view stream's pass hands on: zeros, without memory unless the host adds to them."""
        if isinstance(tokens, tuple):
            return (self._nothing(key, tokens[0]), *tokens[1:])
        return torch.zeros_like(tokens) if key in self.grown_after else tokens.new_zeros(()).expand_as(tokens)

    def _expect_grid(self, tokens: Tensor) -> None:
        layout = self.layout
        expected = (layout.chunks * layout.times, self.view_length)
        if tuple(tokens.shape[:2]) != expected:
            raise ValueError(
                f"expected {layout.views} views of {layout.frame_tokens} tokens per frame, got "
                f"{tokens.shape[1]} tokens: remove nodes that add reference or keyframe latents"
            )


class Parallel(NestedPasses):
    """Both streams go through each block, then its synchronization: `(y_time, y_view, sigma) -> (x_time, x_view)`."""

    def __init__(self, call: HostCall, backbone: Backbone, network: Any, layers: Sequence[Sync], sigma_K: Tensor):
        super().__init__(call, backbone, network)
        self.sync, self.sigma_K = dict(zip(self.keys, layers)), sigma_K

    def block(self, key: Key, arguments: Arguments, run: Block) -> Arguments:
        layout, place = self.layout, self.backbone.tokens_of(key, self.layout)
        view_tokens = self._view_tokens_before(place.read(arguments, self.time_length)[0])
        out = run(arguments)
        y_time, beside = place.read(out, self.time_length)
        y_view = self.run_view(key, view_tokens, arguments, run)
        del view_tokens
        x_time, x_view = self.sync[key](layout.grid_of_time(y_time), layout.grid_of_view(y_view), self.sigma_K)
        self._carry(key, x_time, x_view)
        return place.write(out, layout.time_tokens(x_time), beside)

    def _view_tokens_before(self, time_tokens: Tensor) -> Tensor:
        """The view stream before a block. Never the time stream's own memory: blocks of LTXV and LTX-2 write to their tokens."""
        carried, self.view_tokens = self.view_tokens, None
        if carried is not None:
            return carried
        tokens = self.layout.view_tokens(self.layout.grid_of_time(time_tokens))
        return tokens.clone() if 1 in (self.layout.views, self.layout.times) else tokens

    def _carry(self, key: Key, x_time: Tensor, x_view: Tensor) -> None:
        """Keep the view stream for the next block, unless it is the time stream's own tokens in another order."""
        last, grown = key == self.keys[-1], self.grown.get(key)
        if x_view is x_time and not last and grown is None:
            return
        tokens = self.layout.view_tokens(x_view)
        if grown is not None:
            tokens = tokens + grown
        elif key in self.grown_after and x_view is x_time:
            tokens = tokens.clone()  # the host adds to the time stream in place
        self.view_tokens = tokens


class Sequential(NestedPasses):
    """One stream: along view, then along time, through each synchronized block; along time through the others."""

    def __init__(self, call: HostCall, backbone: Backbone, network: Any, synchronized: range):
        super().__init__(call, backbone, network)
        self.synchronized = {self.keys[index] for index in synchronized}

    def block(self, key: Key, arguments: Arguments, run: Block) -> Arguments:
        layout, place = self.layout, self.backbone.tokens_of(key, self.layout)
        if key not in self.synchronized:
            return run(arguments)
        tokens, beside = place.read(arguments, self.time_length)
        y_view = self.run_view(key, layout.view_tokens(layout.grid_of_time(tokens)), arguments, run)
        return run(place.write(arguments, layout.time_tokens(layout.grid_of_view(y_view)), beside))
