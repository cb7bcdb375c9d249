"""The decision: evidence over time, added up in nats, never one frame.

Two keyframes agree when they name the same footage, seen the same way, and places in it that the time between them can
explain: footage may be played faster or slower, paused or backwards, but cannot leap. A kill needs agreement
that moves: looks that tell *when* in the footage we are, at two distinct places (or a known image, held). Agreement
without that (the same camera at another time, a held title card) earns a review.

`step` is pure: the same observations give the same decisions, however they are batched, so every one can be replayed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamguard.core.agreement import (
    STORIES,
    Seen,
    Sighting,
    Support,
    Trace,
    Track,
    pasts_of,
    seconds,
    seen_in,
    strongest,
    traced_back,
)
from streamguard.core.decision_rule import DecisionRule, for_label
from streamguard.core.policy import BUILT_IN_POLICY, LabelPolicy, Policy
from streamguard.types import AssetId, Decision, MediaTime, Observation, Verdict


@dataclass(frozen=True, slots=True)
class DecisionState:
    """What one session has shown: recent keyframes with evidence, oldest first, and each asset's standing verdict."""

    recent: tuple[Seen, ...] = ()
    newest: MediaTime | None = None
    decided: Mapping[AssetId, tuple[Verdict, MediaTime]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strength:
    """The most that a keyframe, with those before it, says for an asset, whatever the rule asks for: nats of evidence
    that would kill, and of any that agrees; 0: no keyframes enough agree. `keyframe_nats`: of what tells when in this
    keyframe alone, which is never enough.
    """

    asset: AssetId
    kill_nats: float
    review_nats: float
    keyframe_nats: float


def step(
    state: DecisionState,
    observations: Iterable[Observation],
    rule: DecisionRule,
    *,
    policy: Policy = BUILT_IN_POLICY,
) -> tuple[DecisionState, tuple[Decision, ...]]:
    """The state after these observations (in order of time) and the decisions that fell on the way.

    An asset's verdict is decided once, and again after `repeat_after_s` while evidence lasts; of a library full of
    near copies at most `most_of_a_verdict` speak, as one is enough to act on. A new session begins afresh.
    Raises ValueError where time does not go on within a session: the caller's clock is broken.
    """
    decisions: list[Decision] = []
    for observation in observations:
        state, fallen = _observe(state, observation, rule, policy=policy)
        decisions.extend(fallen)
    return state, tuple(decisions)


def recalled(
    observations: Sequence[Observation], decided: Mapping[AssetId, tuple[Verdict, MediaTime]]
) -> DecisionState:
    """The state of a session that has shown these, oldest first, and on which that was decided: see core.replay."""
    newest = observations[-1].at if observations else None
    return DecisionState(tuple(map(seen_in, observations)), newest, decided)


def with_verdicts(state: DecisionState, decisions: Iterable[Decision]) -> DecisionState:
    """The state, and what fell since by a part of what the next keyframe shows: for who decides on all that it shows,
    and must not decide the same again.
    """
    for decision in decisions:
        state = _of_session(state, decision.at)
        state = replace(state, decided={**state.decided, decision.asset: (decision.verdict, decision.at)})
    return state


def suspicion_nats(state: DecisionState) -> float:
    """What a session's recent keyframes say, the strongest evidence of each, for any footage that it was not killed for
    yet: an order in which to look at sessions, and no verdict; 0: nothing.
    """
    killed = {asset for asset, (verdict, _) in state.decided.items() if verdict is Verdict.KILL}
    return sum(
        max(
            (sighting.evidence[0].nats for (asset, _), sighting in seen.tracks.items() if asset not in killed),
            default=0.0,
        )
        for seen in state.recent
    )


def strengths(state: DecisionState, observation: Observation, rule: DecisionRule) -> tuple[Strength, ...]:
    """How near to a verdict the observation brings each asset that it has evidence for; `state` is the one before it.
    A rule like this one would have killed for an asset by now, had it asked for `kill_nats` or less.
    """
    seen = seen_in(observation)
    pasts = pasts_of(_recent(_of_session(state, observation.at), observation.at, rule), seen, rule)
    found = []
    for asset, tracks in sorted(_by_asset(seen).items()):
        traced = traced_back(tracks, seen=seen, pasts=pasts)
        best = {story: strongest(traced, now=seen.at, rule=rule, enough=0.0, story=story) for story in (None, *STORIES)}
        nats = {story: 0.0 if support is None else support.nats for story, support in best.items()}
        alone = (item.nats for sighting, _ in traced for item in sighting.evidence if item.tells_when)
        kill_nats = max(nats[story] for story in STORIES)
        found.append(Strength(asset, kill_nats, nats[None], max(alone, default=0.0)))
    return tuple(found)


def _observe(
    state: DecisionState, observation: Observation, rule: DecisionRule, *, policy: Policy
) -> tuple[DecisionState, list[Decision]]:
    now = observation.at
    state = _of_session(state, now)
    if state.newest is not None and now <= state.newest:
        # A keyframe told twice would agree with itself.
        raise ValueError(f"observation at {now} does not come after the one at {state.newest}")
    recent = _recent(state, now, rule)
    decided = {asset: done for asset, done in state.decided.items() if seconds(done[1], now) < rule.repeat_after_s}
    seen = seen_in(observation)
    pasts = pasts_of(recent, seen, rule)
    decisions = []
    for asset, tracks in sorted(_by_asset(seen).items()):
        standing, _ = decided.get(asset, (Verdict.CLEAR, now))
        allowed = policy.of_footage(asset, seen.tracks[tracks[0]].evidence[0].label)
        traced = traced_back(tracks, seen=seen, pasts=pasts)
        decision = _decide(traced, now=now, rule=for_label(rule, allowed), allowed=allowed, standing=standing)
        if decision is not None and _count(decided, decision.verdict) < rule.most_of_a_verdict:
            decisions.append(decision)
            decided[asset] = decision.verdict, now
    if seen.tracks:
        recent = (*recent, seen)
    return DecisionState(recent, now, decided), decisions


def _of_session(state: DecisionState, now: MediaTime) -> DecisionState:
    return state if state.newest is None or state.newest.session == now.session else DecisionState()


def _recent(state: DecisionState, now: MediaTime, rule: DecisionRule) -> tuple[Seen, ...]:
    return tuple(past for past in state.recent if seconds(past.at, now) <= rule.window_s)[-rule.most_keyframes :]


def _count(decided: Mapping[AssetId, tuple[Verdict, MediaTime]], verdict: Verdict) -> int:
    return sum(standing is verdict for standing, _ in decided.values())


def _by_asset(seen: Seen) -> dict[AssetId, list[Track]]:
    assets: dict[AssetId, list[Track]] = {}
    for track in sorted(seen.tracks):
        assets.setdefault(track[0], []).append(track)
    return assets


def _decide(
    traced: Sequence[tuple[Sighting, Trace]],
    *,
    now: MediaTime,
    rule: DecisionRule,
    allowed: LabelPolicy,
    standing: Verdict,
) -> Decision | None:
    """A verdict above the standing one: the strongest that is allowed where telling, moving agreement is enough for a
    kill; else what is allowed for any agreement that is; else a review.
    """
    if standing.severity >= allowed.verdict.severity:
        return None
    for story in STORIES:
        killing = strongest(traced, now=now, rule=rule, enough=rule.kill_nats, story=story)
        if killing is not None:
            return _decision(allowed.verdict, killing, now=now, rule=rule)
    for verdict, enough in {allowed.blind_verdict: rule.kill_nats, Verdict.REVIEW: rule.review_nats}.items():
        if verdict.severity > standing.severity:
            any_kind = strongest(traced, now=now, rule=rule, enough=enough, story=None)
            if any_kind is not None:
                return _decision(verdict, any_kind, now=now, rule=rule)
    return None


def _decision(verdict: Verdict, support: Support, *, now: MediaTime, rule: DecisionRule) -> Decision:
    item = support.chain[-1][1]
    return Decision(
        verdict=verdict,
        asset=item.asset,
        label=item.label,
        at=now,
        reference_us=item.place.middle_us,
        region=item.region,
        view=item.view,
        nats=support.nats,
        rule=rule.name,
        first_evidence=support.chain[0][0],
        evidence=support.chain,
    )
