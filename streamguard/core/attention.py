"""Who is looked at how closely: every keyframe where something is suspect, new or reported; else as seldom as the time
to kill allows; and under overload the quietest streams more seldom than that, so that the others keep their pace.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from streamguard.core.decision_rule import DecisionRule
from streamguard.core.glances import HIDING_S, QUIET_SHARE
from streamguard.core.sampling import Attention, Pace
from streamguard.types import StreamId

MOST_QUIET_S = 8.0
"""What stands still in a stream is found by what it showed up to so long ago (core.stillness)."""

TELLING_S = 0.5
"""From a keyframe's arrival to a decoder that knows what was found in it, at most."""

_BUSY_SHARE, _IDLE_SHARE = 0.9, 0.65
_LATE_S, _IN_TIME_S = 0.5, 0.2
_MORE_AFTER_S, _LESS_AFTER_S = 5.0, 15.0
_STEP = 0.25


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """How attention is spent. `time_to_kill_s`: within which quiet streams must be killed; 0: look at every keyframe.

    A session is new for `young_s`, a stream suspect for `suspect_s` after the last evidence of any kind, and for
    `alike_s` after something in it hung together as it does in known footage, too little to be evidence: poor copies
    begin so. Under overload two looks are `longest_pause_s` apart at most. `closely`: while there is an incident, every
    keyframe of every stream is looked at, as far as there is time for all. Pictures between keyframes may take
    `between_share` of a core in a suspect stream, and in all of those together `between_share_of_all`; 0: none is
    looked at in any.
    """

    time_to_kill_s: float = 10.0
    young_s: float = 60.0
    suspect_s: float = 60.0
    alike_s: float = 10.0
    longest_pause_s: float = 30.0
    closely: bool = False
    between_share: float = 0.01
    between_share_of_all: float = 0.2

    @property
    def spares(self) -> bool:
        """Whether any keyframe may be passed over."""
        return self.time_to_kill_s > 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one stream: how long this session has been seen, how long ago evidence was, and how long ago it
    looked like something, infinite for never; and whether every keyframe of it is to be looked at, whatever it shows.
    `without_hiding_s`: how long ago its decoder said that something may hide between its keyframes.
    """

    seen_for_s: float
    without_evidence_s: float
    reported: bool
    without_likeness_s: float = math.inf
    without_hiding_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Load:
    """The worker's last seconds: the share of them that its loop worked, and how long after its arrival the last
    keyframe of the stream in the middle was decided on.
    """

    busy_share: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Shedding:
    """What share of the streams that may be shed is, and since when."""

    share: float = 0.0
    since_s: float = -math.inf


def shedding_after(shedding: Shedding, load: Load, *, now_s: float) -> Shedding:
    """A step more where the load is too high, a step less where it has been low for longer; between the two nothing
    changes, and neither does it before the last step shows.
    """
    since_s = now_s - shedding.since_s
    if (load.busy_share >= _BUSY_SHARE or load.lag_s >= _LATE_S) and since_s >= _MORE_AFTER_S:
        share = min(1.0, shedding.share + _STEP)
    elif load.busy_share <= _IDLE_SHARE and load.lag_s <= _IN_TIME_S and since_s >= _LESS_AFTER_S:
        share = max(0.0, shedding.share - _STEP)
    else:
        return shedding
    return shedding if share == shedding.share else Shedding(share, now_s)


def attention_of(standing: Standing, rule: AttentionRule) -> Attention:
    """What one stream is worth where there is time for all."""
    is_close = rule.closely or standing.reported or is_suspect(standing, rule) or standing.seen_for_s < rule.young_s
    return Attention.EVERY if is_close or not rule.spares else Attention.QUIET


def is_suspect(standing: Standing, rule: AttentionRule) -> bool:
    """Whether what it has shown lately calls for every keyframe."""
    return standing.without_evidence_s < rule.suspect_s or standing.without_likeness_s < rule.alike_s


def attentions(
    standings: Mapping[StreamId, Standing], rule: AttentionRule, *, shed_share: float
) -> dict[StreamId, Attention]:
    """What each is worth. Of those that are neither suspect nor reported the quietest are shed first, for so much of
    them: what is quiet is then seldom looked at, and what is new, and comes last, as what is quiet. In an incident all
    are looked at as what is quiet before any is looked at more seldom than that.
    """
    worth = {stream: attention_of(standing, rule) for stream, standing in standings.items()}
    if not rule.spares or shed_share <= 0:
        return worth
    candidates = [
        (min(standing.seen_for_s, standing.without_evidence_s), stream)
        for stream, standing in standings.items()
        if not standing.reported and not is_suspect(standing, rule)
    ]
    quietest = [stream for _, stream in sorted(candidates, reverse=True)]
    shares = (2 * shed_share, 2 * shed_share - 1) if rule.closely else (shed_share,)
    for share in shares:
        for stream in quietest[: math.ceil(max(0.0, share) * len(quietest))]:
            worth[stream] = Attention.SHED if worth[stream] is Attention.QUIET else Attention.QUIET
    return worth


def may_hide(standing: Standing, rule: AttentionRule) -> bool:
    """Whether pictures between its keyframes are worth more than those of others: what only looks like something does
    now and then in any stream, and is no reason.
    """
    return standing.without_evidence_s < rule.suspect_s or standing.without_hiding_s < HIDING_S


def between_share(attention: Attention, rule: AttentionRule, *, is_odd: bool, odd: int) -> float:
    """What share of a core a stream may take for pictures between its keyframes, where `odd` of them may hide
    something, this one or not. It goes by doublings of their number, so that decoders are not told anew all the time.
    """
    if rule.between_share <= 0 or attention is Attention.SHED:
        return 0.0
    if not is_odd:
        return QUIET_SHARE
    doubled = 1 << max(0, odd - 1).bit_length()
    return max(QUIET_SHARE, min(rule.between_share, rule.between_share_of_all / doubled))


def pace_of(
    attention: Attention, rule: AttentionRule, *, kill: DecisionRule, between_share: float = QUIET_SHARE
) -> Pace:
    """What the decoder is told; `kill` says how many looks a decision takes, and how far apart."""
    if attention is Attention.EVERY:
        return Pace(between_share=between_share)
    is_shed = attention is Attention.SHED
    return Pace(
        attention,
        most_s=rule.longest_pause_s if is_shed else min(MOST_QUIET_S, rule.longest_pause_s),
        kill_s=math.inf if is_shed else rule.time_to_kill_s - TELLING_S,
        further=kill.min_keyframes - 1,
        apart_s=kill.apart_s,
        between_share=between_share,
    )
