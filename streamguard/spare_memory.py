"""Memory that is free in this process, for others to use; and what it looks like when there is none."""

import ctypes
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2

NO_MEMORY = (MemoryError, cv2.error)
"""What may say so: ask `is_out_of_memory`."""

_LARGE_BYTES = 1 << 20
_SIZE_AT, _IS_MAPPED = 8, 2
_ZEROS = bytes(mmap.PAGESIZE)
_ANONYMOUS = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *$", re.MULTILINE)


def give_back() -> None:
    """To the system, what was freed and is kept: glibc keeps much of it otherwise, and more and more as it falls to
    pieces. Takes a millisecond or two.
    """
    with suppress(OSError, AttributeError):  # another libc has no such call, and no such need
        ctypes.CDLL(None).malloc_trim(0)


def give_back_zeros() -> int:
    """To the system, pages of large blocks of the C library's in which there are but zeros: there are again when
    somebody looks. How many bytes; takes a few milliseconds.

    FFmpeg's FLV reader has 2 MiB for what honest streams never need, and writes zeros into it. Does nothing beside
    other threads, which might write there meanwhile; Python's own objects are in no such block.
    """
    given_bytes = 0
    with suppress(OSError, AttributeError):  # no /proc, or another libc, which lays out memory otherwise
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            return 0
        advise = ctypes.CDLL(None).madvise
        for begin, end in _large_blocks():
            zeros = begin
            for page in range(begin, end + 1, mmap.PAGESIZE):
                if page < end and ctypes.string_at(page, mmap.PAGESIZE) == _ZEROS:
                    continue
                if page > zeros:
                    advise(ctypes.c_void_p(zeros), ctypes.c_size_t(page - zeros), mmap.MADV_DONTNEED)
                    given_bytes += page - zeros
                zeros = page + mmap.PAGESIZE
    return given_bytes


def _large_blocks() -> Iterator[tuple[int, int]]:
    """Where each begins and ends that malloc has mapped by itself: at the begin of a page are 0 and its size, and 2."""
    for low, high in _ANONYMOUS.findall(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")):
        page, end = int(low, 16), int(high, 16)
        while end - page >= _LARGE_BYTES:
            size = ctypes.c_size_t.from_address(page + _SIZE_AT).value - _IS_MAPPED
            is_block = size % mmap.PAGESIZE == 0 and _LARGE_BYTES <= size <= end - page
            if is_block and ctypes.c_size_t.from_address(page).value == 0:
                yield page, page + size
                page += size
            else:
                page += mmap.PAGESIZE


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what it says: OpenCV has an error of its own for everything."""
    return isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem)
