"""What the training commands take from the command line and show on it."""

import os
import sys


def show(line: str) -> None:
    """One line of progress, over the last one where the terminal allows it; under torchrun only of the first process."""
    if os.environ.get("RANK", "0") == "0":
        print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)


def pace(seconds: float, steps_left: int) -> str:
    """seconds: of one step."""
    return f"{seconds:.2f} s/step  {steps_left * seconds / 60:.0f} min left"


def pixels(text: str) -> tuple[int, int]:
    """`72x128` -> (72, 128)."""
    height, width = map(int, text.split("x"))
    return height, width
