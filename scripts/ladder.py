#!/usr/bin/env python3
"""Measures where the fill by geometry loses quality: each stage is replaced by its exact answer, alone and together with all earlier stages, on rendered grids.

    python scripts/train_geometry.py render --models "held_out/*.glb" --env env --count 6 --seed 900000 --whole-every 1 --output data/ladder
    python scripts/ladder.py --scenes data/ladder --results ladder.jsonl

Prints a Markdown table. Results are saved as they come: stop at any time and run the same command to continue. Delete the
file after changing the code or the networks. Takes several minutes per scene on one core.
"""

from __future__ import annotations

import argparse
import logging
import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from fourreal_core.data.rendered.exact_files import exact_files, is_whole, load_exact
from fourreal_core.evaluation.ladder import RUNGS, Rise, measure_all, table
from fourreal_core.geometry.cameras import PycolmapMissing, estimate_cameras
from fourreal_core.geometry.networks import load_networks


def main() -> None:
    arguments = parse()
    logging.basicConfig(format="ladder.py: %(message)s")
    torch.set_num_threads(arguments.threads)
    try:
        files = [file for file in exact_files(arguments.scenes) if is_whole(file)]
        if not files:
            raise ValueError(f"found no whole grids in {arguments.scenes}: render some with --whole-every 1")
        scenes = ((file.stem, load_exact(file)) for file in islice(files, arguments.count))
        options = {"with_fusion": not arguments.composed, "estimate": estimate if arguments.cameras else None}
        print(table(measure_all(load_networks(arguments.networks), scenes, arguments.results, tell, **options)), end="")
    except (ValueError, OSError, PycolmapMissing) as error:
        sys.exit(f"ladder.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to continue")


def estimate(frames_VHW3: torch.Tensor):
    return estimate_cameras(frames_VHW3).cameras


def tell(name: str, rise: Rise) -> None:
    exact = ", ".join(rung for rung in RUNGS if rung in rise.swapped) or "nothing"
    numbers = f"{rise.all:6.2f} {rise.moving:6.2f} {rise.sharpness:5.2f}"
    print(f"{numbers}  {name}, exact: {exact}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenes", type=Path, required=True, help="folder of `train_geometry.py render --whole-every 1`"
    )
    parser.add_argument("--count", type=int, help="only the first N scenes (default: all)")
    parser.add_argument("--networks", type=Path, help="file of geometry networks (default: the bundled ones)")
    parser.add_argument(
        "--composed", action="store_true", help="compose layers in a fixed order instead of using the fusion network"
    )
    parser.add_argument("--cameras", action="store_true", help="estimate the cameras too; needs pycolmap")
    parser.add_argument("--results", type=Path, required=True, help="file that keeps the results, one JSON line each")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
