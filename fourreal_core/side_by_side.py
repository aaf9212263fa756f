"""Work in threads beside the caller's: many tensors here are too small for torch's own threads, which mostly wait for each other.

Each thread computes with one torch thread, so that results do not depend on how many there are. Only the caller's thread reports progress, which is also
how it learns of a cancel: ComfyUI knows the running node by its thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

WAKES_S = 0.1  # seconds between two reports while threads work

Job = TypeVar("Job")
Result = TypeVar("Result")
Ask = Callable[[], None]  # for long work to call in between: raises Stopped once nobody waits for it


class Stopped(Exception):
    """Ends work in a thread that nobody waits for any more; never seen by the caller."""


def side_by_side(
    jobs: Sequence[Job],
    work: Callable[[Job, Ask], Result],
    workers: int,
    *,
    on_result: Callable[[Job, Result], None],
    waiting: Callable[[], None],
) -> None:
    """work(job, ask) for each job, in at most so many threads; in the caller's own where that is one.

    on_result(job, its result) is called by the caller's thread as results come, in any order; waiting() by the same, ten times a second
    and by ask() where there are no threads. What either of them or any work raises ends all of it and is raised again, once every
    thread has left its work.
    """
    workers = min(workers, len(jobs))
    if workers < 2:
        for job in jobs:
            on_result(job, work(job, waiting))
        return
    with _threads(workers) as (start, ask):
        running = {start(work, job, ask): job for job in jobs}
        while running:
            done, _ = wait(running, WAKES_S, FIRST_COMPLETED)
            for future in done:
                on_result(running.pop(future), future.result())
            waiting()


@contextlib.contextmanager
def beside(work: Callable[[Ask], Result]) -> Iterator[Callable[[Callable[[], None]], Result]]:
    """Run work(ask) in a thread while the block runs; gives a function that waits for what it returns or raises.

    result(waiting): waiting() is called ten times a second meanwhile. Leaving the block before that, or by an exception, ends the work.
    The caller's thread has one torch thread less in the block.
    """
    threads = torch.get_num_threads()
    with _threads(1) as (start, ask):
        torch.set_num_threads(max(1, threads - 1))
        future = start(work, ask)

        def result(waiting: Callable[[], None]) -> Result:
            while not wait([future], WAKES_S).done:
                waiting()
            return future.result()

        yield result


@contextlib.contextmanager
def _threads(workers: int) -> Iterator[tuple[Callable[..., Future], Ask]]:
    """(start a call, ask). At the end of the block all calls are stopped and waited for, and torch has its threads back."""
    stopped, threads = threading.Event(), torch.get_num_threads()
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def ask() -> None:
        if stopped.is_set():
            raise Stopped

    def call(work: Callable, *arguments):
        ask()
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):  # both are a thread's own
            return work(*arguments)

    pool = ThreadPoolExecutor(workers, "4real", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield lambda work, *arguments: pool.submit(call, work, *arguments), ask
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
