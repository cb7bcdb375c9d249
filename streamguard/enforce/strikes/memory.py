"""The book of strikes without Redis: for one process, and as long as that runs."""

import time
from collections import deque
from collections.abc import Callable

from streamguard.core.strikes import Lift, Records, lifted, standing, struck
from streamguard.enforce.strikes.strike import (
    ENFORCER,
    AuditEntry,
    Strike,
    StrikeTerms,
    StruckKey,
    fit,
    read_key,
    record_of,
)

MOST_ENTRIES = 10_000


class StrikeMemory:
    """The same as StrikeLedger, whose docstrings say what each call does; one thread at a time. Publishers choose keys:
    of more than MOST_ENTRIES those are forgotten that were struck or lifted longest ago.
    """

    def __init__(self, *, terms: StrikeTerms | None = None, clock: Callable[[], float] = time.time) -> None:
        self.terms = terms or StrikeTerms()
        """Any thread may exchange them: the next strike refuses for as long as the new ones say."""
        self._clock = clock
        self._records: dict[str, Records] = {}
        self._audit: deque[AuditEntry] = deque(maxlen=MOST_ENTRIES)

    def add(self, strike: Strike, /, *, who: str = ENFORCER, for_s: float | None = None) -> None:
        record = record_of(strike, who=who, now_unix_ms=self._now_unix_ms())
        for key in dict.fromkeys(read_key(key) for key in strike.keys):
            after = struck(self._of(key), record, steps_s=self.terms.refuse_for_s, for_s=for_s)
            self._put(key, after, action="add", who=who, why=strike.reason, signal_id=strike.signal_id)

    def lift(self, key: str, *, who: str, reason: str) -> int:
        key = read_key(key)
        after = lifted(self._of(key), Lift(fit(who), fit(reason), self._now_unix_ms()))
        return self._put(key, after, action="lift", who=who, why=reason, signal_id="")

    def lift_signal(self, signal_id: str, *, who: str, reason: str) -> int:
        lift = Lift(fit(who), fit(reason), self._now_unix_ms())
        changes = {key: lifted(self._of(key), lift, signal_id=signal_id) for key in self._records}
        return sum(
            self._put(key, after, action="lift", who=who, why=reason, signal_id=signal_id)
            for key, after in changes.items()
        )

    def active(self) -> tuple[StruckKey, ...]:
        now_unix_ms = self._now_unix_ms()
        keys = (StruckKey(key, standing(self._of(key), now_unix_ms=now_unix_ms)) for key in self._records)
        found = [key for key in keys if key.standing.until_unix_ms]
        return tuple(sorted(found, key=lambda each: each.standing.until_unix_ms))

    def audit(self, *, most: int) -> tuple[AuditEntry, ...]:
        return tuple(self._audit)[max(0, len(self._audit) - most) :]

    def close(self) -> None:
        """Nothing is open."""

    def _of(self, key: str) -> Records:
        """What is still remembered: each strike from when it ends, or was to."""
        oldest_unix_ms = self._now_unix_ms() - round(1000 * self.terms.remember_s)
        records = self._records.get(key, ())
        return records if any(record.until_unix_ms >= oldest_unix_ms for record in records) else ()

    def _put(self, key: str, after: Records, *, action: str, who: str, why: str, signal_id: str) -> int:
        before = set(self._of(key))
        changed = sum(record not in before for record in after)
        if changed:
            self._records.pop(key, None)
            self._records[key] = after
            if len(self._records) > MOST_ENTRIES:
                self._records.pop(next(iter(self._records)))
            now_unix_ms = self._now_unix_ms()
            now = standing(after, now_unix_ms=now_unix_ms)
            self._audit.append(AuditEntry(action, key, fit(who), fit(why), fit(signal_id), now_unix_ms, now))
        return changed

    def _now_unix_ms(self) -> int:
        return int(1000 * self._clock())
