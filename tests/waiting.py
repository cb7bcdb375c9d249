"""Waiting in tests: on a condition with a deadline, never for a time."""

import time
from collections.abc import Callable

POLL_S = 0.01


def eventually(condition: Callable[[], bool], *, timeout_s: float = 10.0, what: str = "the condition") -> None:
    """Returns once `condition()` is true; fails the test when that takes too long."""
    ends_at_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_at_s, f"{what} did not come true within {timeout_s} s"
        time.sleep(POLL_S)
