"""streamguard.core.replay: what was decided is decided again, and what was not is told."""

from dataclasses import replace

import pytest
from hypothesis import event, given, settings

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.replay import differences, record, replay, running_nats
from streamguard.types import AssetId, MediaTime, Observation, Verdict
from tests.observations import going_on, recorded, sessions

_PATIENT = settings(deadline=None, max_examples=80)


@given(observations=sessions())
@_PATIENT
def test_every_recorded_decision_replays_exactly(observations: list[Observation]) -> None:
    """Whatever a session showed: the recording of each decision gives that decision, all of it, and no other."""
    fallen = recorded(observations)
    for decision, recording in fallen:
        event(decision.verdict.value)
        assert replay(recording) == (decision,)
        assert differences(decision, replay(recording)) == ()
    event(f"{min(len(fallen), 3)} decisions")


@given(observations=sessions())
@_PATIENT
def test_a_recording_is_of_its_own_footage_and_window(observations: list[Observation]) -> None:
    """Nothing older than the rule's window is kept, nothing of another session, and nothing of other footage."""
    for decision, recording in recorded(observations):
        for seen in recording.observations:
            assert {item.asset for item in seen.evidence} == {decision.asset}
            assert seen.at.session == decision.at.session
            assert decision.at.pts_us - seen.at.pts_us <= BUILT_IN_RULE.window_s * 1e6
        assert recording.observations[-1].at == decision.at


def test_a_review_that_stands_is_part_of_it() -> None:
    """A kill after a review replays as a kill, not as the review."""
    first = [replace(seen, evidence=(replace(seen.evidence[0], tells_when=False),)) for seen in going_on(2)]
    (review, _), (kill, recording) = recorded([*first, *going_on(5)[2:]])
    assert (review.verdict, kill.verdict) == (Verdict.REVIEW, Verdict.KILL)
    assert recording.standing == (Verdict.REVIEW, MediaTime(1, 2_000_000))
    assert replay(recording) == (kill,)


def test_what_stood_in_another_session_does_not() -> None:
    """A publisher that connects anew begins afresh, in the recording too."""
    again = [replace(seen, at=MediaTime(2, seen.at.pts_us)) for seen in going_on(2)]
    (_, recording) = recorded([*going_on(2), *again])[-1]
    assert recording.standing is None
    assert len(recording.observations) == 2
    state, _ = step(DecisionState(), going_on(2), BUILT_IN_RULE)
    first_of_next, _ = step(state, again[:1], BUILT_IN_RULE)
    assert record(state, first_of_next, asset=AssetId("fight"), rule=BUILT_IN_RULE).standing is None


def test_another_rule_is_told() -> None:
    """A rule that asks for more decides otherwise, and the difference is said in words."""
    ((decision, recording),) = recorded(going_on(2))
    strict = replace(recording, rule=replace(recording.rule, min_keyframes=3))
    assert differences(decision, replay(strict)) == ("no decisions fall, 1 was recorded",)
    laxer = replace(recording, rule=replace(recording.rule, half_life_s=3.0, kill_nats=20.0, name="mine"))
    assert differences(decision, replay(laxer))[0] == "verdict: kill recorded, review now"
    assert differences(decision, replay(laxer))[-1].startswith("rule: built-in-")


@pytest.mark.parametrize("change", [{"nats": 9.0}, {"distance_bits": 30}, {"label": "other"}])
def test_other_evidence_is_told(change: dict[str, object]) -> None:
    """Evidence that was changed after the decision cannot pass for what it rested on."""
    ((decision, recording),) = recorded(going_on(2))
    first, last = recording.observations
    changed = replace(recording, observations=(replace(first, evidence=(replace(first.evidence[0], **change),)), last))  # type: ignore[arg-type]  # any field
    assert any(line.startswith("evidence: 2 keyframes recorded") for line in differences(decision, replay(changed)))


def test_running_nats_end_with_the_decision() -> None:
    """Each keyframe adds its own, and what came before fades meanwhile."""
    ((decision, _),) = recorded(going_on(2, every_s=30.0))
    assert running_nats(decision.evidence, half_life_s=BUILT_IN_RULE.half_life_s) == (8.0, 12.0)
    assert decision.nats == 12.0


@given(observations=sessions())
@_PATIENT
def test_running_nats_always_end_with_the_decision(observations: list[Observation]) -> None:
    """Whatever agreed, the last total is what was decided on."""
    for decision, recording in recorded(observations):
        totals = running_nats(decision.evidence, half_life_s=recording.rule.half_life_s)
        assert totals[-1] == pytest.approx(decision.nats)
