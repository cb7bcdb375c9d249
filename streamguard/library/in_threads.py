"""The same work on several things at once: for what leaves Python's lock alone (files, hashes, FAISS, NumPy)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")

_MOST = 4
"""What is done so waits for memory and disk, which more threads do not make faster."""


def threads(most: int = _MOST) -> int:
    """As many as there are cores, up to so many."""
    return min(most, os.cpu_count() or 1)


def in_threads(work: Callable[[_Thing], _Result], things: Sequence[_Thing]) -> list[_Result]:
    """What comes of each, in their order. Raises what the first that fails raises; then what is not begun never is."""
    if len(things) < 2:  # noqa: PLR2004 - one alone needs no thread
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(threads(), len(things)), thread_name_prefix="library") as pool:
        waiting = [pool.submit(work, thing) for thing in things]
        try:
            return [one.result() for one in waiting]
        finally:
            pool.shutdown(cancel_futures=True)
