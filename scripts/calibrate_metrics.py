#!/usr/bin/env python3
"""Damages whole grids on purpose and measures which metric sees which fault; writes the table of docs/metrics.md.

    python scripts/calibrate_metrics.py data/test --count 6 --write docs/metrics.md
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

from fourreal_core.evaluation.calibration import Calibration, blind_spots, damage_table
from fourreal_core.evaluation.collection import find_grids
from fourreal_core.files.marked_part import write_part

PART = "damaged grids"


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    try:
        calibrate(arguments)
    except ValueError as error:
        sys.exit(f"calibrate_metrics.py: {error}")


def calibrate(arguments: argparse.Namespace) -> None:
    results = Calibration(arguments.results)
    if arguments.folder:
        for name, damage in results.run(dict(find_grids(arguments.folder, arguments.count))):
            print(f"{name}: {damage}", flush=True)
    if not results.values:
        raise ValueError(f"nothing was measured in {arguments.results}: name a folder of grids.")
    unseen = ", ".join(blind_spots(results.values)) or "none"
    text = f"{damage_table(results.values)}\n\nMedians over {', '.join(results.values)}. Seen by no metric: {unseen}."
    print(text)
    if arguments.write:
        write_part(arguments.write, PART, text)


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
    parser.add_argument("--table", action="store_true", help="only print the table of what has been measured")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    if not (arguments.folder or arguments.table):
        parser.error("pass a folder of grids, or --table")
    return arguments


if __name__ == "__main__":
    main()
