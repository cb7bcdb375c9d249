"""When so many kills are no longer believed: the mass-kill breaker. Pure values; a window slides over milliseconds.

Kills over all references, and the streams of one reference, are counted apart. Whoever asks with the same kill again is
answered as before and counted once. What is refused is not counted: windows hold no more than their limits.
ask_permit.lua does the same in Redis; tests/contract/test_breaker.py holds both to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Scope(Enum):
    """What is refused: every kill, or those of one reference."""

    ALL = "all"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """So many pass in so long; 0: any number."""

    kills: int = 100
    kills_within_s: float = 60.0
    streams: int = 50
    """... in which one reference kills."""
    streams_within_s: float = 600.0


def believing(limits: BreakerLimits, streams: int) -> BreakerLimits:
    """The limits for a kill of an incident in which one reference is believed in so many streams (0: nobody said so).
    Never fewer than without, and no more kills of all references together.
    """
    return limits if streams <= limits.streams or not limits.streams else replace(limits, streams=streams)


@dataclass(frozen=True, slots=True)
class CountedKill:
    """What is counted of a kill; `stream` is unique over all media servers."""

    id: str
    reference: str
    stream: str


@dataclass(frozen=True, slots=True)
class Breaker:
    """What was let pass lately, by when; what is refused, since when; and until when people vouch for what."""

    kills: Mapping[str, int] = field(default_factory=dict)
    streams: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By reference."""
    open_since_ms: int | None = None
    quarantined_ms: Mapping[str, int] = field(default_factory=dict)
    trusted_until_ms: Mapping[tuple[Scope, str], int] = field(default_factory=dict)


def refused_by(breaker: Breaker, reference: str) -> Scope | None:
    """What stands against every kill of the reference now."""
    if breaker.open_since_ms is not None:
        return Scope.ALL
    return Scope.REFERENCE if reference in breaker.quarantined_ms else None


def counted(breaker: Breaker, kill: CountedKill, limits: BreakerLimits, *, now_ms: int) -> tuple[Breaker, Scope | None]:
    """With this kill, and None: it may pass. Or as it was, but for what trips by it, and what that is."""
    breaker = _slid(breaker, limits, now_ms=now_ms)
    if kill.id in breaker.kills:
        return breaker, None
    against = refused_by(breaker, kill.reference)
    if against is not None:
        return breaker, against
    streams = breaker.streams.get(kill.reference, {})
    streams_full = _is_full(streams, kill.stream, limits.streams)
    if streams_full and not is_trusted(breaker, kill.reference, now_ms=now_ms):
        return replace(breaker, quarantined_ms={**breaker.quarantined_ms, kill.reference: now_ms}), Scope.REFERENCE
    kills_full = _is_full(breaker.kills, kill.id, limits.kills)
    if kills_full and not is_trusted(breaker, None, now_ms=now_ms):
        return replace(breaker, open_since_ms=now_ms), Scope.ALL
    if limits.streams and not streams_full:
        breaker = replace(breaker, streams={**breaker.streams, kill.reference: {**streams, kill.stream: now_ms}})
    if limits.kills and not kills_full:
        breaker = replace(breaker, kills={**breaker.kills, kill.id: now_ms})
    return breaker, None


def lifted(breaker: Breaker, reference: str | None, *, trust_until_ms: int) -> Breaker:
    """Without what stands against this reference (None: against all), counted anew from nothing, and not at all until
    then: a moment that is over ends an earlier trust.
    """
    scope = _trusted_as(reference)
    trusted = {**breaker.trusted_until_ms, scope: trust_until_ms}
    if reference is None:
        return replace(breaker, open_since_ms=None, kills={}, trusted_until_ms=trusted)
    return replace(
        breaker,
        quarantined_ms={name: since for name, since in breaker.quarantined_ms.items() if name != reference},
        streams={name: streams for name, streams in breaker.streams.items() if name != reference},
        trusted_until_ms=trusted,
    )


def is_trusted(breaker: Breaker, reference: str | None, *, now_ms: int) -> bool:
    """Whether somebody vouches for it (None: for all) now."""
    return breaker.trusted_until_ms.get(_trusted_as(reference), 0) > now_ms


def _trusted_as(reference: str | None) -> tuple[Scope, str]:
    return (Scope.ALL, "") if reference is None else (Scope.REFERENCE, reference)


def _slid(breaker: Breaker, limits: BreakerLimits, *, now_ms: int) -> Breaker:
    """Without what the windows have left behind."""
    kills_from_ms = now_ms - round(1000 * limits.kills_within_s)
    streams_from_ms = now_ms - round(1000 * limits.streams_within_s)
    streams = {name: _since(moments, streams_from_ms) for name, moments in breaker.streams.items()}
    return replace(
        breaker,
        kills=_since(breaker.kills, kills_from_ms),
        streams={name: moments for name, moments in streams.items() if moments},
        trusted_until_ms={what: until for what, until in breaker.trusted_until_ms.items() if until > now_ms},
    )


def _since(moments_ms: Mapping[str, int], from_ms: int) -> dict[str, int]:
    return {name: moment for name, moment in moments_ms.items() if moment > from_ms}


def _is_full(moments_ms: Mapping[str, int], name: str, most: int) -> bool:
    """Whether one more is too many; 0: nothing is."""
    return bool(most) and name not in moments_ms and len(moments_ms) >= most
