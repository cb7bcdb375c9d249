"""Which streams the supervisor has: those that were named, and those that are discovered, which come and leave."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streamguard.types import StreamId
from streamguard.worker.quarantine import Quarantine
from streamguard.worker.streams import LineLimit, Stream, StreamSpec

MOST_REMEMBERED = 4096
"""Names that are known again when somebody publishes under them anew; beyond that the oldest are forgotten."""

BETWEEN_STARTS_S = 1.0
"""Whoever publishes anew all the time costs no more than a decoder in so long."""

Discovered = Callable[[], frozenset[StreamSpec]]
"""All discovered streams that are to be watched now. It is asked in each turn of the loop: it returns at once, and the
same object while nothing has changed.
"""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """Of a name whose publisher has left: so that one who comes again and again is seen to, and fills no log."""

    line_limit: LineLimit
    sessions: int
    began_at_s: float
    quarantine: Quarantine
    url: str


class Roster:
    """Only the supervisor's loop changes it. Of a stream that has left hardly anything is kept, and not for ever."""

    def __init__(
        self,
        specs: Iterable[StreamSpec],
        *,
        discovered: Discovered | None = None,
        why_left: Callable[[StreamSpec], str] = lambda _spec: "the publisher left",
        may_come: Callable[[], bool] | None = None,
    ) -> None:
        """Of `specs` those that `discovered` has, too, leave when it has them no more. `may_come`: whether anybody may
        be discovered; left out, somebody may wherever there is discovery.
        """
        self.streams = [Stream(spec) for spec in specs]
        self.why_left = why_left
        """Of one that is discovered no more, in words."""
        self._discovered = discovered
        self._may_come = may_come or (lambda: discovered is not None)
        named = frozenset(stream.spec for stream in self.streams)
        self._known: frozenset[StreamSpec] = frozenset() if discovered is None or not named else named & discovered()
        self._remembered: OrderedDict[StreamId, _Remembered] = OrderedDict()

    @property
    def is_over(self) -> bool:
        """Nothing is left to be watched. Never, where somebody may still be discovered."""
        return not self._may_come() and all(stream.finished for stream in self.streams)

    def changes(self) -> tuple[list[Stream], list[Stream]]:
        """Who has left since the last time, and who has come. Another session is both."""
        if self._discovered is None or (now := self._discovered()) is self._known:
            return [], []
        gone = self._known - now
        left = [stream for stream in self.streams if stream.spec in gone]
        for stream in left:
            self._remember(stream)
        come = [self._stream(spec) for spec in sorted(now - self._known, key=lambda spec: spec.key)]
        self.streams = [stream for stream in self.streams if stream.spec not in gone] + come
        self._known = now
        return left, come

    def _remember(self, stream: Stream) -> None:
        sessions = stream.earlier_sessions + max(1, stream.sessions)
        # One that came and left while it waited for its turn leaves the turn as it was.
        began_at_s = stream.began_at_s if stream.sessions else stream.start_at_s - BETWEEN_STARTS_S
        self._remembered[stream.spec.key] = _Remembered(
            stream.line_limit, sessions, began_at_s, stream.quarantine, stream.spec.url
        )
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _stream(self, spec: StreamSpec) -> Stream:
        before = self._remembered.pop(spec.key, None)
        # Where the operator gives a name another URL, nothing that was held against the old one counts.
        if before is None or (spec.origin is None and spec.url != before.url):
            return Stream(spec)
        return Stream(
            spec,
            line_limit=before.line_limit,
            earlier_sessions=before.sessions,
            start_at_s=max(before.began_at_s + BETWEEN_STARTS_S, before.quarantine.until_s),
            quarantine=before.quarantine,
        )
