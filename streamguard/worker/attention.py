"""Spends the worker's attention: tells each decoder how closely to look, and looks at the worker's own load.

A decoder whose stream shows anything known, be it too little to be evidence, is told at once to look at every keyframe;
everything else waits for the tick.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import structlog

from streamguard.core.attention import (
    AttentionRule,
    Load,
    Shedding,
    Standing,
    attention_of,
    attentions,
    between_share,
    may_hide,
    pace_of,
    shedding_after,
)
from streamguard.core.decision_rule import DecisionRule
from streamguard.core.sampling import Attention
from streamguard.types import SessionId, StreamId
from streamguard.worker.matcher import Matched
from streamguard.worker.streams import Stream, StreamState, StreamStatus
from streamguard.worker.watcher import Watcher

_LAGS_OF_S = 5.0
_CONNECTED = (StreamState.WATCHING, StreamState.STALLED, StreamState.BLIND)

log = structlog.get_logger()


@dataclass(slots=True)
class _Watched:
    """What a session has shown so far, on the supervisor's clock."""

    stream: Stream
    session_id: SessionId | None
    seen_from_s: float
    reported: bool
    lag_s: float = 0.0
    """Of its last keyframe, which came at `keyframe_at_s`."""
    keyframe_at_s: float = -math.inf
    evidence_at_s: float = -math.inf
    alike_at_s: float = -math.inf

    def standing(self, now_s: float) -> Standing:
        return Standing(
            now_s - self.seen_from_s,
            now_s - self.evidence_at_s,
            self.reported,
            without_likeness_s=now_s - self.alike_at_s,
            without_hiding_s=now_s - self.stream.hid_at_s,
        )


class AttentionKeeper:
    """The supervisor's watcher that steers its decoders. `always` are patterns of stream names, as a shell has them.

    `kill` is the rule in force, `busy_share` what the supervisor says of its last second, `in_incident` whether every
    keyframe of all is asked for.
    """

    def __init__(
        self,
        rule: AttentionRule,
        *,
        always: tuple[str, ...],
        kill: Callable[[], DecisionRule],
        busy_share: Callable[[], float],
        in_incident: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._usual_rule, self._rule_in_incident = rule, replace(rule, closely=True)
        self._in_incident = in_incident
        self._always = always
        self._kill = kill
        self._busy_share = busy_share
        self._clock = clock
        self._watched: dict[StreamId, _Watched] = {}
        self._shedding = Shedding()
        self._odd = 1
        """How many streams may hide something between their keyframes, as of the last tick."""

    @property
    def _rule(self) -> AttentionRule:
        return self._rule_in_incident if self._in_incident() else self._usual_rule

    @property
    def watcher(self) -> Watcher:
        return Watcher(keyframe=self._keyframe, finished=self._finished, left=self._finished, tick=self._tick)

    def change(self, rule: AttentionRule, *, always: tuple[str, ...]) -> None:
        """From the next tick on, for the sessions that run, too. In the supervisor's loop."""
        self._usual_rule, self._rule_in_incident = rule, replace(rule, closely=True)
        self._always = always
        for watched in self._watched.values():
            watched.reported = self._is_reported(watched.stream)
        if not rule.spares:
            self._shedding = Shedding()

    def _keyframe(self, stream: Stream, matched: Matched) -> None:
        now_s = self._clock()
        watched = self._watched.get(stream.spec.key)
        if watched is None or watched.session_id != stream.session_id:
            watched = _Watched(stream, stream.session_id, now_s, self._is_reported(stream))
            self._watched[stream.spec.key] = watched
        watched.lag_s, watched.keyframe_at_s = stream.lag_s or 0.0, now_s
        if matched.alike:
            watched.alike_at_s = now_s
        if matched.observation.evidence:
            watched.evidence_at_s = now_s
        shows_something = matched.alike or bool(matched.observation.evidence)
        if shows_something and attention_of(watched.standing(now_s), self._rule) is Attention.EVERY:
            self._steer(stream, Attention.EVERY, is_odd=may_hide(watched.standing(now_s), self._rule))

    def _is_reported(self, stream: Stream) -> bool:
        return stream.spec.once or any(fnmatchcase(stream.spec.stream, pattern) for pattern in self._always)

    def _finished(self, stream: Stream) -> None:
        self._watched.pop(stream.spec.key, None)

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        now_s = self._clock()
        if self._rule.spares:
            self._weigh_load(now_s)
        running = {
            name: watched
            for name, watched in self._watched.items()
            if watched.stream.decoder is not None and watched.session_id == watched.stream.session_id
        }
        standings = {name: watched.standing(now_s) for name, watched in running.items()}
        odd = {name for name, standing in standings.items() if may_hide(standing, self._rule)}
        self._odd = len(odd)
        for name, attention in attentions(standings, self._rule, shed_share=self._shedding.share).items():
            self._steer(running[name].stream, attention, is_odd=name in odd)

    def _weigh_load(self, now_s: float) -> None:
        # The middle one, and of each stream one, however many keyframes it has: a stream with huge pictures, or a
        # decoder that lies about its clock, is no overload.
        lags_s = [one.lag_s for one in self._watched.values() if now_s - one.keyframe_at_s <= _LAGS_OF_S]
        lag_s = statistics.median_low(lags_s) if lags_s else 0.0
        load = Load(self._busy_share(), lag_s)
        shedding = shedding_after(self._shedding, load, now_s=now_s)
        if shedding != self._shedding:
            tell = log.warning if shedding.share > self._shedding.share else log.info
            shares = {"busy_share": round(load.busy_share, 2), "lag_s": round(load.lag_s, 3)}
            tell("attention", shed_share=shedding.share, **shares, note="see Attention in docs/streams.md")
            self._shedding = shedding

    def _steer(self, stream: Stream, attention: Attention, *, is_odd: bool) -> None:
        """A decoder that does not listen is told again at the next tick; nobody waits for it."""
        share = between_share(attention, self._rule, is_odd=is_odd, odd=self._odd)
        pace = pace_of(attention, self._rule, kill=self._kill(), between_share=share)
        if pace != stream.pace and stream.decoder is not None and stream.decoder.steer(pace):
            stream.pace = pace


def coverage(statuses: Iterable[StreamStatus], *, within_s: float) -> float:
    """The share of the connected streams that are watched, and were looked at within so many seconds; NaN where none is
    connected.
    """
    connected = [status for status in statuses if status.state in _CONNECTED]
    return sum(_is_covered(status, within_s) for status in connected) / len(connected) if connected else math.nan


def _is_covered(status: StreamStatus, within_s: float) -> bool:
    since_s = status.since_last_keyframe_s
    return status.state is StreamState.WATCHING and since_s is not None and since_s <= within_s


def longest_since_look_s(statuses: Iterable[StreamStatus]) -> float:
    """Of the streams that are watched: those that are not say so themselves. 0 where none is."""
    watched = (status for status in statuses if status.state is StreamState.WATCHING)
    return max((status.since_last_keyframe_s or 0.0 for status in watched), default=0.0)
