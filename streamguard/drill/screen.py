"""Filmed off a screen: a hand-held camera sees it askew, with moire, flicker, glare and grain."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from streamguard.demo.textures import Picture
from streamguard.drill.attack import Moment
from streamguard.drill.pictures import gamma, noisy

_MOIRE_LEVELS = 9.0
_FLICKER_LEVELS = 12.0
_GRAIN_LEVELS = 5.0
_BLUR_SHARE = 0.0012


@dataclass(frozen=True, slots=True)
class Camera:
    """How the screen stands in the camera's picture: its corners clockwise from the top left, as shares of the
    picture, and by how much (also a share) the hand that holds the camera shakes.
    """

    corners: tuple[tuple[float, float], ...]
    shake: float


NEAR = Camera(((0.03, 0.05), (0.955, -0.01), (0.985, 0.99), (-0.01, 0.955)), shake=0.006)
FAR = Camera(((0.17, 0.20), (0.80, 0.13), (0.835, 0.80), (0.145, 0.755)), shake=0.009)


def filmed(picture: Picture, moment: Moment, *, camera: Camera) -> Picture:
    """The picture as that camera sees it on a screen in a dim room."""
    height, width = picture.shape[:2]
    size = np.array((width, height), np.float32)
    ours = np.array(((0, 0), (1, 0), (1, 1), (0, 1)), np.float32) * size
    theirs = (np.array(camera.corners, np.float32) + np.array(_shaken(moment, camera), np.float32)) * size
    view = cv2.getPerspectiveTransform(ours, theirs)
    seen = _room(picture)
    cv2.warpPerspective(_screen(picture, moment), view, (width, height), dst=seen, borderMode=cv2.BORDER_TRANSPARENT)
    seen = cv2.GaussianBlur(seen, (0, 0), max(0.5, _BLUR_SHARE * width)).astype(np.uint8, copy=False)
    return noisy(gamma(seen, power=0.85), moment, levels=_GRAIN_LEVELS)


def _screen(picture: Picture, moment: Moment) -> Picture:
    """What the camera's sensor makes of the screen: its grid beats with ours, its refresh with our shutter."""
    height, width = picture.shape[:2]
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    bend = 6.0 * np.sin(2 * np.pi * y / height)
    moire = _MOIRE_LEVELS * np.sin(2 * np.pi * (x + bend) / 7.3) * np.sin(2 * np.pi * (y + 0.05 * x) / 6.1)
    bands = _FLICKER_LEVELS * np.sin(2 * np.pi * (1.4 * y / height + 2.3 * moment.t_s))
    lit: Picture = np.clip(picture + (moire + bands)[..., None], 0, 255).astype(np.uint8)
    return lit


def _room(picture: Picture) -> Picture:
    """A dark wall, lighter to one side."""
    height, width = picture.shape[:2]
    light = (
        np.linspace(26, 52, width, dtype=np.float32)[None] * np.linspace(1.0, 0.7, height, dtype=np.float32)[:, None]
    )
    return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)


def _shaken(moment: Moment, camera: Camera) -> tuple[float, float]:
    """Where the hand is, as an offset: it never quite repeats."""
    t = moment.t_s
    return (
        camera.shake * (math.sin(5.1 * t) + 0.6 * math.sin(12.7 * t)),
        camera.shake * (math.cos(4.3 * t) + 0.6 * math.sin(10.9 * t + 1.0)),
    )
