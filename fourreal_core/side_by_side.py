"""Work in threads beside the caller's: many tensors here are too small for torch's own threads, which mostly wait for each other.

Each thread computes with one torch thread, so that results do not depend on how many there are. Only the caller's thread reports progress, which is also
how it learns of a cancel: ComfyUI knows the running node by its thread. Long work calls `ask` between its parts, however deep inside: what whoever started
it has to say to that (`asking`) ends it.
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
Question = Callable[[], None]  # returns, or raises what shall end the work


class _Questions(threading.local):
    """Those of one thread; none while they are put."""

    def __init__(self):
        self.open: tuple[Question, ...] = ()


_questions = _Questions()


class Stopped(Exception):
    """Ends work in a thread that nobody waits for any more; never seen by the caller."""


@contextlib.contextmanager
def asking(question: Question) -> Iterator[None]:
    """While it is open, long work in this thread calls question() between its parts; what it raises ends the work."""
    before = _questions.open
    _questions.open = (*before, question)
    try:
        yield
    finally:
        _questions.open = before


def ask() -> None:
    """For long work to call at least once a second or so; raises what a question of `asking` raises, else does nothing."""
    questions, _questions.open = _questions.open, ()
    try:
        for question in questions:
            question()
    finally:
        _questions.open = questions


def side_by_side(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    workers: int,
    *,
    on_result: Callable[[Job, Result], None],
    waiting: Callable[[], None],
) -> None:
    """work(job) for each job, in at most so many threads; in the caller's own where that is one.

    on_result(job, its result) is called by the caller's thread as results come, in any order; waiting() by the same, ten times a second
    or, where there are no threads, by `ask`. What either of them or any work raises ends all of it and is raised again, once every
    thread has left its work.
    """
    workers = min(workers, len(jobs))
    if workers < 2:
        for job in jobs:
            with asking(waiting):
                result = work(job)
            on_result(job, result)
        return
    with _threads(workers) as start:
        running = {start(work, job): job for job in jobs}
        while running:
            done, _ = wait(running, WAKES_S, FIRST_COMPLETED)
            for future in done:
                on_result(running.pop(future), future.result())
            waiting()


@contextlib.contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Callable[[Callable[[], None]], Result]]:
    """Run work() in a thread while the block runs; gives a function that waits for what it returns or raises.

    result(waiting): waiting() is called ten times a second meanwhile. Leaving the block before that, or by an exception, ends the work.
    The caller's thread has one torch thread less in the block.
    """
    threads = torch.get_num_threads()
    with _threads(1) as start:
        torch.set_num_threads(max(1, threads - 1))
        future = start(work)

        def result(waiting: Callable[[], None]) -> Result:
            while not wait([future], WAKES_S).done:
                waiting()
            return future.result()

        yield result


@contextlib.contextmanager
def _threads(workers: int) -> Iterator[Callable[..., Future]]:
    """Starts calls. At the end of the block all of them are stopped, where they next `ask`, and waited for, and torch has its threads back."""
    stopped, threads = threading.Event(), torch.get_num_threads()
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def goes_on() -> None:
        if stopped.is_set():
            raise Stopped

    def call(work: Callable, *arguments):
        goes_on()
        # all three are a thread's own
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients), asking(goes_on):
            return work(*arguments)

    pool = ThreadPoolExecutor(workers, "4real", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield lambda work, *arguments: pool.submit(call, work, *arguments)
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
