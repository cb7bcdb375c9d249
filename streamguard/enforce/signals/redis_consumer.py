"""The stream of kill-signals as one of a consumer group: each signal to one enforcer, and again until it is settled."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError, ResponseError

from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.connect import connect
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import MOST_REPLY_BYTES, UNREADABLE, Client, TooLongReply, no_redis
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.redis.url import RedisTarget
from streamguard.enforce.signals.follow import FIRST_ID, LONGEST_BLOCK_S, READ_TIMEOUT_S, Entry, entry_of, first_id
from streamguard.errors import SignalsUnreachable

ENTRIES_A_READ = 64
CLAIMED_AT_ONCE = 1000
"""Redis looks at ten times as many, from the oldest on: more than several enforcers have under way."""
_NEW = ">"
_SHELF = "shelf"
"""A consumer that never reads. Enforcers have an @ in their names."""
_SETTLE = load_script(__name__, "settle_signal.lua")
_OPERATION = "read signals from"
_ACKNOWLEDGE = "acknowledge signal to"


class GroupReader:
    """What the group has for this consumer: first what it was given before and did not settle, then what is new.

    One thread at a time. Every error leaves it ready for the next call: what a lost reply held comes again.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        prefix: str,
        group: str,
        consumer: str,
        stream: str = "signals",
        mark: str = "done",
    ) -> None:
        """`mark` is what keys are called by which a signal is known to be done with."""
        self._target = target
        self._mark = f"{prefix}{mark}:"
        self._stream = f"{prefix}{stream}"
        self._group = group
        self._consumer = consumer
        self._after = FIRST_ID
        self._entries_a_read = ENTRIES_A_READ
        self._client: Client | None = None

    def read(self, *, at_most_s: float = LONGEST_BLOCK_S) -> tuple[Entry, ...]:
        """The next entries; none when nothing came for a while. Raises SignalsUnreachable, SignalsRejected.

        What is not taken off the list with `done_with` comes again after `read_again`, an error, or a restart.
        """
        block_ms = max(1, int(min(at_most_s, LONGEST_BLOCK_S) * 1000))
        reading = ("GROUP", self._group, self._consumer, "COUNT", self._entries_a_read, "BLOCK", block_ms)
        try:
            answer: Any = self._call("XREADGROUP", *reading, "STREAMS", self._stream, self._after)
            entries = tuple(entry_of(id_, fields or {}) for _, found in answer or () for id_, fields in found)
        except TooLongReply as error:
            return self._one_by_one(error)
        except UNREADABLE as error:
            raise self._no_redis() from error
        self._entries_a_read = min(2 * self._entries_a_read, ENTRIES_A_READ)
        if self._after != _NEW:
            self._after = entries[-1].id if entries else _NEW
        return entries

    def read_again(self) -> None:
        """Next comes, once more, all that this consumer has not settled."""
        self._after = FIRST_ID

    def done_with(self, entry_ids: Sequence[str]) -> None:
        """Takes them off the list, without a word to anybody. Raises SignalsUnreachable, SignalsRejected."""
        if entry_ids:
            self._call("XACK", self._stream, self._group, *entry_ids)

    def is_done(self, signal_id: str) -> bool:
        """Whether somebody settled the signal. Raises SignalsUnreachable, SignalsRejected."""
        return self._call("EXISTS", f"{self._mark}{signal_id}") == 1

    def set_done(self, signal_id: str, *, keep_s: float) -> None:
        """For whoever acknowledges nothing. Raises SignalsUnreachable, SignalsRejected."""
        self._call("SET", f"{self._mark}{signal_id}", 1, "EX", int(keep_s))

    def keep(self, entry_ids: Sequence[str]) -> None:
        """Tells the others that these are being worked on. Raises SignalsUnreachable, SignalsRejected."""
        for start in range(0, len(entry_ids), CLAIMED_AT_ONCE):
            some = entry_ids[start : start + CLAIMED_AT_ONCE]
            self._call("XCLAIM", self._stream, self._group, self._consumer, 0, *some, "JUSTID", parse_justid=True)

    def claim(self, *, idle_s: float, leave: Collection[str] = ()) -> None:
        """Takes over what others were given and have not touched for so long; they come with the next reads.

        Only ids are asked for, as nobody knows how long the entries are; those in `leave` are left for others at once.
        Raises SignalsUnreachable, SignalsRejected.
        """
        claiming = (self._stream, self._group, self._consumer, int(idle_s * 1000), FIRST_ID)
        answer: Any = self._call("XAUTOCLAIM", *claiming, "COUNT", CLAIMED_AT_ONCE, "JUSTID", parse_justid=True)
        try:
            claimed = [id_.decode() for id_ in answer or () if isinstance(id_, bytes)]
        except UNREADABLE as error:
            raise self._no_redis() from error
        self.leave([id_ for id_ in claimed if id_ in leave], idle_s=idle_s)
        if any(id_ not in leave for id_ in claimed):
            self.read_again()

    def leave(self, entry_ids: Collection[str], *, idle_s: float) -> None:
        """Puts them where every enforcer finds them that claims what is so long idle, also this one started again.

        Raises SignalsUnreachable, SignalsRejected.
        """
        if entry_ids:
            idle_ms = int(idle_s * 1000)
            to = (self._stream, self._group, _SHELF)
            self._call("XCLAIM", *to, 0, *entry_ids, "IDLE", idle_ms, "JUSTID", parse_justid=True)

    def close(self) -> None:
        client, self._client = self._client, None
        # An answer on its way is lost, and what stands in it is ours by now.
        self.read_again()
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()

    def _no_redis(self) -> SignalsUnreachable:
        """For an answer that is none of Redis; the connection is given up."""
        self.close()
        return SignalsUnreachable(_OPERATION, self._target, str(no_redis()))

    def _call(self, *command: str | int, **options: bool) -> object:
        """Redis's answer; None where the group had to be made anew. Raises TooLongReply as well."""
        too_long: TooLongReply | None = None
        answer: object = None
        try:
            with our_errors(_OPERATION, self._target):
                if self._client is None:
                    self._client = connect(self._target, timeout_s=READ_TIMEOUT_S)
                try:
                    answer = self._client.execute_command(*command, **options)
                except TooLongReply as error:
                    too_long = error
                except ResponseError as error:
                    if not _is_without_group(error):
                        raise
                    self._make_group(self._client)
        except BaseException:
            self.close()
            raise
        if too_long is not None:
            raise too_long
        return answer

    def _make_group(self, client: Client) -> None:
        """At 0, never at `$`: what came before the group, or before Redis lost it, is to be settled as well."""
        try:
            client.execute_command("XGROUP CREATE", self._stream, self._group, "0", "MKSTREAM")
        except ResponseError as error:
            if not _says(error, "BUSYGROUP"):  # another enforcer was faster
                raise
        self.read_again()

    def _one_by_one(self, error: TooLongReply) -> tuple[Entry, ...]:
        """Anybody may have put anything into the stream. It is ours by now, so it is read from our list, alone."""
        after, was_alone = self._after, self._entries_a_read == 1
        self.close()  # the rest of the reply is still to come
        self._entries_a_read = 1
        if after == _NEW:
            return ()
        self._after = after
        if not was_alone:
            return ()
        entry = Entry(first_id(error), {}, f"longer than {MOST_REPLY_BYTES >> 20} MiB")
        self._after = entry.id
        return (entry,)


class AckWriter:
    """Writes acknowledgements. One thread at a time; every error leaves it ready for the next call."""

    def __init__(self, target: RedisTarget, *, prefix: str, group: str, timeout_s: float, keep_s: float) -> None:
        self._caller = RedisCaller(target, timeout_s=timeout_s)
        self._prefix = prefix
        self._group = group
        self._keep_s = int(keep_s)

    def settle(self, entry_id: str, *, signal_id: str, event: str, signature: str) -> bool:
        """Returns when the acknowledgement is in the stream and the entry off the list. False: there was one before.

        Raises SignalsUnreachable, SignalsRejected.
        """
        keys = (f"{self._prefix}signals", f"{self._prefix}acks", f"{self._prefix}done:{signal_id}")
        arguments = (self._group, entry_id, event, signature, self._keep_s)
        # Its text each time: the permissions that docs/signals.md gives an enforcer have no EVALSHA for these keys.
        answer = self._caller.call("EVAL", _SETTLE.text, len(keys), *keys, *arguments, operation=_ACKNOWLEDGE)
        if answer not in (0, 1):
            raise self._caller.no_redis(_ACKNOWLEDGE)
        return answer == 1

    def close(self) -> None:
        self._caller.close()


def group_of(servers: Sequence[str]) -> str:
    """The group's name: enforcers of the same servers share their signals, others get them all as well."""
    return f"enforce:{','.join(sorted(servers))}"


def _is_without_group(error: ResponseError) -> bool:
    """Redis was restarted without its data, or somebody deleted the stream, while we read or before."""
    return _says(error, "NOGROUP") or _says(error, "UNBLOCKED")


def _says(error: ResponseError, word: str) -> bool:
    return word in f"{getattr(error, 'status_code', None) or ''} {error}"
