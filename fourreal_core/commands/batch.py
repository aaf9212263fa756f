"""`fourreal batch`: many pairs of videos through one workflow, on this machine or on a Ray cluster, to a folder of results and a page."""

from __future__ import annotations

import json
import os
import shlex
import time
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import Any

from ..batch.page import write_page
from ..batch.run_shot import Plan, facts_of, run_shot, stop_server
from ..batch.server import HostNotStarted
from ..batch.shots import Shot, find_shots
from ..batch.spread import add_cluster_options, cluster_of, spread
from ..files.lock import held_alone

PACK = Path(__file__).resolve().parents[2]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "shots",
        type=Path,
        help="folder of pairs, named like walk_fixed_view.mp4 and walk_freeze_time.mp4 or walk/fixed_view.mp4 and walk/freeze_time.mp4, or a CSV "
        "file with the columns fixed_view, freeze_time and, if wanted, name and settings such as FourRealSampler.seed",
    )
    parser.add_argument(
        "--workflow", type=Path, required=True, help="workflow file, as the editor saves or exports it (API)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("batch"),
        help="folder of the results (default: %(default)s); shots that it holds already are not run again",
    )
    parser.add_argument(
        "--comfyui",
        type=Path,
        help="folder of ComfyUI's main.py, with this pack among its custom nodes (default: COMFYUI_PATH, or the ComfyUI that the pack lies in)",
    )
    parser.add_argument(
        "--options", default="", metavar="WORDS", help='options of ComfyUI, in quotes: --options="--lowvram"'
    )
    parser.add_argument("--no-scores", action="store_true", help="do not measure the grids that the workflow saves")
    add_cluster_options(parser)


def run(arguments: Namespace) -> None:
    """Runs what has not been run. Raises ValueError for what is missing or does not fit, and where a shot failed."""
    shots, cluster = find_shots(arguments.shots.resolve()), cluster_of(arguments)
    plan = Plan(
        _workflow(arguments.workflow),
        _comfyui(arguments.comfyui),
        arguments.output.resolve(),
        tuple(shlex.split(arguments.options)),
        not arguments.no_scores,
    )
    plan.output.mkdir(parents=True, exist_ok=True)
    taken = f"another batch is writing to {arguments.output}: wait for it, or choose another --output"
    with held_alone(plan.output / ".lock", taken):
        problems = _run(shots, plan, cluster)
    if problems:
        raise ValueError(f"{len(problems)} of {len(shots)} shots failed; the same command tries them again.")


def _run(shots: list[Shot], plan: Plan, cluster) -> dict[str, str]:
    """Name -> problem of the shots that failed. Writes the page however it ends."""
    facts: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    for shot in shots:
        kept = facts_of(plan.output / shot.name)
        if kept is not None and kept.get("digest") == plan.digest(shot):
            facts[shot.name] = kept
    todo, start = [shot for shot in shots if shot.name not in facts], time.monotonic()
    if facts:
        print(f"{len(facts)} of {len(shots)} shots are there already", flush=True)
    try:
        for done, (shot, result) in enumerate(spread(partial(run_shot, plan=plan), todo, cluster), 1):
            if isinstance(result, HostNotStarted) and cluster is None:  # it will not for the next one either
                raise ValueError(str(result))
            if isinstance(result, Exception):
                problems[shot.name] = str(result)
            else:
                facts[shot.name] = result
            told = f"failed: {result}" if isinstance(result, Exception) else f"{result['seconds']:.0f} s"
            left = (time.monotonic() - start) / done * (len(todo) - done) / 60
            print(f"[{len(facts) + len(problems)}/{len(shots)}] {shot.name}: {told}; {left:.1f} min left", flush=True)
    finally:
        stop_server()
        print(write_page(plan.output, shots, facts, problems), flush=True)
    return problems


def _workflow(file: Path) -> dict[str, Any]:
    """Raises ValueError for what is no workflow."""
    try:
        workflow = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ValueError(f"{file} cannot be read as a workflow: {problem}.") from problem
    nodes = list(workflow.values()) if isinstance(workflow, dict) and "nodes" not in workflow else []
    of_api = bool(nodes) and all(isinstance(node, dict) and "class_type" in node for node in nodes)
    if not of_api and not (isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list)):
        raise ValueError(f"{file} is no workflow: expected a file that ComfyUI's editor saved or exported (API).")
    return workflow


def _comfyui(folder: Path | None) -> Path:
    """Raises ValueError where no ComfyUI can be found."""
    named = folder or (Path(os.environ["COMFYUI_PATH"]) if os.environ.get("COMFYUI_PATH") else PACK.parents[1])
    if not (named / "main.py").is_file():
        raise ValueError(f"there is no main.py in {named}: name the folder of ComfyUI with --comfyui.")
    return named.resolve()
