#!/usr/bin/env python3
"""Damages whole grids on purpose and measures which metric sees which fault; writes the table of docs/metrics.md.

    python scripts/calibrate_metrics.py data/test --count 6 --write docs/metrics.md
    python scripts/calibrate_metrics.py data/test --count 2 --splats --results output/splats.json --part "damaged grids, splats"
    python scripts/calibrate_metrics.py --table

The folder holds grids (*.grid.safetensors) or shards of rendered grids (scripts/render.py). Results are saved as they come: stop at any time and
run the same command to continue. Delete the results file after changing a metric.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import torch

from fourreal_core.evaluation.agreement.looks import sharpness
from fourreal_core.evaluation.agreement.measure import measure_agreement
from fourreal_core.evaluation.agreement.splat_fit import splat_fit
from fourreal_core.evaluation.calibration import Calibration, blind_spots, damage_table
from fourreal_core.evaluation.collection import find_grids
from fourreal_core.evaluation.damage import DAMAGES
from fourreal_core.evaluation.measured import Measured
from fourreal_core.files.lock import held_alone
from fourreal_core.files.marked_part import write_part
from fourreal_core.grid import FrameGrid

PART = "damaged grids"


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    try:
        calibrate(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"calibrate_metrics.py: {error}")


def calibrate(arguments: argparse.Namespace) -> None:
    lock = arguments.results.with_name(f".{arguments.results.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with held_alone(lock, f"another run is writing {arguments.results}: wait for it, or choose other --results"):
        _calibrate(arguments)


def _calibrate(arguments: argparse.Namespace) -> None:
    results = Calibration(arguments.results)
    if arguments.folder:
        grids = dict(find_grids(arguments.folder, arguments.count))
        for name, damage in results.run(
            grids, arguments.damages, fit_of_splats if arguments.splats else measure_agreement
        ):
            print(f"{name}: {damage}", flush=True)
    if not results.values:
        raise ValueError(f"nothing was measured in {arguments.results}: name a folder of grids.")
    unseen = ", ".join(blind_spots(results.values)) or "none"
    text = f"{damage_table(results.values)}\n\nMedians over {', '.join(results.values)}. Seen by no metric: {unseen}."
    print(text)
    if arguments.write:
        write_part(arguments.write, arguments.part, text)


def fit_of_splats(grid: FrameGrid) -> dict[str, Measured]:
    """The held-out score, and the sharpness beside which it must be read."""
    return {"splat_fit": splat_fit(grid), "sharpness": sharpness(grid)["sharpness"]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of whole grids to damage")
    parser.add_argument("--count", type=int, help="only the first N grids")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("output/calibration.json"),
        help="file that keeps the results (default: %(default)s)",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="document whose table is replaced")
    parser.add_argument("--part", default=PART, help="name of the table in that document (default: %(default)s)")
    parser.add_argument("--damages", nargs="+", choices=DAMAGES, metavar="DAMAGE", help="only these")
    parser.add_argument(
        "--splats", action="store_true", help="the held-out score of a fit of splats instead: half a minute per damage"
    )
    parser.add_argument("--table", action="store_true", help="only print the table of what has been measured")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    if not (arguments.folder or arguments.table):
        parser.error("pass a folder of grids, or --table")
    return arguments


if __name__ == "__main__":
    main()
