"""Binary codes of corners in one canonical form, so that one search finds a picture, its mirror image and its negative,
all of them turned, cropped or small in a corner too.

Around each corner a grid of 7 x 7 lights is read from the blurred picture, turned by ORB's angle (towards the centre of
brightness). The code says of 256 pairs of them which is lighter. A negative's centre of brightness lies on the other
side and each of its bits turns; a mirror image shows the grid from behind. So the grid is read as a negative where the
corner is darker than what is around it, and mirrored where it leans to the left (by the moment xy along its axis):
both are just other orders of the same lights. What hardly leans may lean either way in a poor copy: such corners can
be had in both forms.

Which pairs tell the most was learnt (`benchmarks/learn_pairs.py`): each splits corners in halves, and no two say nearly
the same.

Source: "ORB: an efficient alternative to SIFT or SURF", Rublee et al., ICCV 2011 (rBRIEF); the grid, its forms and its
pairs are our own.
"""

import base64
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core.corners import LEVELS, SCALE, Corners, Integers
from streamguard.types import Codes

STEP_PX = 4
_HALF = 3
_BLUR_PX = 5
_TURNS = 64
"""Angles are rounded to so many a turn."""

_PAIRS = np.frombuffer(
    base64.b85decode(
        r"94i(j4HFp~8zBuR8z~qs1uhOO0xb&>ATR+C6c`K=8Ym7P6DJfe00;{o8ZZ$b6d(m35-tcA9V#a;87Utw5G@oM2M+=YDl7^n5iSWP"
        r"7$61=8X_7X03HS}9xMkX0}B--1{fF`04x?OAR-PH1q%%@BrFCL0}%oQ0VX0S11$s!1q}@u2^R+t5)>695*Q*d1PlWO87Cnx1rq=Q"
        r"7bXG_10Mw^1QG-W5-<cN1{wha93BiW2Q3W|3JePkCn*#n6CWij2P+LIE-)Z24I2Oo6DbT711=LADK8Qr5iJP|0|^=~790Z?01f~u"
        r"A20zA3?Kpw1_}!k1P})u0VM$k3oQ^VA1w+J1}OzF4jcm$6Cno`AtwngB`pXJ4ki~R3nu~y5FP;q3>pt31ql@w7b*l45*iF91uXz1"
        r"0TB-s3ojBT2@wSwD=i5h9wZ451s4e(2o?kg3KS6_02~A-0|x;g3m6h25gQL3C@ugl1`q)&0Tl-e0uBQY1TP9F86O`a5h)BP1R5qU"
        r"2@?<!6D<e~2`U5`BPI(Q3m^<41t9?=2pj?@7as~R3Jw4g0xSt7CM*af5F-&65GN282^9bh0UZh&3LXM40u}@w3M>O47cUSL3l9Sr"
        r"3n>#94-p_OCMgC70wpXi7A_hl0vQ1m4<7_91r8W3"
    ),
    np.uint8,
).reshape(-1, 2)


def codes(
    picture: NDArray[np.uint8], corners: Corners, *, both_ways: float
) -> tuple[Integers, NDArray[np.bool_], Codes]:
    """(rows of the corners, whether in mirrored form, codes). Of the corners, the share `both_ways` that leans the
    least comes a second time, in the other form.
    """
    lights = _lights(picture, corners)
    dark, mirrored, moments = _forms(lights)
    rows = np.arange(len(lights))
    if both_ways:
        lean = np.abs(moments) / (lights.astype(np.float32).std(axis=1) + np.float32(1e-3))
        either = np.flatnonzero(lean < np.quantile(lean, both_ways))
        rows, mirrored = np.concatenate([rows, either]), np.concatenate([mirrored, ~mirrored[either]])
    found = _compared(_in_order(lights, rows, mirrored=mirrored, dark=dark[rows]))
    found[dark[rows]] ^= 0xFF
    return rows, mirrored, found


def canonical_lights(picture: NDArray[np.uint8], corners: Corners) -> NDArray[np.int16]:
    """A line of 49 for each corner, in its canonical order, negated where it is read as a negative."""
    lights = _lights(picture, corners)
    dark, mirrored, _ = _forms(lights)
    ordered = _in_order(lights, np.arange(len(lights)), mirrored=mirrored, dark=dark).astype(np.int16)
    return np.asarray(np.where(dark[:, None], -ordered, ordered))


def _in_order(
    lights: NDArray[np.uint8], rows: Integers, *, mirrored: NDArray[np.bool_], dark: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Those rows of the lights, each in the canonical order of its form."""
    return np.asarray(lights.ravel().take(_ORDERS[mirrored * 2 + dark] + rows[:, None] * lights.shape[1]))


def _compared(lights: NDArray[np.uint8]) -> Codes:
    """A bit for each of the pairs. A line of memory for each light: a few long rows are compared sooner than many short
    ones.
    """
    across = np.asarray(cv2.transpose(lights), np.uint8)
    bits = across.take(_PAIRS[:, 0], axis=0) < across.take(_PAIRS[:, 1], axis=0)
    return np.packbits(np.asarray(cv2.transpose(bits.view(np.uint8))), axis=1)


def _forms(lights: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
    """Of each corner: whether it is read as a negative, whether mirrored, and its moment, to whose side it leans."""
    shades = lights.astype(np.float32)
    dark = np.asarray(shades @ _LIGHTER < 0)
    moments = np.asarray(shades @ _LEAN, np.float32)
    return dark, np.asarray(np.where(dark, -moments, moments) < 0), moments


def _lights(picture: NDArray[np.uint8], corners: Corners) -> NDArray[np.uint8]:
    """A line of 49 for each corner: the grid around it, turned by its angle, at its level of the pyramid."""
    width = picture.shape[1]
    pyramid, tops = _pyramid(picture)
    scales = np.power(SCALE, corners.levels)
    across, down = np.rint(corners.places.T / scales).astype(np.int64)
    turns = np.rint(corners.angles_deg * (_TURNS / 360)).astype(np.int64) % _TURNS
    middles = (down + tops[corners.levels]) * width + across
    return np.asarray(pyramid.ravel().take(middles[:, None] + _offsets(width).take(turns, axis=0)))


def _pyramid(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Integers]:
    """The picture, blurred, at all its sizes below one another, and at which line each begins."""
    height, width = picture.shape
    sizes = [(round(width / SCALE**level), round(height / SCALE**level)) for level in range(LEVELS)]
    tops = np.add.accumulate([0, *(high for _, high in sizes)])  # not `np.cumsum`: see core.stillness
    canvas = np.empty((int(tops[-1]), width), np.uint8)
    smaller = picture
    for top, (wide, high) in zip(tops.tolist(), sizes, strict=False):
        if smaller.shape != (high, wide):
            smaller = np.asarray(cv2.resize(smaller, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)
        cv2.blur(smaller, (_BLUR_PX, _BLUR_PX), dst=canvas[top : top + high, :wide])
    return canvas, tops


@lru_cache(maxsize=16)
def _offsets(width: int) -> Integers:
    """For each turn where the lights of the grid stand in a picture's memory, from the corner on."""
    turns = np.arange(_TURNS)[:, None] * (2 * np.pi / _TURNS)
    across = np.rint(GRID[:, 0] * np.cos(turns) - GRID[:, 1] * np.sin(turns))
    down = np.rint(GRID[:, 0] * np.sin(turns) + GRID[:, 1] * np.cos(turns))
    return np.asarray(down * width + across, np.int64)


def _grid() -> NDArray[np.int64]:
    steps = range(-_HALF * STEP_PX, _HALF * STEP_PX + 1, STEP_PX)
    return np.array([(x, y) for y in steps for x in steps])


def _ordered(*, mirrored: bool, turned: bool) -> NDArray[np.intp]:
    """Where each light of the grid goes that is seen from behind, or by half a turn."""
    numbers = np.arange(len(GRID)).reshape(2 * _HALF + 1, -1)
    numbers = numbers[::-1] if mirrored else numbers
    return (numbers[::-1, ::-1] if turned else numbers).ravel()


GRID = _grid()
_ORDERS = np.stack(
    [_ordered(mirrored=mirrored, turned=turned) for mirrored in (False, True) for turned in (False, True)]
)
_RADII_PX = np.hypot(*GRID.T)
_AROUND = (_RADII_PX > 0) & (_RADII_PX <= 2.3 * STEP_PX)
_LIGHTER = ((_RADII_PX == 0) - _AROUND / _AROUND.sum()).astype(np.float32)
_MOMENT = GRID[:, 0] * GRID[:, 1] * (_RADII_PX <= 3.4 * STEP_PX)
_LEAN = (_MOMENT / np.abs(_MOMENT).sum()).astype(np.float32)
