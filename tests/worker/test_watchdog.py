"""streamguard.worker.watchdog: it acts late enough, once, and needs one thread."""

import threading

import pytest

from streamguard.worker.watchdog import Watchdog

WAIT_S = 20.0
LONG_S = 3600.0


def test_it_acts_when_the_time_is_over() -> None:
    """The sooner first, whatever waits longer."""
    acted, never = threading.Event(), threading.Event()
    with Watchdog() as watchdog:
        watchdog.start()
        watchdog.after(LONG_S, never.set)
        watchdog.after(0.0, acted.set)
        assert acted.wait(WAIT_S)
    assert not never.is_set()


def test_what_is_cancelled_does_not_act() -> None:
    """Cancelling is also harmless after it has acted."""
    first, last = threading.Event(), threading.Event()
    with Watchdog() as watchdog:
        cancelled = watchdog.after(0.0, first.set)
        watchdog.cancel(cancelled)
        watchdog.start()
        done = watchdog.after(0.0, last.set)
        assert last.wait(WAIT_S)
        watchdog.cancel(done)
    assert not first.is_set()


def test_all_deadlines_share_one_thread() -> None:
    """However many there are, and however often it is started."""
    with Watchdog() as watchdog:
        watchdog.start()
        before = threading.active_count()
        for _ in range(100):
            watchdog.start()
            watchdog.after(LONG_S, threading.Event().set)
        assert threading.active_count() == before


def test_a_thread_that_cannot_be_had_is_an_oserror_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever starts a process expects it, and the next start may be luckier."""

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    acted = threading.Event()
    with Watchdog() as watchdog:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            with pytest.raises(OSError, match="no thread"):
                watchdog.start()
        watchdog.start()
        watchdog.after(0.0, acted.set)
        assert acted.wait(WAIT_S)


def test_one_that_was_never_started_can_be_closed() -> None:
    """And twice."""
    watchdog = Watchdog()
    watchdog.close()
    watchdog.close()
