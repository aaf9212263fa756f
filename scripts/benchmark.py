#!/usr/bin/env python3
"""Measures quality and speed of every way to fill a grid, on rendered grids (from scripts/render.py).

Prints PSNR in dB over the unknown cells, all pixels and moving pixels, and SSIM, averaged over all grids
and over those whose main model was never trained on; then the seconds per grid, and for a model its arithmetic rate compared
with this machine's peak in matrix products.
"""

import argparse
import sys
from functools import partial
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from fourreal_core.data.shards import iterate_grids
from fourreal_core.evaluation import baselines
from fourreal_core.evaluation.measure import Score, matrix_peak, measure, model_flops
from fourreal_core.grid import FrameGrid
from fourreal_core.model.weights import load_model
from fourreal_core.sampling.sample import sample_grid
from fourreal_core.transport import transport_fill


def main() -> None:
    arguments = parse()
    try:
        run(arguments)
    except ValueError as error:
        sys.exit(f"benchmark.py: {error}")


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    truths = list(islice(iterate_grids(arguments.shards), arguments.count))
    names = [truth.provenance["model"] for truth in truths]
    held_out = [index for index, name in enumerate(names) if name in arguments.held_out]
    print(f"{len(truths)} grids {tuple(truths[0].frames.shape)} with {', '.join(names)}; {len(held_out)} held out")
    numbers = f"{'all':>7} {'moving':>7} {'SSIM':>7}"
    print(f"{'':34} {numbers} | {numbers} | {'s/grid':>7}")
    for name, fill in methods(arguments).items():
        if not arguments.only or any(word in name for word in arguments.only):
            scores = [measure(fill, truth) for truth in truths]
            whole, unseen = Score.mean(scores), Score.mean([scores[index] for index in held_out])
            cells = " | ".join(f"{part.all:7.2f} {part.moving:7.2f} {part.ssim:7.4f}" for part in (whole, unseen))
            print(f"{name:34} {cells} | {whole.seconds:7.2f}", flush=True)
    report_speed(arguments, truths[0])


def methods(arguments: argparse.Namespace) -> dict:
    fills = {
        "copy x[v,0]": baselines.copy_fill,
        "copy x[0,t]": baselines.copy_time_fill,
        "additive": baselines.additive_fill,
        "transport": lambda grid: transport_fill(grid)[0],
    }
    for path in arguments.model:
        model = load_model(path)
        sample = partial(sample_grid, model, seed=arguments.seed)
        label = path.stem if path else "bundled"
        for kind in model.sync_kinds:
            for steps in (1, arguments.steps):
                fills[f"{label}, {kind}, {steps} steps"] = partial(sample, sync=kind, steps=steps)
        refine = {"sync": model.best_sync, "denoise": 0.5, "steps": max(1, arguments.steps // 2)}
        fills[f"{label}, {refine['sync']}, from transport"] = partial(sample, **refine)
    return fills


def report_speed(arguments: argparse.Namespace, truth: FrameGrid) -> None:
    model = load_model(arguments.model[0])
    flops, seconds = model_flops(model, truth)
    dtype = next(model.parameters()).dtype
    peak = matrix_peak(dtype)
    print(f"one step: {seconds:.2f} s, {flops / 1e9:.0f} GFLOP in {dtype}, {flops / seconds / 1e9:.0f} GFLOP/s")
    print(f"matrix peak beside it: {peak / 1e9:.0f} GFLOP/s, so {flops / seconds / peak:.0%} of it")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder of rendered grids")
    parser.add_argument(
        "--held-out",
        type=lambda text: text.split(","),
        default=[],
        help="names of models never trained on, comma-separated",
    )
    parser.add_argument("--model", type=Path, nargs="+", default=[None], help="checkpoints (default: the bundled one)")
    parser.add_argument("--only", nargs="*", help="only methods whose name contains one of these words")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="only the first N grids")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
