"""The decision: evidence over time, added up in nats, never one frame.

Two keyframes agree when they name the same footage, seen the same way, and places in it that the time between them can
explain: footage may be played faster or slower, paused or backwards, but cannot leap. A kill needs agreement
that moves: looks that tell *when* in the footage we are, at two distinct places (or a known image, held). Agreement
without that (the same camera at another time, a held title card) earns a review.

`step` is pure: the same observations give the same decisions, however they are batched, so every one can be replayed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from streamguard.types import AssetId, Decision, Evidence, MediaKind, MediaTime, Observation, Verdict

_PER_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """When evidence is enough. Nats halve every `half_life_s`; what is older than `window_s` is forgotten."""

    name: str = "built-in-1"
    review_nats: float = 9.0
    kill_nats: float = 13.0
    min_keyframes: int = 2
    half_life_s: float = 10.0
    window_s: float = 30.0
    max_speed: float = 2.2
    place_slack_s: float = 0.5
    moving_speed: float = 0.25
    repeat_after_s: float = 300.0


BUILT_IN_RULE = DecisionRule()


@dataclass(frozen=True, slots=True)
class DecisionState:
    """What one session has shown: recent observations with evidence, oldest first, and what was already decided."""

    recent: tuple[Observation, ...] = ()
    newest: MediaTime | None = None
    decided: tuple[tuple[AssetId, Verdict, MediaTime], ...] = ()


@dataclass(frozen=True, slots=True)
class _Support:
    """A piece of evidence with the earlier keyframes that agree with it, and what they are worth together now."""

    nats: float
    chain: tuple[tuple[MediaTime, Evidence], ...]

    @property
    def keyframes(self) -> int:
        return len(self.chain)


_NO_SUPPORT = _Support(0.0, ())


def step(
    state: DecisionState, observations: Iterable[Observation], rule: DecisionRule
) -> tuple[DecisionState, tuple[Decision, ...]]:
    """The state after these observations (in order of time) and the decisions that fell on the way.

    An asset's verdict is decided once, and again after `repeat_after_s` while evidence lasts. A new session begins
    afresh. Raises ValueError where time goes back within a session: the caller's clock is broken.
    """
    decisions: list[Decision] = []
    for observation in observations:
        state, fallen = _observe(state, observation, rule)
        decisions.extend(fallen)
    return state, tuple(decisions)


def _observe(
    state: DecisionState, observation: Observation, rule: DecisionRule
) -> tuple[DecisionState, list[Decision]]:
    now = observation.at
    if state.newest is not None and state.newest.session != now.session:
        state = DecisionState()
    if state.newest is not None and now < state.newest:
        raise ValueError(f"observation at {now} comes after one at {state.newest}")
    recent = tuple(past for past in state.recent if _seconds(past.at, now) <= rule.window_s)
    decided = tuple(done for done in state.decided if _seconds(done[2], now) < rule.repeat_after_s)
    decisions = []
    for asset in sorted({evidence.asset for evidence in observation.evidence}):
        # A sorted order makes the decision independent of the order in which the library was searched.
        mine = sorted((evidence for evidence in observation.evidence if evidence.asset == asset), key=_order)
        decision = _decide(mine, recent, now=now, rule=rule)
        if decision is not None and not _already(decision, decided):
            decisions.append(decision)
            decided = (*decided, (asset, decision.verdict, now))
    if observation.evidence:
        recent = (*recent, observation)
    return DecisionState(recent, now, decided), decisions


def _decide(
    evidence: list[Evidence], recent: tuple[Observation, ...], *, now: MediaTime, rule: DecisionRule
) -> Decision | None:
    """The verdict on one asset: a kill where telling, moving agreement is enough, else a review where any is."""
    telling = max((_support(item, recent, now=now, rule=rule, telling_only=True) for item in evidence), key=_worth)
    if telling.keyframes >= rule.min_keyframes and telling.nats >= rule.kill_nats:
        return _decision(Verdict.KILL, telling, now=now, rule=rule)
    anyhow = max((_support(item, recent, now=now, rule=rule, telling_only=False) for item in evidence), key=_worth)
    if anyhow.keyframes >= rule.min_keyframes and anyhow.nats >= rule.review_nats:
        return _decision(Verdict.REVIEW, anyhow, now=now, rule=rule)
    return None


def _support(
    item: Evidence, recent: tuple[Observation, ...], *, now: MediaTime, rule: DecisionRule, telling_only: bool
) -> _Support:
    """The item with, from each earlier keyframe, the most that agrees with it."""
    if telling_only and not item.tells_when:
        return _NO_SUPPORT
    nats = item.nats
    chain = [(now, item)]
    for past in reversed(recent):
        elapsed_s = _seconds(past.at, now)
        agreeing = [
            other
            for other in past.evidence
            if _agree(other, item, elapsed_s=elapsed_s, rule=rule)
            and (not telling_only or (other.tells_when and _moved(other, item, elapsed_s=elapsed_s, rule=rule)))
        ]
        if agreeing:
            best = min(agreeing, key=_order)
            nats += best.nats * 0.5 ** (elapsed_s / rule.half_life_s)
            chain.append((past.at, best))
    return _Support(nats, tuple(reversed(chain)))


def _agree(earlier: Evidence, later: Evidence, *, elapsed_s: float, rule: DecisionRule) -> bool:
    """Both name the same footage, seen the same way, at places that the time between them can explain."""
    if (earlier.asset, earlier.view) != (later.asset, later.view):
        return False
    return _gap_s(earlier, later) <= rule.max_speed * elapsed_s + rule.place_slack_s


def _moved(earlier: Evidence, later: Evidence, *, elapsed_s: float, rule: DecisionRule) -> bool:
    """The footage went on (or back) between the two; a known image needs only be held."""
    if later.kind is MediaKind.IMAGE:
        return True
    middle_s = abs(later.place.middle_us - earlier.place.middle_us) / _PER_SECOND_US
    return middle_s >= rule.moving_speed * elapsed_s and earlier.place != later.place


def _gap_s(one: Evidence, other: Evidence) -> float:
    """How far apart two places are at the least, in seconds of reference time."""
    return max(0, one.place.from_us - other.place.to_us, other.place.from_us - one.place.to_us) / _PER_SECOND_US


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


def _already(decision: Decision, decided: tuple[tuple[AssetId, Verdict, MediaTime], ...]) -> bool:
    return any(
        asset == decision.asset and verdict.severity >= decision.verdict.severity for asset, verdict, _ in decided
    )


def _worth(support: _Support) -> tuple[float, int]:
    return support.nats, support.keyframes


def _order(evidence: Evidence) -> tuple[float, int, int, int, int, float, float]:
    """Most nats first; ties in an order that no search order can change."""
    region = evidence.region
    return (
        -evidence.nats,
        not evidence.tells_when,
        evidence.place.from_us,
        evidence.place.to_us,
        evidence.view,
        region.left,
        region.top,
    )


def _seconds(earlier: MediaTime, later: MediaTime) -> float:
    return (later.pts_us - earlier.pts_us) / _PER_SECOND_US
