"""Run the tests and the checks of the code, all of them or one area.

    python scripts/test.py                      everything, one area after the other
    python scripts/test.py lint                 ruff (rules and format) and the types of fourreal_core
    python scripts/test.py core                 fourreal_core and the pack's files; starts no ComfyUI
    python scripts/test.py core --slow          the same with the few tests marked `slow`, which a run of everything includes
    python scripts/test.py host                 the pack inside a real ComfyUI
    python scripts/test.py browser              its nodes in the editor, in a real browser
    python scripts/test.py tests/core -k paths  any other arguments go to pytest; so do those after an area

The first run builds the environment (see environment.py); later runs start at once. Exit code: 0, the first one of an
area that failed, or 3 when the environment cannot be used or built.
"""

import contextlib
import os
import signal
import subprocess
import sys

from environment import PACK, TOOLS, enter_or_stop

WORKERS = min(4, os.cpu_count() or 1)
LINT = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["basedpyright", "--pythonpath", sys.executable],
]
PYTEST = {  # area: what pytest is told
    "core": ["tests/core", "tests/pack", "-n", str(WORKERS), "--dist", "worksteal"],
    "host": ["tests/host", "-m", "not browser"],
    "browser": ["tests/host", "-m", "browser"],
}
AREAS = ["lint", *PYTEST]


def main() -> int:
    asked, rest = ([sys.argv[1]], sys.argv[2:]) if sys.argv[1:2] and sys.argv[1] in AREAS else ([], sys.argv[1:])
    enter_or_stop(TOOLS, comfyui=asked not in (["lint"], ["core"]))
    os.chdir(PACK)
    if rest and not asked:
        return run(["pytest", "-q", "--durations=10", *rest])
    if asked == ["core"]:
        rest = [word for word in rest if word != "--slow"] if "--slow" in rest else ["-m", "not slow", *rest]
    codes = {area: run_area(area, rest) for area in asked or AREAS}
    if len(codes) > 1:
        print("  ".join(f"{area}: {'failed' if code else 'passed'}" for area, code in codes.items()))
    return next((code for code in codes.values() if code), 0)


def run_area(area: str, rest: list[str]) -> int:
    print(f"== {area}", flush=True)
    if area == "lint":
        return max([run([*command, *rest]) for command in LINT])
    return run(["pytest", "-q", "--durations=10", *PYTEST[area], *rest], threads=1 if area == "core" else None)


def run(command: list[str], threads: int | None = None) -> int:
    """Run a Python module with its arguments; being ended stops it, and the ComfyUI that it started, as Ctrl-C does.

    threads: of PyTorch in each of several workers, which else get in each other's way.
    """
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    with subprocess.Popen([sys.executable, "-m", *command], env=environment) as process:
        if os.name != "nt":
            signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
        while process.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C reached the process as well, which cleans up
                process.wait()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
