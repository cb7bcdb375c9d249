"""What pictures of ours are drawn with: colours, letters, panels, and thumbnails that came from who knows where."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core.thumbnails import LONGER_SIDE_PX, is_thumbnail

Picture = NDArray[np.uint8]
"""RGB, height x width x 3."""

Colour = tuple[int, int, int]
Point = tuple[int, int]

GROUND: Colour = (17, 20, 27)
PANEL: Colour = (27, 31, 41)
TEXT: Colour = (236, 239, 244)
FAINT: Colour = (150, 158, 172)
LINE: Colour = (52, 58, 72)
RED: Colour = (226, 62, 62)
AMBER: Colour = (226, 160, 52)
GREEN: Colour = (92, 190, 132)
BLUE: Colour = (98, 150, 226)

REGULAR, BOLD = 400, 700
_MOST_CHARACTERS = 200


def plain(text: str) -> str:
    """Letters that every font of OpenCV has; others, and what is too long for any line, are question marks and dots."""
    shown = "".join(character if " " <= character <= "~" else "?" for character in text[:_MOST_CHARACTERS])
    return shown + ("..." if len(text) > _MOST_CHARACTERS else "")


def write(
    picture: Picture, text: str, *, at: Point, size_px: int, weight: int = REGULAR, colour: Colour = TEXT
) -> None:
    """`at` is the left end of the line that the letters stand on."""
    cv2.putText(picture, plain(text), at, colour, cv2.FontFace("sans"), size_px, weight)


def text_width_px(text: str, *, size_px: int, weight: int = REGULAR) -> int:
    box = cv2.getTextSize((1, 1), plain(text), (0, 0), cv2.FontFace("sans"), size_px, weight)
    return int(box[2])


def fitted(text: str, *, width_px: int, size_px: int, weight: int = REGULAR) -> str:
    """As much of the text as there is room for."""
    shown = plain(text)
    if text_width_px(shown, size_px=size_px, weight=weight) <= width_px:
        return shown
    while shown and text_width_px(f"{shown}...", size_px=size_px, weight=weight) > width_px:
        shown = shown[:-1]
    return f"{shown}..."


def legend(picture: Picture, parts: Sequence[tuple[Colour, str]], *, at: Point, size_px: int) -> None:
    """A dot of each colour and what it stands for, side by side on one line."""
    x, y = at
    for colour, words in parts:
        cv2.circle(picture, (x + size_px // 3, y - size_px // 3), size_px // 3, colour, cv2.FILLED, cv2.LINE_AA)
        write(picture, words, at=(x + size_px, y), size_px=size_px, colour=FAINT)
        x += 3 * size_px + text_width_px(words, size_px=size_px)


def panel(picture: Picture, *, left_top: Point, size_px: Point) -> None:
    """An empty field with a thin border."""
    (left, top), (width, height) = left_top, size_px
    cv2.rectangle(picture, (left - 1, top - 1), (left + width, top + height), LINE, 1)
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), PANEL, cv2.FILLED)


def decoded(thumbnail: bytes) -> tuple[Picture, ...]:
    """The picture; nothing where there is none, or none that can be decoded. Its size is checked before."""
    if not is_thumbnail(thumbnail):
        return ()
    data = np.frombuffer(thumbnail, np.uint8)
    found: Any = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.ndim != 2 or max(found.shape) > LONGER_SIDE_PX:  # noqa: PLR2004 - grey
        return ()
    return (np.asarray(cv2.cvtColor(found, cv2.COLOR_GRAY2RGB), np.uint8),)


def png(picture: Picture) -> bytes:
    """The picture as a file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()
