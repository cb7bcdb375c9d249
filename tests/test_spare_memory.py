"""streamguard.spare_memory: what is free goes back to the system."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from streamguard.spare_memory import NO_MEMORY, is_out_of_memory

_GIVES_BACK = """
import ctypes, sys
from streamguard.spare_memory import give_back
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

kept = []
for number in range(8000):  # too small each to be mapped alone; every hundredth stays, so that the heap cannot shrink
    place = libc.malloc(8192)
    ctypes.memset(ctypes.c_void_p(place), 1, 8192)
    kept.append(place)
for number, place in enumerate(kept):
    if number % 100:
        libc.free(ctypes.c_void_p(place))
before = resident()
give_back()
print((before - resident()) >> 20)
"""


def test_free_pieces_between_those_in_use_go_back() -> None:
    """Of 62 MiB in pieces, of which one in a hundred is in use, more than half is the system's again."""
    done = subprocess.run([sys.executable, "-c", _GIVES_BACK], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 31


def test_what_says_that_there_is_no_memory() -> None:
    """Python's own error, and OpenCV's where it says so; not what OpenCV says of anything else."""
    assert is_out_of_memory(MemoryError())
    with pytest.raises(NO_MEMORY) as no_room:
        cv2.copyMakeBorder(np.zeros((1, 1), np.uint8), 0, 1 << 20, 0, 1 << 26, cv2.BORDER_CONSTANT)
    assert is_out_of_memory(no_room.value)
    with pytest.raises(NO_MEMORY) as no_picture:
        cv2.resize(np.zeros((1, 1), np.uint8), (0, 0))
    assert not is_out_of_memory(no_picture.value)
