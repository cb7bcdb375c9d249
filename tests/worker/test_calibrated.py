"""streamguard.worker.calibrated: the rule that near misses make, and what is said about it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from streamguard.core.calibrate import Near
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.errors import UsageError
from streamguard.library.rule_file import problem_of
from streamguard.types import AssetId
from streamguard.worker.calibrated import Asked, Calibrated, calibrated
from streamguard.worker.calibration_state import Killed, Watched

NOW_UNIX_S = 1_795_000_000.0
ASKED = Asked(1e-5, 0.01)
KILLED = Killed(14.0, 19.5, AssetId("clip"), 5.0)


def _watched(name: str, *, hours: float, nats: tuple[float, ...] = (), kills: tuple[Killed, ...] = ()) -> Watched:
    near = tuple(Near(600.0 * number, one, AssetId("clip")) for number, one in enumerate(nats))
    return Watched(name, f"sha256:{name}", hours * 3600, round(hours * 1800), kills, near, near)


def _exponential(count: int, *, scale_nats: float) -> tuple[float, ...]:
    return tuple((4.5 + np.random.default_rng(1).exponential(scale_nats, count)).tolist())


def _fitted(*watched: Watched, asked: Asked = ASKED) -> Calibrated:
    return calibrated(watched, asked=asked, library_version="7-abc", now_unix_s=NOW_UNIX_S)


def test_a_tail_makes_a_rule() -> None:
    """Raised above the built-in one as far as the rate asks, and no warning; it names its day and what it rests on."""
    result = _fitted(_watched("a", hours=200.0, nats=_exponential(300, scale_nats=0.9)), _watched("b", hours=140.0))
    rule, fitted = result.rules.rule, result.rules.fitted
    assert 13.0 < rule.kill_nats < 22.0
    assert rule.review_nats >= BUILT_IN_RULE.review_nats
    assert rule.name.startswith("calibrated-2026-11-18-")
    assert result.warnings() == []
    assert fitted is not None
    assert fitted.is_supported
    assert (fitted.inputs, fitted.stream_hours, fitted.library_version) == (2, 340.0, "7-abc")
    assert fitted.kills_at_most_per_stream_hour <= 1e-5
    assert problem_of(result.rules) == ""
    assert replace(rule, name=BUILT_IN_RULE.name, kill_nats=12.0, review_nats=9.0) == BUILT_IN_RULE


def test_a_gentle_tail_leaves_the_built_in_marks() -> None:
    """Never below them, however harmless the footage is."""
    rule = _fitted(_watched("a", hours=5000.0, nats=_exponential(80, scale_nats=0.2))).rules.rule
    assert (rule.kill_nats, rule.review_nats) == (BUILT_IN_RULE.kill_nats, BUILT_IN_RULE.review_nats)


def test_the_same_footage_makes_the_same_rule() -> None:
    """Under the same name; other footage makes another."""
    one = _watched("a", hours=10.0, nats=(5.0, 6.0))
    assert _fitted(one).rules == _fitted(one).rules
    assert _fitted(one).rules.rule.name != _fitted(one, _watched("b", hours=1.0)).rules.rule.name


def test_short_footage_is_not_called_enough() -> None:
    """The warning says what it does bear out, and what it would take."""
    result = _fitted(_watched("a", hours=2.0, nats=(5.0,)))
    (warning, about_reviews) = result.warnings()
    assert "2 hours with one near miss are too short to support 1e-05 false kills a stream-hour" in warning
    assert "1.5 at most" in warning
    assert "3e+05 hours without any" in warning
    assert "0.01 false reviews" in about_reviews
    assert result.rules.rule.kill_nats == BUILT_IN_RULE.kill_nats
    assert result.rules.fitted is not None
    assert not result.rules.fitted.is_supported


def test_footage_that_supports_nothing_is_called_that() -> None:
    """A tail so heavy that only a rule that kills nothing would keep the rate."""
    result = _fitted(_watched("a", hours=1.0, nats=_exponential(60, scale_nats=8.0)))
    assert result.rules.rule.kill_nats == 40.0
    assert "not supported by this footage at any nats" in "; ".join(result.warnings())
    assert result.keyframes_to_kill(2.0) == 5


def test_kills_come_first() -> None:
    """Each with its input and time: it may be known footage."""
    result = _fitted(_watched("a", hours=2.0), _watched("b", hours=2.0, nats=(19.5, 6.0), kills=(KILLED,)))
    assert result.kills == (("b", KILLED),)
    assert "1 kill by the built-in rule on footage that is said to be harmless" in result.warnings()[0]
    assert [(name, near.nats) for name, near in result.nearest] == [("b", 19.5), ("b", 6.0)]


def test_a_false_kill_is_avoided_where_nats_can() -> None:
    """The mark rises above it; one that goes on for long is out of reach, and what to do then is said."""
    result = _fitted(_watched("a", hours=2.0, nats=(19.5, 6.0), kills=(KILLED,)))
    assert (result.rules.rule.kill_nats, result.still_killed) == (19.6, ())
    result = _fitted(_watched("a", hours=2.0, nats=(64.0, 6.0), kills=(KILLED,)))
    assert (result.rules.rule.kill_nats, result.still_killed) == (BUILT_IN_RULE.kill_nats, ("clip",))
    assert "this rule still kills for clip on this footage: disable what is no good reference" in result.warnings()[1]


def test_json_is_plain() -> None:
    """All that people are told, for machines."""
    tree = json.loads(json.dumps(_fitted(_watched("a", hours=2.0, nats=(5.0,), kills=(KILLED,))).as_json()))
    assert tree["kills"] == [{"input": "a", "at_s": 14.0, "nats": 19.5, "asset": "clip", "reference_s": 5.0}]
    assert tree["false_kills_per_stream_hour"]["supported"] is False
    assert tree["tail"] == {"kind": "none", "events": 1, "over_nats": None, "scale_nats": None, "shape": None}
    assert tree["kill_nats"] == BUILT_IN_RULE.kill_nats


def test_keyframes_a_copy_takes() -> None:
    """Two for the built-in rule up to 30 s apart; none where the nats fade faster than they come."""
    result = _fitted(_watched("a", hours=2.0))
    assert (result.keyframes_to_kill(2.0), result.keyframes_to_kill(29.0)) == (2, 2)
    far = replace(result, rules=replace(result.rules, rule=replace(result.rules.rule, kill_nats=40.0)))
    assert far.keyframes_to_kill(30.0) == 0


def test_nothing_watched_is_an_error() -> None:
    """Pictures last no time."""
    with pytest.raises(UsageError, match="no footage that lasts"):
        _fitted(_watched("a", hours=0.0))
