"""Runs a command and ends it, with all that it started, once this program's standard input closes: when whoever started it is gone, however that went.

python guard.py COMMAND ...; the exit code is the command's. Standard library only: it is started by its path.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

POLITE_S = 10  # between asking the command to end and ending it


def main(command: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for whoever started this
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=end_once_alone, args=(process,), daemon=True).start()
    code = process.wait()
    end_group(process, signal.SIGTERM)  # what it left behind
    return code


def end_once_alone(process: subprocess.Popen) -> None:
    sys.stdin.buffer.read()
    end_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(POLITE_S)
    if process.poll() is None:
        end_group(process, signal.SIGKILL if os.name != "nt" else signal.SIGTERM)


def end_group(process: subprocess.Popen, number: int) -> None:
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
