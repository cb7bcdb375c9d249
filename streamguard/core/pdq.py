"""PDQ, Meta's perceptual hash, exactly, as a linear map of the luma plane.

The reference blurs with two box passes along each axis, takes 64x64 points, and keeps the 16x16 lowest frequencies of
their DCT: all linear, so the whole is `C = D (A Y B') D'` with banded A and B, and a bit for each coefficient
above the median. Only the rows that a point needs are ever touched; no RGB, no resize. Mirrored and turned pictures
have the same coefficients up to sign and transposition, so their hashes cost no second transform.

Source: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", Facebook, 2019, and its C++ code.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import FingerprintError
from streamguard.types import FULL_RANGE, PDQ_BITS, WHOLE_PICTURE, Fingerprint, Levels, Luma, Region, View

MIN_QUALITY = 50
"""Below this a picture carries too little to be recognised by (flat, black, a fade)."""

_POINTS = 64
_COEFFICIENTS = 16
_MIN_SIDE_PX = 5
_PLANE_DIMENSIONS = 2
_LOWER_MIDDLE = PDQ_BITS // 2 - 1
_ZERO_CODE = bytes(PDQ_BITS // 8)
_MOST_LUMA = 1e6

_GROUPS = (4, 2)
"""Bands of so many points are multiplied together: fewer calls, little more to multiply. The first with which a product
of the whole width is small enough, else the last: of 1080p two points' take a fifth less time than four's in parts.
"""

_MOST_PRODUCTS = 1 << 18
"""Up to here (rows x inner x columns) OpenBLAS works in the caller's thread. Above it wakes a thread a core, and they
wait by spinning: beside other processes that made 56 ms out of the 1.4 ms that a 1080p picture takes."""

# A picture flipped along an axis changes the sign of that axis' odd frequencies; the 16 kept ones are 1..16.
_ODD_SIGNS = np.where(np.arange(1, _COEFFICIENTS + 1) % 2, -1.0, 1.0).astype(np.float32)
_SIGNS = np.stack(
    [
        np.ones((_COEFFICIENTS, _COEFFICIENTS), np.float32),
        np.broadcast_to(_ODD_SIGNS, (_COEFFICIENTS, _COEFFICIENTS)),
        np.broadcast_to(_ODD_SIGNS[:, None], (_COEFFICIENTS, _COEFFICIENTS)),
        np.outer(_ODD_SIGNS, _ODD_SIGNS),
    ]
)
# Which sign pattern, and whether transposed, makes each dihedral view.
_VIEWS: dict[View, tuple[int, bool]] = {
    View.UPRIGHT: (0, False),
    View.MIRRORED: (1, False),
    View.FLIPPED: (2, False),
    View.ROTATED_180: (3, False),
    View.TRANSPOSED: (0, True),
    View.ROTATED_90: (1, True),
    View.ROTATED_270: (2, True),
    View.ANTITRANSPOSED: (3, True),
}


def from_luma(luma: Luma, *, levels: Levels = FULL_RANGE) -> tuple[bytes, int]:
    """The PDQ hash (32 bytes, bit 255 first, as hex prints it) and quality (0-100) of a 2-D uint8 or float32 array.

    `levels` says which values are black and white; the hash does not depend on it, the quality does.
    A side under 5 px gives the zero hash and quality 0, as the reference does. Raises FingerprintError.
    """
    _check(luma)
    points = _points(luma, levels)
    if points is None:
        return _ZERO_CODE, 0
    return _code(_spectrum(points)), _quality(points)


def fingerprint(
    luma: Luma, *, levels: Levels = FULL_RANGE, region: Region = WHOLE_PICTURE, mean_of_px: int = 1
) -> Fingerprint:
    """The hashes of a region of the picture in all eight dihedral views, by one transform. `mean_of_px`: of the picture
    only the means of so many by so many pixels are there; its hashes are told from them but for a bit or two. Raises
    FingerprintError.
    """
    _check(luma)
    points = _points(crop(luma, region), levels, mean_of_px=mean_of_px)
    if points is None:
        return Fingerprint(region, 0, (_ZERO_CODE,) * len(_VIEWS))
    spectrum = _spectrum(points)
    codes = tuple(
        _code((spectrum * _SIGNS[sign]).T if transposed else spectrum * _SIGNS[sign])
        for _, (sign, transposed) in sorted(_VIEWS.items())
    )
    return Fingerprint(region, _quality(points), codes)


def negative(code: bytes) -> bytes:
    """The hash of the same picture as a negative: every coefficient changes its sign, so every bit turns."""
    return bytes(byte ^ 0xFF for byte in code)


def distance_bits(one: bytes, other: bytes) -> int:
    """How many of the 256 bits differ; 31 or fewer is the industry's match."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def crop(luma: Luma, region: Region) -> Luma:
    """The region's pixels, without a copy."""
    height, width = luma.shape
    return luma[
        round(region.top * height) : round(region.bottom * height),
        round(region.left * width) : round(region.right * width),
    ]


def _check(luma: Luma) -> None:
    if luma.ndim != _PLANE_DIMENSIONS or luma.dtype not in (np.uint8, np.float32):
        problem = f"want a 2-D uint8 or float32 array, got {luma.ndim}-D {luma.dtype}"
        raise FingerprintError("hash", "luma plane", problem)


def _points(luma: Luma, levels: Levels, *, mean_of_px: int = 1) -> NDArray[np.float32] | None:
    """The picture blurred and taken at 64x64 points, 0 black to 255 white; None where it is too small."""
    if mean_of_px * min(luma.shape) < _MIN_SIDE_PX:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # told as an error of ours, below
        # The reference takes a picture of just this size as it is.
        is_small = mean_of_px == 1 and luma.shape == (_POINTS, _POINTS)
        blurred = luma if is_small else _blurred(_blurred(luma, mean_of_px).T, mean_of_px).T
        points = (blurred - np.float32(levels.black)) * np.float32(255.0 / (levels.white - levels.black))
    if not (np.abs(points) < _MOST_LUMA).all():  # NaN is not less either
        raise FingerprintError("hash", "luma plane", "it holds values that are no luma: not finite, or huge")
    return points


def _blurred(plane: Luma, mean_of_px: int) -> NDArray[np.float32]:
    """The plane blurred along its first axis and taken at 64 points of it, in products small enough for one thread."""
    height, width = plane.shape
    rows = np.empty((_POINTS, width), np.float32)
    within = (some for some in _GROUPS if some * _longest(height, some, mean_of_px) * width <= _MOST_PRODUCTS)
    group = next(within, _GROUPS[-1])
    for number, (first, weights) in enumerate(_bands(height, group, mean_of_px)):
        out = rows[number * group : (number + 1) * group]
        band = plane[first : first + weights.shape[1]]
        columns = max(1, _MOST_PRODUCTS // weights.size)
        for left in range(0, width, columns):
            part = band[:, left : left + columns].astype(np.float32, copy=False)
            np.matmul(weights, part, out=out[:, left : left + columns])
    return rows


def _spectrum(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(_DCT @ points @ _DCT.T)


def _code(spectrum: NDArray[np.float32]) -> bytes:
    values = spectrum.ravel()
    median = np.partition(values, _LOWER_MIDDLE)[_LOWER_MIDDLE]
    return bytes(np.packbits((values > median)[::-1]))


def _quality(points: NDArray[np.float32]) -> int:
    """How much the picture varies, 0-100: the reference's sum of whole-percent steps between neighbouring points."""
    percent, white = np.float32(100), np.float32(255)
    down = np.trunc(np.diff(points, axis=0) * percent / white)
    across = np.trunc(np.diff(points, axis=1) * percent / white)
    steps = int(np.abs(down).sum() + np.abs(across).sum())
    return min(100, steps // 90)


def _dct_rows() -> NDArray[np.float32]:
    i = np.arange(1, _COEFFICIENTS + 1)[:, None]
    j = np.arange(_POINTS)[None, :]
    return np.asarray(np.sqrt(2 / _POINTS) * np.cos(np.pi / (2 * _POINTS) * i * (2 * j + 1)), np.float32)


_DCT = _dct_rows()


@lru_cache(maxsize=64)
def _longest(length: int, group: int, mean_of_px: int) -> int:
    """Band, in values."""
    return int(max(weights.shape[1] for _, weights in _bands(length, group, mean_of_px)))


@lru_cache(maxsize=64)
def _bands(length: int, group: int, mean_of_px: int) -> tuple[tuple[int, NDArray[np.float32]], ...]:
    """For each group of points, the first value that counts for one of them, and from there a row of weights for each.

    A point is the mean, over a window, of means over windows; near an edge a window holds what is inside. A value that
    stands for several pixels has the weight of them all.
    """
    length *= mean_of_px
    window = (length + 2 * _POINTS - 1) // (2 * _POINTS)
    ahead = (window + 2) // 2
    pixels = np.arange(length)
    firsts = np.maximum(pixels - (window - ahead), 0)
    ends = np.minimum(pixels + ahead, length)
    centres = [int((i + 0.5) * length / _POINTS) for i in range(_POINTS)]
    groups = []
    for start in range(0, _POINTS, group):
        members = centres[start : start + group]
        first = firsts[firsts[members[0]]] // mean_of_px * mean_of_px
        end = -(-ends[ends[members[-1]] - 1] // mean_of_px) * mean_of_px
        weights = np.zeros((group, end - first))
        for row, centre in zip(weights, members, strict=True):
            inner = slice(firsts[centre], ends[centre])
            inside = (firsts[inner, None] <= pixels[first:end]) & (pixels[first:end] < ends[inner, None])
            row[:] = np.mean(inside / (ends[inner] - firsts[inner])[:, None], axis=0)
        weights = weights.reshape(group, -1, mean_of_px).sum(axis=2)
        groups.append((int(first) // mean_of_px, weights.astype(np.float32)))
    return tuple(groups)
