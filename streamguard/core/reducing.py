"""A stream's picture in fewer pixels: the means of so many by so many, from which its fingerprints are made.

Local features are read at 640 px. Pictures of the usual large sizes (720p, 1080p, 2160p, upright or not) come down to
that by a whole number, and their bars, hash and features are read from these means: a picture goes through the
processor's cache once, not three times. Its PDQ hash is that of all pixels but for 0.6 bits of 256, 4 at most (447
frames of 62 real clips at 1080p, `benchmarks/reduced_pdq.py`). What a library reads from files is read whole.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.types import Luma

LONGER_SIDE_PX = 640
_LEAST_MEANS = 256
"""Of the shorter side: PDQ blurs a low picture less, and of 120 lines of means its hash was up to 14 bits from the
picture's own.
"""

_THIRD = 3
_BAND_PX = 24 * _THIRD


def reduced(luma: Luma) -> tuple[Luma, int]:
    """(its means of so many by so many pixels, how many), where a whole number makes LONGER_SIDE_PX of its longer side,
    divides the other, and leaves enough of it; else, and where luma is no bytes: as it is, 1.
    """
    longer_px, shorter_px = max(luma.shape), min(luma.shape)
    each_px = longer_px // LONGER_SIDE_PX
    if each_px <= 1 or longer_px % LONGER_SIDE_PX or shorter_px % each_px or shorter_px < each_px * _LEAST_MEANS:
        return luma, 1
    if luma.dtype != np.uint8:
        return luma, 1
    return _means(luma, each_px), each_px


def _means(luma: Luma, each_px: int) -> NDArray[np.uint8]:
    height, width = luma.shape
    if each_px == _THIRD:
        return _thirds(luma)
    size_px = width // each_px, height // each_px
    return np.asarray(cv2.resize(np.ascontiguousarray(luma), size_px, interpolation=cv2.INTER_AREA), np.uint8)


def _thirds(luma: Luma) -> NDArray[np.uint8]:
    """Of 1080p. The same means as INTER_AREA's to the last bit (nine values have no half), in a third of the time; in
    bands, which stay in the processor's cache: no line that counts stands at the edge of one.
    """
    small = np.empty((len(luma) // _THIRD, luma.shape[1] // _THIRD), np.uint8)
    for top in range(0, len(luma), _BAND_PX):
        blurred = cv2.blur(np.ascontiguousarray(luma[top : top + _BAND_PX]), (_THIRD, _THIRD))
        small[top // _THIRD : (top + _BAND_PX) // _THIRD] = blurred[1::_THIRD, 1::_THIRD]
    return small
