"""`fourreal evaluate`: a folder of grids, and the true ones if there are any, to tables, plots, sheets and a page that opens without a network."""

from __future__ import annotations

import argparse
import importlib.util
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from ..batch.spread import Cluster, add_cluster_options, cluster_of, spread
from ..evaluation.agreement.measure import measure_agreement
from ..evaluation.agreement.splat_fit import splat_fit
from ..evaluation.collection import SUFFIX, find_grids
from ..evaluation.heat import heat, heat_plot, heat_sheet
from ..evaluation.kept import EVALUATED, KeptStudy, digest_of
from ..evaluation.learned.frechet import set_distance
from ..evaluation.learned.i3d import grid_features, load_i3d
from ..evaluation.learned.videoscore import load_videoscore, video_score
from ..evaluation.learned.walks import ORDERS
from ..evaluation.measure import hide
from ..evaluation.measured import Measured
from ..evaluation.page import published_part, tables, write_page
from ..evaluation.reference import measure_reference
from ..evaluation.study import TRUTH, Study, grids_by_way
from ..evaluation.ways import STEPS, Fill, ShippedWays
from ..files.lock import held_alone
from ..files.marked_part import write_part
from ..geometry.scene import SceneUnknown
from ..grid import FrameGrid
from ..grid_file import load_grid, save_grid
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
    parser.add_argument(
        "--truths",
        type=Path,
        help="folder of the true grids, under the same names; with --fill also of grids with unknown cells, which have no truth",
    )
    parser.add_argument(
        "--fill",
        nargs="*",
        metavar="WAY",
        help="fill the truths with every fill and synchronization that ships, or with these, and measure that",
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=list(STEPS),
        help="with --fill: how many steps the model takes (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluation"),
        help="folder of the results (default: %(default)s); what it holds already is neither filled nor measured again",
    )
    parser.add_argument("--count", type=int, help="only the first N truths")
    parser.add_argument("--write", type=Path, metavar="FILE", help="document whose tables are replaced")
    parser.add_argument("--part", default=PART, help="name of our part of that document (default: %(default)s)")
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
    add_cluster_options(parser, gpus=False)


def run(arguments: argparse.Namespace) -> None:
    """Measures and writes. Raises ValueError for what is missing or does not fit."""
    if arguments.grids is None and arguments.fill is None:
        raise ValueError("name a folder of grids, or --fill with --truths.")
    if arguments.fill is not None and arguments.truths is None:
        raise ValueError("expected --truths, a folder of whole grids, beside --fill.")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    taken = f"another evaluation is writing to {arguments.output}: wait for it, or choose another --output"
    with held_alone(arguments.output / ".lock", taken):
        _evaluate(arguments)


def _evaluate(arguments: argparse.Namespace) -> None:
    kept, study, cluster = KeptStudy(arguments.output), Study(), cluster_of(arguments)
    if cluster is not None:
        _measure_ahead(arguments, kept, cluster)
    features = None if arguments.i3d is None else load_i3d(arguments.i3d)
    truths = {} if arguments.truths is None else dict(find_grids(arguments.truths, arguments.count))
    wholes = {name: truth for name, truth in truths.items() if truth.known.all()}
    by_way: dict[str, list[np.ndarray]] = {}
    for way, name, grid in _measure(arguments, kept, study, truths):
        if features is not None:
            by_way.setdefault(way, []).append(grid_features([grid], features, arguments.order))
        print(f"{name}: {way}", flush=True)
    if features is not None:
        study.sets = _distances(by_way, list(wholes.values()), features, arguments.order)
    kept.write(sets=study.sets, weights=study.weights)
    page = write_page(kept, study)
    if arguments.write:
        write_part(arguments.write, arguments.part, tables(study))
        if arguments.part == PART:
            write_part(arguments.write, THEIRS, published_part())
    print(f"\n{tables(study)}\n{page}")


def _measure_ahead(arguments: argparse.Namespace, kept: KeptStudy, cluster: Cluster) -> None:
    """Fill and measure on a cluster, a grid's name per job, so that all is kept when its turn comes here."""
    names = [name for name, _ in find_grids(arguments.truths, arguments.count)] if arguments.truths else []
    names += [name for _, name, _ in grids_by_way(arguments.grids)] if arguments.grids else []
    names = list(dict.fromkeys(names))
    paths = {name: path.resolve() for name, path in vars(arguments).items() if isinstance(path, Path)}
    arguments = argparse.Namespace(**vars(arguments) | paths)  # workers have another working folder
    for done, (name, found) in enumerate(spread(partial(_measured_alone, arguments), names, cluster), 1):
        if isinstance(found, Exception):
            raise found
        kept.join(found)
        print(f"{done}/{len(names)} {name}", flush=True)


def _measured_alone(arguments: argparse.Namespace, name: str) -> dict[str, dict]:
    """Everything asked of the grids of one name, as `KeptStudy.found` has it; fills and pictures lie in the output folder."""
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    kept = KeptStudy(arguments.output, alone=False)
    truths = {} if arguments.truths is None else dict(find_grids(arguments.truths, arguments.count, only=name))
    deque(_measure(arguments, kept, Study(), truths, only=name), maxlen=0)
    return kept.found(name)


def _measure(
    arguments: argparse.Namespace, kept: KeptStudy, study: Study, truths: dict[str, FrameGrid], only: str | None = None
) -> Iterator[tuple[str, str, FrameGrid]]:
    """(way, name, grid) of every grid, once it is filled and its numbers are in `study` and kept."""
    extras = _extras(arguments)
    for way, name, grid in _grids(arguments, truths, study, only):
        truth = truths[name] if name in truths and truths[name].known.all() else None
        study.add(name, way, _kept_or_measured(kept, way, name, grid, truth, extras, _words(arguments)))
        yield way, name, grid


def _words(arguments: argparse.Namespace) -> str:
    """What else decides what is measured in a grid."""
    flip = importlib.util.find_spec("flip_evaluator") is not None
    return f"{flip} {arguments.splats} {arguments.videoscore} {arguments.prompt} {arguments.order}"


def _kept_or_measured(kept: KeptStudy, way: str, name: str, grid: FrameGrid, truth: FrameGrid | None, extras, words):
    """The grid's numbers, measured and kept with its pictures unless they are at hand."""
    digest = digest_of(grid, truth, words)
    numbers = kept.numbers(name, way, digest)
    if numbers is None:
        numbers = _numbers(way, grid, truth, extras)
        kept.keep_pictures(name, way, heat_sheet(grid, heat(grid, numbers), SHEET_SIDE), heat_plot(numbers))
        kept.keep(name, way, digest, numbers)
    return numbers


def _grids(
    arguments: argparse.Namespace, truths: dict[str, FrameGrid], study: Study, only: str | None = None
) -> Iterator[tuple[str, str, FrameGrid]]:
    """(way, name, grid): the truths themselves, grids from files, and those that are filled here, which are kept as files as well."""
    yield from ((TRUTH, name, truth) for name, truth in truths.items() if truth.known.all())
    if arguments.grids is not None:
        yield from grids_by_way(arguments.grids, only)
    if arguments.fill is None:
        return
    shipped = ShippedWays(load_model(), arguments.steps)
    unknown = set(arguments.fill) - set(shipped.fills)
    if unknown:
        raise ValueError(f"expected ways among {', '.join(shipped.fills)}, got {', '.join(sorted(unknown))}.")
    study.weights = shipped.weights()
    for name, truth in truths.items():
        task = hide(truth) if truth.known.all() else truth
        for way in arguments.fill or shipped.fills:
            file = arguments.output / "grids" / way.replace(" ", "_") / f"{name}{SUFFIX}"
            facts = {"way": way, "task": digest_of(task), "weights": study.weights}
            try:
                yield way, name, _kept_or_filled(file, shipped.fills[way], task, facts)
            except SceneUnknown as reason:  # such as cameras that cannot be found: the other ways go on
                study.unfilled.append(f"{way} on {name}: {reason}")
                print(study.unfilled[-1], flush=True)


def _kept_or_filled(file: Path, fill: Fill, task: FrameGrid, facts: dict) -> FrameGrid:
    """The grid in the file if it was filled from this task with these weights; else filled, in 8 bits, and kept."""
    if file.is_file():
        kept = load_grid(file)
        if kept.provenance.get(EVALUATED) == facts:
            return kept
    filled = fill(task)
    filled = filled.filled((filled.frames * 255).round() / 255)
    filled = filled.replace(provenance={**filled.provenance, EVALUATED: facts})
    file.parent.mkdir(parents=True, exist_ok=True)
    save_grid(filled, file)
    return filled


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
    return {way: str(set_distance(np.concatenate(found), true)) for way, found in by_way.items() if way != TRUTH}
