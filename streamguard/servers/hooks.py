"""What a media server asks before, while and after somebody publishes, whichever server it is: the values.

`hooks_by_kind.py` knows whose requests are read by what. Whoever serves HTTP reads a request into a `HookRequest`, has
it read into a `PublishRequest`, judges that, and sends the server's own answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, Self

from streamguard.types import SessionId, StreamId

MAX_BODY_BYTES = 1 << 16
"""No server's request is longer; who serves HTTP reads no more."""

MAX_ARGUMENTS = 100
NO_SESSION = SessionId("")


class HookKind(Enum):
    """`other`: not about publishing (a player, say); whatever it asks for is allowed."""

    PUBLISH = "publish"
    UPDATE = "update"
    DONE = "done"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class HookRequest:
    """An HTTP request as it came: `headers` by their names in lower case, `query` what follows the `?`."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """The HTTP answer in that server's own words."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """Who wants to publish what, or does, or did.

    `stream` is `app/name` as in `Publisher`, empty of an `other`. `session` is the same as `Publisher.session`, or
    empty where the server does not tell it to its hook. `address` is an IP address in its shortest form, or empty.
    `arguments` is what the publisher added to the key: anything at all; of what it said twice, and not the same, the
    names are in `repeated`: who reads it elsewhere may have read the other. `connection` is the number in a session
    `<process>-<number>`, where the server tells its hook that much and no more.
    """

    kind: HookKind
    stream: StreamId
    session: SessionId = NO_SESSION
    address: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    connection: str = ""
    repeated: frozenset[str] = frozenset()

    @classmethod
    def other(cls) -> Self:
        """Not about publishing."""
        return cls(HookKind.OTHER, StreamId(""))


def arguments_of(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], frozenset[str]]:
    """`arguments`, the first of each name, and `repeated`."""
    first: dict[str, str] = {}
    repeated = {name for name, value in pairs if first.setdefault(name, value) != value}
    return first, frozenset(repeated)


class Hooks(Protocol):
    """One kind of server's requests and answers: pure, so as fast as it can be."""

    def read(self, request: HookRequest, /) -> PublishRequest:
        """What is asked. Raises ServerNotUnderstood on what such a server does not send, or has not signed."""

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - all there is to say
        """Yes or no."""
