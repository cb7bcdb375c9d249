"""streamguard.worker.own_thread: a thread that ends when it is asked to, and not before."""

import threading

import pytest

from streamguard.worker.own_thread import OwnThread
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
