"""The evidence as a picture for people: the stream's frame beside the reference frame, and why they are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from streamguard.core import pdq
from streamguard.demo.textures import Picture
from streamguard.types import FULL_RANGE, PDQ_BITS, WHOLE_PICTURE, Region, View

_WIDTH_PX, _HEIGHT_PX = 1600, 920
_MARGIN_PX = 40
_FRAME_PX = (740, 416)
_FRAMES_TOP_PX = 182
_FACTS_TOP_PX = 660
_CELL_PX = 11
_GRID_CELLS = 16

_Colour = tuple[int, int, int]
_GROUND: _Colour = (17, 20, 27)
_PANEL: _Colour = (27, 31, 41)
_TEXT: _Colour = (236, 239, 244)
_FAINT: _Colour = (150, 158, 172)
_RED: _Colour = (226, 62, 62)
_GREEN: _Colour = (92, 190, 132)
_LINE: _Colour = (52, 58, 72)

_REGULAR, _BOLD = 400, 700


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What is shown: both frames, and `data` of the kill-signal's event."""

    stream: Picture
    reference: Picture
    data: Mapping[str, Any]


def draw(exhibit: Exhibit) -> Picture:
    """The whole picture, 1600 x 920, RGB."""
    picture: Picture = np.empty((_HEIGHT_PX, _WIDTH_PX, 3), np.uint8)
    picture[:] = _GROUND
    _header(picture, exhibit.data)
    right_px = _WIDTH_PX - _MARGIN_PX - _FRAME_PX[0]
    data = exhibit.data
    stream = _with_outline(exhibit.stream, data["region"])
    _frame(picture, stream, left_px=_MARGIN_PX, title="ON THE STREAM", moment=f"{data['at_s']:.2f} s watched")
    moment = f"{data['reference_at_s']:.2f} s into {data['reference']}"
    _frame(picture, exhibit.reference, left_px=right_px, title="KNOWN FOOTAGE", moment=moment)
    _keyframes(picture, data)
    _codes(picture, exhibit, left_px=right_px)
    return picture


def _with_outline(shown: Picture, corners: Sequence[Sequence[float]]) -> Picture:
    """The frame with a line around the footage in it."""
    height, width = shown.shape[:2]
    points = np.rint(np.array(corners) * (width - 1, height - 1)).astype(np.int32)
    return np.asarray(cv2.polylines(shown.copy(), [points], isClosed=True, color=_RED, thickness=2), np.uint8)


def _header(picture: Picture, data: Mapping[str, Any]) -> None:
    verdict = str(data["verdict"]).upper()
    badge_px = 44 + _text_width(verdict, size_px=34, weight=_BOLD)
    cv2.rectangle(picture, (_MARGIN_PX, 34), (_MARGIN_PX + badge_px, 92), _RED, cv2.FILLED)
    _write(picture, verdict, at=(_MARGIN_PX + 22, 75), size_px=34, weight=_BOLD)
    left_px = _MARGIN_PX + badge_px + 28
    _write(picture, f"{data['stream']} shows {data['reference']}", at=(left_px, 60), size_px=30, weight=_BOLD)
    facts = (
        f"seen {data['view']}, {data['nats']:.1f} nats from {len(data['evidence'])} keyframes,"
        f" rule {data['rule']}, library {data['library_version']}"
    )
    _write(picture, facts, at=(left_px, 91), size_px=20, colour=_FAINT)


def _frame(picture: Picture, shown: Picture, *, left_px: int, title: str, moment: str) -> None:
    """One frame with its caption above, scaled to fit, in a thin border."""
    _write(picture, title, at=(left_px, _FRAMES_TOP_PX - 34), size_px=18, weight=_BOLD, colour=_FAINT)
    size = f"{shown.shape[1]} x {shown.shape[0]}"
    _write(picture, f"{moment}, {size}", at=(left_px, _FRAMES_TOP_PX - 10), size_px=20)
    scale = min(_FRAME_PX[0] / shown.shape[1], _FRAME_PX[1] / shown.shape[0])
    width_px, height_px = round(shown.shape[1] * scale), round(shown.shape[0] * scale)
    left = left_px + (_FRAME_PX[0] - width_px) // 2
    top = _FRAMES_TOP_PX + (_FRAME_PX[1] - height_px) // 2
    corner = (left_px + _FRAME_PX[0], _FRAMES_TOP_PX + _FRAME_PX[1])
    cv2.rectangle(picture, (left_px, _FRAMES_TOP_PX), corner, _PANEL, cv2.FILLED)
    picture[top : top + height_px, left : left + width_px] = cv2.resize(
        shown, (width_px, height_px), interpolation=cv2.INTER_CUBIC
    )
    cv2.rectangle(picture, (left_px - 1, _FRAMES_TOP_PX - 1), corner, _LINE, 1)


def _keyframes(picture: Picture, data: Mapping[str, Any]) -> None:
    """A table of the keyframes that the decision rests on, the newest five."""
    columns = (("on the stream", 0), ("in the footage", 170), ("seen as", 340), ("how near", 500), ("nats", 660))
    title_at = (_MARGIN_PX, _FACTS_TOP_PX - 18)
    _write(picture, "KEYFRAMES IN AGREEMENT", at=title_at, size_px=18, weight=_BOLD, colour=_FAINT)
    for heading, x in columns:
        _write(picture, heading, at=(_MARGIN_PX + x, _FACTS_TOP_PX + 14), size_px=17, colour=_FAINT)
    for row, look in enumerate(data["evidence"][-5:]):
        y = _FACTS_TOP_PX + 52 + 34 * row
        cv2.line(picture, (_MARGIN_PX, y - 26), (_MARGIN_PX + _FRAME_PX[0], y - 26), _LINE, 1)
        cells = (
            f"{look['at_s']:.2f} s",
            f"{look['reference_at_s']:.2f} s",
            look["view"],
            _how_near(look),
            f"{look['nats']:.1f}",
        )
        for text, (_, x) in zip(cells, columns, strict=True):
            _write(picture, text, at=(_MARGIN_PX + x, y), size_px=20)


def _codes(picture: Picture, exhibit: Exhibit, *, left_px: int) -> None:
    """Both fingerprints as 16 x 16 bits, and where they differ."""
    view = View[str(exhibit.data["view"]).upper().replace(" ", "_")]
    stream = _bits(exhibit.stream, region=_around(exhibit.data["region"]), view=view)
    reference = _bits(exhibit.reference, region=WHOLE_PICTURE, view=View.UPRIGHT)
    differing = stream != reference
    title = f"PDQ OF THESE TWO: {np.count_nonzero(differing)} OF {PDQ_BITS} BITS DIFFER"
    _write(picture, title, at=(left_px, _FACTS_TOP_PX - 18), size_px=18, weight=_BOLD, colour=_FAINT)
    grids = (
        (f"stream, {view.label}", np.where(stream[..., None], _TEXT, _PANEL)),
        ("known footage", np.where(reference[..., None], _TEXT, _PANEL)),
        ("red: they differ", np.where(differing[..., None], _RED, _GREEN)),
    )
    side_px = _GRID_CELLS * _CELL_PX
    step_px = (_FRAME_PX[0] - side_px) // (len(grids) - 1)
    for number, (caption, colours) in enumerate(grids):
        x, y = left_px + number * step_px, _FACTS_TOP_PX
        cells = colours.astype(np.uint8).repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)
        cells[::_CELL_PX] = cells[:, ::_CELL_PX] = _GROUND
        picture[y : y + side_px, x : x + side_px] = cells
        _write(picture, caption, at=(x, y + side_px + 26), size_px=17, colour=_FAINT)


def _how_near(look: Mapping[str, Any]) -> str:
    if "features" in look:
        return f"{look['features']} features"
    return f"{look['distance_bits']} of {PDQ_BITS} bits"


def _around(corners: Sequence[Sequence[float]]) -> Region:
    """The part of the picture that holds these corners."""
    (left, right), (top, bottom) = ((min(side), max(side)) for side in np.clip(corners, 0.0, 1.0).T.tolist())
    return Region(left, top, right, bottom)


def _bits(shown: Picture, *, region: Region, view: View) -> np.ndarray:
    luma = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    codes = pdq.fingerprint(luma, levels=FULL_RANGE, region=region).codes
    negative = view >= View.NEGATIVE_UPRIGHT
    code = np.frombuffer(codes[view - View.NEGATIVE_UPRIGHT if negative else view], np.uint8)
    bits = np.unpackbits(~code if negative else code).astype(bool)
    return bits.reshape(_GRID_CELLS, _GRID_CELLS)


def _write(
    picture: Picture,
    text: str,
    *,
    at: tuple[int, int],
    size_px: int,
    weight: int = _REGULAR,
    colour: _Colour = _TEXT,
) -> None:
    """`at` is the left end of the line that the letters stand on."""
    cv2.putText(picture, text, at, colour, cv2.FontFace("sans"), size_px, weight)


def _text_width(text: str, *, size_px: int, weight: int) -> int:
    box = cv2.getTextSize((_WIDTH_PX, _HEIGHT_PX), text, (0, 0), cv2.FontFace("sans"), size_px, weight)
    return int(box[2])
