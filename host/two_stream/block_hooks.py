"""How a block of the host is replaced during one call: by the host's own hook, or by standing in for its `forward`.

Most video models of the host let a patch replace a block. Cosmos and CogVideoX do not: there a block's `forward` is ours
for the length of one pass and then the host's again, also after an error. Weights, their names and their loading are not touched.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol

from torch import nn

from .tokens import Arguments

Key = tuple[str, int]  # kind of hook, index among the hooks of its kind
Hooks = dict[Key, Callable[[Arguments, Arguments], Arguments]]


class BlockHooks(Protocol):
    def replaced(self, hooks: Hooks) -> AbstractContextManager[None]:
        """While it is open, each block calls its hook with (its arguments, extra)."""

    def original(self, key: Key, extra: Arguments) -> Callable[[Arguments], Any]:
        """The host's own block behind a hook, as a function of the hook's arguments."""


class HostHooks:
    """The host calls the hooks, which travel in transformer options; run_block: where its own way to the block is broken."""

    def __init__(self, blocks: dict[Key, nn.Module], run_block: Callable[[nn.Module, Arguments], Any] | None = None):
        self.blocks, self.run_block = blocks, run_block

    def replaced(self, hooks: Hooks) -> AbstractContextManager[None]:
        return nullcontext()

    def original(self, key: Key, extra: Arguments) -> Callable[[Arguments], Any]:
        return extra["original_block"] if self.run_block is None else partial(self.run_block, self.blocks[key])


class ForwardHooks:
    """Stands in for each block's `forward`; outputs: names of what a block returns, among its arguments."""

    def __init__(self, blocks: dict[Key, nn.Module], outputs: tuple[str, ...]):
        self.blocks, self.outputs = blocks, outputs
        self.forwards = {key: block.forward for key, block in blocks.items()}

    @contextmanager
    def replaced(self, hooks: Hooks) -> Iterator[None]:
        before = {key: vars(self.blocks[key]).get("forward") for key in hooks}
        try:
            for key, hook in hooks.items():
                self.blocks[key].forward = partial(self._call, key, hook)
            yield
        finally:
            for key, forward in before.items():
                self._restore(self.blocks[key], forward)

    def original(self, key: Key, extra: Arguments) -> Callable[[Arguments], Any]:
        return partial(self._run, key)

    def _call(self, key: Key, hook: Callable[[Arguments, Arguments], Arguments], *args: Any, **kwargs: Any) -> Any:
        out = hook(inspect.signature(self.forwards[key]).bind(*args, **kwargs).arguments, {})
        values = tuple(out[name] for name in self.outputs)
        return values if len(values) > 1 else values[0]

    def _run(self, key: Key, arguments: Arguments) -> Arguments:
        out = self.forwards[key](**arguments)
        return dict(zip(self.outputs, out if isinstance(out, tuple) else (out,)))

    @staticmethod
    def _restore(block: nn.Module, forward: Callable | None) -> None:
        if forward is None:
            vars(block).pop("forward", None)
        else:
            block.forward = forward
