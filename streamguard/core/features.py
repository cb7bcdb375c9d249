"""Local features: ORB corners in one canonical form, so that one search finds a picture, its mirror image and its
negative, all of them turned, cropped or small in a corner too.

A corner's code depends on how its surroundings are read. ORB turns them by their own centre of brightness. Here they
are also read as a negative where the corner is darker than they are (then the centre lies on the other side, and each
bit turns), and mirrored where they lean to the left (the sign of their moment xy along that axis). A negative or a
mirror image is read back into the same form, so neither has to be indexed or searched for a second time. What leans
hardly at all may lean either way in a poor copy: in the library such corners stand in both forms.

Corners are spread over the picture: the strongest alone would all stand on a caption, a fence or a crowd.

Source: "ORB: an efficient alternative to SIFT or SURF", Rublee et al., ICCV 2011; OpenCV's implementation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core.feature_records import in_pixels, in_units
from streamguard.types import CODE_BYTES, NO_FEATURES, Codes, Features, Levels, Luma

_LEVELS = 8
_SCALE = 1.2
_FAST_THRESHOLD = 4
_PATCH_PX = 31
_MARGIN_PX = 19
_DETECTED = 2000
"""So many corners are found, of which the spread ones are kept."""

_MIN_SIDE_PX = 2 * _MARGIN_PX + 8
_MOST_STRETCH = 8.0
"""A picture longer than so many times its width is no picture; and would be scaled to a line."""

_CELLS_ACROSS = 8
_CELLS_DOWN = 5
_OCTAVES_A_CELL = 2

_CORNER_PX = 1
_AROUND_PX = 5
_GRID_PX = 4
_GRID_RADIUS_PX = 13
_GRID_BOX_PX = 2

_Floats = NDArray[np.float32]
_Integers = NDArray[np.int64]


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


STREAM = Extraction(longer_side_px=640, most=350)
REFERENCE = Extraction(longer_side_px=512, most=375, both_ways=0.2)
"""Smaller than a stream's, as footage in a corner of the picture is."""

STREAM_ASPECT = 16 / 9
_NEAR_ASPECTS = (1.3, 2.4)
"""Corners are still the same where a picture is stretched by less than a third."""

SURROUNDINGS = Extraction(longer_side_px=REFERENCE.longer_side_px, most=1000, both_ways=REFERENCE.both_ways)
"""What a feature of one moment is looked for in at the others: a corner that just missed being kept there is there."""


def features(luma: Luma, *, levels: Levels, how: Extraction) -> Features:
    """The local features of a 2-D luma plane; none where it is too small or too long, or shows no corner."""
    (found,) = features_of_each(luma, levels=levels, how=how, most=(how.most,))
    return found


def features_of_each(luma: Luma, *, levels: Levels, how: Extraction, most: Sequence[int]) -> tuple[Features, ...]:
    """What `features` finds where `how.most` is each of `most`, for one search for corners."""
    none = (NO_FEATURES,) * len(most)
    height, width = luma.shape
    if min(height, width) == 0 or max(height, width) > _MOST_STRETCH * min(height, width):
        return none
    picture = _scaled(luma, levels=levels, size_px=_size_px(width, height, how))
    if min(picture.shape) < _MIN_SIDE_PX:
        return none
    found = _orb().detect(picture, None)
    if not found:
        return none
    corners = _Corners.of(found)
    kept = (_spread(corners, shape=picture.shape, most=each) for each in most)
    return tuple(_coded(picture, each, both_ways=how.both_ways) for each in kept)


def aspects(width: int, height: int) -> tuple[float | None, ...]:
    """The shapes in which known footage is read: its own, and where that is far from a stream's, stretched to it."""
    least, most = _NEAR_ASPECTS
    return (None,) if least < width / height < most else (None, STREAM_ASPECT)


@dataclass(frozen=True, slots=True)
class _Corners:
    """OpenCV's key points as arrays, a row each."""

    places: _Floats
    angles_deg: _Floats
    strengths: _Floats
    octaves: _Integers

    @classmethod
    def of(cls, found: Sequence[Any]) -> "_Corners":
        count = len(found)
        return cls(
            np.asarray(cv2.KeyPoint.convert(found), np.float32).reshape(-1, 2),
            np.fromiter((corner.angle for corner in found), np.float32, count),
            np.fromiter((corner.response for corner in found), np.float32, count),
            np.fromiter((corner.octave for corner in found), np.int64, count),
        )

    def take(self, rows: _Integers) -> "_Corners":
        return _Corners(self.places[rows], self.angles_deg[rows], self.strengths[rows], self.octaves[rows])

    @property
    def scales(self) -> _Floats:
        return np.float32(_SCALE) ** self.octaves.astype(np.float32)


@lru_cache(maxsize=1)
def _orb() -> Any:  # noqa: ANN401 - OpenCV's stubs have no usable type for it
    return cv2.ORB.create(
        nfeatures=_DETECTED,
        scaleFactor=_SCALE,
        nlevels=_LEVELS,
        edgeThreshold=_MARGIN_PX,
        patchSize=_PATCH_PX,
        fastThreshold=_FAST_THRESHOLD,
    )


def _size_px(width: int, height: int, how: Extraction) -> tuple[int, int]:
    aspect = how.aspect or width / height
    wide, high = min(1.0, aspect), min(1.0, 1 / aspect)
    return max(1, round(how.longer_side_px * wide)), max(1, round(how.longer_side_px * high))


def _scaled(luma: Luma, *, levels: Levels, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    if luma.dtype != np.uint8:
        plane = np.nan_to_num((luma - np.float32(levels.black)) * np.float32(255 / (levels.white - levels.black)))
        luma = np.clip(plane, 0, 255).astype(np.uint8)
    smaller = size_px[0] * size_px[1] < luma.size
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(luma), size_px, interpolation=how), np.uint8)


def _spread(corners: _Corners, *, shape: tuple[int, ...], most: int) -> _Corners:
    """The strongest of each cell and size first, then the second strongest, and so on, up to `most`."""
    height, width = shape
    across = np.minimum(corners.places[:, 0] * _CELLS_ACROSS / width, _CELLS_ACROSS - 1).astype(np.int64)
    down = np.minimum(corners.places[:, 1] * _CELLS_DOWN / height, _CELLS_DOWN - 1).astype(np.int64)
    cells = (across * _CELLS_DOWN + down) * _LEVELS + corners.octaves // _OCTAVES_A_CELL
    order = np.lexsort((-corners.strengths, cells))
    rows = np.arange(len(order))
    new = np.ones(len(order), np.bool_)
    new[1:] = np.diff(cells[order]) != 0
    ranks = np.empty(len(order), np.int64)
    ranks[order] = rows - np.maximum.accumulate(np.where(new, rows, 0))
    return corners.take(np.sort(np.lexsort((-corners.strengths, ranks))[:most]))


def _coded(picture: NDArray[np.uint8], corners: _Corners, *, both_ways: float) -> Features:
    sums = cv2.integral(picture).astype(np.int64)
    lighter = _lighter_than_around(sums, corners)
    angles_deg = np.where(lighter, corners.angles_deg, (corners.angles_deg + 180) % 360)
    lean = _lean(sums, corners, angles_deg=angles_deg)
    mirrored = np.where(lighter, lean, -lean) < 0
    either = np.flatnonzero(np.abs(lean) < np.quantile(np.abs(lean), both_ways)) if both_ways else np.empty(0, np.int64)
    rows = np.concatenate([np.arange(len(mirrored)), either])
    forms = np.concatenate([mirrored, ~mirrored[either]])
    codes = np.zeros((len(rows), CODE_BYTES), np.uint8)
    read = np.zeros(len(rows), np.bool_)
    for form in (False, True):
        wanted = np.flatnonzero(forms == form)
        numbers, found = _read(picture, corners.take(rows[wanted]), angles_deg=angles_deg[rows[wanted]], mirrored=form)
        codes[wanted[numbers]] = found
        read[wanted[numbers]] = True
    codes[~lighter[rows]] ^= 0xFF
    height, width = picture.shape
    places = in_pixels(*in_units(corners.places[rows[read]]))  # as they are kept and sent
    return Features(width, height, places, forms[read], codes[read], np.zeros(len(places), np.bool_))


def _read(
    picture: NDArray[np.uint8], corners: _Corners, *, angles_deg: NDArray[np.floating[Any]], mirrored: bool
) -> tuple[_Integers, Codes]:
    """(rows, their codes) of those corners that OpenCV has a code for."""
    if not len(angles_deg):
        return np.empty(0, np.int64), np.empty((0, CODE_BYTES), np.uint8)
    across = corners.places[:, 0]
    if mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
        across, angles_deg = picture.shape[1] - 1 - across, (180 - angles_deg) % 360
    values = zip(
        across.tolist(), corners.places[:, 1].tolist(), (_PATCH_PX * corners.scales).tolist(), angles_deg.tolist(),
        corners.strengths.tolist(), corners.octaves.tolist(), range(len(angles_deg)), strict=True,
    )  # fmt: skip
    kept, codes = _orb().compute(picture, [cv2.KeyPoint(*value) for value in values])
    if codes is None:
        return np.empty(0, np.int64), np.empty((0, CODE_BYTES), np.uint8)
    return np.fromiter((corner.class_id for corner in kept), np.int64, len(kept)), np.asarray(codes, np.uint8)


def _lighter_than_around(sums: _Integers, corners: _Corners) -> NDArray[np.bool_]:
    across, down = np.rint(corners.places).T
    near = _mean(sums, across, down, radius_px=np.maximum(1, np.rint(_CORNER_PX * corners.scales)))
    around = _mean(sums, across, down, radius_px=np.rint(_AROUND_PX * corners.scales))
    return np.asarray(near >= around)


def _lean(sums: _Integers, corners: _Corners, *, angles_deg: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """To which side of its axis a corner's surroundings are lighter farther out: their moment xy, by their contrast."""
    turn = np.deg2rad(angles_deg)[:, None]
    scales = corners.scales[:, None]
    across = corners.places[:, :1] + (_GRID[:, 0] * np.cos(turn) - _GRID[:, 1] * np.sin(turn)) * scales
    down = corners.places[:, 1:] + (_GRID[:, 0] * np.sin(turn) + _GRID[:, 1] * np.cos(turn)) * scales
    lights = _mean(sums, np.rint(across), np.rint(down), radius_px=np.rint(_GRID_BOX_PX * scales))
    contrast = lights.std(axis=1) + 1e-3
    return np.asarray(lights @ _GRID_WEIGHTS / contrast)


def _mean(sums: _Integers, across: NDArray[Any], down: NDArray[Any], *, radius_px: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of squares of the picture, from its summed-area table; what lies outside the picture does not count."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    left = np.clip(across - radius_px, 0, width - 1).astype(np.int64)
    right = np.clip(across + radius_px + 1, 1, width).astype(np.int64)
    top = np.clip(down - radius_px, 0, height - 1).astype(np.int64)
    bottom = np.clip(down + radius_px + 1, 1, height).astype(np.int64)
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(total / ((right - left) * (bottom - top)))


def _grid() -> NDArray[np.float64]:
    steps = np.arange(-_GRID_RADIUS_PX + 1, _GRID_RADIUS_PX, _GRID_PX)
    return np.array([(x, y) for x in steps for y in steps if x * x + y * y <= _GRID_RADIUS_PX**2], np.float64)


_GRID = _grid()
_GRID_WEIGHTS = _GRID[:, 0] * _GRID[:, 1] / np.abs(_GRID[:, 0] * _GRID[:, 1]).sum()
