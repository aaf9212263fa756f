"""Renders grids of animated models into shards for training or evaluation. Stop it at any time and run the same command to continue.

Example: python scripts/render.py --models "glb/*.glb" --exclude kaykit_Mage,quaternius_Fox --env env --count 500 --seed 1 --output data/train
"""

from __future__ import annotations

import argparse
import glob
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show

from fourreal_core.batch.spread import add_cluster_options, cluster_of, spread
from fourreal_core.data.rendered.render import RendererUnavailable
from fourreal_core.data.rendered.shard import Shards, render_shard


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
    add_cluster_options(parser, gpus=False)
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    excluded = set(filter(None, options.exclude.split(",")))
    models = [Path(file).resolve() for file in sorted(glob.glob(options.models)) if Path(file).stem not in excluded]
    unknown = excluded - {Path(file).stem for file in glob.glob(options.models)}
    if unknown:
        print(f"--exclude names unknown models: {sorted(unknown)}", file=sys.stderr)
        return 2
    by_name = {model.stem: model for model in models}
    leads = tuple(by_name[name] for name in filter(None, options.main.split(",")))
    height, width = (int(side) for side in options.size.lower().split("x"))
    folders = options.env.resolve(), options.output.resolve()  # workers have another working folder
    grids = options.count, options.seed, options.views, options.times, height, width, options.per_shard
    shards = Shards(tuple(models), leads, *folders, *grids)
    todo, started = shards.missing(), time.monotonic()
    try:
        cluster = cluster_of(options)
        work = partial(render_shard, shards, **({} if cluster else {"report": show}))
        for done, (first, problem) in enumerate(spread(work, todo, cluster), 1):
            if problem is not None:
                raise problem
            left = (time.monotonic() - started) / done * (len(todo) - done) / 60
            print(f"{shards.file(first).name}: {done}/{len(todo)} files, {left:.1f} min left", flush=True)
    except (RendererUnavailable, ValueError, OSError) as error:
        print(f"cannot render: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
