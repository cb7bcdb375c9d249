"""A decision as one picture: the stream's frame beside the reference frame, and how the verdict came about."""

import cv2
import numpy as np

from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.review.canvas import (
    AMBER,
    BLUE,
    BOLD,
    FAINT,
    GREEN,
    GROUND,
    PANEL,
    RED,
    TEXT,
    Picture,
    Point,
    decoded,
    fitted,
    legend,
    panel,
    text_width_px,
    write,
)
from streamguard.review.explanation import decided_at, how_many, how_near
from streamguard.review.timeline import NATS, PLACES, draw_nats, draw_places
from streamguard.types import Verdict

WIDTH_PX, HEIGHT_PX = 1600, 1040
_MARGIN_PX = 40
_FRAME_PX = (740, 416)
_FRAMES_TOP_PX = 182
_CHARTS_TOP_PX = 722
_LEGEND_PX = 17
_CHART_PX = (740, 250)
_LEFT_PX, _RIGHT_PX = _MARGIN_PX, WIDTH_PX - _MARGIN_PX - _FRAME_PX[0]
_FOOT_PX = HEIGHT_PX - 28

_BADGES = {Verdict.KILL: RED, Verdict.REVIEW: AMBER, Verdict.LIMIT: BLUE, Verdict.CLEAR: GREEN}
_FAR = 4.0
"""So many pictures away from its edge is far enough for a corner: only its direction shows."""


def draw(file: EvidenceFile) -> Picture:
    """The whole picture, 1600 x 1040, RGB."""
    picture: Picture = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    picture[:] = GROUND
    decision = file.decision
    _header(picture, file)
    at = f"{decision.at.pts_us / 1e6:.2f} s watched"
    reference_at = f"{decision.reference_us / 1e6:.2f} s into {decision.asset}"
    stream = _frame(picture, file.thumbnail, left_px=_LEFT_PX, title=("ON THE STREAM", at))
    known = _frame(picture, file.reference_thumbnail, left_px=_RIGHT_PX, title=("KNOWN FOOTAGE", reference_at))
    _outline(picture, file, field=stream)
    _points(picture, file, fields=(stream, known))
    _unless_shown(picture, file.thumbnail, "no picture", left_px=_LEFT_PX)
    _unless_shown(picture, file.reference_thumbnail, "no picture kept", left_px=_RIGHT_PX)
    joined = [(GREEN, "places that look the same in both, joined")] if len(file.points) else []
    below_px = _FRAMES_TOP_PX + _FRAME_PX[1] + 26
    legend(picture, [(RED, "where the footage stands"), *joined], at=(_LEFT_PX, below_px), size_px=_LEGEND_PX)
    for left_px, title, parts in (
        (_LEFT_PX, "PLACE IN THE FOOTAGE OVER STREAM TIME", PLACES),
        (_RIGHT_PX, "EVIDENCE TOGETHER, IN NATS", NATS),
    ):
        write(picture, title, at=(left_px, _CHARTS_TOP_PX - 38), size_px=18, weight=BOLD, colour=FAINT)
        legend(picture, parts, at=(left_px, _CHARTS_TOP_PX - 13), size_px=_LEGEND_PX)
    draw_places(picture, file, left_top=(_LEFT_PX, _CHARTS_TOP_PX), size_px=_CHART_PX)
    draw_nats(picture, file, left_top=(_RIGHT_PX, _CHARTS_TOP_PX), size_px=_CHART_PX)
    foot = (
        f"rule {decision.rule}, library {file.library_version}, StreamGuard {file.streamguard},"
        f" decided {decided_at(file)}, {file.id}"
    )
    _line(picture, foot, at=(_MARGIN_PX, _FOOT_PX), size_px=18)
    return picture


def _header(picture: Picture, file: EvidenceFile) -> None:
    decision = file.decision
    verdict = decision.verdict.value.upper()
    badge_px = 44 + text_width_px(verdict, size_px=34, weight=BOLD)
    corner = (_MARGIN_PX + badge_px, 92)
    cv2.rectangle(picture, (_MARGIN_PX, 34), corner, _BADGES[decision.verdict], cv2.FILLED)
    write(picture, verdict, at=(_MARGIN_PX + 22, 75), size_px=34, weight=BOLD)
    left_px = corner[0] + 28
    title = f"{file.stream} shows {decision.asset}"
    room_px = WIDTH_PX - _MARGIN_PX - left_px
    write(
        picture,
        fitted(title, width_px=room_px, size_px=30, weight=BOLD),
        at=(left_px, 60),
        size_px=30,
        weight=BOLD,
    )
    facts = (
        f"label {decision.label or 'none'}, seen {decision.view.label}, {decision.nats:.1f} nats from"
        f" {how_many(decision)}; the last one: {how_near(decision.evidence[-1][1])}"
    )
    _line(picture, facts, at=(left_px, 91), size_px=20)


def _line(picture: Picture, text: str, *, at: Point, size_px: int) -> None:
    room_px = WIDTH_PX - _MARGIN_PX - at[0]
    write(picture, fitted(text, width_px=room_px, size_px=size_px), at=at, size_px=size_px, colour=FAINT)


def _frame(picture: Picture, thumbnail: bytes, *, left_px: int, title: tuple[str, str]) -> tuple[Point, Point]:
    """One frame with its caption above, scaled to fit; (left and top, width and height) of where it stands."""
    heading, moment = title
    write(picture, heading, at=(left_px, _FRAMES_TOP_PX - 36), size_px=18, weight=BOLD, colour=FAINT)
    caption = fitted(moment, width_px=_FRAME_PX[0], size_px=20)
    write(picture, caption, at=(left_px, _FRAMES_TOP_PX - 11), size_px=20)
    panel(picture, left_top=(left_px, _FRAMES_TOP_PX), size_px=_FRAME_PX)
    shown = decoded(thumbnail)
    if not shown:
        return (left_px, _FRAMES_TOP_PX), _FRAME_PX
    height, width = shown[0].shape[:2]
    scale = min(_FRAME_PX[0] / width, _FRAME_PX[1] / height)
    size_px = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = left_px + (_FRAME_PX[0] - size_px[0]) // 2, _FRAMES_TOP_PX + (_FRAME_PX[1] - size_px[1]) // 2
    larger = cv2.resize(shown[0], size_px, interpolation=cv2.INTER_CUBIC)
    picture[top : top + size_px[1], left : left + size_px[0]] = larger
    return (left, top), size_px


def _unless_shown(picture: Picture, thumbnail: bytes, missing: str, *, left_px: int) -> None:
    """What stands there instead of a frame, on a ground of its own: lines between the places cross that field."""
    if decoded(thumbnail):
        return
    words = "a picture that is damaged" if thumbnail else missing
    width_px = text_width_px(words, size_px=28)
    left, foot = left_px + (_FRAME_PX[0] - width_px) // 2, _FRAMES_TOP_PX + _FRAME_PX[1] // 2
    cv2.rectangle(picture, (left - 12, foot - 36), (left + width_px + 12, foot + 16), PANEL, cv2.FILLED)
    write(picture, words, at=(left, foot), size_px=28, colour=FAINT)


def _outline(picture: Picture, file: EvidenceFile, *, field: tuple[Point, Point]) -> None:
    """A line around the footage, cut off where the stream's picture ends."""
    (left, top), (width, height) = field
    shown = picture[top : top + height, left : left + width].copy()
    corners = np.clip(file.decision.region.corners(), -_FAR, 1 + _FAR) * (width - 1, height - 1)
    points = np.rint(corners).astype(np.int32)
    cv2.polylines(shown, [points], isClosed=True, color=RED, thickness=2, lineType=cv2.LINE_AA)
    picture[top : top + height, left : left + width] = shown


def _points(picture: Picture, file: EvidenceFile, *, fields: tuple[tuple[Point, Point], tuple[Point, Point]]) -> None:
    """A thin line from each place on the stream to the place in the footage that looks the same."""
    lines = picture.copy()
    pairs = np.clip(file.points, 0.0, 1.0).reshape(-1, 2, 2).tolist()
    ends = [[_at(share, field) for share, field in zip(pair, fields, strict=True)] for pair in pairs]
    for one, other in ends:
        cv2.line(lines, one, other, GREEN, 1, cv2.LINE_AA)
    cv2.addWeighted(lines, 0.6, picture, 0.4, 0.0, dst=picture)
    for end in (end for pair in ends for end in pair):
        cv2.circle(picture, end, 4, GREEN, 1, cv2.LINE_AA)
        cv2.circle(picture, end, 1, TEXT, cv2.FILLED)


def _at(share: list[float], field: tuple[Point, Point]) -> Point:
    (left, top), (width, height) = field
    return left + round(share[0] * (width - 1)), top + round(share[1] * (height - 1))
