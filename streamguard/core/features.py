"""Local features: corners of a picture, each with its place and a code of 256 bits."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core import corner_codes, corners
from streamguard.core.feature_records import in_pixels, in_units
from streamguard.core.reducing import LONGER_SIDE_PX
from streamguard.types import NO_FEATURES, Features, Levels, Luma

_BAND_PX = 72
_MIN_SIDE_PX = 2 * corners.MARGIN_PX + 8
_MOST_STRETCH = 8.0
"""A picture longer than so many times its width is no picture; and would be scaled to a line."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """How a picture is read: scaled to `longer_side_px`, at most `most` corners; that share of them which leans the
    least, `both_ways`, in both forms.
    """

    longer_side_px: int
    most: int
    both_ways: float = 0.0
    aspect: float | None = None
    """Width by height that it is stretched to first; None: its own."""


STREAM = Extraction(longer_side_px=LONGER_SIDE_PX, most=450)
REFERENCE = Extraction(longer_side_px=512, most=375, both_ways=0.2)
"""Smaller than a stream's, as footage in a corner of the picture is."""

SQUEEZED = replace(REFERENCE, most=60, both_ways=0.0)
"""To half its width or height, as two copies beside or above one another are."""

STREAM_ASPECT = 16 / 9
_NEAR_ASPECTS = (1.3, 2.4)
"""Corners are still the same where a picture is stretched by less than a third."""

SURROUNDINGS = replace(REFERENCE, most=1000)
"""What a feature of one moment is looked for in at the others: a corner that just missed being kept there is there."""


def features(luma: Luma, *, levels: Levels, how: Extraction) -> Features:
    """The local features of a 2-D luma plane; none where it is too small or too long, or shows no corner."""
    (found,) = _extract(luma, levels=levels, size_of=how, mosts=(how.most,))
    return found


def reference_features(luma: Luma, *, levels: Levels, how: Extraction) -> tuple[Features, Features]:
    """(those that the library keeps, all that can be seen: as many as SURROUNDINGS has)."""
    kept, seen = _extract(luma, levels=levels, size_of=how, mosts=(how.most, SURROUNDINGS.most))
    return kept, seen


def _extract(luma: Luma, *, levels: Levels, size_of: Extraction, mosts: tuple[int, ...]) -> tuple[Features, ...]:
    height, width = luma.shape
    nothing = (NO_FEATURES,) * len(mosts)
    if min(height, width) == 0 or max(height, width) > _MOST_STRETCH * min(height, width):
        return nothing
    picture = _scaled(luma, levels=levels, size_px=_size_px(width, height, size_of))
    found = corners.find(picture) if min(picture.shape) >= _MIN_SIDE_PX else None
    if found is None:
        return nothing
    chosen = (corners.spread(found, shape=picture.shape, most=most) for most in mosts)
    return tuple(_coded(picture, some, both_ways=size_of.both_ways) for some in chosen)


def readings(width: int, height: int) -> tuple[Extraction, ...]:
    """How known footage is read: in its own shape; and where that is near a stream's, squeezed to half its width and to
    half its height, otherwise stretched to a stream's.
    """
    least, most = _NEAR_ASPECTS
    aspect = width / height
    if not least < aspect < most:
        return REFERENCE, replace(REFERENCE, aspect=STREAM_ASPECT)
    return REFERENCE, replace(SQUEEZED, aspect=aspect / 2), replace(SQUEEZED, aspect=aspect * 2)


def _size_px(width: int, height: int, how: Extraction) -> tuple[int, int]:
    aspect = how.aspect or width / height
    wide, high = min(1.0, aspect), min(1.0, 1 / aspect)
    return max(1, round(how.longer_side_px * wide)), max(1, round(how.longer_side_px * high))


def _scaled(luma: Luma, *, levels: Levels, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    if luma.dtype != np.uint8:
        luma = _in_bytes(luma, levels)
    if luma.shape == size_px[::-1]:
        return np.ascontiguousarray(luma)
    smaller = size_px[0] * size_px[1] < luma.size
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(luma), size_px, interpolation=how), np.uint8)


def _in_bytes(luma: Luma, levels: Levels) -> NDArray[np.uint8]:
    """From black to white; in bands, for a large picture in single precision takes more memory than all else."""
    plane = np.empty(luma.shape, np.uint8)
    for top in range(0, len(luma), _BAND_PX):
        band = (luma[top : top + _BAND_PX] - np.float32(levels.black)) * np.float32(255 / (levels.white - levels.black))
        plane[top : top + _BAND_PX] = np.clip(np.nan_to_num(band), 0, 255)
    return plane


def _coded(picture: NDArray[np.uint8], some: corners.Corners, *, both_ways: float) -> Features:
    rows, mirrored, codes = corner_codes.codes(picture, some, both_ways=both_ways)
    height, width = picture.shape
    places = in_pixels(*in_units(some.places[rows]))  # as they are kept and sent
    return Features(width, height, places, mirrored, codes, np.zeros(len(places), np.bool_))
