#!/usr/bin/env python3
"""Measures what two streams cost on ComfyUI's video models: seconds per step and memory, compared with ComfyUI alone on V + T videos.

Random weights, no files: `--model wan-1.3b` has the shape of Wan 2.1 1.3B at 832 x 480 and needs a GPU; the others are small. In
each round ComfyUI runs V videos of T frames and T videos of V, then each kind runs the same grid; ratios are medians over rounds.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from environment import enter_or_stop
from host_models import SHAPES, Shape, random_model
from pack import part


def main() -> None:
    arguments = parse()
    environment = enter_or_stop()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    sys.argv = [sys.argv[0], *(["--cpu", "--use-pytorch-cross-attention"] if device == "cpu" else [])]
    sys.path.insert(0, str(environment.comfyui))
    import comfy.options

    comfy.options.enable_args_parsing(True)
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        run(arguments, device)


def run(arguments: argparse.Namespace, device: str) -> None:
    import torch

    shape, dtype = (
        SHAPES[arguments.model],
        getattr(torch, arguments.dtype or ("bfloat16" if device == "cuda" else "float32")),
    )
    model, patch = random_model(shape, device, dtype), patched_by_the_pack()
    grid = (arguments.views, arguments.times)
    print(
        f"{arguments.model}, {dtype}, {device}, {grid[0]} views x {grid[1]} times, {shape.tokens} tokens per frame",
        flush=True,
    )
    kinds = [kind for kind in ("hard", "sequential", "fused") if kind != "fused" or arguments.model.startswith("wan")]
    runs: dict[str, Callable[[], None]] = {
        "host": lambda: [step(model, shape, videos, arguments.steps) for videos in (grid, grid[::-1])]
    }
    for kind in kinds:
        runs[kind] = functools.partial(step, patch(model, kind), shape, grid, arguments.steps)
    seconds, memory = {name: [] for name in runs}, {}
    for round_number in range(arguments.rounds + 1):  # the first one loads and warms up
        for name, call in runs.items():
            taken, memory[name] = measured(call, device)
            seconds[name] += [taken / arguments.steps] * (round_number > 0)
    for name, taken in seconds.items():
        ratio = statistics.median(ours / host for ours, host in zip(taken, seconds["host"]))
        used = f"{memory[name] / 2**30:8.2f} GiB" if memory[name] else ""
        print(f"{name:12}{statistics.median(taken):9.3f} s per step {ratio:8.2f} of ComfyUI alone {used}", flush=True)


def patched_by_the_pack() -> Callable[[Any, str], Any]:
    """4Real Two-Stream as a function of a MODEL and a kind."""
    module, plan = (part(f"host.two_stream.{name}") for name in ("patch", "plan"))
    return lambda model, kind: module.patch_two_streams(model, plan.TwoStreamPlan(kind))


def step(model: Any, shape: Shape, videos: tuple[int, int], steps: int) -> None:
    """The host samples this many videos of this many frames, guidance 1."""
    import comfy.sample
    import torch

    noise = torch.randn(videos[0], shape.channels, videos[1], shape.height, shape.width)
    values = {name: torch.randn(1, width) for name, width in shape.values.items()}
    mask = {"attention_mask": torch.ones(1, shape.text[0], dtype=torch.long)} if shape.masked else {}
    prompt = [[torch.randn(1, *shape.text), {**values, **mask}]]
    start = torch.zeros_like(noise)
    out = comfy.sample.sample(
        model, noise, steps, 1.0, "euler", "simple", prompt, prompt, start, disable_pbar=True, seed=0
    )
    assert torch.isfinite(out).all(), "expected finite latents"


def measured(call: Callable[[], None], device: str) -> tuple[float, int]:
    """(seconds, peak GPU memory in bytes or 0)"""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() if device == "cuda" else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SHAPES), default="wan")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2, help="sampling steps per measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind, alternating")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], help="default: bfloat16 on a GPU, else float32"
    )
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
