"""streamguard.worker.matcher: one keyframe in, decisions out."""

from dataclasses import replace

from streamguard.core.decide import BUILT_IN_RULE, DecisionState
from streamguard.core.policy import LabelPolicy, Policy
from streamguard.core.rules import BUILT_IN_RULES, Rules
from streamguard.types import Fingerprints, MediaTime, Verdict
from streamguard.worker.matcher import Matcher
from tests.worker.fake_decoders import FakeLibrary, keyframe


class _NextVersion(FakeLibrary):
    version = "v2"


def _seen(second: int) -> Fingerprints:
    made = keyframe(second, known_s=second)
    return Fingerprints(MediaTime(1, second * 1_000_000), 0.0, 320, 180, made.prints)


def test_each_keyframe_asks_for_the_library_anew() -> None:
    """A new version counts at once, and a decision names the one that it was made with."""
    libraries = iter([FakeLibrary(), _NextVersion()])
    matcher = Matcher(lambda: next(libraries), rule=BUILT_IN_RULE)
    first = matcher.observe(DecisionState(), _seen(0))
    second = matcher.observe(first.state, _seen(2))
    assert (first.library_version, first.decisions) == ("v1", ())
    assert second.library_version == "v2"
    assert [decision.verdict for decision in second.decisions] == [Verdict.KILL]


def test_what_it_rests_on_is_returned() -> None:
    """The observation and the look-up's time, and no other state than the one that is handed on."""
    times_s = iter([10.0, 10.25])
    matcher = Matcher(FakeLibrary, rule=BUILT_IN_RULE, clock=lambda: next(times_s))
    matched = matcher.observe(DecisionState(), _seen(4))
    assert matched.lookup_s == 0.25
    assert matched.observation.at == MediaTime(1, 4_000_000)
    assert [evidence.asset for evidence in matched.observation.evidence] == ["clip"]
    assert matcher.rule is BUILT_IN_RULE


class _WithRule(FakeLibrary):
    rules: Rules | None = replace(BUILT_IN_RULES, rule=replace(BUILT_IN_RULE, name="fitted", kill_nats=25.0))


def test_the_rule_of_the_library_counts() -> None:
    """From the keyframe on that finds it; decisions name it, and without one the built-in rule decides."""
    libraries = iter([FakeLibrary(), _WithRule(), _WithRule(), FakeLibrary()])
    matcher = Matcher(lambda: next(libraries), rule=BUILT_IN_RULE)
    state, named = DecisionState(), []
    for second in (0, 2, 4):
        matched = matcher.observe(state, _seen(second))
        state = matched.state
        named += [(decision.verdict, decision.rule) for decision in matched.decisions]
    assert named == [(Verdict.REVIEW, "fitted"), (Verdict.KILL, "fitted")]
    assert matcher.rule is BUILT_IN_RULE


def test_the_policy_caps_the_verdict() -> None:
    """What would be a kill is what the label's policy allows."""
    policy = Policy(labels={"terror": LabelPolicy(Verdict.LIMIT)})
    matcher = Matcher(FakeLibrary, rule=BUILT_IN_RULE, policy=policy)
    first = matcher.observe(DecisionState(), _seen(0))
    assert [one.verdict for one in matcher.observe(first.state, _seen(2)).decisions] == [Verdict.LIMIT]
