"""The genuine signal of an id, looked for in Redis: what is said of a signal must be said of one that was sent."""

from collections.abc import Iterator, Mapping

from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.signals.follow import entry_of
from streamguard.enforce.signals.received import ReceivedSignal, read_signal
from streamguard.errors import SignalNotUnderstood, UsageError
from streamguard.types import Verdict

MOST_ENTRIES = 200_000
_ENTRIES_A_PAGE = 64
_SENT = frozenset(verdict.value for verdict in Verdict)


def sent_signal(
    caller: RedisCaller, signal_id: str, *, prefix: str, key: bytes | None, operation: str
) -> ReceivedSignal:
    """What else has the id is passed over. `operation`: with "in" at its end. Raises UsageError for an id that is
    nowhere, SignalsUnreachable and SignalsRejected.
    """
    for fields in _entries(caller, prefix=prefix, operation=operation):
        if signal_id.encode() not in fields.get(b"event", b""):
            continue
        try:
            signal = read_signal(fields)
        except SignalNotUnderstood:
            continue
        if signal.id == signal_id and signal.verdict in _SENT and not signal.checked(key).doubtful:
            return signal
    hint = "`streamguard signals tail --since 0` shows ids; is the key the one that signed it?"
    problem = "there is no such genuine signal in Redis"
    raise UsageError(operation.removesuffix(" in"), signal_id[:200], problem, hint=hint)


def _entries(caller: RedisCaller, *, prefix: str, operation: str) -> Iterator[Mapping[bytes, bytes]]:
    """Newest first."""
    newest = "+"
    for _ in range(MOST_ENTRIES // _ENTRIES_A_PAGE):
        page = caller.call(
            *("XREVRANGE", f"{prefix}signals", newest, "-", "COUNT", _ENTRIES_A_PAGE), operation=operation
        )
        if not isinstance(page, list):
            raise caller.no_redis(operation)
        if not page:
            return
        try:
            entries = [entry_of(id_, fields) for id_, fields in page]
        except (ValueError, TypeError) as error:
            raise caller.no_redis(operation) from error
        newest = f"({entries[-1].id}"
        yield from (entry.fields for entry in entries)
