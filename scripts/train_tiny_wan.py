#!/usr/bin/env python3
"""Trains a tiny video model of ComfyUI's own Wan classes on rendered grids, to measure what Two-Stream's modes do to a model that works.

  train     the model: image to video and inpainting, clips along time and along the camera's way, linear latents of 64 x 32 pixels
  sync      synchronization layers for it, by this project's own training
  compare   every mode of two streams on held-out grids, with and without warp conditioning and guided steps

    python scripts/train_geometry.py render --models "glb/*.glb" --exclude Fox,Mage --env env --count 600 --output scenes
    python scripts/train_tiny_wan.py train --scenes scenes --held-out held_out --run run
    python scripts/train_tiny_wan.py sync --scenes scenes --run run
    python scripts/train_tiny_wan.py compare --held-out held_out --run run

Stop any of them with Ctrl-C and run the same command to continue. On one CPU core about 25 minutes, 5 minutes, and 3 minutes per grid.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from environment import PACK, enter_or_stop
from terminal import pace, show

sys.path.insert(0, str(PACK))


def main() -> None:
    arguments = parse()
    environment = enter_or_stop()
    sys.argv = [sys.argv[0], "--cpu", "--use-pytorch-cross-attention"]
    sys.path.insert(0, str(environment.comfyui))
    import comfy.options
    import torch

    comfy.options.enable_args_parsing(True)
    torch.set_num_threads(1)
    try:
        arguments.command(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"train_tiny_wan.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to continue")


def train(arguments: argparse.Namespace) -> None:
    import comfy.model_management
    from tiny_wan.clips import read_clips
    from tiny_wan.learning import Plan, held_out_error, stored_latents
    from tiny_wan.learning import train as run
    from tiny_wan.network import save_model

    from fourreal_core.data.rendered.exact_files import exact_files
    from fourreal_core.training.interrupt import stop_on_signal

    arguments.run.mkdir(parents=True, exist_ok=True)
    comfy.model_management.in_training = True  # ComfyUI's functions that have a gradient
    clips, held_out = (read_clips(exact_files(folder)) for folder in (arguments.scenes, arguments.held_out))
    plan, interrupted, started, done = Plan(steps=arguments.steps), stop_on_signal(), time.monotonic(), 0
    latents = stored_latents(clips, arguments.run)

    def report(step: int, losses: list[float], network, ema) -> bool:
        nonlocal done
        done += 1
        if step % 10 == 0:
            recent = losses[-50:]
            seconds = (time.monotonic() - started) / done
            show(f"step {step}/{plan.steps}  loss {sum(recent) / len(recent):.4f}  {pace(seconds, plan.steps - step)}")
        if step % plan.save_every == 0 or step == plan.steps:
            save_model(ema, arguments.run / "tiny_wan.safetensors")
            own = {name: weight.clone() for name, weight in network.state_dict().items()}
            network.load_state_dict(ema)
            print(f"step {step}  held-out error {held_out_error(network, latents, held_out):.4f}", flush=True)
            network.load_state_dict(own)
        return interrupted.is_set()

    run(plan, clips, arguments.run, report)


def sync(arguments: argparse.Namespace) -> None:
    import comfy.model_management
    from tiny_wan.streams import train_sync

    signal.signal(signal.SIGINT, lambda *_: comfy.model_management.interrupt_current_processing())
    files = whole_grids(arguments.scenes)
    try:
        print(
            train_sync(*trained(arguments.run), files, arguments.run / "sync", arguments.steps, arguments.learning_rate)
        )
    except comfy.model_management.InterruptProcessingException:
        raise KeyboardInterrupt from None


def compare(arguments: argparse.Namespace) -> None:
    from pack import part
    from tiny_wan.streams import LAYERS, table
    from tiny_wan.streams import compare as run

    from fourreal_core.files.records import read_records
    from fourreal_core.training.interrupt import stop_on_signal

    interrupted, folder = stop_on_signal(), arguments.run / "compare"
    file = arguments.run / "sync" / "models" / f"{LAYERS}.safetensors"
    layers = part("host.load").load_sync_patcher(str(file), file.name, disable_dynamic=True) if file.exists() else None

    def report(name: str, record: dict) -> bool:
        print(
            f"{name}  {record['sync']:12}{record['aid']:14}{record['all']:.2f} dB  moving {record['moving']:.2f}",
            flush=True,
        )
        return interrupted.is_set()

    files = whole_grids(arguments.held_out)[: arguments.count]
    run(*trained(arguments.run), layers, files, folder, report)
    if interrupted.is_set():
        raise KeyboardInterrupt
    print(table(read_records(folder / "compare.jsonl")))


def trained(folder: Path):
    """(MODEL, latents) of a run."""
    import torch
    from tiny_wan.network import load_model
    from tiny_wan.pixels import PixelLatents

    return load_model(folder / "tiny_wan.safetensors"), PixelLatents(
        **torch.load(folder / "latents.pt", weights_only=True)
    )


def whole_grids(folder: Path) -> list[Path]:
    from fourreal_core.data.rendered.exact_files import exact_files, is_whole

    return [file for file in exact_files(folder) if is_whole(file)]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("train", help="train the video model")
    part.add_argument("--scenes", type=Path, required=True, help="folder written by train_geometry.py render")
    part.add_argument("--held-out", type=Path, required=True, help="another such folder, of other models")
    part.add_argument("--run", type=Path, required=True, help="folder of the run")
    part.add_argument("--steps", type=int, default=2900)
    part.set_defaults(command=train)
    part = commands.add_parser("sync", help="train synchronization layers for it")
    part.add_argument("--scenes", type=Path, required=True, help="the same folder")
    part.add_argument("--run", type=Path, required=True, help="folder of the run")
    part.add_argument("--steps", type=int, default=300)
    part.add_argument("--learning-rate", type=float, default=1e-3)
    part.set_defaults(command=sync)
    part = commands.add_parser("compare", help="measure every mode")
    part.add_argument("--held-out", type=Path, required=True, help="folder of held-out scenes")
    part.add_argument("--run", type=Path, required=True, help="folder of the run")
    part.add_argument("--count", type=int, help="grids (default: all whole ones)")
    part.set_defaults(command=compare)
    return parser.parse_args()


if __name__ == "__main__":
    main()
