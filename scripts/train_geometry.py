#!/usr/bin/env python3
"""Train the networks that find depth, motion and moving things in two videos and choose among candidates. Run in this order:

  render    render scenes of animated models with exact geometry into a folder (and scenes of other models into a second one, for scores)
  depth     train the network that finds depth from plane-sweep costs
  motion    ... that corrects flow and finds the depth of what moves (needs depth)
  movers    ... that finds what moves in every known cell (needs depth and motion)
  fusion    ... that chooses among the candidates of each pixel (needs all others, scenes with whole grids, and the bundled model)
  export    write all four as one file

Stop any of them with Ctrl-C and run the same command to continue. Everything runs on one CPU core.

  python scripts/train_geometry.py render --models "glb/*.glb" --exclude Fox,Mage --env env --count 600 --whole-every 3 --output scenes
  python scripts/train_geometry.py depth --scenes scenes --run run
  python scripts/train_geometry.py export --run run --output fourreal_core/weights/fourreal-geometry.safetensors
"""

from __future__ import annotations

import argparse
import glob
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from terminal import pace, pixels, show

from fourreal_core.data.rendered.exact_files import render_folder
from fourreal_core.data.rendered.render import Renderer, RendererUnavailable
from fourreal_core.training.geometry.loop import GeometryPlan, GeometryState, Report
from fourreal_core.training.geometry.run import PLANS, export, train_network
from fourreal_core.training.interrupt import stop_on_signal

SHOWN = 50  # losses in the mean that is shown


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    try:
        arguments.command(arguments)
    except (ValueError, OSError, RendererUnavailable) as error:
        sys.exit(f"train_geometry.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to continue")


def render(arguments: argparse.Namespace) -> None:
    files, excluded = sorted(map(Path, glob.glob(arguments.models))), set(filter(None, arguments.exclude.split(",")))
    if unknown := excluded - {file.stem for file in files}:
        raise ValueError(f"--exclude names unknown models: {', '.join(sorted(unknown))}")
    models = [file for file in files if file.stem not in excluded]
    if not models:
        raise ValueError(f"found no .glb files at {arguments.models}")
    interrupted, started = stop_on_signal(), time.monotonic()

    def report(done: int, count: int) -> bool:
        show(f"{done}/{count} scenes  {(time.monotonic() - started) / done:.2f} s each")
        return interrupted.is_set()

    names = ("count", "seed", "views", "times", "whole_every")
    chosen = {name: getattr(arguments, name) for name in names}
    with Renderer(*arguments.size) as renderer:
        render_folder(arguments.output, models, arguments.env, renderer, **chosen, report=report)
    if interrupted.is_set():
        raise KeyboardInterrupt


def train(arguments: argparse.Namespace) -> None:
    chosen = {name: value for name in vars(GeometryPlan()) if (value := getattr(arguments, name, None)) is not None}
    interrupted = stop_on_signal()

    def reporter(plan: GeometryPlan) -> Report:
        started, done = time.monotonic(), 0

        def report(state: GeometryState) -> bool:
            nonlocal done
            done += 1
            seconds, recent = (time.monotonic() - started) / done, state.losses[-SHOWN:]
            reached = f"step {state.step}/{plan.steps}  loss {sum(recent) / len(recent):.4f}"
            show(f"{arguments.network} {reached}  {pace(seconds, plan.steps - state.step)}")
            return interrupted.is_set()

        return report

    given = {"chosen": chosen, "held_out": arguments.held_out, "others": arguments.networks}
    task = train_network(arguments.network, arguments.scenes, arguments.run, reporter, **given)
    if interrupted.is_set():
        raise KeyboardInterrupt
    print()
    for name, value in task.scores().items():
        print(f"{name}: {value:.3f}")


def write(arguments: argparse.Namespace) -> None:
    export(arguments.run, arguments.output, arguments.networks)
    print(f"wrote {arguments.output} ({arguments.output.stat().st_size / 2**20:.1f} MiB)")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("render", help="render scenes with exact geometry")
    part.add_argument("--models", required=True, help='pattern of .glb files, in quotes: "DIR/*.glb"; they take turns')
    part.add_argument("--exclude", default="", help="comma-separated names of models (without .glb) to leave out")
    part.add_argument("--env", type=Path, required=True, help="folder with .hdr panoramas and ground_*.jpg pictures")
    part.add_argument("--count", type=int, required=True, help="number of scenes")
    part.add_argument("--seed", type=int, default=0, help="seed of the first scene; the others count up from it")
    part.add_argument("--views", type=int, default=8)
    part.add_argument("--times", type=int, default=8)
    part.add_argument("--size", type=pixels, default=(72, 128), help="HEIGHTxWIDTH in pixels, both even")
    part.add_argument("--whole-every", type=int, default=3, help="render every Nth scene as a whole grid (0: none)")
    part.add_argument("--output", type=Path, required=True, help="folder for scene_<seed>.safetensors")
    part.set_defaults(command=render)
    for name, plan in PLANS.items():
        part = commands.add_parser(name, help=f"train the {name} network")
        part.add_argument("--scenes", type=Path, required=True, help="folder written by render")
        part.add_argument("--held-out", type=Path, help="another such folder, scored at the end")
        part.add_argument(
            "--run", type=Path, required=True, help="folder of the training run; the same for all networks"
        )
        part.add_argument(
            "--networks", type=Path, help="file of networks to start from, also used for networks that the run lacks"
        )
        for field in ("steps", "batch", "seed", "pool", "save_every"):
            option = f"--{field.replace('_', '-')}"
            part.add_argument(option, type=int, help=f"(default: {getattr(plan, field)})")
        part.add_argument("--learning-rate", type=float, help=f"(default: {plan.learning_rate})")
        part.add_argument("--precision", choices=("auto", "float32", "bfloat16"), help="(default: auto)")
        part.set_defaults(command=train, network=name)
    part = commands.add_parser("export", help="write all four networks as one file")
    part.add_argument("--run", type=Path, required=True)
    part.add_argument("--networks", type=Path, help="file of networks to use where the run has none")
    part.add_argument("--output", type=Path, required=True)
    part.set_defaults(command=write)
    return parser.parse_args()


if __name__ == "__main__":
    main()
