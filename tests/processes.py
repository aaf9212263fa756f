"""Programs and processes for tests, without starting Python and PyTorch anew for each.

Where the system can fork safely (Linux), processes start from one that has imported PyTorch and has done nothing else;
elsewhere each starts anew.
"""

import contextlib
import io
import multiprocessing
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

from fourreal_core.files.atomic import whole_file

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
FORKS = sys.platform == "linux"
PROCESSES = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    PROCESSES.set_forkserver_preload(["fourreal_core.training.run", "torch._dynamo"])  # what an optimizer imports


def command(script: str, *words: object) -> str:
    """What `python scripts/<script> <words>` prints, run in this process. Raises SystemExit where that ends with an error."""
    path, handlers = SCRIPTS / script, {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    printed = io.StringIO()
    try:
        with mock.patch.object(sys, "argv", [str(path), *map(str, words)]), contextlib.redirect_stdout(printed):
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return printed.getvalue()


def started(target: Callable, *arguments: object, output: Path, **variables: str) -> BaseProcess:
    """A process that calls `target`; what it prints goes to the file `output`."""
    process = PROCESSES.Process(target=_in_process, args=(target, arguments, output, variables), daemon=True)
    process.start()
    return process


def together(target: Callable, count: int, *arguments: object, folder: Path) -> str:
    """What torchrun does, but for starting Python anew: `count` processes that know each other by four variables. What they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    logs = [folder / f"{rank}.log" for rank in range(count)]
    processes = [
        started(target, *arguments, output=log, RANK=str(rank), LOCAL_RANK=str(rank), **meeting)
        for rank, log in enumerate(logs)
    ]
    for process in processes:
        process.join(120)
    said = "".join(log.read_text() for log in logs)
    assert [process.exitcode for process in processes] == [0] * count, said
    return said


def branch(target: Callable, *arguments: object) -> BaseProcess:
    """A process that calls `target`, which may use no PyTorch; where the system can fork safely, a copy of this one."""
    process = multiprocessing.get_context("fork" if FORKS else "spawn").Process(target=target, args=arguments)
    process.start()
    return process


def killed_while_writing(file: Path) -> None:
    with whole_file(file) as part:
        part.write_bytes(b"half")
        os.kill(os.getpid(), 9)


def _in_process(target: Callable, arguments: tuple, output: Path, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    target(*arguments)


def script(name: str, words: tuple) -> None:
    """`python scripts/<name> <words>`, for `started`."""
    sys.argv = [str(SCRIPTS / name), *map(str, words)]
    runpy.run_path(sys.argv[0], run_name="__main__")


def comfyuis(base: Path) -> list[int]:
    """Processes that are a ComfyUI with this base directory, which guard.py runs. Looks at Linux's /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended
            continue
        if any(word.endswith("main.py") for word in words) and str(base) in words:
            found.append(int(folder.name))
    return sorted(found)
