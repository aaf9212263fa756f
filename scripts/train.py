#!/usr/bin/env python3
"""Train a grid model. Three commands, in this order:

  prepare   compute Transport's guesses for rendered shards (scripts/render.py) and pseudo-4D of ordinary videos
  run       train one stage (base, then hard and soft) in a run folder; go on where it stopped when it exists
  export    write the run's averaged weights as one checkpoint for 4Real Load Model
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fourreal_core.model import config as configs
from fourreal_core.training import run, store
from fourreal_core.training.loop import STAGES, TrainingPlan


def main() -> None:
    arguments = parse()
    try:
        arguments.command(arguments)
    except ValueError as error:
        sys.exit(f"train.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to go on")


def prepare(arguments: argparse.Namespace) -> None:
    for shard in sorted(arguments.shards.glob("*.safetensors")) if arguments.shards else []:
        store.prepare_shard(shard, arguments.output, show)
    for video in arguments.videos:
        store.prepare_video(video, arguments.output, (8, 8, *arguments.size), arguments.count, show)


def train(arguments: argparse.Namespace) -> None:
    defaults = TrainingPlan(stage=arguments.stage)
    chosen = {name: getattr(arguments, name) for name in vars(defaults) if getattr(arguments, name, None) is not None}
    plan = TrainingPlan(**chosen)
    started = time.monotonic()
    first_step = None

    def report(step: int, loss: float, guess_loss: float) -> None:
        nonlocal first_step
        first_step = step if first_step is None else first_step
        seconds = (time.monotonic() - started) / (step - first_step + 1)
        show(f"{plan.stage} step {step}/{plan.steps}  loss {loss:.4f} (guess {guess_loss:.4f})  {seconds:.2f} s/step  {(plan.steps - step) * seconds / 60:.0f} min left")

    run.train_stage(getattr(configs, arguments.config)(), plan, arguments.examples, arguments.output, report, arguments.start_from)


def export(arguments: argparse.Namespace) -> None:
    run.export(getattr(configs, arguments.config)(), arguments.run, arguments.output)
    print(f"\nwrote {arguments.output} ({arguments.output.stat().st_size / 2**20:.1f} MiB)")


def show(line: str) -> None:
    print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("prepare")
    part.add_argument("--shards", type=Path, help="folder of rendered shards")
    part.add_argument("--videos", type=Path, nargs="*", default=[], help="ordinary videos for pseudo-4D")
    part.add_argument("--count", type=int, default=12, help="pseudo-4D grids per video")
    part.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), default=(72, 128), help="HEIGHTxWIDTH in pixels")
    part.add_argument("--output", type=Path, required=True)
    part.set_defaults(command=prepare)
    part = commands.add_parser("run")
    part.add_argument("--examples", type=Path, required=True, help="folder written by prepare")
    part.add_argument("--output", type=Path, required=True, help="run folder")
    part.add_argument("--config", choices=("bundled", "paper", "tiny"), default="bundled")
    part.add_argument("--stage", choices=STAGES, default="base")
    part.add_argument("--start-from", type=Path, help="checkpoint whose weights a new base stage begins with")
    for name, kind in (("steps", int), ("batch", int), ("learning_rate", float), ("matrix_rate", float), ("seed", int)):
        part.add_argument("--" + name.replace("_", "-"), type=kind)
    part.add_argument("--crop", type=lambda text: tuple(map(int, text.split("x"))), help="HEIGHTxWIDTH in pixels")
    part.set_defaults(command=train)
    part = commands.add_parser("export")
    part.add_argument("--run", type=Path, required=True)
    part.add_argument("--config", choices=("bundled", "paper", "tiny"), default="bundled")
    part.add_argument("--output", type=Path, required=True)
    part.set_defaults(command=export)
    return parser.parse_args()


if __name__ == "__main__":
    main()
