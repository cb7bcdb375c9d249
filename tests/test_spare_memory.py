"""streamguard.spare_memory: what is free goes back to the system."""

import subprocess
import sys

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
