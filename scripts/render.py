"""Renders grids of animated models into shards for training or evaluation. Stop it at any time and run the same command to continue.

Example: python scripts/render.py --models "glb/*.glb" --exclude kaykit_Mage,quaternius_Fox --env env --count 500 --seed 1 --output data/train
"""

from __future__ import annotations

import argparse
import glob
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fourreal_core.data.rendered.render import Renderer, RendererUnavailable
from fourreal_core.data.rendered.scenes import random_scene, render_grid
from fourreal_core.data.shards import write_shard


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", required=True, help='pattern of .glb files, in quotes: "DIR/*.glb"')
    parser.add_argument("--exclude", default="", help="comma-separated names of models (without .glb) to leave out")
    parser.add_argument(
        "--main",
        default="",
        help="comma-separated names of models (without .glb) that take turns as the main one (default: random)",
    )
    parser.add_argument("--env", type=Path, required=True, help="folder with .hdr panoramas and ground_*.jpg pictures")
    parser.add_argument("--count", type=int, required=True, help="number of grids")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first grid; the others count up from it")
    parser.add_argument("--size", default="72x128", help="height x width in pixels")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--per-shard", type=int, default=20, help="grids per file")
    parser.add_argument("--output", type=Path, required=True, help="folder for shard_<first seed>.safetensors")
    return parser.parse_args()


def show_progress(done: int, count: int, started: float, rendered: int) -> None:
    filled = 40 * done // count
    pace = (time.monotonic() - started) / max(rendered, 1)
    print(
        f"\r[{'#' * filled}{'.' * (40 - filled)}] {done}/{count} grids, {pace:.2f} s each, {pace * (count - done) / 60:.1f} min left ",
        end="",
        flush=True,
    )


def main() -> int:
    options = parse_arguments()
    height, width = (int(side) for side in options.size.lower().split("x"))
    excluded = set(filter(None, options.exclude.split(",")))
    models = [Path(file) for file in sorted(glob.glob(options.models)) if Path(file).stem not in excluded]
    unknown = excluded - {Path(file).stem for file in glob.glob(options.models)}
    if unknown:
        print(f"--exclude names unknown models: {sorted(unknown)}", file=sys.stderr)
        return 2
    by_name = {model.stem: model for model in models}
    leads = [by_name[name] for name in filter(None, options.main.split(","))]
    started, rendered = time.monotonic(), 0
    try:
        with Renderer(height, width) as renderer:
            for first in range(0, options.count, options.per_shard):
                last = min(first + options.per_shard, options.count)
                file = options.output / f"shard_{options.seed + first:08d}.safetensors"
                if not file.exists():
                    grids = []
                    for index in range(first, last):
                        scene = random_scene(
                            options.seed + index, models, options.env, leads[index % len(leads)] if leads else None
                        )
                        grids.append(render_grid(scene, options.views, options.times, height, width, renderer))
                        rendered += 1
                        show_progress(index + 1, options.count, started, rendered)
                    write_shard(file, grids)
                show_progress(last, options.count, started, rendered)
    except RendererUnavailable as error:
        print(f"cannot render: {error}", file=sys.stderr)
        return 1
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
