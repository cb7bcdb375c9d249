"""What a calibration rests on, as a picture: how often harmless streams came so near to a kill, and what is believed
beyond.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

from streamguard.core.calibrate import TailKind
from streamguard.review.canvas import Colour, Picture, Point, write
from streamguard.worker.calibrated import Calibrated

_WIDTH_PX, _HEIGHT_PX = 1280, 800
_LEFT_PX, _TOP_PX, _RIGHT_PX, _BOTTOM_PX = 130, 110, 1240, 700
_POINTS = 400
_LEAST_NATS = 4.0
_BEYOND_NATS = 4.0

_GROUND: Colour = (255, 255, 255)
_INK: Colour = (40, 40, 40)
_GRID: Colour = (225, 225, 225)
_BAND: Colour = (200, 220, 240)
_FIT: Colour = (20, 90, 180)
_SEEN: Colour = (60, 60, 60)
_CHOSEN: Colour = (210, 40, 40)
_ASKED: Colour = (40, 140, 60)


class _Axes:
    """Nats to the right, events a stream-hour upwards, in powers of ten."""

    def __init__(self, shown: Calibrated) -> None:
        tail = shown.kill_tail
        highest = max([shown.kill.nats, *tail.events[-1:]])
        self.least_nats = math.floor(min([_LEAST_NATS, *tail.events[:1]]))
        self.most_nats = math.ceil(highest + _BEYOND_NATS)
        rates = [shown.asked.kills_per_stream_hour, shown.kill.at_most_per_hour, 3.0 / shown.hours]
        rates.append(tail.at_most_per_hour(self.least_nats))
        self.low = math.floor(math.log10(min(rates))) - 1
        self.high = math.ceil(math.log10(max(rates)))

    def at(self, nats: float, per_hour: float) -> Point:
        height = (math.log10(max(per_hour, 1e-300)) - self.low) / (self.high - self.low)
        y = _BOTTOM_PX - min(1.0, max(0.0, height)) * (_BOTTOM_PX - _TOP_PX)
        return self.x(nats), round(y)

    def x(self, nats: float) -> int:
        share = (nats - self.least_nats) / (self.most_nats - self.least_nats)
        return int(_LEFT_PX + share * (_RIGHT_PX - _LEFT_PX))


def draw(shown: Calibrated) -> Picture:
    """The whole picture."""
    picture: Picture = np.empty((_HEIGHT_PX, _WIDTH_PX, 3), np.uint8)
    picture[:] = _GROUND
    axes = _Axes(shown)
    _curves(picture, axes, shown)
    _grid(picture, axes)
    _marks(picture, axes, shown)
    _words(picture, shown)
    return picture


def _curves(picture: Picture, axes: _Axes, shown: Calibrated) -> None:
    """The band of confidence, the rate as far as can be told, and each event that was seen."""
    tail = shown.kill_tail
    nats = [float(one) for one in np.linspace(axes.least_nats, axes.most_nats, _POINTS)]

    def line(rate: Callable[[float], float]) -> list[Point]:
        return [axes.at(one, rate(one)) for one in nats]

    band = line(tail.at_most_per_hour) + line(tail.at_least_per_hour)[::-1]
    cv2.fillPoly(picture, [np.array(band, np.int32)], _BAND)
    if tail.kind is not TailKind.NONE:
        rates = [(one, tail.per_hour(one)) for one in nats if one > tail.over_nats]
        beyond = [axes.at(one, rate) for one, rate in rates if rate >= 10.0**axes.low]
        cv2.polylines(picture, [np.array(beyond, np.int32)], isClosed=False, color=_FIT, thickness=2)
    for rank, event in enumerate(tail.events[::-1], start=1):
        cv2.circle(picture, axes.at(float(event), rank / tail.hours), 3, _SEEN, cv2.FILLED, cv2.LINE_AA)


def _grid(picture: Picture, axes: _Axes) -> None:
    for power in range(axes.low, axes.high + 1):
        start, y = axes.at(axes.least_nats, 10.0**power)
        cv2.line(picture, (start, y), (_RIGHT_PX, y), _GRID, 1)
        write(picture, f"1e{power}", at=(_LEFT_PX - 62, y + 6), size_px=18, colour=_INK)
    for nats in range(axes.least_nats, axes.most_nats + 1, 2):
        x = axes.x(nats)
        cv2.line(picture, (x, _BOTTOM_PX), (x, _BOTTOM_PX + 6), _INK, 1)
        write(picture, str(nats), at=(x - 8, _BOTTOM_PX + 28), size_px=18, colour=_INK)
    cv2.rectangle(picture, (_LEFT_PX, _TOP_PX), (_RIGHT_PX, _BOTTOM_PX), _INK, 1)
    write(picture, "nats for a kill", at=((_LEFT_PX + _RIGHT_PX) // 2 - 60, _BOTTOM_PX + 62), size_px=20, colour=_INK)
    title: Picture = np.full((36, 380, 3), 255, np.uint8)
    write(title, "events an hour of stream, so near", at=(20, 25), size_px=20, colour=_INK)
    upright = cv2.rotate(title, cv2.ROTATE_90_COUNTERCLOCKWISE)
    top = (_TOP_PX + _BOTTOM_PX - upright.shape[0]) // 2
    picture[top : top + upright.shape[0], 16 : 16 + upright.shape[1]] = upright


def _marks(picture: Picture, axes: _Axes, shown: Calibrated) -> None:
    asked = shown.asked.kills_per_stream_hour
    _, y = axes.at(axes.least_nats, asked)
    cv2.line(picture, (_LEFT_PX, y), (_RIGHT_PX, y), _ASKED, 2)
    write(picture, f"asked: {asked:g}", at=(_LEFT_PX + 12, y - 8), size_px=18, colour=_ASKED)
    x = axes.x(shown.kill.nats)
    cv2.line(picture, (x, _TOP_PX), (x, _BOTTOM_PX), _CHOSEN, 2)
    write(picture, f"kill: {shown.kill.nats:g}", at=(x + 8, _TOP_PX + 26), size_px=18, colour=_CHOSEN)


def _words(picture: Picture, shown: Calibrated) -> None:
    tail, kill = shown.kill_tail, shown.kill
    head = f"{shown.rules.rule.name}: near misses of {shown.hours:.4g} harmless hours"
    write(picture, head, at=(_LEFT_PX, 46), size_px=26, colour=_INK)
    support = "" if kill.is_supported else ", which is NOT what was asked for"
    facts = (
        f"{len(tail.events)} events, tail: {tail.kind.value}; at {kill.nats:g} nats"
        f" {kill.at_most_per_hour:.2g} an hour at most (95 %){support}"
    )
    write(picture, facts, at=(_LEFT_PX, 82), size_px=20, colour=_INK if kill.is_supported else _CHOSEN)
    legend = "dots: events seen    line: fitted tail    band: 95 % confidence, each side"
    write(picture, legend, at=(_LEFT_PX, _HEIGHT_PX - 12), size_px=17, colour=_INK)
