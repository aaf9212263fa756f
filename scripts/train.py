#!/usr/bin/env python3
"""Train a grid model. Three commands, in this order:

  prepare   turn footage of any kind into training examples, with Transport's guesses computed once
  run       train one stage (base, then kinds of synchronization) in a run folder, or continue it
  export    write the run's averaged weights as one checkpoint for 4Real Load Model

Several GPUs or processes: torchrun --nproc_per_node 2 scripts/train.py run ...
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import pace, pixels, show

from fourreal_core.batch.spread import add_cluster_options, cluster_of
from fourreal_core.model import config as configs
from fourreal_core.training import run
from fourreal_core.training.footage import prepare as sources
from fourreal_core.training.footage.mixture import ExampleFolder
from fourreal_core.training.interrupt import stop_on_signal
from fourreal_core.training.loop import PRECISIONS, STAGES, TrainingPlan
from fourreal_core.training.state import TrainingState


def main() -> None:
    arguments = parse()
    try:
        arguments.command(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"train.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to continue")


def prepare(arguments: argparse.Namespace) -> None:
    shape, count = (arguments.views, arguments.times, *arguments.size), arguments.count
    jobs = sources.shard_jobs(arguments.shards) if arguments.shards else []
    jobs += sources.pseudo_jobs(arguments.videos, shape, count)
    jobs += sources.sequence_jobs(arguments.fixed_view, shape, count, "fixed-view")
    jobs += sources.sequence_jobs(arguments.freeze_time, shape, count, "freeze-time")
    jobs += sources.capture_jobs(arguments.captures, shape, count)
    jobs += sources.saved_grid_jobs(arguments.grids, shape)
    jobs += sources.procedural_jobs(arguments.procedural, arguments.seed, shape)
    if not jobs:
        raise ValueError("pass a source of examples, such as --videos or --shards: see `train.py prepare --help`")
    if not sources.prepare(jobs, arguments.output, show, arguments.workers, cluster_of(arguments)):
        raise ValueError("none of the sources could be used")


def train(arguments: argparse.Namespace) -> None:
    chosen = {name: value for name in vars(TrainingPlan()) if (value := getattr(arguments, name, None)) is not None}
    plan = run.resume_plan(arguments.output, arguments.stage, chosen)
    interrupted, started, done = stop_on_signal(), time.monotonic(), 0

    def report(state: TrainingState) -> bool:
        nonlocal done
        done += 1
        seconds = (time.monotonic() - started) / done
        losses = "loss {:.4f} (guess {:.4f})  gradient {:.3f}".format(*state.losses[-1])
        show(f"{plan.stage} step {state.step}/{plan.steps}  {losses}  {pace(seconds, plan.steps - state.step)}")
        return interrupted.is_set()

    config = getattr(configs, arguments.config)()
    given = {name: getattr(arguments, name) for name in ("start_from", "base", "validation")}
    examples = [ExampleFolder.parse(text) for text in arguments.examples]
    speed = run.train_stage(config, plan, examples, arguments.output, report, **given)
    if speed:
        show(f"\n{speed}\n")
    if interrupted.is_set():
        raise KeyboardInterrupt


def export(arguments: argparse.Namespace) -> None:
    run.export(getattr(configs, arguments.config)(), arguments.run, arguments.output, base=arguments.base)
    print(f"wrote {arguments.output} ({arguments.output.stat().st_size / 2**20:.1f} MiB)")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("prepare")
    part.add_argument("--shards", type=Path, help="folder of rendered shards")
    for name, help in (
        ("videos", "ordinary videos, as pseudo-4D grids"),
        ("fixed-view", "ordinary videos, as sequences along time"),
        ("freeze-time", "videos or image folders of static scenes, as sequences along views"),
        ("captures", "folders with one video or image folder per view, as 4D grids"),
        ("grids", "saved grids (*.grid.safetensors)"),
    ):
        part.add_argument(f"--{name}", type=Path, nargs="+", default=[], help=f"{help}; files or folders")
    part.add_argument("--procedural", type=int, default=0, metavar="COUNT", help="number of invented scenes")
    part.add_argument("--seed", type=int, default=0, help="seed of the first invented scene")
    part.add_argument("--count", type=int, default=12, help="grids or sequences per video or capture")
    part.add_argument("--views", type=int, default=8)
    part.add_argument("--times", type=int, default=8)
    part.add_argument("--size", type=pixels, default=(72, 128), help="HEIGHTxWIDTH in pixels")
    part.add_argument("--workers", type=int, default=1, help="processes")
    add_cluster_options(part, gpus=False)
    part.add_argument("--output", type=Path, required=True)
    part.set_defaults(command=prepare)
    part = commands.add_parser("run")
    part.add_argument(
        "--examples",
        action="append",
        required=True,
        metavar="[NAME=]DIR[:WEIGHT]",
        help="folder written by prepare; repeatable",
    )
    part.add_argument("--validation", type=Path, help="another such folder, whose first grid is shown in the pictures")
    part.add_argument("--output", type=Path, required=True, help="run folder")
    part.add_argument("--config", choices=("bundled", "paper", "tiny"), default="bundled")
    part.add_argument("--stage", choices=STAGES, default="base")
    part.add_argument("--start-from", type=Path, help="checkpoint whose layers a new stage starts from")
    part.add_argument("--base", type=Path, help="checkpoint whose base to synchronize instead of the run's own")
    for name in ("steps", "batch", "seed", "picture-every"):
        part.add_argument(f"--{name}", type=int)
    for name in ("learning-rate", "matrix-rate"):
        part.add_argument(f"--{name}", type=float)
    part.add_argument("--crop", type=pixels, help="HEIGHTxWIDTH in pixels")
    part.add_argument("--device", choices=("auto", "cpu", "cuda"))
    part.add_argument("--precision", choices=PRECISIONS)
    part.add_argument(
        "--checkpointing", action="store_true", default=None, help="recompute activations: less memory, more time"
    )
    part.set_defaults(command=train)
    part = commands.add_parser("export")
    part.add_argument("--run", type=Path, required=True)
    part.add_argument("--config", choices=("bundled", "paper", "tiny"), default="bundled")
    part.add_argument("--base", type=Path, help="checkpoint whose base was synchronized, if not the run's own")
    part.add_argument("--output", type=Path, required=True)
    part.set_defaults(command=export)
    return parser.parse_args()


if __name__ == "__main__":
    main()
