"""`fourreal evaluate`: a folder of grids, and the true ones if there are any, to tables, plots, sheets and a page that opens without a network."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import torch

from ..evaluation.agreement.measure import measure_agreement
from ..evaluation.agreement.splat_fit import splat_fit
from ..evaluation.collection import find_grids
from ..evaluation.heat import heat, heat_plot, heat_sheet
from ..evaluation.learned.frechet import set_distance
from ..evaluation.learned.i3d import grid_features, load_i3d
from ..evaluation.learned.videoscore import load_videoscore, video_score
from ..evaluation.learned.walks import ORDERS
from ..evaluation.measure import hide
from ..evaluation.measured import Measured
from ..evaluation.page import published_part, tables, write_study
from ..evaluation.reference import measure_reference
from ..evaluation.study import TRUTH, Study, grids_by_way
from ..evaluation.ways import shipped_fills
from ..files.marked_part import write_part
from ..grid import FrameGrid
from ..grid_file import save_grid
from ..model.weights import load_model

SHEET_SIDE = 1000  # pixels
PART, THEIRS = "fills measured", "as published"
Extra = Callable[[FrameGrid], dict[str, Measured]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "grids",
        type=Path,
        nargs="?",
        help="folder of grids (*.grid.safetensors), or of folders of them, one per way to make them",
    )
    parser.add_argument("--truths", type=Path, help="folder of the true grids, under the same names")
    parser.add_argument(
        "--fill",
        nargs="*",
        metavar="WAY",
        help="fill the truths with every fill and synchronization that ships, or with these, and measure that",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("evaluation"), help="folder of the results (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, help="only the first N truths")
    parser.add_argument("--write", type=Path, metavar="FILE", help="document whose tables are replaced")
    parser.add_argument(
        "--splats", action="store_true", help="also fit splats and score held-out cells: minutes per grid"
    )
    parser.add_argument(
        "--i3d",
        type=Path,
        metavar="FILE",
        help="I3D weights, for FVD or KVD to the truths; a TorchScript file runs as code",
    )
    parser.add_argument(
        "--order",
        choices=ORDERS,
        default="snake",
        help="how videos walk through a grid for I3D and VideoScore (default: %(default)s)",
    )
    parser.add_argument("--videoscore", type=Path, metavar="FOLDER", help="local folder of TIGER-Lab/VideoScore")
    parser.add_argument("--prompt", default="", help="what the grids show, for VideoScore")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())


def run(arguments: argparse.Namespace) -> None:
    """Measures and writes. Raises ValueError for what is missing or does not fit."""
    if arguments.grids is None and arguments.fill is None:
        raise ValueError("name a folder of grids, or --fill with --truths.")
    if arguments.fill is not None and arguments.truths is None:
        raise ValueError("expected --truths, a folder of whole grids, beside --fill.")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    extras = _extras(arguments)
    features = None if arguments.i3d is None else load_i3d(arguments.i3d)
    truths = {} if arguments.truths is None else dict(find_grids(arguments.truths, arguments.count))
    study, pictures, by_way = Study(), {}, {}
    for way, name, grid in _grids(arguments, truths, study.unfilled):
        numbers = _numbers(way, grid, truths.get(name), extras)
        found = heat(grid, numbers)
        pictures[name, way] = heat_sheet(grid, found, SHEET_SIDE), heat_plot(numbers)
        study.add(name, way, numbers)
        if features is not None:
            by_way.setdefault(way, []).append(grid_features([grid], features, arguments.order))
        print(f"{name}: {way}", flush=True)
        write_study(arguments.output, study, pictures)
    if features is not None:
        study.sets = _distances(by_way, list(truths.values()), features, arguments.order)
    page = write_study(arguments.output, study, pictures)
    if arguments.write:
        write_part(arguments.write, PART, tables(study))
        write_part(arguments.write, THEIRS, published_part())
    print(f"\n{tables(study)}\n{page}")


def _grids(
    arguments: argparse.Namespace, truths: dict[str, FrameGrid], unfilled: list[str]
) -> Iterator[tuple[str, str, FrameGrid]]:
    """(way, name, grid): the truths themselves, grids from files, and those that are filled here, which are kept as files as well."""
    yield from ((TRUTH, name, truth) for name, truth in truths.items())
    if arguments.grids is not None:
        yield from grids_by_way(arguments.grids)
    if arguments.fill is None:
        return
    fills = shipped_fills(load_model())
    unknown = set(arguments.fill) - set(fills)
    if unknown:
        raise ValueError(f"expected ways among {', '.join(fills)}, got {', '.join(sorted(unknown))}.")
    for way in arguments.fill or fills:
        for name, truth in truths.items():
            folder = arguments.output / "grids" / way.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            try:
                filled = fills[way](hide(truth))
            except ValueError as reason:  # such as cameras that cannot be found: the other ways go on
                unfilled.append(f"{way} on {name}: {reason}")
                print(unfilled[-1], flush=True)
                continue
            save_grid(filled, folder / f"{name}.grid.safetensors")
            yield way, name, filled


def _numbers(way: str, grid: FrameGrid, truth: FrameGrid | None, extras: list[Extra]) -> dict[str, Measured]:
    numbers = measure_agreement(grid)
    if truth is not None and way != TRUTH:
        numbers |= measure_reference(grid, truth)
    for extra in extras:
        numbers |= extra(grid)
    return numbers


def _extras(arguments: argparse.Namespace) -> list[Extra]:
    """What is measured beside agreement and closeness."""
    extras: list[Extra] = []
    if arguments.splats:
        extras.append(lambda grid: {"splat_fit": splat_fit(grid)})
    if arguments.videoscore is not None:
        if not arguments.prompt.strip():
            raise ValueError("expected --prompt beside --videoscore: VideoScore judges how well a video fits its text.")
        network, processor = load_videoscore(arguments.videoscore)
        extras.append(lambda grid: video_score(grid, network, processor, arguments.prompt, arguments.order))
    return extras


def _distances(by_way: dict, truths: list[FrameGrid], features, order: str) -> dict[str, str]:
    """Way -> the distance of its walks' features from the truths'."""
    if not truths:
        raise ValueError("expected --truths beside --i3d: FVD compares two sets of grids.")
    true = grid_features(truths, features, order)
    return {
        way: str(set_distance(torch.cat([torch.from_numpy(each) for each in found]).numpy(), true))
        for way, found in by_way.items()
        if way != TRUTH
    }
