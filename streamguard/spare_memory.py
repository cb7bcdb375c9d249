"""Memory that is free in this process, for others to use; and what it looks like when there is none."""

import ctypes
from contextlib import suppress

import cv2

NO_MEMORY = (MemoryError, cv2.error)
"""What may say so: ask `is_out_of_memory`."""


def give_back() -> None:
    """To the system, what was freed and is kept: glibc keeps much of it otherwise, and more and more as it falls to
    pieces. Takes a millisecond or two.
    """
    with suppress(OSError, AttributeError):  # another libc has no such call, and no such need
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what it says: OpenCV has an error of its own for everything."""
    return isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem)
