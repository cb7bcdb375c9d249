"""Corners of a picture, at several scales, spread over it: the strongest alone would all stand on a caption, a fence or
a crowd.

Source: "ORB: an efficient alternative to SIFT or SURF", Rublee et al., ICCV 2011; OpenCV's implementation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
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
"""FAST's threshold is the highest of these at which a picture shows enough corners nearly everywhere: the search costs
less the fewer it finds, and of more than enough the weakest are dropped anyway.
"""

_LEAST_CONTRAST = 4
"""For pictures with few corners at any of them: there it costs twice as much."""

_ENOUGH = 200
_FEW = 110
_TEXTURED = 3
"""Corners of the picture at half its size, where they are counted first, at a tenth of what a search costs: in all of
it, and in a cell. `_NEARLY`: the share of its textured cells that are textured still at a higher contrast.
"""

_NEARLY = 0.5
_SERVED = 5
_MOST_STARVED = 9
_FULLEST = 16
_FULLEST_SHARE = 0.95
"""A panel of text beside the footage takes nearly all corners. Where so many cells, the fullest, have more than that
share of them, and more textured cells than `_MOST_STARVED` fewer than `_SERVED`, what is not served is searched on its
own. A plain wall behind somebody is not: its corners are too weak to be the same in a copy.
"""

_CROWDED = 100
_CROWDED_SHARE = 0.8
"""Where crowded cells have over four fifths of all corners, all others are searched, down to the least contrast: a
patch of noise would leave nothing of dark footage.
"""

_CELLS_ACROSS = 8
_CELLS_DOWN = 5
_CELLS = _CELLS_ACROSS * _CELLS_DOWN
_OCTAVES_A_CELL = 2

_ANGLE, _RESPONSE, _OCTAVE = map(attrgetter, ("angle", "response", "octave"))
"""Of a thousand corners each, so without a line of Python for each of them."""

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
    glance = _glance(picture)
    found = _orb(glance.contrast()).detect(picture, None)
    if not found:
        return None
    corners = _arrays(found)
    counts = np.bincount(_cells(corners.places, shape=picture.shape), minlength=_CELLS)
    served = counts >= _SERVED
    if counts[counts > _CROWDED].sum() > _CROWDED_SHARE * len(found):
        contrast = _LEAST_CONTRAST
    elif _is_starved(counts, textured=glance.textured):
        contrast = glance.contrast(outside=served)
    else:
        return corners
    rest = _orb(contrast).detect(picture, _outside(served, shape=picture.shape))
    return _joined(corners, _arrays(rest)) if rest else corners


@dataclass(frozen=True, slots=True)
class _Glance:
    """The corners of a picture at half its size: in which cell each is, and with how much contrast."""

    cells: Integers
    contrasts: _Floats

    @property
    def textured(self) -> NDArray[np.bool_]:
        return self._textured(_CONTRASTS[-1])

    def contrast(self, *, outside: NDArray[np.bool_] | None = None) -> int:
        """The threshold to search the picture with; `outside`: what is in those cells does not count."""
        if outside is not None:
            some = ~outside[self.cells]
            return _Glance(self.cells[some], self.contrasts[some]).contrast()
        if len(self.cells) < _FEW:
            return _LEAST_CONTRAST
        textured = np.count_nonzero(self.textured)
        for contrast in _CONTRASTS[:-1]:
            is_enough = np.count_nonzero(self.contrasts >= contrast) >= _ENOUGH
            if is_enough and np.count_nonzero(self._textured(contrast)) >= _NEARLY * textured:
                return contrast
        return _CONTRASTS[-1]

    def _textured(self, contrast: int) -> NDArray[np.bool_]:
        return np.bincount(self.cells[self.contrasts >= contrast], minlength=_CELLS) >= _TEXTURED


def spread(corners: Corners, *, shape: tuple[int, ...], most: int) -> Corners:
    """The strongest of each cell and size first, then the second strongest, and so on, up to `most`."""
    # Sorts that keep the order of what is equal: of small numbers such a one takes a tenth of the time.
    strongest_first = np.argsort(-corners.strengths, kind="stable")
    levels = corners.levels[strongest_first] // _OCTAVES_A_CELL
    cells = (_cells(corners.places[strongest_first], shape=shape) * LEVELS + levels).astype(np.int16)
    by_cell = np.argsort(cells, kind="stable")
    rows = np.arange(len(cells))
    new = np.ones(len(cells), np.bool_)
    new[1:] = np.diff(cells[by_cell]) != 0
    ranks = np.empty(len(cells), np.int16)
    ranks[by_cell] = rows - np.maximum.accumulate(np.where(new, rows, 0))
    return corners.take(np.sort(strongest_first[np.argsort(ranks, kind="stable")[:most]]))


def _glance(picture: NDArray[np.uint8]) -> _Glance:
    half = np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    found = _fast().detect(half, None)
    places = np.asarray(cv2.KeyPoint.convert(found), np.float32).reshape(-1, 2)
    contrasts = np.fromiter(map(_RESPONSE, found), np.float32, len(found))
    return _Glance(_cells(places, shape=half.shape), contrasts)


def _is_starved(counts: Integers, *, textured: NDArray[np.bool_]) -> bool:
    """Whether something takes the corners that the rest of the picture should have."""
    starved = np.count_nonzero(textured & (counts < _SERVED))
    return bool(starved > _MOST_STARVED and np.sort(counts)[-_FULLEST:].sum() > _FULLEST_SHARE * counts.sum())


def _cells(places: Places, *, shape: tuple[int, ...]) -> Integers:
    """In which cell of the picture each place is."""
    height, width = shape
    across = np.minimum(places[:, 0] * (_CELLS_ACROSS / width), _CELLS_ACROSS - 1).astype(np.int64)
    down = np.minimum(places[:, 1] * (_CELLS_DOWN / height), _CELLS_DOWN - 1).astype(np.int64)
    return np.asarray(down * _CELLS_ACROSS + across)


def _outside(served: NDArray[np.bool_], *, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A mask of the other cells."""
    cells = np.where(served, 0, 255).astype(np.uint8).reshape(_CELLS_DOWN, _CELLS_ACROSS)
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
        np.fromiter(map(_ANGLE, found), np.float32, count),
        np.fromiter(map(_RESPONSE, found), np.float32, count),
        np.fromiter(map(_OCTAVE, found), np.int64, count),
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
