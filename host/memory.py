"""Whether what is asked for fits into the memory that there is, before it is asked for."""

import psutil

GIB = 2**30


def expect_room(needed: int, what: str) -> None:
    """ValueError when `needed` bytes are more than the memory that is free, swap included. `what` is in the sentence."""
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    if needed > free:
        raise ValueError(
            f"{what} needs {needed / GIB:.1f} GiB of memory, but only {free / GIB:.1f} GiB are free: use "
            "smaller cells, or fewer views or times"
        )
