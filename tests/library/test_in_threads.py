"""streamguard.library.in_threads: the same work on several things at once."""

import threading

import pytest

from streamguard.library.in_threads import in_threads, threads

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
