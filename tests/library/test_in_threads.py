"""streamguard.library.in_threads: the same work on several things at once."""

import os
import sys
import threading
from collections.abc import Callable

import pytest

from streamguard.library.in_threads import in_threads, stand_back, threads

MANY = 10_000_000


def test_results_come_in_order() -> None:
    """Whichever is done first; nothing comes of nothing."""
    others = threading.Barrier(2) if threads() > 1 else None

    def work(number: int) -> int:
        if number < 2 and others is not None:
            others.wait(30)  # two are at work at once, or it never ends
        return number * number

    assert in_threads(work, range(40), rows=MANY) == [number * number for number in range(40)]
    assert in_threads(work, [], rows=MANY) == []


def test_one_alone_or_a_little_needs_no_thread() -> None:
    """It is done where it is asked for."""
    assert in_threads(lambda _: threading.get_ident(), [0], rows=MANY) == [threading.get_ident()]
    assert in_threads(lambda _: threading.get_ident(), [0, 1], rows=32_000) == [threading.get_ident()] * 2


def test_the_first_failure_is_raised() -> None:
    """Of several failures that of the first thing, whichever thread met it."""

    def work(number: int) -> None:
        if number in (7, 8):
            raise ValueError(number)

    with pytest.raises(ValueError, match=r"^7$"):
        in_threads(work, range(40), rows=MANY)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only a whole process could")
def test_who_stands_back_does_so_once() -> None:
    """A thread that one starts which stands back does so no more than that one."""
    nices: list[int] = []

    def work() -> None:
        stand_back()
        nices.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        if len(nices) < 3:
            run(work)

    def run(what: Callable[[], None]) -> None:
        thread = threading.Thread(target=what)
        thread.start()
        thread.join()

    run(work)
    assert len(nices) == 3
    assert len(set(nices)) == 1
    assert nices[0] > os.getpriority(os.PRIO_PROCESS, os.getpid()) or nices[0] == 19
