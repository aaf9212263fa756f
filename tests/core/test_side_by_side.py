"""side_by_side and beside: every job once, one torch thread each, the caller's thread alone reports, and whatever is raised ends all."""

import threading
import time

import pytest
import torch

from fourreal_core.side_by_side import ask, asking, beside, side_by_side

JOBS = list(range(7))


class Cancelled(BaseException):
    """As ComfyUI's own: no Exception."""


def nothing(*_):
    pass


@pytest.fixture(autouse=True)
def three_torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 5, 50])
def test_each_job_is_done_once_and_results_come_to_the_callers_thread(workers):
    found, threads = {}, []

    def on_result(job, result):
        assert threading.current_thread() is threading.main_thread() and job not in found
        found[job] = result

    def work(job):
        ask()
        threads.append(torch.get_num_threads())
        return job * job

    side_by_side(JOBS, work, workers, on_result=on_result, waiting=nothing)
    assert found == {job: job * job for job in JOBS}
    assert set(threads) == {3 if workers == 1 else 1}


def test_they_run_at_the_same_time():
    meet = threading.Barrier(2, timeout=10)
    side_by_side([1, 2], lambda job: meet.wait(), 2, on_result=nothing, waiting=nothing)


@pytest.mark.parametrize("inference", [True, False])
def test_threads_compute_in_the_callers_mode(inference):
    modes = []
    with torch.inference_mode(inference), torch.no_grad():
        side_by_side(
            JOBS,
            lambda job: modes.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled())),
            2,
            on_result=nothing,
            waiting=nothing,
        )
    assert set(modes) == {(inference, False)}


def endless(left: list[int]):
    def work(job):
        try:
            while True:
                ask()
                time.sleep(0.005)
        finally:
            left.append(job)

    return work


@pytest.mark.parametrize("workers", [1, 2])
def test_raising_while_waiting_ends_every_thread(workers):
    left, asked = [], []

    def cancel():
        asked.append(1)
        if len(asked) > 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        side_by_side(JOBS, endless(left), workers, on_result=nothing, waiting=cancel)
    assert len(left) == workers  # each has left its work, and no other job was begun


def test_an_error_of_one_ends_the_others():
    left = []
    rest = endless(left)

    def work(job):
        if job == 1:
            raise ValueError("one")
        rest(job)

    with pytest.raises(ValueError, match="one"):
        side_by_side(JOBS, work, 3, on_result=nothing, waiting=nothing)
    assert left and 1 not in left


def test_beside_gives_what_was_made_meanwhile():
    went_on = threading.Event()

    def work():
        assert went_on.wait(10) and torch.get_num_threads() == 1
        return "made"

    waited = []
    with beside(work) as result:
        assert torch.get_num_threads() == 2
        went_on.set()
        assert result(lambda: waited.append(1)) == "made"


def test_beside_waits_and_is_told_so():
    goes_on, waited = threading.Event(), []

    def waiting():
        waited.append(1)
        goes_on.set()

    with beside(lambda: goes_on.wait(10)) as result:
        assert result(waiting) and waited


def test_leaving_the_block_ends_what_is_beside():
    left = []
    with pytest.raises(Cancelled), beside(lambda: endless(left)(0)):
        raise Cancelled
    assert left == [0]
    with pytest.raises(Cancelled), beside(lambda: endless(left)(1)) as result:

        def cancel():
            raise Cancelled

        result(cancel)
    assert left == [0, 1]


def test_an_error_beside_comes_with_the_result():
    def fails():
        raise ValueError("beside")

    with pytest.raises(ValueError, match="beside"), beside(fails) as result:
        result(nothing)


def test_every_open_question_is_put_in_its_own_thread_only_and_not_within_itself():
    put = []

    def question():
        put.append(threading.current_thread())
        ask()  # a question may do work that asks

    ask()
    with asking(question), asking(lambda: put.append("inner")):
        ask()
        with beside(ask) as result:
            result(nothing)
    ask()
    assert put == [threading.main_thread(), "inner"]


def test_what_a_question_raises_comes_through_and_closes_it():
    def cancel():
        raise Cancelled

    with pytest.raises(Cancelled), asking(cancel):
        ask()
    ask()
