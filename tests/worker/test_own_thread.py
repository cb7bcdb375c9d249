"""streamguard.worker.own_thread: a thread that ends when it is asked to, and not before."""

import threading

import pytest

from streamguard.worker.own_thread import DueThread, OwnThread
from tests.waiting import eventually


def test_it_goes_on_until_it_is_asked_to_stop() -> None:
    """Then it does not wait out its rest, and is not lost."""
    rounds: list[int] = []

    def run() -> None:
        while not thread.is_asked:
            rounds.append(1)
            thread.rest(3600.0)
        rounds.append(0)

    thread = OwnThread(run, name="test")
    assert not thread.is_lost
    thread.start()
    eventually(lambda: rounds == [1], what="it runs")
    thread.stop(30.0)
    assert rounds == [1, 0]
    assert (thread.is_lost, thread.is_running) == (False, False)


def test_one_that_was_never_started_is_stopped_at_once() -> None:
    """As where there is nothing for it to do."""
    thread = OwnThread(lambda: None, name="test")
    thread.stop(0.0)
    assert thread.is_asked


def test_a_step_is_taken_when_one_is_due_and_a_last_one_at_the_end() -> None:
    """What was called for while one was taken is not forgotten, and is one step however often it was."""
    steps: list[int] = []
    taken, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def step() -> None:
        steps.append(len(steps))
        taken.release()
        go_on.acquire()

    thread = DueThread(step, name="test")
    thread.start()
    thread.call()
    taken.acquire()
    for _ in range(3):
        thread.call()
    go_on.release()
    taken.acquire()
    go_on.release(9)
    thread.stop(60.0)
    assert steps == [0, 1, 2]
    assert (thread.is_lost, thread.is_running) == (False, False)


def test_one_that_was_never_started_takes_no_step() -> None:
    """Its owner may call it and stop it all the same."""
    steps: list[int] = []
    thread = DueThread(lambda: steps.append(1), name="test")
    thread.call()
    thread.stop(0.0)
    assert (steps, thread.is_running, thread.is_lost) == ([], False, False)


def test_one_that_hangs_is_not_waited_for() -> None:
    """Longer than is said; several can be asked before one is waited for."""
    let_go = threading.Event()

    def run() -> None:
        let_go.wait(60.0)

    thread = OwnThread(run, name="test")
    thread.start()
    thread.ask_to_stop()
    thread.stop(0.0)
    assert (thread.is_lost, thread.is_running) == (False, True)
    let_go.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_died_is_lost() -> None:
    """Somebody should be told."""

    def run() -> None:
        raise ValueError("a bug")

    thread = OwnThread(run, name="test")
    thread.start()
    eventually(lambda: thread.is_lost, what="it is gone")
