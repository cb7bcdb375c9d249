"""Luma planes for the tests of local features: scenes of our own, and what an enemy would send."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.demo.scenes import Footage, TextSlides
from streamguard.types import Luma

Grey = NDArray[np.uint8]


def luma_of(footage: Footage, at_s: float = 1.0, *, width_px: int = 640, height_px: int = 360) -> Grey:
    """One picture of the footage, in full range."""
    return np.asarray(cv2.cvtColor(footage.frame(at_s, width_px, height_px), cv2.COLOR_RGB2GRAY), np.uint8)


def resized(picture: Grey, *, width_px: int, height_px: int) -> Grey:
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)


def cropped(picture: Grey, *, share: float) -> Grey:
    """The middle of the picture, without that share of its width and height."""
    height, width = picture.shape
    x, y = round(width * share / 2), round(height * share / 2)
    return picture[y : height - y, x : width - x]


def inset(picture: Grey, *, into: Grey, share: float) -> Grey:
    """The picture in the other's lower right corner, at that share of its sides."""
    height, width = into.shape
    small = resized(picture, width_px=round(width * share), height_px=round(height * share))
    whole = into.copy()
    whole[-small.shape[0] - 20 : -20, -small.shape[1] - 20 : -20] = small
    return whole


def noise(width_px: int, height_px: int, *, seed: int = 0) -> Grey:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px), np.uint8)


def checkerboard(*, side_px: int) -> Grey:
    return np.asarray(np.indices((720, 1280)).sum(axis=0) // side_px % 2 * 255, np.uint8)


def _half(value: float) -> Luma:
    """Every second pixel of the noise is `value`, which is no level of grey."""
    plane = noise(640, 360).astype(np.float32)
    plane[noise(640, 360, seed=1) < 128] = value
    return plane


def _text(seed: int) -> Callable[[], Luma]:
    return lambda: luma_of(TextSlides(seed), 0.0, width_px=1280, height_px=720)


HOSTILE: Mapping[str, Callable[[], Luma]] = MappingProxyType(
    {
        "noise": lambda: noise(1280, 720),
        "checkerboard": lambda: checkerboard(side_px=8),
        "checkerboard of pixels": lambda: checkerboard(side_px=1),
        "one grey": lambda: np.full((360, 640), 90, np.uint8),
        "8x8": lambda: noise(8, 8),
        "60x60": lambda: noise(60, 60),
        "a line across": lambda: noise(4000, 1),
        "a line down": lambda: noise(1, 4000),
        "almost a line": lambda: noise(799, 100),
        "no pixel": lambda: np.zeros((0, 5), np.uint8),
        "8192x4320": lambda: noise(8192, 4320),
        "half NaN": lambda: _half(np.nan),
        "half infinite": lambda: _half(np.inf),
        "nothing but NaN": lambda: np.full((360, 640), np.nan, np.float32),
        "text": _text(3),
        "other text": _text(4),
    }
)
