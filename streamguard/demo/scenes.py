"""Footage of our own: moving, textured pictures from a seed. Nobody needs real footage to try or to test StreamGuard.

A scene is a function of time: the same seed gives the same picture at the same moment, at any size, in any order.
Pictures are RGB, uint8, height x width x 3.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.demo import textures
from streamguard.demo.textures import Picture, Sprite

_SHOT_S = 4.0
_SHOT_JITTER_S = 1.0
_SHOTS_KEPT = 6
_CANVAS_PX = (1280, 720)


class Footage(Protocol):
    """Anything that can be filmed."""

    def frame(self, t_s: float, width_px: int = 640, height_px: int = 360) -> Picture:
        """The picture at that moment, a new array at each call."""
        ...


@dataclass(frozen=True, slots=True)
class _Drift:
    """A straight movement, in canvas pixels, with the time counted from the start of its shot."""

    from_px: tuple[float, float]
    speed_px_s: tuple[float, float]

    def at(self, t_s: float) -> tuple[float, float]:
        return self.from_px[0] + self.speed_px_s[0] * t_s, self.from_px[1] + self.speed_px_s[1] * t_s


@dataclass(frozen=True, slots=True)
class _Camera:
    """Which part of the canvas is seen: its centre and the width of the view."""

    centre: _Drift
    view_px: float
    zoom_per_s: float

    def window(self, t_s: float, *, depth: float) -> tuple[float, float, float]:
        """Centre and width of the view; layers nearer to us (depth above 1) move more."""
        x, y = self.centre.at(t_s)
        middle_x, middle_y = _CANVAS_PX[0] / 2, _CANVAS_PX[1] / 2
        view = self.view_px * (1.0 - self.zoom_per_s * t_s)
        return middle_x + (x - middle_x) * depth, middle_y + (y - middle_y) * depth, view


@dataclass(frozen=True, slots=True)
class _Actor:
    """A textured thing that crosses the picture, bobbing and turning."""

    sprite: Sprite
    path: _Drift
    bob_px: float
    bob_hz: float
    turn_deg_s: float
    size_px: float

    def placed(self, t_s: float) -> tuple[float, float, float]:
        """Centre and angle in degrees."""
        x, y = self.path.at(t_s)
        return x, y + self.bob_px * float(np.sin(2 * np.pi * self.bob_hz * t_s)), self.turn_deg_s * t_s


@dataclass(frozen=True, slots=True)
class _Light:
    """Brightness that swells and fades a little."""

    gain: float
    swing: float
    hz: float

    def at(self, t_s: float) -> float:
        return self.gain * (1.0 + self.swing * float(np.sin(2 * np.pi * self.hz * t_s)))


@dataclass(frozen=True, slots=True)
class _Shot:
    """One camera position between two cuts."""

    background: Picture
    middle: Sprite
    actors: tuple[_Actor, ...]
    camera: _Camera
    light: _Light

    def draw(self, t_s: float, width_px: int, height_px: int) -> Picture:
        far = _affine(self.camera.window(t_s, depth=1.0), width_px, height_px)
        picture = np.empty((height_px, width_px, 3), np.uint8)
        cv2.warpAffine(self.background, far, (width_px, height_px), dst=picture, borderMode=cv2.BORDER_REFLECT)
        near = _affine(self.camera.window(t_s, depth=1.6), width_px, height_px)
        _lay_over(picture, self.middle, near)
        for actor in self.actors:
            _put(picture, actor, t_s=t_s)
        return cv2.convertScaleAbs(picture, alpha=self.light.at(t_s)).astype(np.uint8, copy=False)


class Scene:
    """A moving film: a new shot with a cut every three to five seconds, each with its own place, camera and actors.

    Frames a second or more apart look different to PDQ, neighbours look alike, two seeds have nothing in common.
    Not for sharing between threads: it keeps the textures of the last few shots.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._shots: OrderedDict[int, _Shot] = OrderedDict()

    def frame(self, t_s: float, width_px: int = 640, height_px: int = 360) -> Picture:
        """The picture at that moment."""
        index = int(t_s // _SHOT_S)
        if t_s < self._cut_s(index):
            index -= 1
        return self._shot(index).draw(t_s - self._cut_s(index), width_px, height_px)

    def _cut_s(self, index: int) -> float:
        """When shot `index` begins: a regular beat, shifted a little by the seed; the first begins at zero."""
        if index <= 0:
            return index * _SHOT_S
        return index * _SHOT_S + _SHOT_JITTER_S * float(_rng(self._seed, index, "cut").random())

    def _shot(self, index: int) -> _Shot:
        if index not in self._shots:
            self._shots[index] = _moving_shot(_rng(self._seed, index, "shot"))
            if len(self._shots) > _SHOTS_KEPT:
                self._shots.popitem(last=False)
        self._shots.move_to_end(index)
        return self._shots[index]


class StillScene:
    """A locked-off camera: the place never changes, one small thing moves.

    With the same `seed` and another `actors_seed` it is the same camera at another time, with others in front of it.
    """

    def __init__(self, seed: int, *, actors_seed: int = 0, actors: int = 1, actor_px: float = 80.0) -> None:
        rng = _rng(seed, 0, "still")
        self._shot = _Shot(
            background=textures.canvas(rng, *_CANVAS_PX),
            middle=textures.skyline(rng, *_CANVAS_PX),
            actors=_strollers(_rng(seed, actors_seed, "strollers"), count=actors, size_px=actor_px),
            camera=_Camera(_Drift((_CANVAS_PX[0] / 2, _CANVAS_PX[1] / 2), (0.0, 0.0)), _CANVAS_PX[0], 0.0),
            light=_Light(1.0, 0.0, 0.0),
        )

    def frame(self, t_s: float, width_px: int = 640, height_px: int = 360) -> Picture:
        """The picture at that moment."""
        return self._shot.draw(t_s % _STROLL_S, width_px, height_px)


def same_camera(seed: int) -> tuple[StillScene, StillScene]:
    """One camera at two times: the whole place is the same, the people in front of it are not."""
    make = partial(StillScene, seed, actors=2, actor_px=80.0)
    return make(actors_seed=1), make(actors_seed=2)


class Photo:
    """One picture of a scene that stays: a slide, a thumbnail, a held image."""

    def __init__(self, seed: int) -> None:
        self._scene = Scene(seed)

    def frame(self, t_s: float, width_px: int = 640, height_px: int = 360) -> Picture:
        """The same picture at any moment."""
        return self._scene.frame(1.0 + 0.0 * t_s, width_px, height_px)


class Flat:
    """Nothing to recognise: one level of grey, black unless told otherwise."""

    def __init__(self, level: int = 0) -> None:
        self._level = level

    def frame(self, t_s: float, width_px: int = 640, height_px: int = 360) -> Picture:
        """The same flat picture at any moment."""
        del t_s
        return np.full((height_px, width_px, 3), self._level, np.uint8)


class TextSlides:
    """Slides of text, a new one every `slide_s` seconds: letters repeat, so text resembles other text."""

    def __init__(self, seed: int, *, slide_s: float = 4.0) -> None:
        self._seed = seed
        self._slide_s = slide_s

    def frame(self, t_s: float, width_px: int = 640, height_px: int = 360) -> Picture:
        """The slide shown at that moment."""
        rng = _rng(self._seed, int(t_s // self._slide_s), "slide")
        return textures.slide(rng, width_px, height_px)


def _rng(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Independent randomness for each seed, shot and purpose. No negative seeds; any shot."""
    return np.random.default_rng([seed, index % 2**32, *purpose.encode()])


def _moving_shot(rng: np.random.Generator) -> _Shot:
    heading = rng.uniform(0, 2 * np.pi)
    speed_px_s = rng.uniform(12.0, 24.0)
    speed = (float(np.cos(heading)) * speed_px_s, float(np.sin(heading)) * speed_px_s * 0.5)
    half_way_s = _SHOT_S / 2
    start = (_CANVAS_PX[0] / 2 - speed[0] * half_way_s, _CANVAS_PX[1] / 2 - speed[1] * half_way_s)
    return _Shot(
        background=textures.canvas(rng, *_CANVAS_PX),
        middle=textures.skyline(rng, *_CANVAS_PX),
        actors=tuple(_walker(rng) for _ in range(int(rng.integers(4, 7)))),
        camera=_Camera(_Drift(start, speed), rng.uniform(820.0, 980.0), rng.uniform(-0.01, 0.015)),
        light=_Light(rng.uniform(0.85, 1.05), rng.uniform(0.03, 0.1), rng.uniform(0.1, 0.3)),
    )


def _walker(rng: np.random.Generator) -> _Actor:
    """Crosses the whole picture once, at some moment of the shot."""
    size_px = rng.uniform(140.0, 330.0)
    rightwards = bool(rng.integers(2))
    speed_px_s = rng.uniform(60.0, 120.0) * (1 if rightwards else -1)
    meets_middle_s = rng.uniform(0.0, _SHOT_S)
    start = (_CANVAS_PX[0] / 2 - speed_px_s * meets_middle_s, rng.uniform(0.2, 0.85) * _CANVAS_PX[1])
    return _Actor(
        sprite=textures.sprite(rng, int(size_px)),
        path=_Drift(start, (speed_px_s, rng.uniform(-25.0, 25.0))),
        bob_px=rng.uniform(5.0, 30.0),
        bob_hz=rng.uniform(0.2, 0.6),
        turn_deg_s=rng.uniform(-25.0, 25.0),
        size_px=size_px,
    )


_STROLL_S = 40.0


def _strollers(rng: np.random.Generator, *, count: int, size_px: float) -> tuple[_Actor, ...]:
    """Walk slowly across a still picture, back at the start after 40 s."""
    actors = []
    for _ in range(count):
        start = (rng.uniform(0.05, 0.6) * _CANVAS_PX[0], rng.uniform(0.3, 0.8) * _CANVAS_PX[1])
        drift = _Drift(start, (rng.uniform(8.0, 20.0), rng.uniform(-2.0, 2.0)))
        turn_deg_s = rng.uniform(-8.0, 8.0)
        actors.append(_Actor(textures.sprite(rng, int(size_px)), drift, 6.0, 0.4, turn_deg_s, size_px))
    return tuple(actors)


def _affine(window: tuple[float, float, float], width_px: int, height_px: int) -> NDArray[np.float32]:
    """Canvas to picture: the window comes to fill the picture, heights stretch along."""
    x, y, view_px = window
    across = width_px / view_px
    down = height_px / (view_px * _CANVAS_PX[1] / _CANVAS_PX[0])
    return np.array([[across, 0, width_px / 2 - x * across], [0, down, height_px / 2 - y * down]], np.float32)


def _lay_over(picture: Picture, layer: Sprite, matrix: NDArray[np.float32]) -> None:
    """Draw a skyline, the size of the canvas, over the lower part of the picture, in place."""
    top = max(0, int(matrix[1, 1] * textures.HIGHEST_ROOF * _CANVAS_PX[1] + matrix[1, 2]))
    size = (picture.shape[1], picture.shape[0] - top)
    if size[1] <= 0:
        return
    lower = matrix - np.array([[0, 0, 0], [0, 0, top]], np.float32)
    colours = cv2.warpAffine(layer.colours, lower, size, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(layer.mask, lower, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(colours, mask, picture[top:])


def _put(picture: Picture, actor: _Actor, *, t_s: float) -> None:
    """Draw one actor in place, touching only the pixels around it."""
    across, down = picture.shape[1] / _CANVAS_PX[0], picture.shape[0] / _CANVAS_PX[1]
    x, y, angle_deg = actor.placed(t_s)
    reach = actor.size_px * 0.75
    left, right = max(0, int((x - reach) * across)), min(picture.shape[1], int((x + reach) * across) + 1)
    top, bottom = max(0, int((y - reach) * down)), min(picture.shape[0], int((y + reach) * down) + 1)
    if left >= right or top >= bottom:
        return
    side = actor.sprite.mask.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle_deg, actor.size_px / side)
    turn[:, 2] += (x - side / 2, y - side / 2)
    turn *= np.array([[across], [down]])
    turn[:, 2] -= (left, top)
    size = (right - left, bottom - top)
    colours = cv2.warpAffine(actor.sprite.colours, turn, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(actor.sprite.mask, turn, size, flags=cv2.INTER_NEAREST)
    cv2.copyTo(colours, mask, picture[top:bottom, left:right])
