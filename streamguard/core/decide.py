"""The decision: evidence over time, added up in nats, never one frame.

Two keyframes agree when they name the same footage, seen the same way, and places in it that the time between them can
explain: footage may be played faster or slower, paused or backwards, but cannot leap. A kill needs agreement
that moves: looks that tell *when* in the footage we are, at two distinct places (or a known image, held). Agreement
without that (the same camera at another time, a held title card) earns a review.

Local features find a scene again from elsewhere too: where a camera comes back to what it has filmed, in a shot that
goes on. There the footage seems to leap, to stand or to run backwards, and to shift in the picture. So of features a
kill takes one of the stories below (`_STORIES`): footage that goes on at a likely speed and stays where it is in the
picture is believed soonest, what moves about or runs backwards one keyframe later.

`step` is pure: the same observations give the same decisions, however they are batched, so every one can be replayed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamguard.core.policy import BUILT_IN_POLICY, LabelPolicy, Policy
from streamguard.types import (
    AssetId,
    Decision,
    Evidence,
    MediaKind,
    MediaTime,
    Observation,
    Outline,
    Place,
    Region,
    Verdict,
    View,
)

_PER_SECOND_US = 1_000_000

_MOST_A_TRACK = 8
"""Of one keyframe's evidence for one asset in one view, so much of what tells when is looked at, and of what does not:
the strongest. Together, a background that eight frames show would crowd out the moment.
"""

Track = tuple[AssetId, View]
"""Only evidence for the same footage, seen the same way, can agree."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """When evidence is enough. Nats halve every `half_life_s`; what is older than `window_s` is forgotten, and what
    came before the last `most_keyframes` with evidence: that bounds the work where every picture is a keyframe.
    Of keyframes nearer than `apart_s` one counts: pictures so close in time are one picture, and agree with themselves.
    """

    name: str = "built-in-2"
    review_nats: float = 9.0
    kill_nats: float = 12.0
    min_keyframes: int = 2
    apart_s: float = 0.8
    half_life_s: float = 30.0
    window_s: float = 60.0
    most_keyframes: int = 32
    max_speed: float = 2.2
    place_slack_s: float = 0.5
    moving_speed: float = 0.25
    """PDQ hashes alone: a hash is far from most other moments, so that any speed from this one on will do."""
    least_speed: float = 0.4
    speed_slack_s: float = 0.3
    """Local features: reference time passes at `least_speed` to `max_speed`, give or take so much."""
    near_s: float = 12.0
    """Two keyframes farther apart than this need a third: in half a minute footage may be nearly anywhere."""
    steady_share: float = 0.04
    """Footage stays where it is if none of its corners moves by more of the picture's width or height."""
    repeat_after_s: float = 300.0
    most_of_a_verdict: int = 16


BUILT_IN_RULE = DecisionRule()


@dataclass(frozen=True, slots=True)
class Sighting:
    """One keyframe's evidence on one track, the strongest first, and the stretch of footage with all its places."""

    evidence: tuple[Evidence, ...]
    reach: Place


@dataclass(frozen=True, slots=True)
class Seen:
    """The evidence of one keyframe by track."""

    at: MediaTime
    tracks: Mapping[Track, Sighting]


@dataclass(frozen=True, slots=True)
class DecisionState:
    """What one session has shown: recent keyframes with evidence, oldest first, and each asset's standing verdict."""

    recent: tuple[Seen, ...] = ()
    newest: MediaTime | None = None
    decided: Mapping[AssetId, tuple[Verdict, MediaTime]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Past:
    """An earlier keyframe from now: what is left of its nats, and how far the footage can and must have gone since."""

    seen: Seen
    fading: float
    most_us: float
    least_us: float
    forward_us: tuple[float, float]
    is_near: bool


@dataclass(frozen=True, slots=True)
class _Story:
    """How known footage may be shown, and how many keyframes more than the rule's least must tell it so."""

    forward: bool
    steady: bool
    more_keyframes: int


_STORIES = (
    _Story(forward=True, steady=True, more_keyframes=0),
    _Story(forward=True, steady=False, more_keyframes=1),
    _Story(forward=False, steady=True, more_keyframes=1),
)


_Trace = Sequence[tuple[_Past, Sighting]]
"""What earlier keyframes say of one track, the newest first."""


@dataclass(frozen=True, slots=True)
class _Support:
    """A piece of evidence with the earlier keyframes that agree with it, and what they are worth together now."""

    nats: float
    chain: tuple[tuple[MediaTime, Evidence], ...]


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
    return DecisionState(tuple(map(_seen, observations)), newest, decided)


def strengths(state: DecisionState, observation: Observation, rule: DecisionRule) -> tuple[Strength, ...]:
    """How near to a verdict the observation brings each asset that it has evidence for; `state` is the one before it.
    A rule like this one would have killed for an asset by now, had it asked for `kill_nats` or less.
    """
    seen = _seen(observation)
    pasts = _pasts(_recent(_of_session(state, observation.at), observation.at, rule), seen, rule)
    found = []
    for asset, tracks in sorted(_by_asset(seen).items()):
        traced = _traced(tracks, seen=seen, pasts=pasts)
        best = {
            story: _strongest(traced, now=seen.at, rule=rule, enough=0.0, story=story) for story in (None, *_STORIES)
        }
        nats = {story: 0.0 if support is None else support.nats for story, support in best.items()}
        alone = (item.nats for sighting, _ in traced for item in sighting.evidence if item.tells_when)
        kill_nats = max(nats[story] for story in _STORIES)
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
    decided = {asset: done for asset, done in state.decided.items() if _seconds(done[1], now) < rule.repeat_after_s}
    seen = _seen(observation)
    pasts = _pasts(recent, seen, rule)
    decisions = []
    for asset, tracks in sorted(_by_asset(seen).items()):
        standing, _ = decided.get(asset, (Verdict.CLEAR, now))
        allowed = policy.of(seen.tracks[tracks[0]].evidence[0].label)
        traced = _traced(tracks, seen=seen, pasts=pasts)
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
    return tuple(past for past in state.recent if _seconds(past.at, now) <= rule.window_s)[-rule.most_keyframes :]


def _pasts(recent: Sequence[Seen], seen: Seen, rule: DecisionRule) -> list[_Past]:
    return [_past(past, now=seen.at, rule=rule) for past in reversed(recent)] if seen.tracks else []


def for_label(rule: DecisionRule, allowed: LabelPolicy) -> DecisionRule:
    """The rule with the nats that this label takes."""
    if allowed.kill_nats is None and allowed.review_nats is None:
        return rule
    kill_nats = rule.kill_nats if allowed.kill_nats is None else allowed.kill_nats
    review_nats = min(kill_nats, rule.review_nats) if allowed.review_nats is None else allowed.review_nats
    return replace(rule, kill_nats=kill_nats, review_nats=review_nats)


def _count(decided: Mapping[AssetId, tuple[Verdict, MediaTime]], verdict: Verdict) -> int:
    return sum(standing is verdict for standing, _ in decided.values())


def _seen(observation: Observation) -> Seen:
    """Sorted, so that the decision does not hang on the order in which the library was searched."""
    tracks: dict[Track, list[Evidence]] = {}
    for item in observation.evidence:
        tracks.setdefault((item.asset, item.view), []).append(item)
    return Seen(observation.at, {track: _sighting(items) for track, items in tracks.items()})


def _sighting(items: list[Evidence]) -> Sighting:
    ordered = sorted(items, key=_order)
    telling = [item for item in ordered if item.tells_when][:_MOST_A_TRACK]
    blind = [item for item in ordered if not item.tells_when][:_MOST_A_TRACK]
    strongest = tuple(sorted([*telling, *blind], key=_order))
    reach = Place(min(item.place.from_us for item in strongest), max(item.place.to_us for item in strongest))
    return Sighting(strongest, reach)


def _by_asset(seen: Seen) -> dict[AssetId, list[Track]]:
    assets: dict[AssetId, list[Track]] = {}
    for track in sorted(seen.tracks):
        assets.setdefault(track[0], []).append(track)
    return assets


def _past(seen: Seen, *, now: MediaTime, rule: DecisionRule) -> _Past:
    elapsed_s = _seconds(seen.at, now)
    return _Past(
        seen=seen,
        fading=0.5 ** (elapsed_s / rule.half_life_s),
        most_us=(rule.max_speed * elapsed_s + rule.place_slack_s) * _PER_SECOND_US,
        least_us=rule.moving_speed * elapsed_s * _PER_SECOND_US,
        forward_us=(
            (rule.least_speed * elapsed_s - rule.speed_slack_s) * _PER_SECOND_US,
            (rule.max_speed * elapsed_s + rule.speed_slack_s) * _PER_SECOND_US,
        ),
        is_near=elapsed_s <= rule.near_s,
    )


def _traced(tracks: Sequence[Track], *, seen: Seen, pasts: Sequence[_Past]) -> Sequence[tuple[Sighting, _Trace]]:
    return [
        (seen.tracks[track], [(past, past.seen.tracks[track]) for past in pasts if track in past.seen.tracks])
        for track in tracks
    ]


def _decide(
    traced: Sequence[tuple[Sighting, _Trace]],
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
    for story in _STORIES:
        killing = _strongest(traced, now=now, rule=rule, enough=rule.kill_nats, story=story)
        if killing is not None:
            return _decision(allowed.verdict, killing, now=now, rule=rule)
    for verdict, enough in {allowed.blind_verdict: rule.kill_nats, Verdict.REVIEW: rule.review_nats}.items():
        if verdict.severity > standing.severity:
            any_kind = _strongest(traced, now=now, rule=rule, enough=enough, story=None)
            if any_kind is not None:
                return _decision(verdict, any_kind, now=now, rule=rule)
    return None


def _strongest(
    traced: Sequence[tuple[Sighting, _Trace]],
    *,
    now: MediaTime,
    rule: DecisionRule,
    enough: float,
    story: _Story | None,
) -> _Support | None:
    """The evidence with the most support, if that is keyframes and nats enough. Ties go to the first in order.

    Without a `story` any agreement will do.
    """
    best = None
    keyframes = rule.min_keyframes + (0 if story is None else story.more_keyframes)
    for sighting, trace in traced:
        # No item can be worth more than if the strongest of every keyframe agreed: most searches end here.
        most = sum((earlier.evidence[0].nats * past.fading for past, earlier in trace), sighting.evidence[0].nats)
        if len(trace) + 1 < keyframes or most < enough:
            continue
        for item in sighting.evidence:
            if item.tells_when or story is None:
                support = _support(item, trace, now=now, rule=rule, story=story)
                if len(support.chain) >= keyframes and support.nats >= enough:
                    best = support if best is None or support.nats > best.nats else best
    return best


def _support(item: Evidence, trace: _Trace, *, now: MediaTime, rule: DecisionRule, story: _Story | None) -> _Support:
    """The item with, from each earlier keyframe that is not too near to one counted, the most that agrees with it."""
    nats = item.nats
    chain = [(now, item)]
    for past, earlier in trace:
        too_near = _seconds(past.seen.at, chain[-1][0]) < rule.apart_s
        if too_near or not _reachable(earlier.reach, item.place, past):
            continue
        for other in earlier.evidence:
            if _reachable(other.place, item.place, past) and (
                story is None or (other.tells_when and _fits(other, item, past, rule=rule, story=story))
            ):
                nats += other.nats * past.fading
                chain.append((past.seen.at, other))
                break
    return _Support(nats, tuple(reversed(chain)))


def _reachable(one: Place, other: Place, past: _Past) -> bool:
    return one.from_us - other.to_us <= past.most_us and other.from_us - one.to_us <= past.most_us


def _fits(earlier: Evidence, later: Evidence, past: _Past, *, rule: DecisionRule, story: _Story) -> bool:
    """The footage went on between the two as the story has it; a known image needs only be held."""
    if later.kind is MediaKind.IMAGE:
        return True
    if earlier.place == later.place:
        return False
    gone_us = later.place.middle_us - earlier.place.middle_us
    if earlier.features is None and later.features is None:
        return (gone_us if story.forward else -gone_us) >= past.least_us
    if not (past.is_near or story.more_keyframes):
        return False
    least_us, most_us = past.forward_us
    goes_on = least_us <= (gone_us if story.forward else -gone_us) <= most_us
    return goes_on and (not story.steady or _shift(earlier.region, later.region) <= rule.steady_share)


def _shift(one: Outline, other: Outline) -> float:
    """How far the corner that moved the most has moved, as a share of the picture's width or height."""
    near, far = one.corners(), other.corners()
    if isinstance(one, Region) or isinstance(other, Region):
        # A rectangle's corners begin at the picture's top left, a mirrored outline's at its own.
        near, far = _ends(near), _ends(far)
    pairs = zip(near, far, strict=True)
    return max(abs(here - there) for mine, theirs in pairs for here, there in zip(mine, theirs, strict=True))


def _ends(corners: list[list[float]]) -> list[list[float]]:
    """The top left and the bottom right of what they take up."""
    sides = list(zip(*corners, strict=True))
    return [[min(side) for side in sides], [max(side) for side in sides]]


def _decision(verdict: Verdict, support: _Support, *, now: MediaTime, rule: DecisionRule) -> Decision:
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


def _order(evidence: Evidence) -> tuple[float, bool, int, int, int, int, list[list[float]]]:
    """Most nats first; ties in an order that no search order can change."""
    place = evidence.place
    return (
        -evidence.nats,
        not evidence.tells_when,
        # Nats have a ceiling, which all frames of one shot may reach: the one with the most features is the moment.
        -(evidence.features or 0),
        place.from_us,
        place.to_us,
        -1 if evidence.distance_bits is None else evidence.distance_bits,
        evidence.region.corners(),
    )


def _seconds(earlier: MediaTime, later: MediaTime) -> float:
    return (later.pts_us - earlier.pts_us) / _PER_SECOND_US
