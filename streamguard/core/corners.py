"""Corners of a picture, at several scales, spread over it: the strongest alone would all stand on a caption, a fence or
a crowd.

Source: "ORB: an efficient alternative to SIFT or SURF", Rublee et al., ICCV 2011; OpenCV's implementation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.types import Places

LEVELS = 7
SCALE = 1.22
"""Each level of the pyramid is smaller than the one before by this much."""

MARGIN_PX = 19
"""So far from the edge of its level is each corner."""

_PATCH_PX = 31
_DETECTED = 1200
_CONTRASTS = (40, 28, 20, 14, 10)
"""FAST's threshold is the highest of these at which a picture shows enough corners: the search costs less the fewer it
finds, and of more than enough the weakest are dropped anyway.
"""

_LEAST_CONTRAST = 4
"""For pictures with few corners at any of them: there it costs twice as much."""

_ENOUGH = 200
_FEW = 110
"""Corners of the picture at half its size, where they are counted first, at a tenth of what a search costs."""

_CROWDED = 100
_CROWDED_SHARE = 0.8
"""Where crowded cells have over four fifths of all corners, the rest of the picture is searched on its own: a patch of
noise, a crowd or a caption would leave nothing of footage with less contrast.
"""

_CELLS_ACROSS = 8
_CELLS_DOWN = 5
_OCTAVES_A_CELL = 2

Integers = NDArray[np.int64]
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corners:
    """A row each: the place in pixels of the picture, the turn, how strong, and at which level of the pyramid."""

    places: Places
    angles_deg: _Floats
    strengths: _Floats
    levels: Integers

    def take(self, rows: Integers) -> "Corners":
        """Those rows."""
        return Corners(self.places[rows], self.angles_deg[rows], self.strengths[rows], self.levels[rows])


def find(picture: NDArray[np.uint8]) -> Corners | None:
    """The strongest corners, in no order; None where there is none."""
    found = _orb(_contrast(picture)).detect(picture, None)
    if not found:
        return None
    corners = _arrays(found)
    counts = np.bincount(_cells(corners, shape=picture.shape), minlength=_CELLS_ACROSS * _CELLS_DOWN)
    crowded = counts > _CROWDED
    if counts[crowded].sum() <= _CROWDED_SHARE * len(found):
        return corners
    rest = _orb(_LEAST_CONTRAST).detect(picture, _outside(crowded, shape=picture.shape))
    return _joined(corners, _arrays(rest)) if rest else corners


def spread(corners: Corners, *, shape: tuple[int, ...], most: int) -> Corners:
    """The strongest of each cell and size first, then the second strongest, and so on, up to `most`."""
    cells = _cells(corners, shape=shape) * LEVELS + corners.levels // _OCTAVES_A_CELL
    order = np.lexsort((-corners.strengths, cells))
    rows = np.arange(len(order))
    new = np.ones(len(order), np.bool_)
    new[1:] = np.diff(cells[order]) != 0
    ranks = np.empty(len(order), np.int64)
    ranks[order] = rows - np.maximum.accumulate(np.where(new, rows, 0))
    return corners.take(np.sort(np.lexsort((-corners.strengths, ranks))[:most]))


def _contrast(picture: NDArray[np.uint8]) -> int:
    """The threshold that this picture is searched with."""
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = _fast().detect(half, None)
    contrasts = np.fromiter((corner.response for corner in found), np.float32, len(found))
    for contrast in _CONTRASTS:
        if np.count_nonzero(contrasts >= contrast) >= _ENOUGH:
            return contrast
    return _CONTRASTS[-1] if len(found) >= _FEW else _LEAST_CONTRAST


def _cells(corners: Corners, *, shape: tuple[int, ...]) -> Integers:
    """In which cell of the picture each corner is."""
    height, width = shape
    across = np.minimum(corners.places[:, 0] * (_CELLS_ACROSS / width), _CELLS_ACROSS - 1).astype(np.int64)
    down = np.minimum(corners.places[:, 1] * (_CELLS_DOWN / height), _CELLS_DOWN - 1).astype(np.int64)
    return np.asarray(down * _CELLS_ACROSS + across)


def _outside(crowded: NDArray[np.bool_], *, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A mask of the other cells."""
    cells = np.where(crowded, 0, 255).astype(np.uint8).reshape(_CELLS_DOWN, _CELLS_ACROSS)
    return np.asarray(cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _joined(one: Corners, other: Corners) -> Corners:
    """Both; those that lie on a border between cells may be there twice."""
    return Corners(
        np.concatenate([one.places, other.places]),
        np.concatenate([one.angles_deg, other.angles_deg]),
        np.concatenate([one.strengths, other.strengths]),
        np.concatenate([one.levels, other.levels]),
    )


def _arrays(found: Sequence[Any]) -> Corners:
    count = len(found)
    return Corners(
        np.asarray(cv2.KeyPoint.convert(found), np.float32).reshape(-1, 2),
        np.fromiter((corner.angle for corner in found), np.float32, count),
        np.fromiter((corner.response for corner in found), np.float32, count),
        np.fromiter((corner.octave for corner in found), np.int64, count),
    )


@lru_cache(maxsize=1)
def _fast() -> Any:  # noqa: ANN401 - OpenCV's stubs have no usable type for it
    return cv2.FastFeatureDetector.create(threshold=_CONTRASTS[-1], nonmaxSuppression=True)


@lru_cache(maxsize=len(_CONTRASTS) + 1)
def _orb(contrast: int) -> Any:  # noqa: ANN401 - OpenCV's stubs have no usable type for it
    return cv2.ORB.create(
        nfeatures=_DETECTED,
        scaleFactor=SCALE,
        nlevels=LEVELS,
        edgeThreshold=MARGIN_PX,
        patchSize=_PATCH_PX,
        fastThreshold=contrast,
    )
