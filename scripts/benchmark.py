#!/usr/bin/env python3
"""PSNR over unknown cells and seconds per grid of every way to fill a grid, on rendered grids (scripts/render.py)."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from fourreal_core import baselines
from fourreal_core.benchmark import hide, matrix_peak, measure
from fourreal_core.data.shards import read_shard
from fourreal_core.model.weights import load_model
from fourreal_core.sampling import sample_grid
from fourreal_core.transport import transport_fill


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    truths = [(shard.about[index]["model"], shard.grid(index)) for shard in map(read_shard, sorted(arguments.shards.glob("*.safetensors"))) for index in range(len(shard))]
    truths = truths[: arguments.count]
    print(f"{len(truths)} grids {tuple(truths[0][1].frames.shape)}: {', '.join(name for name, _ in truths)}")
    print(f"{'method':34s} {'all dB':>8s} {'moving':>8s}   {'held out':>8s} {'moving':>8s}   {'s/grid':>7s}")
    for name, fill in methods(arguments).items():
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        rows = [measure(fill, truth) for _, truth in truths]
        held_out = [row for row, (model, _) in zip(rows, truths) if model in arguments.held_out]
        mean = lambda part, key: sum(row[key] for row in part) / max(1, len(part))
        print(f"{name:34s} {mean(rows, 'all'):8.2f} {mean(rows, 'moving'):8.2f}   {mean(held_out, 'all'):8.2f} {mean(held_out, 'moving'):8.2f}   {mean(rows, 'seconds'):7.2f}", flush=True)


def methods(arguments: argparse.Namespace) -> dict:
    fills = {
        "copy x[v,0]": baselines.copy_fill,
        "additive": baselines.additive_fill,
        "transport": lambda grid: transport_fill(grid)[0],
    }
    for path in arguments.model or [None]:
        model = load_model(path)
        label = Path(path).stem if path else "model"
        sample = lambda grid, model=model, **options: sample_grid(model, grid, seed=arguments.seed, **options)
        for kind in model.sync_kinds:
            fills[f"{label} {kind}, 1 step"] = lambda grid, s=sample, k=kind: s(grid, sync=k, steps=1)
            fills[f"{label} {kind}, {arguments.steps} steps"] = lambda grid, s=sample, k=kind: s(grid, sync=k, steps=arguments.steps)
        fills[f"{label} soft from transport at 0.5"] = lambda grid, s=sample: s(grid, sync="soft", steps=arguments.steps // 2, denoise=0.5)
    return fills


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="folder of rendered grids")
    parser.add_argument("--held-out", type=lambda text: text.split(","), default=[], help="names of models never trained on")
    parser.add_argument("--model", nargs="*", help="checkpoints (default: the bundled one)")
    parser.add_argument("--only", nargs="*", help="only methods whose name contains one of these words")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=None, help="only the first so many grids")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
