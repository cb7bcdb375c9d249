"""Which streams the supervisor has: those that were named, and those that are discovered, which come and leave."""

from collections.abc import Callable, Iterable

from streamguard.worker.streams import Stream, StreamSpec

Discovered = Callable[[], frozenset[StreamSpec]]
"""All discovered streams that are to be watched now. It is asked in each turn of the loop: it returns at once, and the
same object while nothing has changed.
"""


class Roster:
    """Only the supervisor's loop changes it. Of a stream that has left nothing is kept."""

    def __init__(self, specs: Iterable[StreamSpec], *, discovered: Discovered | None = None) -> None:
        self.streams = [Stream(spec) for spec in specs]
        self._discovered = discovered
        self._known: frozenset[StreamSpec] = frozenset()

    @property
    def is_over(self) -> bool:
        """Nothing is left to be watched. Never, where somebody may still be discovered."""
        return self._discovered is None and all(stream.finished for stream in self.streams)

    def changes(self) -> tuple[list[Stream], list[Stream]]:
        """Who has left since the last time, and who has come. Another session is both."""
        if self._discovered is None or (now := self._discovered()) is self._known:
            return [], []
        gone = self._known - now
        left = [stream for stream in self.streams if stream.spec in gone]
        come = [Stream(spec) for spec in sorted(now - self._known, key=lambda spec: spec.key)]
        self.streams = [stream for stream in self.streams if stream.spec not in gone] + come
        self._known = now
        return left, come
