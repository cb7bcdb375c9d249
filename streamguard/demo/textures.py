"""What scenes are made of: painted canvases, skylines, sprites and slides of text, each from a random generator.

Big shapes give PDQ something to hold, small ones give feature detectors hundreds of corners that occur nowhere else.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB, height x width x 3."""

Mask = NDArray[np.uint8]
"""255 where there is something, else 0; height x width."""

HIGHEST_ROOF = 0.62
"""No skyline reaches above this share of the canvas, counted from its top."""

_BIG_SHAPES = 16
_SMALL_SHAPES = 260
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_LETTERS = np.array(list("abcdefghiklmnoprstuvwaeiou"))


@dataclass(frozen=True, slots=True)
class Sprite:
    """Colours, and where they count."""

    colours: Picture
    mask: Mask


def canvas(rng: np.random.Generator, width_px: int, height_px: int) -> Picture:
    """A painted backdrop: clouds of colour under big and small shapes."""
    clouds = _clouds(rng, width_px, height_px)
    painted = clouds.copy()
    _scatter(rng, painted, count=_BIG_SHAPES, sizes_px=(120.0, 420.0))
    _scatter(rng, painted, count=_SMALL_SHAPES, sizes_px=(5.0, 60.0))
    return cv2.addWeighted(painted, 0.75, clouds, 0.25, 0.0).astype(np.uint8, copy=False)


def skyline(rng: np.random.Generator, width_px: int, height_px: int) -> Sprite:
    """A nearer layer over the lower part of the picture: roofs of uneven height, painted."""
    mask = np.zeros((height_px, width_px), np.uint8)
    x = 0
    while x < width_px:
        step = int(rng.integers(60, 190))
        roof = int(height_px * rng.uniform(HIGHEST_ROOF, 0.9))
        cv2.rectangle(mask, (x, roof), (x + step, height_px), 255, cv2.FILLED)
        x += step
    return Sprite(canvas(rng, width_px, height_px), mask)


def sprite(rng: np.random.Generator, side_px: int) -> Sprite:
    """A thing to move about: a star-like outline, painted, about `side_px` across."""
    colours = _clouds(rng, side_px, side_px)
    colours //= 2
    colours += rng.integers(0, 128, 3, dtype=np.uint8)
    _scatter(rng, colours, count=24, sizes_px=(0.04 * side_px, 0.3 * side_px))
    corners = int(rng.integers(5, 12))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(0.3, 0.5, corners) * side_px
    outline = np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1) + side_px / 2
    mask = np.zeros((side_px, side_px), np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255)
    cv2.circle(mask, (side_px // 2, side_px // 2), int(side_px * 0.28), 255, cv2.FILLED)
    return Sprite(colours, mask)


def slide(rng: np.random.Generator, width_px: int, height_px: int) -> Picture:
    """A heading and some lines of made-up words on a plain ground."""
    dark = bool(rng.integers(2))
    ground, ink = ((24, 28, 40), (230, 232, 236)) if dark else ((236, 234, 228), (30, 30, 34))
    picture: Picture = np.empty((height_px, width_px, 3), np.uint8)
    picture[:] = ground
    font = int(rng.choice(_FONTS))
    scale = height_px / 360
    lines = int(rng.integers(4, 8))
    for line in range(lines):
        size = scale * (1.1 if line == 0 else 0.65)
        y = int(height_px * (0.18 + 0.75 * line / lines))
        x = int(width_px * 0.06)
        thickness = max(1, round(size * 1.6))
        cv2.putText(picture, _words(rng), (x, y), font, size, ink, thickness, cv2.LINE_AA)
    return picture


def _words(rng: np.random.Generator) -> str:
    count = int(rng.integers(3, 7))
    return " ".join("".join(rng.choice(_LETTERS, int(rng.integers(2, 9)))) for _ in range(count)).capitalize()


def _clouds(rng: np.random.Generator, width_px: int, height_px: int) -> Picture:
    """Smooth noise in several octaves, each finer one fainter, each channel on its own."""
    half = (width_px // 2, height_px // 2)  # drawn at half size: four times faster, and no less detail
    total = np.zeros((half[1], half[0], 3), np.float32)
    for cells, weight in ((3, 1.2), (7, 0.8), (19, 0.4), (61, 0.25), (211, 0.16)):
        down = max(2, round(cells * height_px / width_px))
        grid = rng.random((down, cells, 3), np.float32) - 0.5
        total += weight * cv2.resize(grid, half, interpolation=cv2.INTER_LINEAR)
    clouds: Picture = np.empty((height_px, width_px, 3), np.uint8)
    cv2.resize(np.clip(127.5 + 120.0 * total, 0, 255).astype(np.uint8), (width_px, height_px), dst=clouds)
    return clouds


def _scatter(rng: np.random.Generator, picture: Picture, *, count: int, sizes_px: tuple[float, float]) -> None:
    """Paint random shapes, the largest first, in place."""
    height_px, width_px = picture.shape[:2]
    low, high = np.log(sizes_px)
    for size_px in sorted(np.exp(rng.uniform(low, high, count)), reverse=True):
        centre = (int(rng.integers(0, width_px)), int(rng.integers(0, height_px)))
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        angle_deg = float(rng.uniform(0, 360))
        match int(rng.integers(0, 4)):
            case 0:
                axes = (max(1, int(size_px / 2)), max(1, int(size_px * rng.uniform(0.2, 0.5))))
                cv2.ellipse(picture, centre, axes, angle_deg, 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
            case 1:
                box = (centre, (float(size_px), float(size_px * rng.uniform(0.2, 1.0))), angle_deg)
                cv2.fillPoly(picture, [cv2.boxPoints(box).astype(np.int32)], colour, cv2.LINE_AA)
            case 2:
                corners = rng.uniform(-size_px / 2, size_px / 2, (int(rng.integers(3, 7)), 2)) + centre
                cv2.fillPoly(picture, [corners.astype(np.int32)], colour, cv2.LINE_AA)
            case _:
                end = (np.array(centre) + rng.uniform(-size_px, size_px, 2)).astype(int)
                width = max(1, int(size_px * rng.uniform(0.05, 0.2)))
                cv2.line(picture, centre, (int(end[0]), int(end[1])), colour, width, cv2.LINE_AA)
