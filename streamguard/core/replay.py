"""A decision run again from what was recorded of it: the same rule over the same observations must decide the same.

Recorded is what the decision rested on, and no more: the evidence for its own footage in the rule's window, and what
had been decided on that footage before. Other footage has no say in it.
"""

from dataclasses import dataclass, fields

from streamguard.core.agreement import Seen
from streamguard.core.decide import DecisionState, recalled, step
from streamguard.core.decision_rule import DecisionRule
from streamguard.core.policy import BUILT_IN_POLICY, LabelPolicy, Policy
from streamguard.types import AssetId, Decision, Evidence, MediaTime, Observation, Verdict


@dataclass(frozen=True, slots=True)
class Recording:
    """Observations oldest first, the deciding one last; `standing`: the verdict on the footage before, and its time."""

    rule: DecisionRule
    observations: tuple[Observation, ...]
    standing: tuple[Verdict, MediaTime] | None
    policy: LabelPolicy = BUILT_IN_POLICY.default
    """What was allowed for the footage's label."""


def record(
    before: DecisionState,
    after: DecisionState,
    *,
    asset: AssetId,
    rule: DecisionRule,
    policy: LabelPolicy = BUILT_IN_POLICY.default,
) -> Recording:
    """Of a decision on `asset` that fell with the newest keyframe of `after`; `before`: the state before it."""
    observations = [Observation(seen.at, _of_asset(seen, asset)) for seen in after.recent]
    here, there = before.newest, after.newest
    is_same_session = here is not None and there is not None and here.session == there.session
    standing = before.decided.get(asset) if is_same_session else None
    return Recording(rule, tuple(one for one in observations if one.evidence), standing, policy)


def replay(recording: Recording) -> tuple[Decision, ...]:
    """The decisions that fall with the last of the observations. Raises ValueError where time does not go on."""
    *earlier, last = recording.observations
    asset = last.evidence[0].asset if last.evidence else AssetId("")
    decided = {} if recording.standing is None else {asset: recording.standing}
    return step(recalled(earlier, decided), [last], recording.rule, policy=Policy(recording.policy))[1]


def differences(recorded: Decision, fallen: tuple[Decision, ...]) -> tuple[str, ...]:
    """What is not as it was recorded, in words; nothing where the same decision fell."""
    if len(fallen) != 1:
        return (f"{len(fallen) or 'no'} decisions fall, 1 was recorded",)
    (again,) = fallen
    names = [field.name for field in fields(Decision)]
    return tuple(_in_words(name, recorded, again) for name in names if getattr(recorded, name) != getattr(again, name))


def running_nats(chain: tuple[tuple[MediaTime, Evidence], ...], *, half_life_s: float) -> tuple[float, ...]:
    """What a decision's keyframes were worth together as each came; the last is the decision's own."""
    totals: list[float] = []
    for number, (at, evidence) in enumerate(chain):
        if not number:
            totals.append(evidence.nats)
            continue
        elapsed_s = (at.pts_us - chain[number - 1][0].pts_us) / 1e6
        totals.append(float(evidence.nats + totals[-1] * 0.5 ** (elapsed_s / half_life_s)))
    return tuple(totals)


def _of_asset(seen: Seen, asset: AssetId) -> tuple[Evidence, ...]:
    return tuple(item for track, sighting in seen.tracks.items() if track[0] == asset for item in sighting.evidence)


def _in_words(name: str, recorded: Decision, again: Decision) -> str:
    if name == "evidence":
        return f"evidence: {len(recorded.evidence)} keyframes recorded, {len(again.evidence)} now, or others"
    then, now = (getattr(one, name) for one in (recorded, again))
    if isinstance(then, Verdict):
        then, now = then.value, now.value
    return f"{name}: {then} recorded, {now} now"
