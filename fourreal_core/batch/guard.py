"""Runs a program of Python and ends it, with all that it started, once standard input closes: when whoever started it is gone, however that went.

python guard.py FILE ARGUMENTS ...; standard library only, and it is started by its path. The program runs in this process, because
those who end a worker of a cluster end its children too, but not theirs.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time

POLITE_S = 10  # between asking the program to end and ending it


def main(file: str, words: list[str]) -> None:
    watched = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the program has no input
    threading.Thread(target=end_once_alone, args=(watched,), daemon=True).start()
    sys.argv[:], sys.path[0] = [file, *words], os.path.dirname(os.path.abspath(file))
    runpy.run_path(file, run_name="__main__")


def end_once_alone(watched: int) -> None:
    while os.read(watched, 1):
        pass
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(os.getpid())], capture_output=True)
        return
    os.killpg(0, signal.SIGTERM)  # which is this program's own, see server.py
    time.sleep(POLITE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
