"""From rendered scenes to one file with all geometry networks: depth first, then motion, which looks at its depths, movers, which look at both, then fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ...data.rendered.exact_files import exact_files, is_whole
from ...files.lock import held_alone
from ...geometry.networks import GeometryNetworks, load_networks, save_networks
from ...model.weights import load_model
from ..state import part
from . import depth, fusion, motion, movers
from .loop import GeometryPlan, Report, Task, read_state, resume_plan, start, state_file, train

PLANS: dict[str, GeometryPlan] = {
    "depth": depth.PLAN,
    "motion": motion.PLAN,
    "movers": movers.PLAN,
    "fusion": fusion.PLAN,
}
NEEDED = {"depth": (), "motion": ("depth",), "movers": ("depth", "motion"), "fusion": ("depth", "motion", "movers")}


def train_network(
    name: str,
    scenes: Path,
    folder: Path,
    report: Callable[[GeometryPlan], Report],
    *,
    chosen: Mapping[str, Any] | None = None,
    held_out: Path | None = None,
    others: Path | None = None,
) -> Task:
    """Train one of the four networks in `folder`, from where its training stopped there; gives the task, its network averaged.

    scenes: a folder of exact scenes. report(plan) gives what is called after each step. chosen: fields of `GeometryPlan` to change.
    held_out: another such folder, for scores. others: a file of geometry networks; from it this network begins, and so do those that it
    needs and that were not trained in `folder`. Raises ValueError when scenes or needed networks are missing, or another process trains
    the same network in the folder.
    """
    networks = trained_networks(folder, NEEDED[name], others)
    folder.mkdir(parents=True, exist_ok=True)
    taken = f"another training of the {name} network is using {folder}: wait for it, or choose another --run"
    with held_alone(folder / f".{name}.lock", taken):
        return _trained(name, networks, scenes, folder, report, chosen or {}, held_out)


def _trained(name, networks, scenes, folder, report, chosen, held_out) -> Task:
    task = _task(name, networks, scenes, held_out)
    plan = resume_plan(PLANS[name], folder, name, dict(chosen))
    torch.manual_seed(plan.seed)
    state = start(task, plan, folder)
    train(state, plan, folder, report(plan))
    task.network.load_state_dict(state.ema)
    task.network.eval()
    return task


def _task(name: str, networks: GeometryNetworks, scenes: Path, held_out: Path | None) -> Task:
    files, others = exact_files(scenes), exact_files(held_out) if held_out else []
    if name == "depth":
        return depth.DepthTask(networks.depth, files, others)
    if name == "motion":
        return motion.MotionTask(networks.motion, networks.depth, files, others)
    if name == "movers":
        return movers.MoverTask(networks, files, others)
    whole = [file for file in files if is_whole(file)]
    if not whole:
        raise ValueError(f"found no scenes with whole grids in {scenes}: render some with --whole-every.")
    return fusion.FusionTask(networks, load_model(), whole, [file for file in others if is_whole(file)])


def trained_networks(folder: Path, needed: tuple[str, ...], others: Path | None = None) -> GeometryNetworks:
    """All networks: those in `folder` with their averaged weights, the rest from the file `others`, else untrained.

    Raises ValueError when one of `needed` is in neither.
    """
    torch.manual_seed(0)
    networks = GeometryNetworks()
    if others is not None:
        networks.load_state_dict(load_networks(others).state_dict())
    for name in PLANS:
        file = state_file(folder, name)
        if file.exists():
            getattr(networks, name).load_state_dict(part(read_state(file)[0], "ema."))
        elif name in needed and others is None:
            raise ValueError(
                f"found no trained {name} network in {folder}: train it first, or pass a file that contains it."
            )
    return networks.eval().requires_grad_(False)


def export(folder: Path, output: Path, others: Path | None = None) -> None:
    """The averaged weights of all four networks as one file; `others`: a file for those that were not trained in `folder`."""
    save_networks(trained_networks(folder, tuple(PLANS), others), output)
