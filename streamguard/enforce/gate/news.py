"""The thread that tells of each publisher that the gate let in: discovery, so that it lists at once, and the book of
strikes, whose account it is, where the gate was told to ask for that.

They are hints: one that cannot be sent is dropped and counted. The next listing finds its publisher all the same; a
strike against it is then by its stream alone.
"""

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.redis.url import RedisTarget
from streamguard.enforce.strikes.account_claims import (
    CLAIMS_KEPT_S,
    MOST_CLAIMED,
    MOST_CLAIMS,
    AccountClaim,
    claims_index,
    claims_name,
)
from streamguard.errors import SignalsError
from streamguard.servers.hooks import NO_SESSION, HookKind
from streamguard.types import SessionId, StreamId

MOST_WAITING = 1000
_REST_AFTER_FAILURE_S = 1.0
_LOOK_UP_EVERY_S = 0.5
_GATHER_S = 0.02
_SCRIPT = load_script(__name__, "publish_hints.lua")


@dataclass(frozen=True, slots=True)
class PublisherHint:
    """Somebody is about to publish. `server` is what the hook's URL calls it; it and the session may be empty: not
    known. The claim is for the book alone.
    """

    stream: StreamId
    hook: HookKind
    server: str = ""
    session: SessionId = NO_SESSION
    claim: AccountClaim | None = None

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
        self._caller = RedisCaller(target, timeout_s=timeout_s)
        self._prefix = prefix
        self._channel = f"{prefix}publishers"
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._waiting: queue.Queue[PublisherHint] = queue.Queue(MOST_WAITING)
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
                hints = [self._waiting.get(timeout=_LOOK_UP_EVERY_S)]
            except queue.Empty:
                continue
            # So that a thousand publishers a second cost fifty messages, and no request waits for this thread.
            self._stopping.wait(_GATHER_S)
            hints += self._all_waiting()
            try:
                self._publish(hints)
            except SignalsError:
                # Those that wait are about publishers that will have been listed by then.
                self._stopping.wait(_REST_AFTER_FAILURE_S)
                for _ in range(len(hints) + len(self._all_waiting())):
                    self._on_lost()
        self._caller.close()

    def _publish(self, hints: list[PublisherHint]) -> None:
        claims = [(hint.stream, hint.claim) for hint in hints if hint.claim is not None]
        names = [claims_name(self._prefix, stream) for stream, _ in claims]
        keys = (claims_index(self._prefix), *names) if names else ()
        settings = (self._channel, MOST_CLAIMS, round(1000 * CLAIMS_KEPT_S), MOST_CLAIMED)
        told = (*(claim.as_json() for _, claim in claims), *(hint.as_json() for hint in hints))
        self._caller.run(_SCRIPT, operation="tell of publishers in", keys=keys, arguments=(*settings, *told))

    def _all_waiting(self) -> list[PublisherHint]:
        hints = []
        with suppress(queue.Empty):
            while True:
                hints.append(self._waiting.get_nowait())
        return hints
