"""A media server that lists what a script says: it can fail, stall, lie and come back."""

import threading
from collections.abc import Iterable

from streamguard.errors import ServerError
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId


def publisher(name: str, session: str = "1", *, pull_path: str | None = None) -> Publisher:
    """Somebody who publishes `app/name`."""
    return Publisher(StreamId(name), SessionId(session), name if pull_path is None else pull_path)


class FakeServer:
    """Lists `now` until told otherwise; an error is raised. `stall()` lets it hang until `go_on()`."""

    def __init__(self, *now: Publisher, name: str = "edge") -> None:
        self.name = name
        self.asked = 0
        self.unlisted: dict[str, str] = {}
        """Why sessions that are not listed may be on the air."""
        self._now: tuple[Publisher, ...] | ServerError = now
        self._goes = threading.Event()
        self._goes.set()

    def list(self, now: Iterable[Publisher] | ServerError) -> None:
        """From now on."""
        self._now = now if isinstance(now, ServerError) else tuple(now)

    def stall(self) -> None:
        self._goes.clear()

    def go_on(self) -> None:
        self._goes.set()

    def publishers(self) -> tuple[Publisher, ...]:
        self.asked += 1
        self._goes.wait(30)
        now = self._now
        if isinstance(now, ServerError):
            raise now
        return now

    def may_live_unlisted(self, session: SessionId, /) -> str:
        return self.unlisted.get(session, "")
