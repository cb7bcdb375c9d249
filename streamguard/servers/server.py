"""What a media server is to us. A new one is one file beside this, and passes tests/contract/test_media_server.py."""

from dataclasses import dataclass
from typing import Protocol

from streamguard.types import SessionId, StreamId


@dataclass(frozen=True, slots=True)
class Publisher:
    """One live publisher, as a server lists it.

    `stream` is its key, `app/name`; `session` names this very connection, and no earlier or later one: the server's own
    id of it, with what tells restarts apart where it counts from one again. `pull_path` is what follows the server's
    pull URL. `connected_unix_s`: since when, by this machine's clock; None: the server does not say.
    """

    stream: StreamId
    session: SessionId
    pull_path: str
    address: str = ""
    connected_unix_s: float | None = None


class MediaServer(Protocol):
    """Its errors are ServerUnreachable (try again), ServerRefused (fix it) and ServerNotUnderstood: never a success.

    Every call may be made from several threads at once.
    """

    @property
    def name(self) -> str:
        """What the operator calls it; signals carry it."""

    def publishers(self) -> tuple[Publisher, ...]:
        """All who publish now. An answer that cannot be understood whole is an error, not fewer publishers."""

    def drop(self, publisher: Publisher, /) -> bool:
        """Cut this one session, by its own id, and never another. False: it was gone already."""

    def may_live_unlisted(self, session: SessionId, /) -> str:
        """Why a session that the newest listing does not have may be on the air all the same, and what to do about it,
        in words; empty: it is gone. Asks the server nothing.
        """
