"""The configuration's policy as the core takes it, and what operators are told of the rule that counts."""

from datetime import UTC, datetime

from streamguard.config import LabelPolicyConfig, PolicyConfig
from streamguard.core.policy import LabelPolicy, Policy
from streamguard.core.rules import BUILT_IN_RULES, Rules
from streamguard.errors import counted
from streamguard.types import Verdict

BUILT_IN_NOTE = (
    f"the library has no rule of its own: the built-in one ({BUILT_IN_RULES.rule.name}) counts, which was fitted to "
    "nobody's streams; `streamguard calibrate` fits one"
)

_WHOLE_FROM = 10.0


def policy_of(config: PolicyConfig) -> Policy:
    """What a label leaves out is as for all labels. What is said for incidents counts instead of what is said for all,
    and of what a label says itself the more careful.
    """
    default = LabelPolicy(Verdict(config.verdict), Verdict(config.time_blind))
    labels = {label: _with(default, own) for label, own in config.labels.items()}
    said = config.incident
    if all(word is None for word in (said.verdict, said.time_blind, said.kill_nats, said.review_nats)):
        return Policy(default, labels)
    in_all = _with(default, said)
    for_incidents = Policy(in_all, {label: _careful(in_all, own, said) for label, own in config.labels.items()})
    return Policy(default, labels, for_incidents=for_incidents)


def _with(default: LabelPolicy, own: LabelPolicyConfig) -> LabelPolicy:
    """What it says, and the default where it says nothing."""
    return LabelPolicy(
        verdict=default.verdict if own.verdict is None else Verdict(own.verdict),
        time_blind=default.time_blind if own.time_blind is None else Verdict(own.time_blind),
        kill_nats=default.kill_nats if own.kill_nats is None else own.kill_nats,
        review_nats=default.review_nats if own.review_nats is None else own.review_nats,
    )


def _careful(in_all: LabelPolicy, own: LabelPolicyConfig, said: LabelPolicyConfig) -> LabelPolicy:
    """A label's own words in an incident: where both say something, an incident must not make kills easier."""
    label = _with(in_all, own)
    return LabelPolicy(
        verdict=label.verdict if said.verdict is None else _weaker(label.verdict, in_all.verdict),
        time_blind=label.time_blind if said.time_blind is None else _weaker(label.time_blind, in_all.time_blind),
        kill_nats=_more(label.kill_nats, said.kill_nats),
        review_nats=_more(label.review_nats, said.review_nats),
    )


def _weaker(one: Verdict, other: Verdict) -> Verdict:
    return min(one, other, key=lambda verdict: verdict.severity)


def _more(one: float | None, other: float | None) -> float | None:
    """None: nothing was said."""
    return max((nats for nats in (one, other) if nats is not None), default=None)


def policy_in_words(policy: Policy) -> list[str]:
    """A line for all labels, and one for each that differs; and the same for footage of open incidents."""
    lines = [f"all labels: {_allowed(policy.default)}"]
    lines += [f"label {label}: {_allowed(own)}" for label, own in sorted(policy.labels.items())]
    others = () if policy.for_incidents is None else policy_in_words(policy.for_incidents)
    return lines + [f"in open incidents, {line}" for line in others]


def rules_in_words(rules: Rules) -> str:
    """One line: the rule, and on what it was fitted."""
    rule, fitted = rules.rule, rules.fitted
    text = f"{rule.name}: kill at {rule.kill_nats:g} nats, review at {rule.review_nats:g}"
    if fitted is None:
        return text
    day = datetime.fromtimestamp(fitted.at_unix_s, tz=UTC).date()
    text += f"; fitted on {day} to {fitted.stream_hours:.4g} hours of {counted(fitted.inputs, 'harmless input')}"
    return f"{text}, library {fitted.library_version}: {promise(fitted.kills_at_most_per_stream_hour)} at most"


def note_on(rules: Rules | None) -> str:
    """What whoever starts by that rule should know of it; nothing of one that keeps what was asked of it."""
    if rules is None:
        return BUILT_IN_NOTE
    fitted = rules.fitted
    if fitted is None or fitted.is_supported:
        return ""
    kept = promise(fitted.kills_at_most_per_stream_hour)
    return (
        f"the library's rule ({rules.rule.name}) promises no better than {kept}: it was fitted to too little footage; "
        "run `streamguard calibrate` on more"
    )


def promise(per_stream_hour: float) -> str:
    """A rate of false kills for people."""
    rate = f"{per_stream_hour:.0f}" if per_stream_hour >= _WHOLE_FROM else f"{per_stream_hour:.2g}"
    return f"{rate} false kills a stream-hour"


def _allowed(allowed: LabelPolicy) -> str:
    text = f"{allowed.verdict.value} at most, {allowed.blind_verdict.value} where evidence does not tell when"
    own = (("kill", allowed.kill_nats), ("review", allowed.review_nats))
    return text + "".join(f", {what} at {nats:g} nats" for what, nats in own if nats is not None)
