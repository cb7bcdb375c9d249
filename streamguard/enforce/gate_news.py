"""The thread that tells discovery of each publisher that the gate let in, so that it lists at once.

They are hints: one that cannot be sent is dropped and counted, and the next listing finds its publisher all the same.
"""

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from streamguard.enforce.redis_connect import connect
from streamguard.enforce.redis_errors import our_errors
from streamguard.enforce.redis_limits import UNREADABLE, Client, no_redis
from streamguard.enforce.redis_url import RedisTarget
from streamguard.errors import SignalsError
from streamguard.servers.hooks import HookKind
from streamguard.types import SessionId, StreamId

MOST_WAITING = 1000
_REST_AFTER_FAILURE_S = 1.0
_LOOK_UP_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class PublisherHint:
    """Somebody is about to publish. `server` is what the hook's URL calls it; both may be empty: not known."""

    stream: StreamId
    hook: HookKind
    server: str = ""
    session: SessionId = SessionId("")  # noqa: RUF009 - a string

    def as_json(self) -> str:
        tree = {"stream": self.stream, "hook": self.hook.value, "server": self.server, "session": self.session}
        return json.dumps({name: value for name, value in tree.items() if value}, separators=(",", ":"))


class GateNews:
    """`start()` it, `tell()` it from any thread without waiting, `stop()` it."""

    def __init__(
        self,
        target: RedisTarget,
        *,
        prefix: str,
        timeout_s: float,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._channel = f"{prefix}publishers"
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._waiting: queue.Queue[PublisherHint] = queue.Queue(MOST_WAITING)
        self._client: Client | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self, hint: PublisherHint) -> None:
        try:
            self._waiting.put_nowait(hint)
        except queue.Full:
            self._on_lost()

    def stop(self) -> None:
        """What still waits is dropped."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_LOOK_UP_EVERY_S + self._timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                hint = self._waiting.get(timeout=_LOOK_UP_EVERY_S)
            except queue.Empty:
                continue
            try:
                self._publish(hint)
            except SignalsError:
                self._on_lost()
                self._close()
                # Those that wait are about publishers that will have been listed by then.
                self._stopping.wait(_REST_AFTER_FAILURE_S)
                self._drop_all()
        self._close()

    def _publish(self, hint: PublisherHint) -> None:
        with our_errors("tell of publisher in", self._target):
            try:
                if self._client is None:
                    self._client = connect(self._target, timeout_s=self._timeout_s)
                self._client.execute_command("PUBLISH", self._channel, hint.as_json())
            except UNREADABLE as error:
                raise no_redis() from error

    def _drop_all(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                self._on_lost()

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()
