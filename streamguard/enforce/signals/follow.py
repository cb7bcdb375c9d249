"""Reading the stream of kill-signals from Redis, as an enforcer would: from a place on, without an end."""

import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from streamguard.core.backoff import delay_s
from streamguard.enforce.redis.connect import connect
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import MOST_REPLY_BYTES, UNREADABLE, Client, TooLongReply, no_redis
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import SignalsUnreachable, UsageError

LONGEST_BLOCK_S = 2.0
"""redis-py gives up on a blocking read at its socket timeout, so the one must stay below the other."""
READ_TIMEOUT_S = LONGEST_BLOCK_S + 2.0
ENTRIES_A_READ = 16
RETRY_FIRST_S = 0.2
RETRY_CAP_S = 5.0

FIRST_ID = "0-0"
LAST_ID = "$"
_ENTRY_ID = re.compile(r"\d{1,20}(-\d{1,20})?")
_ID_IN_A_REPLY = re.compile(rb"\$\d{1,2}\r\n(\d{1,20}-\d{1,20})\r\n")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it lies in the stream; its fields are for `received.read_signal` to judge."""

    id: str
    fields: Mapping[bytes, bytes]
    problem: str = ""
    """Why its fields could not be read, if so."""


class Follower:
    """Reads entry after entry, and again from where it was after Redis went away and came back.

    `since` is `$` (what comes from now on), `0` (all there is), or an entry's id (what came after it).
    """

    def __init__(self, target: RedisTarget, *, prefix: str, since: str, stream: str = "signals") -> None:
        """Raises UsageError."""
        if since != LAST_ID and not _ENTRY_ID.fullmatch(since):
            hint = "give $, 0, or an id like 1700000000000-0"
            raise UsageError("follow signals since", since[:50], "no entry id", hint=hint)
        self._target = target
        self._stream = f"{prefix}{stream}"
        self._last_id = since
        self._entries_a_read = ENTRIES_A_READ
        self._stepped_over = ""
        self._client: Client | None = None
        self.reached = False
        """Whether Redis was ever read from."""

    def read(self, *, at_most_s: float = LONGEST_BLOCK_S) -> tuple[Entry, ...]:
        """The next entries; none when nothing came for a while. Raises SignalsUnreachable, SignalsRejected."""
        try:
            with our_errors("read signals from", self._target):
                if self._client is None:
                    self._client = connect(self._target, timeout_s=READ_TIMEOUT_S)
                    self._find_place(self._client)
                entries = self._next(self._client, block_ms=max(1, int(min(at_most_s, LONGEST_BLOCK_S) * 1000)))
                self.reached = True
                return entries
        except UNREADABLE as error:
            self.close()
            raise SignalsUnreachable("read signals from", self._target, str(no_redis())) from error
        except BaseException:
            # Whatever broke in, a signal from the keyboard as well: half an answer may be in the socket.
            self.close()
            raise

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()

    def _find_place(self, client: Client) -> None:
        newest_id = self._newest_id(client)
        # `$` becomes an id at once, or what comes between two reads is lost. And a Redis that lost its data while its
        # clock went back would number below where we are: then it is a new stream, read from its start.
        if self._last_id == LAST_ID:
            self._last_id = newest_id
        elif newest_id != FIRST_ID and _place(newest_id) < _place(self._last_id):
            self._last_id = FIRST_ID

    def _newest_id(self, client: Client) -> str:
        try:
            newest = client.execute_command("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
        except TooLongReply as error:
            return first_id(error)
        return _id(newest[0][0]) if newest else FIRST_ID

    def _next(self, client: Client, *, block_ms: int) -> tuple[Entry, ...]:
        place = ("STREAMS", self._stream, self._last_id)
        try:
            answer = client.execute_command("XREAD", "COUNT", self._entries_a_read, "BLOCK", block_ms, *place)
        except TooLongReply as error:
            return self._one_by_one(error)
        if not answer:
            # redis-py may have connected anew without a word, to a Redis that is another one now. What was too long
            # to be read is not asked for every time.
            if self._last_id != self._stepped_over:
                self._find_place(client)
            return ()
        entries = tuple(entry_of(id_, fields) for _, found in answer for id_, fields in found)
        if entries:
            self._last_id = entries[-1].id
            self._entries_a_read = min(2 * self._entries_a_read, ENTRIES_A_READ)
        return entries

    def _one_by_one(self, error: TooLongReply) -> tuple[Entry, ...]:
        """Anybody may have put anything into the stream: what alone is too long is stepped over, and told."""
        self.close()  # the rest of the reply is still to come
        if self._entries_a_read > 1:
            self._entries_a_read = 1
            return ()
        entry_id = first_id(error)
        if _place(entry_id) <= _place(self._last_id):
            raise error
        self._last_id = self._stepped_over = entry_id
        return (Entry(entry_id, {}, f"longer than {MOST_REPLY_BYTES >> 20} MiB, stepped over"),)


def follow(
    follower: Follower, *, ends_at_s: float | None, on_trouble: Callable[[SignalsUnreachable | None], None]
) -> Iterator[Entry]:
    """Entry after entry, through times without Redis, until `ends_at_s` of the monotonic clock (None: without an end).

    `on_trouble` hears the error of each try while Redis is away, and once, with None, when it is back.
    Raises SignalsRejected.
    """
    failures = 0
    while (left_s := _left_s(ends_at_s)) > 0:
        try:
            entries = follower.read(at_most_s=left_s)
        except SignalsUnreachable as error:
            failures += 1
            on_trouble(error)
            pause_s = delay_s(failures, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=random.random())  # noqa: S311
            time.sleep(max(0.0, min(pause_s, _left_s(ends_at_s))))
        else:
            if failures:
                on_trouble(None)
            failures = 0
            yield from entries


def _left_s(ends_at_s: float | None) -> float:
    return math.inf if ends_at_s is None else ends_at_s - time.monotonic()


def _place(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def entry_of(entry_id: object, fields: object) -> Entry:
    """Raises ValueError: what answers need not be a Redis."""
    if not isinstance(fields, dict) or not all(isinstance(part, bytes) for pair in fields.items() for part in pair):
        raise ValueError("fields that are no bytes")
    return Entry(_id(entry_id), fields)


def _id(value: object) -> str:
    """Raises ValueError."""
    text = value.decode() if isinstance(value, bytes) else ""
    if not _ENTRY_ID.fullmatch(text):
        raise ValueError("no entry id")
    return text


def first_id(error: TooLongReply) -> str:
    """Of the entry that the reply begins with. Raises the error again where it does not."""
    found = _ID_IN_A_REPLY.search(error.beginning)
    if found is None:
        raise error
    return found[1].decode()
