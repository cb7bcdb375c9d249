"""Waiting for what another thread or process does: on a condition, with a deadline, never for a fixed time."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

_T = TypeVar("_T")
_LOOK_EVERY_S = 0.02
_PATIENCE_S = 30.0


def eventually(condition: Callable[[], _T], *, timeout_s: float = _PATIENCE_S, what: str = "") -> _T:
    """The condition's first truthy value. Fails the test when there is none in time: by default in so long as a machine
    that runs other tests as well never needs; give `timeout_s` where something was promised to happen in time.
    """
    deadline_s = monotonic() + timeout_s
    pause = threading.Event()
    while not (value := condition()):
        if monotonic() > deadline_s:
            raise AssertionError(f"{what or condition} did not come true in {timeout_s:g} s")
        pause.wait(_LOOK_EVERY_S)
    return value
