"""Asks decoders to tell what they have kept of keyframes that they passed over (worker.kept_teller).

At once where somebody wants to know what a stream has shown; and when an incident is opened one stream after another,
so that by the time that somebody asks it is there, also of a stream that was cut meanwhile, and no time is taken from
the looks at what streams show now: of sixty streams each may have half a second's work.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streamguard.types import Fingerprints
from streamguard.worker.messages import Kept, KeptTold
from streamguard.worker.shown import Name, name_of
from streamguard.worker.streams import RunningDecoder, Stream, StreamState, StreamStatus
from streamguard.worker.watcher import Watcher

WITHIN_S = 3.0
"""A decoder that hangs, or is behind with what is live, costs an answer no more than that."""

_MOST_WAIT = 4
"""Of those who ask: the others are answered without what is kept, and who asks whether the worker lives finds room."""


@dataclass(frozen=True, slots=True)
class _Asked:
    decoder: RunningDecoder
    since_s: float
    told: threading.Event = field(default_factory=threading.Event)


class KeptAsker:
    """The supervisor's watcher that asks; any thread may call `ask`. `soon` has something done in the supervisor's loop
    in a moment; `in_incident`: whether one is open.
    """

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], None],
        *,
        in_incident: Callable[[], bool],
        within_s: float = WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._soon = soon
        self._in_incident = in_incident
        self._within_s = within_s
        self._clock = clock
        self._streams: dict[Name, Stream] = {}
        self._asked: dict[Name, _Asked] = {}
        self._to_ask: deque[Name] = deque()
        self._asking: Name | None = None
        self._is_open = False
        self._room = threading.BoundedSemaphore(_MOST_WAIT)

    @property
    def watcher(self) -> Watcher:
        return Watcher(seen=self._seen, kept=self._told, finished=self._gone, left=self._gone, tick=self._tick)

    def ask(self, server: str | None, stream: str) -> None:
        """Returns when its decoder has told all that it kept, or has had its time; at once where it has none."""
        if not self._room.acquire(blocking=False):
            return
        try:
            over = threading.Event()
            self._soon(lambda: self._ask_for(over, (server, stream)))
            until_s = time.monotonic() + self._within_s
            over.wait(self._within_s)
            asked = self._asked.get((server, stream))
            if asked is not None:
                asked.told.wait(max(0.0, until_s - time.monotonic()))
        finally:
            self._room.release()

    def _ask_for(self, over: threading.Event, name: Name) -> None:
        self._ask(name)
        over.set()

    def _ask(self, name: Name) -> bool:
        """False: there is nobody to ask. Who has not answered yet is not asked again."""
        stream = self._streams.get(name)
        decoder = None if stream is None else stream.decoder
        if decoder is None:
            return False
        asked = self._asked.get(name)
        if asked is None or asked.decoder is not decoder:
            self._over(name)
            self._asked[name] = _Asked(decoder, self._clock())
            if not decoder.ask_for_kept():
                self._over(name)
                return False
        return True

    def _seen(self, stream: Stream, _keyframe: Fingerprints) -> None:
        self._streams[name_of(stream.spec)] = stream

    def _told(self, stream: Stream, told: Kept | KeptTold) -> None:
        if isinstance(told, KeptTold):
            name = name_of(stream.spec)
            self._over(name)
            if name == self._asking:
                self._ask_next()

    def _gone(self, stream: Stream) -> None:
        name = name_of(stream.spec)
        if self._streams.get(name) is stream:
            del self._streams[name]
            self._over(name)

    def _over(self, name: Name) -> None:
        asked = self._asked.pop(name, None)
        if asked is not None:
            asked.told.set()

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        for name, asked in list(self._asked.items()):
            if name not in self._streams or self._streams[name].decoder is not asked.decoder:
                self._over(name)
        was_open, self._is_open = self._is_open, self._in_incident()
        if not self._is_open:
            self._to_ask.clear()
        elif not was_open:
            self._to_ask.extend(self._streams)
        waited_for = None if self._asking is None else self._asked.get(self._asking)
        if waited_for is None or self._clock() - waited_for.since_s >= self._within_s:
            self._ask_next()

    def _ask_next(self) -> None:
        """Of those that were there when the incident was opened. Who shows nothing now cannot answer now."""
        self._asking = None
        while self._to_ask and self._asking is None:
            name = self._to_ask.popleft()
            stream = self._streams.get(name)
            if stream is not None and stream.state is StreamState.WATCHING and self._ask(name):
                self._asking = name
