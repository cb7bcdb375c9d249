"""Two charts of a decision: where in the footage the stream was, and what the keyframes were worth together."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamguard.core.decision_rule import for_label
from streamguard.core.replay import Recording
from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.review.canvas import (
    AMBER,
    BLUE,
    FAINT,
    GREEN,
    LINE,
    RED,
    TEXT,
    Colour,
    Picture,
    Point,
    panel,
    text_width_px,
    write,
)
from streamguard.review.explanation import running
from streamguard.types import Place, Verdict

_PAD_LEFT_PX, _PAD_RIGHT_PX = 62, 40
_PAD_TOP_PX, _PAD_BOTTOM_PX = 20, 34
_TICKS = 6
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
"""What the steps of an axis are multiples of, but for powers of ten."""

_LABEL_PX = 15
_STEPS = 24
_MARGIN = 0.08
_DASH_PX = 8


PLACES = ((GREEN, "keyframes that agree, each with its nats"), (FAINT, "other matches, not counted"))
NATS = ((BLUE, "what the keyframes are worth together, fading; dashed: what a verdict takes"),)
"""What the colours of the charts stand for."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A field of the picture, and what stands at its edges."""

    left_top: Point
    size_px: Point
    across: tuple[float, float]
    up: tuple[float, float]

    def at(self, x: float, y: float) -> Point:
        (left, top), (width, height) = self.left_top, self.size_px
        inner_px = width - _PAD_LEFT_PX - _PAD_RIGHT_PX, height - _PAD_TOP_PX - _PAD_BOTTOM_PX
        share_x, share_y = (
            min(1.0, max(0.0, (value - low) / (high - low))) for value, (low, high) in ((x, self.across), (y, self.up))
        )
        return (
            left + _PAD_LEFT_PX + round(share_x * inner_px[0]),
            top + _PAD_TOP_PX + round((1 - share_y) * inner_px[1]),
        )


def draw_places(picture: Picture, file: EvidenceFile, *, left_top: Point, size_px: Point) -> None:
    """Stream time against reference time: all the evidence there was, and the keyframes that agree, joined."""
    decision, observations = file.decision, file.recording.observations
    times_s = [seen.at.pts_us / 1e6 for seen in observations]
    edges_s = [edge / 1e6 for seen in observations for item in seen.evidence for edge in _edges(item.place)]
    chart = Chart(left_top, size_px, _around(times_s), _around(edges_s))
    _axes(picture, chart, up_unit=" s")
    for seen, at_s in zip(observations, times_s, strict=True):
        for item in seen.evidence:
            from_s, to_s = (edge / 1e6 for edge in _edges(item.place))
            cv2.line(picture, chart.at(at_s, from_s), chart.at(at_s, to_s), FAINT, 3)
            cv2.circle(picture, chart.at(at_s, item.place.middle_us / 1e6), 3, FAINT, cv2.FILLED, cv2.LINE_AA)
    chain = [chart.at(at.pts_us / 1e6, item.place.middle_us / 1e6) for at, item in decision.evidence]
    cv2.polylines(picture, [np.array(chain, np.int32)], isClosed=False, color=GREEN, thickness=2, lineType=cv2.LINE_AA)
    for place, (_, item) in zip(chain, decision.evidence, strict=True):
        cv2.circle(picture, place, 6, GREEN, cv2.FILLED, cv2.LINE_AA)
        write(picture, f"+{item.nats:.1f}", at=(place[0] + 12, place[1] + 5), size_px=_LABEL_PX, colour=TEXT)


def draw_nats(picture: Picture, file: EvidenceFile, *, left_top: Point, size_px: Point) -> None:
    """The nats of the keyframes that agree, as they add up and fade, and how many are asked for of this label."""
    rule, chain = file.recording.rule, file.decision.evidence
    totals = running(file)
    times_s = [at.pts_us / 1e6 for at, _ in chain]
    thresholds = _thresholds(file.recording)
    most = max(*totals, *(nats for _, nats, _ in thresholds), 1.0)
    chart = Chart(left_top, size_px, _around(times_s), (0.0, most * (1 + 2 * _MARGIN)))
    _axes(picture, chart, up_unit="")
    for name, nats, colour in thresholds:
        _dashed(picture, chart, nats, colour=colour)
        x, y = chart.at(chart.across[0], nats)
        write(picture, f"{name}: {nats:g}", at=(x + 6, y - 6), size_px=_LABEL_PX, colour=colour)
    curve = [chart.at(x, y) for x, y in _curve(times_s, totals, half_life_s=rule.half_life_s)]
    cv2.polylines(picture, [np.array(curve, np.int32)], isClosed=False, color=BLUE, thickness=2, lineType=cv2.LINE_AA)
    for at_s, total in zip(times_s, totals, strict=True):
        place = chart.at(at_s, total)
        cv2.circle(picture, place, 6, BLUE, cv2.FILLED, cv2.LINE_AA)
        write(picture, f"{total:.1f}", at=(place[0] - 14, place[1] - 12), size_px=_LABEL_PX, colour=TEXT)


def _thresholds(recording: Recording) -> list[tuple[str, float, Colour]]:
    """Those of the label where its policy has some; where it allows no more than a review, that one only."""
    policy = recording.policy
    rule = for_label(recording.rule, policy)
    more = [] if policy.verdict is Verdict.REVIEW else [(policy.verdict.value, rule.kill_nats, RED)]
    return [("review", rule.review_nats, AMBER), *more]


def _curve(times_s: Sequence[float], totals: Sequence[float], *, half_life_s: float) -> list[tuple[float, float]]:
    """Fading between keyframes, and up at each."""
    points = [(times_s[0], 0.0), (times_s[0], totals[0])]
    for number in range(1, len(times_s)):
        began_s, ended_s = times_s[number - 1 : number + 1]
        moments_s = np.linspace(began_s, ended_s, _STEPS)
        fading = totals[number - 1] * 0.5 ** ((moments_s - began_s) / half_life_s)
        points += [*zip(moments_s.tolist(), fading.tolist(), strict=True), (ended_s, totals[number])]
    return points


def _axes(picture: Picture, chart: Chart, *, up_unit: str) -> None:
    panel(picture, left_top=chart.left_top, size_px=chart.size_px)
    for value in ticks(*chart.across):
        x, y = chart.at(value, chart.up[0])
        cv2.line(picture, (x, y), (x, chart.at(value, chart.up[1])[1]), LINE, 1)
        write(picture, f"{value:.10g} s", at=(x - 16, y + 22), size_px=_LABEL_PX, colour=FAINT)
    for value in ticks(*chart.up):
        x, y = chart.at(chart.across[0], value)
        cv2.line(picture, (x, y), (chart.at(chart.across[1], value)[0], y), LINE, 1)
        words = f"{value:.10g}{up_unit}"
        left_px = x - 8 - text_width_px(words, size_px=_LABEL_PX)
        write(picture, words, at=(left_px, y + 5), size_px=_LABEL_PX, colour=FAINT)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, at most six steps; none below 0, before which there is no footage."""
    rough = max((high - low) / _TICKS, 1e-9)
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * one for one in _ROUND if power * one >= rough * (1 - 1e-9))
    return [round(number * step, 9) for number in range(max(0, int(np.ceil(low / step))), int(high / step) + 1)]


def _dashed(picture: Picture, chart: Chart, nats: float, *, colour: Colour) -> None:
    (left, y), (right, _) = chart.at(chart.across[0], nats), chart.at(chart.across[1], nats)
    for x in range(left, right, 2 * _DASH_PX):
        cv2.line(picture, (x, y), (min(right, x + _DASH_PX), y), colour, 1)


def _edges(place: Place) -> tuple[int, int]:
    return place.from_us, place.to_us


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A little more than all the values take up, and never nothing."""
    low, high = min(values), max(values)
    room = max((high - low) * _MARGIN, 0.5)
    return low - room, high + room
