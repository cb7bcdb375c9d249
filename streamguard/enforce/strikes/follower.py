"""The thread that keeps the gate's cache of strikes as Redis has it: all of them at first, then change after change.

All are read again when Redis was lost, restarted or replaced, when a change could not be understood, and each minute
whatever happened: a fail-over may have forgotten strikes, or changes.
"""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from streamguard.core.backoff import delay_s
from streamguard.core.strikes import Standing, standing
from streamguard.enforce.redis.connect import connect, redis_now_ms
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import UNREADABLE, Client, no_redis
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.enforce.strikes.cache import Held, StrikeCache
from streamguard.enforce.strikes.reading import StrikeNames, active_records
from streamguard.enforce.strikes.records import read_audit
from streamguard.errors import SignalsError

BLOCK_S = 1.0
"""A gate is sure of its strikes at least so often."""
READ_TIMEOUT_S = BLOCK_S + 2.0
RELOAD_EVERY_S = 60.0
MEND_AFTER_S = 1.0
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 1.0
CHANGES_A_READ = 64
_FIRST = (0, 0)


class StrikeFollower:
    """`start()` it, `stop()` it. `on_trouble` hears once when Redis goes away or says no, and None when it is back."""

    def __init__(
        self,
        target: str | RedisTarget,
        *,
        prefix: str,
        cache: StrikeCache,
        on_trouble: Callable[[SignalsError | None], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises UsageError: the URL, or a prefix that a Cluster splits."""
        self.target = checked_target(target, prefix=prefix)
        self.reloads = 0
        self.not_understood = 0
        self.trouble: SignalsError | None = None
        """What Redis said last; None while all is well."""
        self._names = StrikeNames(prefix)
        self._cache = cache
        self._on_trouble = on_trouble
        self._clock = clock
        self._client: Client | None = None
        self._place = _FIRST
        self._ahead_s = 0.0
        self._reload_due_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strikes", daemon=True)

    @property
    def running(self) -> bool:
        """False also when it ended by a mistake of ours."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The read under way is broken off."""
        self._stopping.set()
        client = self._client
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()
        if self._thread.ident is not None:
            self._thread.join(READ_TIMEOUT_S)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._once()
            except SignalsError as error:
                if self._stopping.is_set():
                    break
                failures += 1
                self.trouble = error
                if failures == 1:
                    self._on_trouble(error)
                jitter = random.random()  # noqa: S311 - spreads gates, guards nothing
                self._stopping.wait(delay_s(failures, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=jitter))
            else:
                if failures:
                    self._on_trouble(None)
                failures, self.trouble = 0, None
        self._close()

    def _once(self) -> None:
        """Everything, where that is due, and what comes within a second. Raises SignalsError."""
        try:
            with our_errors("follow strikes in", self.target):
                try:
                    if self._client is None:
                        self._client = connect(self.target, timeout_s=READ_TIMEOUT_S)
                        self._reload(self._client)
                    self._follow(self._client)
                    if self._clock() >= self._reload_due_s:
                        self._reload(self._client)
                except UNREADABLE as error:
                    raise no_redis() from error
        except SignalsError:
            self._close()
            raise

    def _reload(self, client: Client) -> None:
        # The place comes first: a change between the two is read twice, never missed.
        self._place = self._newest(client)
        now_unix_ms = redis_now_ms(client, self.target)
        self._ahead_s = self._clock() - now_unix_ms / 1000
        found = {
            key: self._held(standing(records, now_unix_ms=now_unix_ms))
            for key, records in active_records(client, self._names)
        }
        self._cache.replace(found)
        self._reload_due_s = self._clock() + RELOAD_EVERY_S
        self.reloads += 1

    def _follow(self, client: Client) -> None:
        place = "-".join(str(part) for part in self._place)
        block_ms = round(1000 * BLOCK_S)
        answer = client.execute_command(
            "XREAD", "COUNT", CHANGES_A_READ, "BLOCK", block_ms, "STREAMS", self._names.audit, place
        )
        if not answer:
            # redis-py may have connected anew without a word, to a Redis that is another one now.
            if self._newest(client) < self._place:
                self._reload(client)
            self._cache.confirm()
            return
        for _, entries in answer:
            for entry_id, fields in entries:
                self._change(fields)
                self._place = _place(entry_id)
        self._cache.confirm()

    def _change(self, fields: dict[bytes, bytes]) -> None:
        entry = read_audit(fields.get(b"event"))
        if entry is None:
            # Anybody may have written it. Soon, not at once: nonsense in plenty must not keep us at it.
            self.not_understood += 1
            self._reload_due_s = min(self._reload_due_s, self._clock() + MEND_AFTER_S)
            return
        self._cache.put(entry.key, self._held(entry.standing))

    def _held(self, found: Standing) -> Held:
        return Held(found.until_unix_ms / 1000 + self._ahead_s, frozenset(found.sessions))

    def _newest(self, client: Client) -> tuple[int, int]:
        newest = client.execute_command("XREVRANGE", self._names.audit, "+", "-", "COUNT", 1)
        return _place(newest[0][0]) if newest else _FIRST

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()


def _place(entry_id: object) -> tuple[int, int]:
    """Raises ValueError: what answers need not be a Redis."""
    if not isinstance(entry_id, bytes):
        raise ValueError("no entry id")  # noqa: TRY004 - as int() does
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
