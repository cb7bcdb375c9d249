"""Thumbnails: small grey JPEGs, that a person may see what a decision was about.

Nothing is recognised by them. A stream's comes from a process that meets hostile bytes: whoever is not about to show it
asks `is_thumbnail`, which reads the head and decodes nothing.
"""

import cv2
import numpy as np

from streamguard.types import Levels, Luma

LONGER_SIDE_PX = 160
MOST_BYTES = 6 * 1024

_QUALITIES = (60, 35, 15)
_MIN_SIDE_PX = 2
_OVERSAMPLED = 3
_START, _END = b"\xff\xd8", b"\xff\xd9"
_BASELINE = 0xC0
_TABLES = frozenset({0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})
"""What may stand before the frame's head: tables, comments and what programs add. Any other marker ends the search:
decoders take some of them to have no length and then see other parts than we do, with a frame of another size in them.
"""

_MOST_MARKERS = 16
_FRAME_HEAD_BYTES = 11
_LENGTH_BYTES = 2
_BITS = 8


def thumbnail(luma: Luma, *, levels: Levels) -> bytes:
    """The picture, at most 160 px on its longer side, in at most 6 kB; empty where it cannot be had."""
    height, width = luma.shape
    scale = min(1.0, LONGER_SIDE_PX / max(height, width, 1))
    size_px = round(width * scale), round(height * scale)
    if min(size_px) < _MIN_SIDE_PX:
        return b""
    # Of a large picture every so many pixels are enough for one so small: at 1080p that takes a quarter of the time.
    step = max(1, max(height, width) // (_OVERSAMPLED * LONGER_SIDE_PX))
    some = luma[::step, ::step].copy()
    small = np.asarray(cv2.resize(some, size_px, interpolation=cv2.INTER_AREA))
    if small.dtype != np.uint8:
        small = np.nan_to_num(small)
    span = np.float32(255 / (levels.white - levels.black))
    grey = np.clip((small - np.float32(levels.black)) * span, 0, 255).astype(np.uint8)
    for quality in _QUALITIES:
        done, encoded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and encoded.size <= MOST_BYTES:
            return encoded.tobytes()
    return b""


def is_thumbnail(data: bytes) -> bool:
    """Whether these bytes say that they are a grey baseline JPEG of a thumbnail's size. Reads the head, no more."""
    if len(data) > MOST_BYTES or not data.startswith(_START) or not data.endswith(_END):
        return False
    at = len(_START)
    for _ in range(_MOST_MARKERS):
        if at + 4 > len(data) or data[at] != _START[0]:
            return False
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _BASELINE:
            return length == _FRAME_HEAD_BYTES and _is_small_and_grey(data[at + 4 : at + 2 + length])
        if marker not in _TABLES or length < _LENGTH_BYTES:
            return False
        at += 2 + length
    return False


def _is_small_and_grey(head: bytes) -> bool:
    """Of a frame's head: bits, height, width, number of components."""
    if len(head) != _FRAME_HEAD_BYTES - 2:
        return False
    sides_px = int.from_bytes(head[1:3], "big"), int.from_bytes(head[3:5], "big")
    return head[0] == _BITS and head[5] == 1 and all(0 < side <= LONGER_SIDE_PX for side in sides_px)
