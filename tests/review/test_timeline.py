"""streamguard.review.timeline: places and nats stand where their axes say."""

from dataclasses import replace

import numpy as np
import pytest

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.policy import LabelPolicy
from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.review.canvas import AMBER, BLUE, FAINT, GREEN, GROUND, RED, Colour, Picture
from streamguard.review.timeline import Chart, draw_nats, draw_places, ticks
from streamguard.types import Place, Verdict
from tests.evidence import evidence_file
from tests.observations import going_on, recorded

SIZE_PX = (740, 250)
FILE = evidence_file(recorded(going_on(2, every_s=10.0))[0])


def _empty() -> Picture:
    picture = np.empty((SIZE_PX[1] + 2, SIZE_PX[0] + 2, 3), np.uint8)
    picture[:] = GROUND
    return picture


def _places(file: EvidenceFile) -> Picture:
    picture = _empty()
    draw_places(picture, file, left_top=(1, 1), size_px=SIZE_PX)
    return picture


def _nats(file: EvidenceFile) -> Picture:
    picture = _empty()
    draw_nats(picture, file, left_top=(1, 1), size_px=SIZE_PX)
    return picture


def _where(picture: Picture, colour: Colour) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    return rows, columns


def test_a_chart_has_its_corners_within() -> None:
    """From the lower left to the upper right; what lies beyond its axes stands at their ends."""
    chart = Chart((100, 200), SIZE_PX, (0.0, 10.0), (-1.0, 1.0))
    (left, bottom), (right, top) = chart.at(0.0, -1.0), chart.at(10.0, 1.0)
    assert 100 < left < right < 840
    assert 200 < top < bottom < 450
    assert chart.at(5.0, 0.0) == pytest.approx(((left + right) / 2, (top + bottom) / 2), abs=1)
    assert (chart.at(-1e18, -1e18), chart.at(1e18, 1e18)) == ((left, bottom), (right, top))


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (7.5, 10.5, [7.5, 8.0, 8.5, 9.0, 9.5, 10.0, 10.5]),
        (-0.6, 8.2, [0.0, 2.0, 4.0, 6.0, 8.0]),
        (0.0, 22.7, [0.0, 5.0, 10.0, 15.0, 20.0]),
        (86_399.5, 86_400.5, [86_399.6, 86_399.8, 86_400.0, 86_400.2, 86_400.4]),
    ],
)
def test_ticks_are_round(low: float, high: float, told: list[float]) -> None:
    """Of times and of nats, wherever the axis begins; nothing is before the beginning."""
    assert ticks(low, high) == told


def test_footage_that_goes_on_rises() -> None:
    """The line of the keyframes that agree leads from the lower left to the upper right."""
    rows, columns = _where(_places(FILE), GREEN)
    first, last = columns.argmin(), columns.argmax()
    assert rows[first] > rows[last] + 100
    assert columns[last] > columns[first] + 400


def test_evidence_that_did_not_count_is_faint() -> None:
    """It is shown as well, where it stood."""
    last = FILE.recording.observations[-1]
    other = replace(last.evidence[0], place=Place(60_000_000, 70_000_000), nats=4.0)
    seen = (*FILE.recording.observations[:-1], replace(last, evidence=(*last.evidence, other)))
    more = _places(replace(FILE, recording=replace(FILE.recording, observations=seen)))
    rows, columns = _where(more, FAINT)
    assert np.count_nonzero((rows < 60) & (columns > 500)) > 40


def test_nats_rise_over_what_the_rule_asks_for() -> None:
    """Both thresholds are drawn, and the curve ends above them: it is a kill."""
    picture = _nats(FILE)
    (kill, _), (review, _), (curve, columns) = (_where(picture, colour) for colour in (RED, AMBER, BLUE))
    assert curve.min() < np.median(kill) < np.median(review)
    assert columns.max() - columns.min() > 400


def test_nats_are_those_of_the_label() -> None:
    """What its policy asks for is what is drawn; where it allows no more than a review there is no line of a kill."""
    recording = FILE.recording
    asked = [replace(recording, policy=LabelPolicy(kill_nats=nats)) for nats in (None, 30.0)]
    built_in, more = (_where(_nats(replace(FILE, recording=one)), RED)[0] for one in asked)
    curves = [_where(_nats(replace(FILE, recording=one)), BLUE)[0] for one in asked]
    assert np.median(built_in) > curves[0].min()
    assert np.median(more) < curves[1].min()
    reviewed = _nats(replace(FILE, recording=replace(recording, policy=LabelPolicy(Verdict.REVIEW))))
    assert not _where(reviewed, RED)[0].size


def test_nats_fade_between_keyframes() -> None:
    """After 25 s with a half-life of 30 s the curve is lower just before the second keyframe than at the first."""
    file = evidence_file(recorded(going_on(2, every_s=25.0))[0])
    rows, columns = _where(_nats(file), BLUE)
    early = rows[columns == columns.min() + 30].min()
    late = rows[columns == columns.max() - 30].min()
    assert late > early + 20


def test_a_single_keyframe_has_a_chart() -> None:
    """A rule may ask for no more; then the axes still have a length."""
    rule = replace(BUILT_IN_RULE, min_keyframes=1, kill_nats=5.0)
    decision, recording = recorded(going_on(2))[0]
    one = replace(decision, evidence=decision.evidence[-1:])
    file = evidence_file((one, replace(recording, rule=rule, observations=recording.observations[-1:])))
    for picture in (_places(file), _nats(file)):
        assert (picture != GROUND).any()
