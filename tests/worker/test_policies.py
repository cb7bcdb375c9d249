"""streamguard.worker.policies: what operators are told of the rule that counts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.config import PolicyConfig
from streamguard.core.decision_rule import BUILT_IN_RULE, for_label
from streamguard.core.policy import LabelPolicy
from streamguard.core.rules import BUILT_IN_RULES
from streamguard.types import AssetId, Verdict
from streamguard.worker.policies import BUILT_IN_NOTE, note_on, policy_in_words, policy_of, promise
from tests.library.fitted import FITTED, fitted_rules


def test_a_rule_that_keeps_what_was_asked_needs_no_note() -> None:
    """One that does not is told with what it does promise, and so is none at all; ours in a file needs none."""
    fitted = fitted_rules()
    asked = FITTED.kills_asked_per_stream_hour
    kept, short = (replace(fitted, fitted=replace(FITTED, kills_at_most_per_stream_hour=asked * by)) for by in (1, 100))
    assert note_on(None) == BUILT_IN_NOTE
    assert note_on(kept) == note_on(BUILT_IN_RULES) == ""
    assert promise(asked * 100) in note_on(short)
    assert "calibrate" in note_on(short)


@pytest.mark.parametrize(("rate", "words"), [(1e-5, "1e-05"), (0.25, "0.25"), (9.5, "9.5"), (360.0, "360")])
def test_rates_are_for_people(rate: float, words: str) -> None:
    """No powers of ten where whole numbers will do."""
    assert promise(rate) == f"{words} false kills a stream-hour"


CLIP = AssetId("clip")
WORDS = st.sampled_from([None, "review", "limit", "kill"])
NATS = st.sampled_from([None, 6.0, 12.0, 20.0])
SAID = st.fixed_dictionaries({"verdict": WORDS, "time_blind": WORDS, "kill_nats": NATS})


def in_an_incident(config: PolicyConfig, label: str) -> LabelPolicy:
    return replace(policy_of(config), in_incidents=frozenset({CLIP})).of_footage(CLIP, label)


def config_of(**words: object) -> PolicyConfig:
    return PolicyConfig.model_validate(words)


def test_without_a_word_for_incidents_labels_have_what_they_have() -> None:
    """Also where something is said of the breaker alone."""
    for said in ({}, {"streams_believed": 500}):
        policy = policy_of(config_of(labels={"terror": {"kill_nats": 20.0}}, incident=said))
        assert policy.for_incidents is None


def test_what_is_said_for_incidents_counts_instead_of_what_is_said_for_all() -> None:
    """Both ways: more careful, and less; what is left out is as for all."""
    assert in_an_incident(config_of(incident={"verdict": "review"}), "x") == LabelPolicy(Verdict.REVIEW)
    eager = config_of(verdict="review", time_blind="limit", incident={"verdict": "kill", "kill_nats": 10.0})
    assert in_an_incident(eager, "x") == LabelPolicy(Verdict.KILL, Verdict.LIMIT, kill_nats=10.0)


def test_of_what_a_label_says_itself_the_more_careful_counts() -> None:
    """Word by word."""
    labels = {"x": {"verdict": "limit", "kill_nats": 20.0}, "y": {"time_blind": "kill", "kill_nats": 8.0}}
    config = config_of(labels=labels, incident={"verdict": "kill", "time_blind": "limit", "kill_nats": 15.0})
    assert in_an_incident(config, "x") == LabelPolicy(Verdict.LIMIT, Verdict.LIMIT, kill_nats=20.0)
    assert in_an_incident(config, "y") == LabelPolicy(Verdict.KILL, Verdict.LIMIT, kill_nats=15.0)


@given(own=SAID, all_verdict=WORDS, incident=SAID)
def test_no_incident_makes_kills_easier_unless_the_configuration_says_so(
    own: dict[str, object], all_verdict: str | None, incident: dict[str, object]
) -> None:
    """A label's own words are never weakened; where a label says nothing, no more is allowed than was said for
    incidents, or is for all.
    """
    config = config_of(
        labels={"x": own}, incident=incident, **({} if all_verdict is None else {"verdict": all_verdict})
    )
    before, after = policy_of(config).of("x"), in_an_incident(config, "x")
    pairs = (("verdict", before.verdict, after.verdict), ("time_blind", before.time_blind, after.time_blind))
    for word, was, now in pairs:
        said = [one[word] for one in (own, incident) if one[word] is not None]
        assert now.severity <= (was.severity if own[word] is not None else 99)
        assert now in ([Verdict(one) for one in said] or [was])
    rule_was, rule_is = for_label(BUILT_IN_RULE, before), for_label(BUILT_IN_RULE, after)
    if own["kill_nats"] is not None or incident["kill_nats"] is None:
        assert rule_is.kill_nats >= rule_was.kill_nats


def test_people_are_told_what_counts_in_incidents() -> None:
    """In lines of their own, after those of all other footage."""
    config = config_of(labels={"terror": {"kill_nats": 20.0}}, incident={"verdict": "review"})
    lines = policy_in_words(policy_of(config))
    assert lines[:2] == policy_in_words(policy_of(config_of(labels={"terror": {"kill_nats": 20.0}})))
    assert lines[2].startswith("in open incidents, all labels: review at most")
    assert lines[3].startswith("in open incidents, label terror: review at most")
    assert "kill at 20 nats" in lines[3]
