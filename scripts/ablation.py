#!/usr/bin/env python3
"""Measures every way to fill a grid on the same rendered grids (from scripts/render.py) and writes tables and pictures.

    python scripts/ablation.py --shards data/test --held-out kaykit_Mage,quaternius_Fox --report docs/results
    python scripts/ablation.py --table

Results are saved as they come: stop at any time and run the same command to continue. Delete the results file after
changing the code; another checkpoint is measured again by itself.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from fourreal_core.data.shards import iterate_grids
from fourreal_core.evaluation.compare import Results, Trial, large_trials, missing, run, trials
from fourreal_core.evaluation.report import tables, write_figures, write_sheets
from fourreal_core.grid import FrameGrid
from fourreal_core.model.weights import load_model

FIGURE_GRIDS = 4  # enough for distances between streams, which hardly differ from grid to grid


def main() -> None:
    arguments = parse()
    try:
        measure_and_show(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"ablation.py: {error}")


def measure_and_show(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    results = Results(arguments.results)
    model = load_model(arguments.model, device=arguments.device)
    if arguments.table:
        print(tables(of_model(results, model)), end="")
        return
    for kind in missing(model):
        print(f"left out: {kind}, for which this checkpoint has no trained layers")
    truths, large = grids(arguments.shards, arguments), grids(arguments.large, arguments)
    todo = wanted(trials(model, arguments.steps, arguments.seeds), arguments)
    for part in (run(todo, truths, model.checkpoint_hash, results),
                 run(wanted(large_trials(model, arguments.seeds), arguments), large, model.checkpoint_hash, results)):  # fmt: skip
        for record in part:
            numbers = f"{record['all']:6.2f} {record['moving']:6.2f} {record['ssim']:.4f} {record['seconds']:6.1f} s"
            print(
                f"{record['condition']:32} {record['variant']:22} {record['steps']:3} {record['seed']:2} {numbers}  {record['grid']}",
                flush=True,
            )
    if arguments.report:
        arguments.report.mkdir(parents=True, exist_ok=True)
        text = f"# Tables\n\nMade by `scripts/ablation.py` with checkpoint {model.checkpoint_hash}.\n\n{tables(of_model(results, model))}"
        (arguments.report / "tables.md").write_text(text, encoding="utf-8")
        write_figures(arguments.report, model, truths[:FIGURE_GRIDS], of_model(results, model))
        write_sheets(arguments.report, model, truths, arguments.seeds[0])


def grids(folder: Path | None, arguments: argparse.Namespace) -> list[FrameGrid]:
    """The first grids of a folder, of the held-out models if some are named."""
    found = iterate_grids(folder) if folder else iter(())
    held_out = (grid for grid in found if not arguments.held_out or grid.provenance.get("model") in arguments.held_out)
    chosen = list(islice(held_out, arguments.count))
    if folder and not chosen:
        raise ValueError(f"found no grids of {', '.join(arguments.held_out)} in {folder}: check --held-out and --count")
    return chosen


def wanted(todo, arguments: argparse.Namespace) -> list[Trial]:
    return [
        trial for trial in todo if not arguments.variants or any(word in trial.variant for word in arguments.variants)
    ]


def of_model(results: Results, model) -> list[dict]:
    return [record for record in results.records if record["model"] in ("none", model.checkpoint_hash)]


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shards", type=Path, help="folder of rendered grids of the size that the model was trained on"
    )
    parser.add_argument("--large", type=Path, help="folder of larger grids, such as 15 x 15")
    parser.add_argument(
        "--held-out", type=lambda text: text.split(","), default=[], help="only grids of these models, comma-separated"
    )
    parser.add_argument("--model", type=Path, help="checkpoint (default: the bundled one)")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("output/ablation.jsonl"),
        help="file that keeps the results (default: %(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="folder for tables and pictures, written when everything is measured"
    )
    parser.add_argument("--table", action="store_true", help="only print the tables of what has been measured")
    parser.add_argument(
        "--steps", type=numbers, default=[1, 4, 8, 16, 32], help="comma-separated (default: 1,4,8,16,32)"
    )
    parser.add_argument("--seeds", type=numbers, default=[0, 1], help="noise seeds, comma-separated (default: 0,1)")
    parser.add_argument(
        "--variants", nargs="*", metavar="WORD", help="only variants whose name contains one of these words"
    )
    parser.add_argument("--count", type=int, help="only the first N grids of each folder")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", help="device for the model, such as cuda (default: cpu)")
    arguments = parser.parse_args()
    if not (arguments.table or arguments.shards):
        parser.error("pass --shards (a folder of rendered grids) or --table")
    return arguments


if __name__ == "__main__":
    main()
