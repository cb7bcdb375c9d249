"""The same work on several things at once: for what leaves Python's lock alone (files, hashes, FAISS, NumPy)."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")

_MOST = 4
"""What is done so waits for memory and disk, which more threads do not make faster."""

_WORTH_ROWS = 1 << 18

_NICER = 9
"""Who looks something up comes first, in this process and in others on the machine; at 5 two and a half times as many
look-ups of four readers on two cores waited above 50 ms. But much more, and a thread that waits for a core would hold
Python's lock; at 9 the slowest wait for it for a fifth to a third of their time.
"""


def threads(most: int = _MOST) -> int:
    """As many as there are cores, up to so many."""
    return min(most, os.cpu_count() or 1)


def in_threads(work: Callable[[_Thing], _Result], things: Sequence[_Thing], *, rows: int) -> list[_Result]:
    """What comes of each, in their order. Raises what the first that fails raises; then what is not begun never is.

    `rows`: how much there is to do in all. A little is done here and now: threads that are new would only keep those
    that look something up from Python's lock.
    """
    if len(things) < 2 or rows < _WORTH_ROWS:  # noqa: PLR2004 - one alone needs no thread
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(threads(), len(things)), thread_name_prefix="library") as pool:
        waiting = [pool.submit(work, thing) for thing in things]
        try:
            return [one.result() for one in waiting]
        finally:
            pool.shutdown(cancel_futures=True)


def stand_back() -> None:
    """Of the thread that calls it, and those that it starts, for good: who looks something up comes first. Those need
    not, and may, say so, too. Elsewhere than on Linux only a whole process could.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            of_all = os.getpriority(os.PRIO_PROCESS, os.getpid())  # of the main thread, which never stands back
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), of_all + _NICER)
