"""What a policy makes of a decision: it caps it, may allow more to time-blind evidence, or ask for other nats."""

from dataclasses import replace

import pytest

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.policy import BUILT_IN_POLICY, LabelPolicy, Policy
from streamguard.types import (
    WHOLE_PICTURE,
    AssetId,
    Evidence,
    MediaKind,
    MediaTime,
    Observation,
    Place,
    Verdict,
    View,
)

KILL, LIMIT, REVIEW = Verdict.KILL, Verdict.LIMIT, Verdict.REVIEW
LABEL = "propaganda"


def _stream(*, moves: bool, nats: float = 8.0, label: str = LABEL, keyframes: int = 8) -> list[Observation]:
    """A keyframe every 2 s: the footage goes on, or stands."""
    places = [round((2.0 * i if moves else 3.0) * 1e6) for i in range(keyframes)]
    return [
        Observation(
            MediaTime(1, 2_000_000 * i),
            (
                Evidence(
                    AssetId("clip"),
                    label,
                    MediaKind.VIDEO,
                    Place(at_us, at_us + 80_000),
                    View.UPRIGHT,
                    WHOLE_PICTURE,
                    nats,
                    12,
                    tells_when=moves,
                ),
            ),
        )
        for i, at_us in enumerate(places)
    ]


def _decided(observations: list[Observation], allowed: LabelPolicy) -> list[tuple[Verdict, float]]:
    """(verdict, seconds) of each decision under a policy for the one label."""
    _, decisions = step(DecisionState(), observations, BUILT_IN_RULE, policy=Policy(labels={LABEL: allowed}))
    return [(decision.verdict, decision.at.pts_us / 1e6) for decision in decisions]


@pytest.mark.parametrize("strongest", [REVIEW, LIMIT, KILL])
def test_a_label_earns_no_more_than_is_allowed(strongest: Verdict) -> None:
    """What would be a kill is the strongest verdict that is allowed, at the same moment, and said once."""
    assert _decided(_stream(moves=True), LabelPolicy(strongest)) == [(strongest, 2.0)]


def test_a_review_is_raised_only_as_far_as_is_allowed() -> None:
    """Evidence that is worth a review first and a kill later: nothing is said twice."""
    slow = _stream(moves=True, nats=5.5)
    assert _decided(slow, LabelPolicy(KILL)) == [(REVIEW, 2.0), (KILL, 4.0)]
    assert _decided(slow, LabelPolicy(LIMIT)) == [(REVIEW, 2.0), (LIMIT, 4.0)]
    assert _decided(slow, LabelPolicy(REVIEW)) == [(REVIEW, 2.0)]


@pytest.mark.parametrize("more", [LIMIT, KILL])
def test_time_blind_evidence_earns_more_where_an_operator_accepts_it(more: Verdict) -> None:
    """A review at most by default; what is allowed, with as many nats as a kill takes."""
    held = _stream(moves=False, nats=5.5)
    assert _decided(held, LabelPolicy()) == [(REVIEW, 2.0)]
    assert _decided(held, LabelPolicy(time_blind=more)) == [(REVIEW, 2.0), (more, 4.0)]


def test_the_strongest_verdict_bounds_what_time_blind_evidence_earns() -> None:
    """`verdict = "limit"` with `time_blind = "kill"` never kills."""
    assert _decided(_stream(moves=False), LabelPolicy(LIMIT, time_blind=KILL)) == [(LIMIT, 2.0)]


def test_a_label_may_ask_for_other_nats() -> None:
    """More keyframes for a kill, or fewer; without its own, a review takes no more than a kill does."""
    assert _decided(_stream(moves=True), LabelPolicy(kill_nats=20.0)) == [(REVIEW, 2.0), (KILL, 4.0)]
    assert _decided(_stream(moves=True, nats=5.0), LabelPolicy(kill_nats=8.0)) == [(KILL, 2.0)]
    assert _decided(_stream(moves=False, nats=5.0), LabelPolicy(kill_nats=8.0)) == [(REVIEW, 2.0)]
    assert _decided(_stream(moves=False), LabelPolicy(review_nats=20.0)) == [(REVIEW, 4.0)]


def test_other_labels_have_the_default() -> None:
    """A policy for one label changes nothing for another, and none changes nothing at all."""
    stream = _stream(moves=True, label="terror")
    policy = Policy(default=LabelPolicy(LIMIT), labels={LABEL: LabelPolicy(REVIEW)})
    verdicts = [decision.verdict for decision in step(DecisionState(), stream, BUILT_IN_RULE, policy=policy)[1]]
    assert verdicts == [LIMIT]
    without = step(DecisionState(), stream, BUILT_IN_RULE)
    assert step(DecisionState(), stream, BUILT_IN_RULE, policy=BUILT_IN_POLICY) == without
    assert step(DecisionState(), stream, replace(BUILT_IN_RULE), policy=Policy(labels={"x": LabelPolicy()})) == without


@pytest.mark.parametrize(
    "allowed", [LabelPolicy(), LabelPolicy(LIMIT), LabelPolicy(time_blind=KILL), LabelPolicy(REVIEW)]
)
def test_footage_that_has_fallen_earns_a_review_at_most(allowed: LabelPolicy) -> None:
    """Whatever its label may, by any kind of evidence; other footage of that label goes on as before."""
    policy = Policy(labels={LABEL: allowed}, fallen=frozenset({AssetId("clip")}))
    for moves in (True, False):
        _, decisions = step(DecisionState(), _stream(moves=moves), BUILT_IN_RULE, policy=policy)
        assert [decision.verdict for decision in decisions] == [REVIEW]
    assert policy.of_footage(AssetId("other"), LABEL) == allowed


def test_footage_of_open_incidents_has_a_policy_of_its_own() -> None:
    """By item, whatever its label; other footage of that label has what it had, and a mistake counts in both."""
    clip, other = AssetId("clip"), AssetId("other")
    incident = Policy(LabelPolicy(REVIEW), {LABEL: LabelPolicy(LIMIT, kill_nats=20.0)})
    policy = Policy(labels={LABEL: LabelPolicy(KILL)}, in_incidents=frozenset({clip}), for_incidents=incident)
    assert policy.of_footage(clip, LABEL) == LabelPolicy(LIMIT, kill_nats=20.0)
    assert policy.of_footage(clip, "terror") == LabelPolicy(REVIEW)
    assert policy.of_footage(other, LABEL) == policy.of(LABEL) == LabelPolicy(KILL)
    assert replace(policy, fallen=frozenset({clip})).of_footage(clip, LABEL).verdict is REVIEW
    assert replace(policy, for_incidents=None).of_footage(clip, LABEL) == LabelPolicy(KILL)
    _, decisions = step(DecisionState(), _stream(moves=True, nats=8.0), BUILT_IN_RULE, policy=policy)
    assert [(one.verdict, one.at.pts_us) for one in decisions] == [(REVIEW, 2_000_000), (LIMIT, 4_000_000)]
