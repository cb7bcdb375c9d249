"""How many samples the tables of an MP4 name, before anybody makes room for them.

A kilobyte may name sixty million, each of one byte, and FFmpeg lays out a table of them all: a gigabyte. The bound on a
child's memory holds against that; this says what it was, and costs nothing.
"""

import struct
from collections.abc import Iterator

MOST_SAMPLES = 1_000_000
"""An hour of picture and sound at 120 frames a second is half of it."""

_HEAD_BYTES, _LONG_HEAD_BYTES = 8, 16
_HOLDERS = frozenset(
    {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"mvex", b"udta", b"dinf"}
)
_MOST_BOXES = 20_000
_COUNTS_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Where each of these says how many, after its heading. What comes after that need not be there."""


def samples_named(data: bytes) -> int:
    """The most that one of its tables names; as far as it has the usual form, which a hostile one need not have."""
    most = 0
    for kind, at, end in _boxes(data):
        place = at + _COUNTS_AT.get(kind, end)
        if place + 4 <= min(end, len(data)):
            most = max(most, *struct.unpack_from(">I", data, place))
    return most


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each box, and those within: its kind, and where its body begins and ends, by what it says."""
    left = _MOST_BOXES
    waiting = [(0, len(data))]
    while waiting and left:
        at, end = waiting.pop()
        if at + _HEAD_BYTES > end:
            continue
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + _HEAD_BYTES
        if size == 1 and at + _LONG_HEAD_BYTES <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body = at + _LONG_HEAD_BYTES
        box_end = end if size == 0 else min(at + size, end)
        if box_end < body:
            continue
        left -= 1
        waiting.append((box_end, end))
        if kind in _HOLDERS:
            waiting.append((body, box_end))
        yield kind, body, box_end
