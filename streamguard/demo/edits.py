"""What uploaders do to footage to get it past a filter. Each edit is a pure function of one RGB picture."""

from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np

from streamguard.demo.textures import Picture


def mirrored(picture: Picture) -> Picture:
    """Left and right exchanged."""
    return np.ascontiguousarray(picture[:, ::-1])


def resized(picture: Picture, *, width_px: int, height_px: int) -> Picture:
    """Scaled to another size, the proportions too when they differ."""
    return _like(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA))


def recoloured(picture: Picture, *, warmth: float = 0.25, saturation: float = 1.35, brightness: float = 8.0) -> Picture:
    """Warmer (red up, blue down, as shares), more saturated and brighter (in levels)."""
    saturate = np.full((3, 3), (1.0 - saturation) / 3) + saturation * np.eye(3)
    warm = np.diag([1.0 + warmth, 1.0, 1.0 - warmth])
    return _like(cv2.transform(picture, np.column_stack((warm @ saturate, np.full(3, brightness)))))


def negative(picture: Picture) -> Picture:
    """Black for white, and each colour its opposite."""
    return 255 - picture


def cropped(picture: Picture, *, share: float) -> Picture:
    """That share of the width and of the height cut away, half on each side, and what is left blown up to the size."""
    height_px, width_px = picture.shape[:2]
    x, y = round(width_px * share / 2), round(height_px * share / 2)
    return resized(picture[y : height_px - y, x : width_px - x], width_px=width_px, height_px=height_px)


def letterboxed(picture: Picture, *, share: float = 0.2) -> Picture:
    """Squeezed between black bars at the top and at the bottom, which together are that share of the height."""
    height_px, width_px = picture.shape[:2]
    bar_px = round(height_px * share / 2)
    framed = np.zeros_like(picture)
    framed[bar_px : height_px - bar_px] = resized(picture, width_px=width_px, height_px=height_px - 2 * bar_px)
    return framed


def pillarboxed(picture: Picture, *, share: float = 0.25) -> Picture:
    """Squeezed between black bars left and right, which together are that share of the width."""
    height_px, width_px = picture.shape[:2]
    bar_px = round(width_px * share / 2)
    framed = np.zeros_like(picture)
    framed[:, bar_px : width_px - bar_px] = resized(picture, width_px=width_px - 2 * bar_px, height_px=height_px)
    return framed


def sped_up(pictures: Iterable[Picture], *, factor: int) -> Iterator[Picture]:
    """Only every `factor`-th picture, so that at the same rate it plays that much faster."""
    return islice(pictures, 0, None, factor)


def _like(values: np.ndarray) -> Picture:
    return values.astype(np.uint8, copy=False)
