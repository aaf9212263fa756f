"""Cancelling inside a node's work and inside a network: ComfyUI asks between steps, and on a CPU one step of a large grid takes minutes."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import torch

from ..fourreal_core.side_by_side import asking


def stops_on_cancel(execute: Callable) -> Callable:
    """For a node's execute: what the core does there, down to files and single pictures, asks in between whether the user has cancelled."""

    @functools.wraps(execute)
    def stopping(*given, **named):
        with asking(_ask):
            return execute(*given, **named)

    return stopping


@contextmanager
def cancellable(network: torch.nn.Module) -> Iterator[None]:
    """While it is open, every part of the network asks before it runs whether the user has cancelled, and long work of the core in between.

    Raises the host's InterruptProcessingException out of the network then. The network is left as it was.
    """
    handles = [
        part.register_forward_pre_hook(_ask) for part in network.modules() if next(part.children(), None) is None
    ]
    try:
        with asking(_ask):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _ask(*_: Any) -> None:
    comfy.model_management.throw_exception_if_processing_interrupted()
