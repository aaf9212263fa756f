"""Turns two videos into a grid of every view at every time, with the bundled workflow in a real ComfyUI.

python scripts/demo.py                                                  the bundled example
python scripts/demo.py --fixed-view walk.mp4 --freeze-time orbit.mp4    your own two videos
"""

import argparse
import signal
import sys
from pathlib import Path

from environment import PACK, EnvironmentProblem, enter

EXIT_CODES = """\
exit codes: 0 done, 2 wrong arguments or videos, 3 the environment cannot be used or built, 4 ComfyUI did not start or
stopped, 5 the workflow failed, 130 interrupted. COMFYUI_PATH: your own ComfyUI to use. FOURREAL_CACHE: where to build one."""
BAD_INPUT, NO_ENVIRONMENT, NO_HOST, FAILED, INTERRUPTED = 2, 3, 4, 5, 130


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fixed-view",
        type=Path,
        metavar="FILE",
        help="video or folder of images in which only the scene moves",
    )
    parser.add_argument(
        "--freeze-time",
        type=Path,
        metavar="FILE",
        help="video or folder of images in which only the camera moves",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("output"), metavar="DIR", help="folder for the results (default: output)"
    )
    parser.add_argument("--views", type=count, metavar="N", help="views of the grid")
    parser.add_argument("--times", type=count, metavar="N", help="times of the grid")
    parser.add_argument("--width", type=count, metavar="N", help="width of a cell in pixels")
    parser.add_argument("--height", type=count, metavar="N", help="height of a cell (default: follows the videos)")
    parser.add_argument(
        "--fit",
        choices=("crop", "pad", "stretch"),
        help="what to do if the aspect ratio differs: cut the sides, add black bars, or distort",
    )
    parser.add_argument("--steps", type=count, metavar="N", help="sampling steps; more take longer")
    parser.add_argument(
        "--sync",
        choices=("soft", "hard", "fused", "sequential", "off"),
        help="how the two streams are kept in agreement",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="random seed of the noise")
    arguments = parser.parse_args()
    if (arguments.fixed_view is None) != (arguments.freeze_time is None):
        parser.error("pass both --fixed-view and --freeze-time, or neither")
    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"--output must be a folder, but {arguments.output} is a file")
    arguments.fixed_view = arguments.fixed_view or PACK / "example_inputs" / "fixed_view.mp4"
    arguments.freeze_time = arguments.freeze_time or PACK / "example_inputs" / "freeze_time.mp4"
    return arguments


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended cleans up as Ctrl-C does
    try:
        environment = enter()
        import demo_run  # needs the environment's packages

        from fourreal_core.batch.server import HostProblem, RunProblem

        try:
            for file in demo_run.run(arguments, environment):
                print(file)
            return 0
        except demo_run.InputProblem as problem:
            return fail(problem, BAD_INPUT)
        except HostProblem as problem:
            return fail(problem, NO_HOST)
        except RunProblem as problem:
            return fail(problem, FAILED)
    except EnvironmentProblem as problem:
        return fail(problem, NO_ENVIRONMENT)
    except KeyboardInterrupt:
        return fail("Interrupted.", INTERRUPTED)


def fail(problem: Exception | str, code: int) -> int:
    print(f"\n{problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
