"""What a Redis, or whatever answers in its place, may cost us: time and memory for each command.

redis-py's own time-out starts anew with each byte, and a reply may be as long as it likes: a server that drips bytes
would hold us for days. Here every reply has one deadline, every command with all its steps (connecting, logging in,
asking Sentinels, following a Cluster) another, and the bytes of a command are counted.
"""

import socket
import time
from typing import Any, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError

MOST_REPLY_BYTES = 32 << 20
"""A read of our own signals has 4 MiB at most; other entries in the stream may be larger."""
_BEGINNING_BYTES = 1024
STEPS = 4
"""A command with all its steps takes at most so many times the time-out of one reply."""

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What redis-py raises over a reply that is none: lengths that are no numbers, lists in lists, the wrong shape."""


class Client(Protocol):
    """What we ask of redis.Redis and of RedisCluster alike."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...  # noqa: ANN401 - Redis answers with anything

    def close(self) -> None: ...


class UnreadableReply(RedisConnectionError):
    """The reply is too long, or not one of Redis."""


class TooLongReply(UnreadableReply):
    """Longer than what we read; `beginning` is how it begins."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__(f"its reply is longer than {MOST_REPLY_BYTES >> 20} MiB; is it a Redis?")
        self.beginning = beginning


class Allowance:
    """What is left for the command under way. One client's; one thread at a time."""

    def __init__(self, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.renew()

    def renew(self) -> None:
        """A new command begins."""
        self._ends_at_s = time.monotonic() + STEPS * self.timeout_s
        self._bytes_left = MOST_REPLY_BYTES

    def reply_ends_at_s(self) -> float:
        """The deadline of a reply that is asked for now."""
        return min(self._ends_at_s, time.monotonic() + self.timeout_s)

    def may_take(self, size_bytes: int) -> bool:
        """Counts them. False: they are too many."""
        self._bytes_left -= size_bytes
        return self._bytes_left >= 0


class LimitedSocket:
    """A connected socket, plain or TLS, that keeps to the allowance."""

    def __init__(self, sock: socket.socket, allowance: Allowance) -> None:
        self._sock = sock
        self._allowance = allowance
        self._ends_at_s = allowance.reply_ends_at_s()
        self._beginning = b""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the socket's own
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data)
        self._ends_at_s = self._allowance.reply_ends_at_s()
        self._beginning = b""

    def recv(self, size_bytes: int) -> bytes:
        timeout_s = self._sock.gettimeout()
        if timeout_s == 0:  # redis-py looks whether anything is there, and does not wait for it
            return self._sock.recv(size_bytes)
        left_s = self._ends_at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the deadline is over")
        self._sock.settimeout(left_s if timeout_s is None else min(left_s, timeout_s))
        try:
            data = self._sock.recv(size_bytes)
        finally:
            self._sock.settimeout(timeout_s)
        self._beginning += data[: _BEGINNING_BYTES - len(self._beginning)]
        if not self._allowance.may_take(len(data)):
            raise TooLongReply(self._beginning)
        return data


class LimitedClient:
    """A client whose connections are limited: it begins a new allowance with each command."""

    def __init__(self, client: Client, allowance: Allowance) -> None:
        self._client = client
        self._allowance = allowance
        self._closed = False

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - Redis answers with anything
        """Raises redis-py's errors and OSError, nothing else: UnreadableReply for what no Redis would say."""
        self._allowance.renew()
        try:
            return self._client.execute_command(*args, **options)
        except UNREADABLE as error:
            if self._closed:  # by another thread that would not wait: redis-py stumbles over its missing socket
                raise RedisConnectionError("closed") from error
            raise no_redis() from error

    def close(self) -> None:
        self._closed = True
        self._client.close()


def limit(connection: Any, allowance: Allowance) -> None:  # noqa: ANN401 - redis-py's connections share no public type
    """To be called once a connection is made, before its first reply is read."""
    connection._sock = LimitedSocket(connection._sock, allowance)  # noqa: SLF001 - redis-py has no other way in


def no_redis() -> UnreadableReply:
    """The reply could not be read."""
    return UnreadableReply("what answers there is no Redis")
