"""What is put beside, around and over the footage: other pictures, frames, banners, logos, text."""

import math

import cv2
import numpy as np

from streamguard.demo.edits import resized
from streamguard.demo.textures import Picture
from streamguard.drill.attack import Moment
from streamguard.drill.pictures import inset

_WHITE = (240, 240, 240)
_NAVY = (18, 28, 92)
_RED = (205, 24, 24)
_YELLOW = (252, 208, 34)
_CHAT = (
    "who is this?  lol  where did you get it  full video pls  mods??  this is real  no way  share it  hi from Lisbon  "
)


def in_a_corner(picture: Picture, moment: Moment, *, scale: float) -> Picture:
    """Small, near the top right corner of unrelated footage."""
    return inset(picture, moment.picture_behind(picture), scale=scale, at=(0.94, 0.08))


def wandering(picture: Picture, moment: Moment, *, scale: float) -> Picture:
    """Small, wandering about over unrelated footage."""
    at = (0.5 + 0.45 * math.sin(0.7 * moment.t_s), 0.5 + 0.45 * math.cos(0.45 * moment.t_s))
    return inset(picture, moment.picture_behind(picture), scale=scale, at=at)


def split_screen(picture: Picture, moment: Moment) -> Picture:
    """On the left half, in its proportions, black above and below; unrelated footage on the right half."""
    width = picture.shape[1]
    shared = inset(picture, np.zeros_like(picture), scale=0.5, at=(0.0, 0.5))
    other = moment.picture_behind(picture)
    middle = (width - width // 2) // 2
    shared[:, width // 2 :] = other[:, middle : middle + width - width // 2]
    return shared


def stacked(picture: Picture) -> Picture:
    """Twice, one above the other, each squeezed to half the height."""
    height, width = picture.shape[:2]
    upper = resized(picture, width_px=width, height_px=height // 2)
    lower = resized(picture, width_px=width, height_px=height - height // 2)
    return np.concatenate((upper, lower))


def tiled(picture: Picture) -> Picture:
    """Four times, in its proportions."""
    laid = picture
    for at in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        laid = inset(picture, laid, scale=0.5, at=at)
    return laid


def framed(picture: Picture) -> Picture:
    """In a patterned, coloured frame, as games and mourning cards have it."""
    height, width = picture.shape[:2]
    ground: Picture = np.empty_like(picture)
    ground[:] = _RED
    step = max(6, width // 40)
    for x in range(-height, width, 2 * step):
        cv2.line(ground, (x, height), (x + height, 0), _YELLOW, step)
    return inset(picture, ground, scale=0.78)


def with_a_reaction(picture: Picture, moment: Moment) -> Picture:
    """Somebody else's picture over its lower right corner, a third of its width."""
    return inset(moment.picture_behind(picture), picture, scale=0.36, at=(0.97, 0.95))


def with_a_banner(picture: Picture) -> Picture:
    """Breaking news over its lowest quarter."""
    height, width = picture.shape[:2]
    laid = _box(picture, x=0.0, y=0.76, width=1.0, height=0.24, colour=_NAVY)
    laid = _box(laid, x=0.0, y=0.76, width=0.24, height=0.10, colour=_RED)
    _text(laid, "BREAKING", at=(0.02, 0.84), size=height / 360)
    return _text(laid, "watch this before it is gone", at=(0.03, 0.95), size=min(height, width) / 400)


def with_a_ticker(picture: Picture, moment: Moment) -> Picture:
    """Words that run through along its lower end."""
    laid = _box(picture, x=0.0, y=0.88, width=1.0, height=0.12, colour=(20, 20, 20))
    words = "JOIN THE CHANNEL  +++  LINK IN BIO  +++  SHARE  +++  " * 4
    return _text(laid, words, at=(-0.12 * moment.t_s % 1.0 - 1.0, 0.965), size=picture.shape[0] / 420)


def with_a_logo(picture: Picture) -> Picture:
    """A channel's sign in a corner."""
    laid = _box(picture, x=0.80, y=0.05, width=0.16, height=0.17, colour=_YELLOW)
    return _text(laid, "TV9", at=(0.815, 0.165), size=picture.shape[0] / 330, colour=_NAVY)


def with_big_text(picture: Picture) -> Picture:
    """Large letters over all of it."""
    laid = picture.copy()
    size = min(picture.shape[1] / 270, picture.shape[0] / 150)
    for line, words in enumerate(("THEY DON'T", "WANT YOU", "TO SEE IT")):
        _text(laid, words, at=(0.05, 0.32 + 0.27 * line), size=size)
    return laid


def with_a_sticker(picture: Picture, moment: Moment) -> Picture:
    """A face that wanders about over it, a third of its height."""
    height, width = picture.shape[:2]
    laid = picture.copy()
    radius = max(4, round(0.17 * height))
    x = round(width * (0.5 + 0.33 * math.sin(1.3 * moment.t_s)))
    y = round(height * (0.5 + 0.28 * math.cos(0.9 * moment.t_s)))
    cv2.circle(laid, (x, y), radius, _YELLOW, cv2.FILLED, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(laid, (x + side * radius // 3, y - radius // 4), radius // 7, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
    cv2.ellipse(laid, (x, y + radius // 6), (radius // 2, radius // 2), 0, 15, 165, (0, 0, 0), max(1, radius // 8))
    return laid


def beside_a_chat(picture: Picture, moment: Moment) -> Picture:
    """In its proportions on the left, black above and below; a chat that runs up the right three tenths."""
    height = picture.shape[0]
    laid = inset(picture, np.zeros_like(picture), scale=0.7, at=(0.0, 0.5))
    laid = _box(laid, x=0.7, y=0.0, width=0.3, height=1.0, colour=(24, 24, 32))
    step = 0.045
    first = math.floor(moment.t_s / 0.7)
    for row in range(round(1 / step)):
        words = _CHAT[(first + row) * 7 % len(_CHAT) :] + _CHAT
        _text(laid, words[:40], at=(0.71, (row + 1) * step), size=height / 1000)
    return laid


def on_a_desktop(picture: Picture) -> Picture:
    """In a player's window on a desktop, as a shared screen shows it."""
    ground: Picture = np.full_like(picture, 214)
    ground = _box(ground, x=0.0, y=0.93, width=1.0, height=0.07, colour=(36, 40, 52))
    ground = _box(ground, x=0.80, y=0.12, width=0.17, height=0.22, colour=(150, 160, 178))
    ground = _box(ground, x=0.80, y=0.40, width=0.17, height=0.22, colour=(126, 140, 164))
    ground = _box(ground, x=0.03, y=0.045, width=0.74, height=0.05, colour=(62, 68, 84))
    return inset(picture, ground, scale=0.74, at=(0.115, 0.365))


def _box(picture: Picture, *, x: float, y: float, width: float, height: float, colour: tuple[int, int, int]) -> Picture:
    """With a filled rectangle; all in shares of the picture."""
    tall, wide = picture.shape[:2]
    laid = picture.copy()
    laid[round(y * tall) : round((y + height) * tall), round(x * wide) : round((x + width) * wide)] = colour
    return laid


def _text(
    picture: Picture, words: str, *, at: tuple[float, float], size: float, colour: tuple[int, int, int] = _WHITE
) -> Picture:
    """Written in place, from the left end of the line that the letters stand on, given in shares; that picture."""
    place = (round(at[0] * picture.shape[1]), round(at[1] * picture.shape[0]))
    thickness = max(1, round(2 * size))
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_DUPLEX, size, (0, 0, 0), 3 * thickness, cv2.LINE_AA)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_DUPLEX, size, colour, thickness, cv2.LINE_AA)
    return picture
