"""Work for a batch that kills its own process: in a module of its own, so that workers import nothing else."""

import os
import signal
from pathlib import Path


def halved(job: int, folder: Path, deadly: int) -> int:
    """Dies at the first try of one job; another cannot be done."""
    with open(folder / f"{job}.tries", "a") as tries:
        tries.write("x")
    if job == deadly and (folder / f"{job}.tries").stat().st_size == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 5:
        raise ValueError("five is odd")
    return job // 2
