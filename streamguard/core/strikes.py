"""For how long a publisher is refused, and what that rests on: the strikes against one key. Pure values.

A strike stands until it is lifted. One that stands counts as long as it is remembered, also when its time is over: the
next one is longer. Two strikes over one session count once, for the publisher did it once. One that was lifted was a
mistake, and counts as if it had not been; it is kept, so that its signal, delivered again, does not bring it back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from streamguard.types import SessionId, StreamId

MOST_REMEMBERED = 50
"""Of the strikes against one key, so many of the newest are kept."""


@dataclass(frozen=True, slots=True)
class Lift:
    """Who took a strike back, when and why."""

    who: str
    why: str
    at_unix_ms: int


@dataclass(frozen=True, slots=True)
class StrikeRecord:
    """One strike against one key. An operator's has no reference, and no session unless one is named."""

    signal_id: str
    stream: StreamId
    session: SessionId
    reference: str
    reason: str
    who: str
    at_unix_ms: int
    until_unix_ms: int
    lift: Lift | None = None

    @property
    def stands(self) -> bool:
        return self.lift is None

    def in_force(self, *, now_unix_ms: int) -> bool:
        return self.stands and self.until_unix_ms > now_unix_ms


Records = tuple[StrikeRecord, ...]
"""All that is remembered against one key, oldest first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the strikes against one key come to: `count` of them stand, the key is refused until then (0: it is not)."""

    count: int
    until_unix_ms: int
    newest: StrikeRecord | None
    sessions: tuple[tuple[StreamId, SessionId], ...]
    """Those that were struck, of strikes in force."""


def refusal_s(count: int, *, steps_s: Sequence[float]) -> float:
    """Of the `count`th strike (from 1): as the steps say, the last of them from then on."""
    return steps_s[min(max(count, 1), len(steps_s)) - 1]


def standing(records: Iterable[StrikeRecord], *, now_unix_ms: int) -> Standing:
    """How it stands now."""
    stand = [record for record in records if record.stands]
    force = [record for record in stand if record.in_force(now_unix_ms=now_unix_ms)]
    return Standing(
        count=len({_occasion(record) for record in stand}),
        until_unix_ms=max((record.until_unix_ms for record in force), default=0),
        newest=force[-1] if force else None,
        sessions=tuple(dict.fromkeys((record.stream, record.session) for record in force if record.session)),
    )


def struck(records: Records, record: StrikeRecord, *, steps_s: Sequence[float], for_s: float | None = None) -> Records:
    """With one more strike, `until_unix_ms` of which is set here: `for_s`, or as long as the steps say.

    The same records where its signal is known.
    """
    if any(known.signal_id == record.signal_id for known in records):
        return records
    count = standing((*records, record), now_unix_ms=record.at_unix_ms).count
    length_s = refusal_s(count, steps_s=steps_s) if for_s is None else for_s
    dated = replace(record, until_unix_ms=record.at_unix_ms + round(1000 * length_s))
    return (*records, dated)[-MOST_REMEMBERED:]


def lifted(records: Records, lift: Lift, *, signal_id: str | None = None) -> Records:
    """Without the one strike of that signal, over or not; without a signal, without all that are in force."""
    return tuple(
        replace(record, lift=lift) if record.stands and _meant(record, lift, signal_id) else record
        for record in records
    )


def _meant(record: StrikeRecord, lift: Lift, signal_id: str | None) -> bool:
    if signal_id is not None:
        return record.signal_id == signal_id
    return record.in_force(now_unix_ms=lift.at_unix_ms)


def _occasion(record: StrikeRecord) -> tuple[str, ...]:
    """What counts once."""
    return (record.stream, record.session) if record.session else ("", "", record.signal_id)
