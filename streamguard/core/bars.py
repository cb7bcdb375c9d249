"""Black bars: where the picture stands within its frame."""

import numpy as np
from numpy.typing import NDArray

from streamguard.types import Levels, Luma, Region

BLACK_SHARE = 0.14
"""A bar is at most this bright, as a share of the way from black to white: coding noise stays below it."""

MIN_BAR_SHARE = 0.02
"""Bars thinner than this share of the side change the hash little, and are left alone."""

MIN_PICTURE_SHARE = 0.2
"""Less picture than this share of a side is a dark scene, not a picture between bars."""

MIN_LIT_SHARE = 0.02
"""A line belongs to the picture when more than this share of it is brighter: a few specks do not light a bar."""

_LINES = 360
_SAMPLES = 128


def without_bars(luma: Luma, *, levels: Levels) -> Region | None:
    """The region inside the black bars, or None where there are none, or nothing but black."""
    height, width = luma.shape
    down, across = max(1, height // _LINES), max(1, width // _LINES)
    dark: float | np.uint8 = levels.black + BLACK_SHARE * (levels.white - levels.black)
    if luma.dtype == np.uint8:  # with a number of another kind each of its values would be made one of that
        dark = np.uint8(dark)
    top, bottom = (line * down for line in _inside(luma[::down, :: max(1, width // _SAMPLES)] > dark, axis=1))
    bottom = min(bottom, height)
    if bottom - top < MIN_PICTURE_SHARE * height:
        return None
    # Columns are looked at between the bars above and below, so that a picture framed on all sides is found.
    between = luma[top : bottom : max(1, height // _SAMPLES), ::across]
    left, right = (line * across for line in _inside(between > dark, axis=0))
    right = min(right, width)
    if right - left < MIN_PICTURE_SHARE * width:
        return None
    top, bottom = _unless_thin(top, bottom, height)
    left, right = _unless_thin(left, right, width)
    if (top, bottom, left, right) == (0, height, 0, width):
        return None
    return Region(left / width, top / height, right / width, bottom / height)


def _inside(bright: NDArray[np.bool_], *, axis: int) -> tuple[int, int]:
    """The first line that is lit along its length, and the one after the last."""
    lit = np.flatnonzero(np.count_nonzero(bright, axis=axis) > MIN_LIT_SHARE * bright.shape[axis])
    return (int(lit[0]), int(lit[-1]) + 1) if lit.size else (0, 0)


def _unless_thin(first: int, end: int, length: int) -> tuple[int, int]:
    least = MIN_BAR_SHARE * length
    return first if first >= least else 0, end if length - end >= least else length
