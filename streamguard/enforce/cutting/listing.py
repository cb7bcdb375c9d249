"""One media server as its newest listing shows it: who publishes there, and how it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from streamguard.errors import ServerError, ServerRefused, ServerUnreachable
from streamguard.servers.server import MediaServer, Publisher
from streamguard.types import SessionId, StreamId


class ServerStatus(Enum):
    OK = "ok"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_UNDERSTOOD = "not_understood"
    ENDED = "ended"
    """The thread is dead by a mistake of ours: restart the enforcer. Redis keeps the signals."""

    @property
    def needs_hand(self) -> bool:
        """It does not pass by itself."""
        return self not in {ServerStatus.OK, ServerStatus.UNREACHABLE}


@dataclass(frozen=True, slots=True)
class ServerState:
    """How the server answers; `problem` is empty while ok."""

    status: ServerStatus = ServerStatus.OK
    problem: str = ""


class Listing:
    """Asked by one thread; others may read `state`. `on_change` is called with the server's name: it must not block."""

    def __init__(self, server: MediaServer, *, on_change: Callable[[str, ServerState], None]) -> None:
        self._server = server
        self._on_change = on_change
        self._twice: frozenset[SessionId] = frozenset()
        self._named: Mapping[tuple[SessionId, StreamId], Publisher] = {}
        self._by_session: Mapping[SessionId, Publisher] = {}
        self.state = ServerState()

    def refresh(self) -> Mapping[SessionId, Publisher] | None:
        """All who publish, by session; None: the server does not say so, and its state says why. One connection may
        have several names; with two addresses it is two publishers, of whom one must not be cut: neither is here.
        """
        try:
            publishers = self._server.publishers()
        except ServerError as error:
            self.become(_status_of(error), str(error))
            return None
        self.become(ServerStatus.OK)
        listed = {publisher.session: publisher for publisher in publishers}
        self._twice = frozenset(one.session for one in publishers if not _are_one(one, listed[one.session]))
        known = [publisher for publisher in publishers if publisher.session not in self._twice]
        self._named = {(publisher.session, publisher.stream): publisher for publisher in known}
        self._by_session = {publisher.session: publisher for publisher in known}
        return self._by_session

    def find(self, session: SessionId, stream: StreamId) -> Publisher | None:
        """Who has this session, under this name if it has several."""
        return self._named.get((session, stream), self._by_session.get(session))

    def why_unlisted(self, session: SessionId) -> str:
        """Why a session that was not found may be on the air all the same; empty: it is gone."""
        if session in self._twice:
            return f"{self._server.name} lists two publishers as this session: which is meant cannot be told"
        return self._server.may_live_unlisted(session)

    def become(self, status: ServerStatus, problem: str = "") -> None:
        before, self.state = self.state, ServerState(status, problem)
        if before.status is not status:
            self._on_change(self._server.name, self.state)


def _are_one(one: Publisher, other: Publisher) -> bool:
    """Of two that a server lists with the same session."""
    return one is other or bool(one.address and one.address == other.address)


def _status_of(error: ServerError) -> ServerStatus:
    if isinstance(error, ServerUnreachable):
        return ServerStatus.UNREACHABLE
    return ServerStatus.REFUSED if isinstance(error, ServerRefused) else ServerStatus.NOT_UNDERSTOOD
