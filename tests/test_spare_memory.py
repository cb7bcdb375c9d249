"""streamguard.spare_memory: what is free goes back to the system."""

import os
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


_GIVES_ZEROS_BACK = """
import ctypes, re, sys, threading
from streamguard.spare_memory import give_back_zeros
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def private_kib():
    return int(re.search(r"Anonymous: +([0-9]+)", open("/proc/self/smaps_rollup").read())[1])

place = libc.malloc(8 << 20)
ctypes.memset(ctypes.c_void_p(place), 0, 8 << 20)
ctypes.memset(ctypes.c_void_p(place + (3 << 20)), 7, 10)
wanted = ctypes.string_at(place, 8 << 20)
before_kib = private_kib()
if sys.argv[1] == "beside a thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
given = give_back_zeros()
less_kib = before_kib - private_kib()
assert ctypes.string_at(place, 8 << 20) == wanted
print(given >> 20, less_kib >> 10)
"""


@pytest.mark.parametrize(("when", "least_mib", "most_mib"), [("alone", 6, 20), ("beside a thread", 0, 0)])
def test_pages_of_zeros_go_back(when: str, least_mib: int, most_mib: int) -> None:
    """And are zeros again for whoever looks; but not where somebody might write there meanwhile."""
    command = [sys.executable, "-c", _GIVES_ZEROS_BACK, when]
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | alone)
    given_mib, less_mib = map(int, done.stdout.split())
    assert least_mib <= given_mib <= most_mib
    assert least_mib == 0 or less_mib >= least_mib


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
