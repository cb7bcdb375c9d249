"""A media server for tests, not a mock: it keeps its publishers, cuts them, and fails on a script."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from streamguard.enforce.strikes.strike import Strike
from streamguard.errors import ServerError, SignalsError
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId


class FakeMediaServer:
    """A MediaServer (streamguard.servers.server). `before` is called with "list" or "drop" first, and may raise.

    A publisher that is dropped is listed `lingers` times more, as on a real server.
    """

    def __init__(
        self, name: str = "nginx-rtmp", *, lingers: int = 0, before: Callable[[str], None] = lambda _call: None
    ) -> None:
        self.name = name
        self.lingers = lingers
        self.before = before
        self.after_drop: Callable[[], None] = lambda: None
        self.deaf = False
        """It says that it cut, and does not."""
        self.unlisted: dict[str, str] = {}
        """Why sessions that are not listed may be on the air."""
        self.lists = 0
        self.cut: list[SessionId] = []
        self.asked: list[SessionId] = []
        self._lock = threading.Lock()
        self._live: dict[SessionId, Publisher] = {}
        self._lingering: dict[SessionId, tuple[Publisher, int]] = {}

    def connect(
        self, stream: str, session: str, *, address: str = "203.0.113.9", since_unix_s: float | None = None
    ) -> None:
        """A publisher comes."""
        publisher = Publisher(StreamId(stream), SessionId(session), stream, address, since_unix_s)
        with self._lock:
            self._live[publisher.session] = publisher

    def publishers(self) -> tuple[Publisher, ...]:
        self.before("list")
        with self._lock:
            self.lists += 1
            shown = [*self._live.values(), *(publisher for publisher, _ in self._lingering.values())]
            self._lingering = {
                session: (publisher, left - 1) for session, (publisher, left) in self._lingering.items() if left > 1
            }
        return tuple(shown)

    def may_live_unlisted(self, session: SessionId, /) -> str:
        return self.unlisted.get(session, "")

    def drop(self, publisher: Publisher, /) -> bool:
        self.before("drop")
        with self._lock:
            self.asked.append(publisher.session)
            if self.deaf:
                return True
            gone = self._live.pop(publisher.session, None)
            if gone is not None:
                self.cut.append(publisher.session)
                if self.lingers:
                    self._lingering[publisher.session] = (gone, self.lingers)
        self.after_drop()
        return gone is not None

    def renumber(self, session: str, *, since_unix_s: float) -> None:
        """It was restarted, and gives the same id to another connection."""
        with self._lock:
            self._live[SessionId(session)] = replace(self._live[SessionId(session)], connected_unix_s=since_unix_s)

    @property
    def live(self) -> set[str]:
        with self._lock:
            return set(self._live)


class FakeStrikes:
    """A StrikeBook (enforce/cutting/desk.py): one strike a signal; `script` gives an error for a call, or None."""

    def __init__(self, script: Iterable[SignalsError | None] = ()) -> None:
        self._script = iter(script)
        self.before: Callable[[], None] = lambda: None
        self.strikes: dict[str, Strike] = {}

    def add(self, strike: Strike, /) -> None:
        self.before()
        error = next(self._script, None)
        if error is not None:
            raise error
        self.strikes.setdefault(strike.signal_id, strike)


def failing(*errors: ServerError | None, call: str = "list") -> Callable[[str], None]:
    """For `before`: the first calls of this kind fail so, None passes; the last entry goes on for ever."""
    left = list(errors)

    def before(what: str) -> None:
        if what != call:
            return
        error = left.pop(0) if len(left) > 1 else left[0]
        if error is not None:
            raise error

    return before
