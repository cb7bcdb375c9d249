"""Who looks something up comes first: what is built beside is built in slices of a few milliseconds, and between two of
them it waits for the look-ups that are under way.

Python has threads take turns by itself, but at each of them a look-up waits: a millisecond on a machine at rest, and on
a busy one for as long as the thread that builds waits for a core and holds Python's lock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

SLICE_S = 0.002
"""Of building, between two looks at who is waiting; computed, for on a busy machine any clock would have passed it."""

MOST_WAIT_S = 0.03
"""So long a slice waits at most: a look-up takes half of that on a machine at rest. A change is some ten slices, and
counts within a second on a busy machine, too.
"""

_STRETCH_ROWS = 1 << 14

GiveWay = Callable[[], None]
"""To be called by what builds, each millisecond or so."""


def nobody_waits() -> None:
    """For what is built where nobody looks anything up."""


def stretches(rows: int) -> Iterator[slice]:
    """As many rows at a time as are copied in a millisecond."""
    for first in range(0, rows, _STRETCH_ROWS):
        yield slice(first, min(first + _STRETCH_ROWS, rows))


class Turns:
    """Of the threads that look up and those that build, as many as there are of each."""

    def __init__(self, *, clock: Callable[[], float] = time.thread_time) -> None:
        """`clock`: seconds that the calling thread has computed."""
        self._clock = clock
        self._ended = threading.Condition()
        self._under_way: set[int] = set()
        self._numbers = count()
        self._slice = threading.local()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many threads that build wait for a turn."""
        return self._waiting

    @contextmanager
    def looking_up(self) -> Iterator[None]:
        """What is done in it is a look-up; it waits for nothing."""
        with self._ended:
            number = next(self._numbers)
            self._under_way.add(number)
        try:
            yield
        finally:
            with self._ended:
                self._under_way.remove(number)
                self._ended.notify_all()

    def give_way(self) -> None:
        """Unless the slice of this thread has only begun: wait for the look-ups that are under way, MOST_WAIT_S at
        most. Those that begin meanwhile are not waited for: where look-ups never end, something is built all the same.
        """
        if self._clock() - getattr(self._slice, "began_s", float("-inf")) < SLICE_S:
            return
        with self._ended:
            first = frozenset(self._under_way)
            self._waiting += 1
            self._ended.wait_for(lambda: first.isdisjoint(self._under_way), timeout=MOST_WAIT_S)
            self._waiting -= 1
        self._slice.began_s = self._clock()
