"""Memory that is free in this process, for others to use."""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """To the system, what was freed and is kept: glibc keeps much of it otherwise, and more and more as it falls to
    pieces. Takes a millisecond or two.
    """
    with suppress(OSError, AttributeError):  # another libc has no such call, and no such need
        ctypes.CDLL(None).malloc_trim(0)
