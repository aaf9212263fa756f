"""Ending a run between two steps instead of inside one."""

from __future__ import annotations

import signal
import threading


def stop_on_signal() -> threading.Event:
    """Set by the first Ctrl-C (or SIGTERM), so that training stops after a whole step; the second one ends it at once."""
    interrupted = threading.Event()

    def note(number: int, frame: object) -> None:
        interrupted.set()
        signal.signal(number, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return interrupted
