"""The list of streams that workers share, in Redis: `<prefix>streams`, a hash of names and URLs.

A URL may hold credentials: it is in Redis as it is, for workers must have it, and is shown nowhere.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field

from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.limits import no_redis
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.errors import UsageError
from streamguard.types import StreamId

MOST_STREAMS = 10_000
LONGEST_URL = 2000
_NAME = re.compile(r"[A-Za-z0-9][\w./:-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SharedStream:
    """One of the list."""

    stream: StreamId
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedList:
    """What the list holds; `refused`: entries that are none of ours, or beyond MOST_STREAMS."""

    streams: tuple[SharedStream, ...] = ()
    refused: int = 0


def checked_name(text: str) -> StreamId:
    """Raises UsageError for what cannot be a stream's name there."""
    if _NAME.fullmatch(text) is None:
        hint = "letters, digits and . _ - / : in it, 200 characters at most"
        raise UsageError("name stream", text[:200], "that is no name for one", hint=hint)
    return StreamId(text)


class SharedStreams:
    """Connects when first used; one thread at a time. Each call raises SignalsUnreachable or SignalsRejected."""

    def __init__(self, target: str | RedisTarget, *, prefix: str, timeout_s: float) -> None:
        """Raises UsageError: the URL, or a prefix that a Cluster splits."""
        self.target = checked_target(target, prefix=prefix)
        self._caller = RedisCaller(self.target, timeout_s=timeout_s)
        self._key = f"{prefix}streams"

    def read(self) -> SharedList:
        """All of it, by name. What anybody may have written there is checked."""
        with self._caller.asking("read shared streams in") as client:
            found = client.execute_command("HGETALL", self._key)
            if isinstance(found, list):
                found = dict(zip(found[::2], found[1::2], strict=True))
            if not isinstance(found, dict):
                raise no_redis()
            streams = sorted(filter(None, map(_stream, found.items())), key=lambda one: one.stream)
            kept = tuple(streams[:MOST_STREAMS])
            return SharedList(kept, len(found) - len(kept))

    def put(self, stream: SharedStream) -> bool:
        """Whether it is new; else its URL is another one now. Raises UsageError where there is no room."""
        if len(stream.url) > LONGEST_URL:
            raise UsageError("share stream", stream.stream, f"its URL is longer than {LONGEST_URL} characters")
        with self._caller.asking("share stream in") as client:
            if client.execute_command("HLEN", self._key) >= MOST_STREAMS:
                problem = f"there are {MOST_STREAMS} already"
                raise UsageError("share stream", stream.stream, problem, hint="remove some: streamguard streams remove")
            return bool(client.execute_command("HSET", self._key, stream.stream, stream.url))

    def remove(self, stream: StreamId) -> bool:
        """Whether it was there."""
        with self._caller.asking("remove shared stream in") as client:
            return bool(client.execute_command("HDEL", self._key, stream))

    def close(self) -> None:
        """Harmless when called twice, or before anything was asked."""
        self._caller.close()


def _stream(entry: tuple[object, object]) -> SharedStream | None:
    match entry:
        case (bytes(name), bytes(url)) if len(url) <= LONGEST_URL:
            with suppress(UnicodeDecodeError):
                if _NAME.fullmatch(name.decode()):
                    return SharedStream(StreamId(name.decode()), url.decode())
    return None
