"""Run every test: the core, the pack, and the pack inside a real ComfyUI. Arguments go to pytest.

    python scripts/test.py                      everything
    python scripts/test.py tests/core -k paths  some of it

The first run builds the environment (see environment.py); later runs start at once. Exit code: pytest's, or 3 when the
environment cannot be used or built.
"""

import os
import signal
import sys

from environment import PACK, TOOLS, EnvironmentProblem, enter


def main() -> int:
    try:
        enter(TOOLS)
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 3
    import pytest  # needs the environment

    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # being ended stops the ComfyUI of the tests, as Ctrl-C does
    os.chdir(PACK)
    return pytest.main(["-q", "--durations=10", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
