"""The worker's side of acknowledgements: closes kills in the outbox, and tells which ones nobody answered to."""

import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streamguard.core.backoff import delay_s
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.signals.acks import Outcome, ReceivedAck, read_ack
from streamguard.enforce.signals.follow import ENTRIES_A_READ, Entry
from streamguard.errors import OutboxError, SignalNotUnderstood, SignalsError, SignalsRejected

READ_FOR_S = 1.0
GIVE_UP_AFTER_S = 30.0
"""So long after a signal's expiry its answer may come: an enforcer verifies, and Redis may be away for a moment."""
RETRY_FIRST_S = 0.5
RETRY_CAP_S = 30.0
_MOST_UNNOTED = 10_000
_CLOCKS_DIFFER_S = 600.0


class AckSource(Protocol):
    """The stream of acknowledgements; raises SignalsUnreachable, SignalsRejected."""

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]: ...

    def close(self) -> None: ...


class AckObserver(Protocol):
    """Who is told, by the follower's thread; must not raise."""

    def acknowledged(self, outcome: Outcome, signal_id: str, why: str) -> None:
        """One of our kills came to its end."""

    def ack_ignored(self) -> None:
        """An entry that is no acknowledgement, or a forged one."""

    def unacknowledged(self, *, for_server: bool) -> None:
        """A kill expired, and nobody answered; `for_server`: it named a media server's session."""

    def acks(self, problem: str) -> None:
        """After each attempt to read; empty: it went well."""


class AckFollower:
    """`start()` it, `stop()` it. Reads what anybody may have written, and believes only what is signed with `key`."""

    def __init__(
        self,
        outbox: Outbox,
        source: AckSource,
        *,
        key: bytes | None,
        observer: AckObserver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._source = source
        self._key = key
        self._observer = observer
        self._clock = clock
        self._unnoted: deque[ReceivedAck] = deque(maxlen=_MOST_UNNOTED)
        self._failures = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acks", daemon=True)

    @property
    def is_running(self) -> bool:
        """False also when it ended by a mistake of ours."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """False: it is still reading, and may be left behind."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def round(self) -> float:
        """Reads once; returns the seconds to rest."""
        try:
            self._note()
            entries = self._source.read(at_most_s=READ_FOR_S)
            for entry in entries:
                self._judge(entry)
            self._note()
            if len(entries) < ENTRIES_A_READ:  # all is read that was written: who has not answered by now did not
                self._give_up()
        except (SignalsError, OutboxError) as error:
            return self._troubled(error)
        self._failures = 0
        self._observer.acks("")
        return 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.round())
        self._source.close()

    def _judge(self, entry: Entry) -> None:
        try:
            ack = read_ack(entry.fields, key=self._key)
        except SignalNotUnderstood:
            self._observer.ack_ignored()
            return
        if ack.genuine:
            self._unnoted.append(ack)
        else:
            self._observer.ack_ignored()

    def _note(self) -> None:
        """A disk that is full loses none: they wait here."""
        while self._unnoted:
            ack = self._unnoted[0]
            # Workers share the stream: most are the others'.
            is_ours = self._outbox.acknowledged(ack.signal_id, outcome=ack.outcome.value)
            self._unnoted.popleft()
            if is_ours:
                self._observer.acknowledged(ack.outcome, ack.signal_id, ack.why)

    def _give_up(self) -> None:
        for event in self._outbox.give_up(expired_by_unix_s=self._clock() - GIVE_UP_AFTER_S):
            self._observer.unacknowledged(for_server=names_a_server(event))

    def _troubled(self, error: SignalsError | OutboxError) -> float:
        self._failures += 1
        self._observer.acks(str(error))
        if isinstance(error, SignalsRejected):
            # We may not read them, and will not by waiting: nobody's answer reaches us.
            try:
                self._give_up()
            except OutboxError as failed:
                self._observer.acks(str(failed))
        jitter = random.random()  # noqa: S311 - spreads workers, guards nothing
        return delay_s(self._failures, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=jitter)


def acks_since(outbox: Outbox, *, now_unix_s: float) -> str:
    """From which entry on: before the oldest kill that is open, by clocks that differ. Raises OutboxError."""
    oldest_unix_s = outbox.oldest_unanswered_unix_s()
    since_unix_s = now_unix_s if oldest_unix_s is None else min(now_unix_s, oldest_unix_s)
    return f"{max(0, int((since_unix_s - _CLOCKS_DIFFER_S) * 1000))}-0"


def names_a_server(event: str) -> bool:
    """Whether an enforcer could have executed it."""
    try:
        return bool(json.loads(event)["data"].get("server"))
    except (ValueError, TypeError, LookupError, AttributeError):
        return False
