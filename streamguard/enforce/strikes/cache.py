"""All active strikes in the gate's own memory, so that a hook is answered without asking Redis."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from streamguard.types import SessionId, StreamId


@dataclass(frozen=True, slots=True)
class Held:
    """A key that is refused until then (of the cache's clock), and the sessions that were struck."""

    until_s: float
    sessions: frozenset[tuple[StreamId, SessionId]] = frozenset()


class StrikeCache:
    """Written by one thread, read by any. Strikes end by themselves; `clock` is monotonic.

    Without a word from Redis for `away_after_s` it is `away`: what it knows still holds, what it does not know may be.
    """

    def __init__(self, *, away_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.away_after_s = away_after_s
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._confirmed_s = -math.inf
        self.loaded = threading.Event()
        """Whether Redis was ever read."""

    def __len__(self) -> int:
        now_s = self._clock()
        return sum(held.until_s > now_s for held in list(self._held.values()))

    @property
    def age_s(self) -> float:
        """Since Redis last said that this is all; infinite: it never did."""
        return self._clock() - self._confirmed_s

    @property
    def away(self) -> bool:
        return self.age_s > self.away_after_s

    def refuses(self, keys: Iterable[str]) -> bool:
        """Whether one of them is refused."""
        now_s = self._clock()
        return any((held := self._held.get(key)) is not None and held.until_s > now_s for key in keys)

    def struck(self, keys: Iterable[str], *, stream: StreamId, session: SessionId) -> bool:
        """Whether one of them is refused because of this very session; never one that has no name."""
        if not session:
            return False
        now_s = self._clock()
        found = (self._held.get(key) for key in keys)
        return any(held.until_s > now_s and (stream, session) in held.sessions for held in found if held is not None)

    def replace(self, held: Mapping[str, Held]) -> None:
        """These are all."""
        self._held = dict(held)
        self.confirm()
        self.loaded.set()

    def put(self, key: str, held: Held) -> None:
        """So it is with one of them now."""
        self._held[key] = held

    def confirm(self) -> None:
        """Redis has just said that there is nothing else."""
        self._confirmed_s = self._clock()
