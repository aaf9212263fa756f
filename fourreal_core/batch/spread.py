"""The same work on many jobs: one after the other in this process, or side by side on a Ray cluster, which schedules and tries again. Next to read: page.py."""

from __future__ import annotations

import importlib.util
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .server import HostProblem, RunProblem

TRIES = 3  # of a job whose worker dies, beside the first
PROBLEMS = (ValueError, OSError, HostProblem, RunProblem)  # of one job; anything else ends the batch

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cluster:
    """What one job takes of a Ray cluster: cores, and graphics cards (None: one if the cluster has any)."""

    cpus: float = 1
    gpus: float | None = None


def add_cluster_options(parser: ArgumentParser, gpus: bool = True) -> None:
    """gpus: whether the work can use graphics cards."""
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="spread the work with Ray: over this machine, or over the cluster at RAY_ADDRESS, whose machines see the same folders",
    )
    parser.add_argument(
        "--cpus", type=float, default=1, help="with --cluster: cores that one job takes (default: %(default)s)"
    )
    if not gpus:
        parser.set_defaults(gpus=0.0)
        return
    parser.add_argument(
        "--gpus", type=float, help="with --cluster: graphics cards that one job takes (default: one, if there are any)"
    )


def cluster_of(arguments: Namespace) -> Cluster | None:
    """The cluster that the options ask for. Raises ValueError where Ray is not installed."""
    if not arguments.cluster:
        return None
    if importlib.util.find_spec("ray") is None:
        raise ValueError("--cluster needs Ray: pip install ray, or the pack's extra [cluster].")
    return Cluster(arguments.cpus, arguments.gpus)


def task_of(ray: Any, cluster: Cluster, work: Callable) -> Any:
    """work(...) as something to call on a cluster: task.remote(...)."""
    gpus = cluster.gpus if cluster.gpus is not None else min(1, ray.cluster_resources().get("GPU", 0))
    return ray.remote(num_cpus=cluster.cpus, num_gpus=gpus, max_retries=TRIES, max_calls=0)(
        lambda *arguments: work(*arguments)
    )


def spread(
    work: Callable[[Job], Result], jobs: Sequence[Job], cluster: Cluster | None = None
) -> Iterator[tuple[Job, Result | Exception]]:
    """(job, what work(job) gives, or the problem that ended it), as they come.

    On a cluster, work and jobs travel by pickle, results come in any order, a job whose worker dies is done again by another, up to TRIES times, and
    stopping the iteration cancels what is left. Raises what work raises that is none of PROBLEMS, and ConnectionError where no cluster answers.
    """
    if cluster is None:
        for job in jobs:
            try:
                result: Result | Exception = work(job)
            except PROBLEMS as problem:
                result = problem
            yield job, result
        return
    with joined() as ray:
        yield from _on_ray(ray, work, jobs, cluster)


def _on_ray(ray: Any, work: Callable, jobs: Sequence, cluster: Cluster) -> Iterator[tuple[Any, Any]]:
    task = task_of(ray, cluster, work)
    running = {task.remote(job): job for job in jobs}
    try:
        while running:
            done, _ = ray.wait(list(running))
            for reference in done:
                job = running.pop(reference)
                try:
                    result = ray.get(reference)
                except PROBLEMS as problem:
                    result = getattr(problem, "cause", problem)  # without what Ray tells of its worker
                except ray.exceptions.RayTaskError:
                    raise
                except ray.exceptions.RayError as problem:  # its worker died each time
                    result = RuntimeError(str(problem).splitlines()[0])
                yield job, result
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


@contextmanager
def joined() -> Iterator[Any]:
    """Ray, connected to the cluster at RAY_ADDRESS, or to one of this machine that ends with the block; or as it is, where it is connected already.

    Workers import the same package from the same place as this process.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    home = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    ray.init(log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    try:
        yield ray
    finally:
        ray.shutdown()
