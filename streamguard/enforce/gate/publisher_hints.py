"""Where a publish gate runs, it says in Redis who is about to publish: a hint to look at once.

Whoever may publish to the channel may say anything: a hint is never believed, it only makes the servers be asked.
"""

import json
import random
import threading
from collections.abc import Callable

import structlog

from streamguard.core.backoff import delay_s
from streamguard.enforce.redis.subscription import Subscription
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import SignalsError

CHANNEL = "publishers"
"""Behind the prefix of all keys."""

_ROUND_S = 1.0
_BETWEEN_PORTIONS_S = 0.1
"""A flood costs no more than what is read at once, so often."""
_RETRY_FIRST_S = 0.5
_RETRY_CAP_S = 15.0
_MOST_BYTES = 16_384
_MOST_NAME = 1000

log = structlog.get_logger()


def is_hint(message: bytes) -> bool:
    """Whether it is what a gate says: a small JSON object with `stream` and `hook`."""
    if len(message) > _MOST_BYTES:
        return False
    try:
        told = json.loads(message)
    except (ValueError, RecursionError):
        return False
    match told:
        case {"stream": str(stream), "hook": str(hook)}:
            return 0 < len(stream) <= _MOST_NAME and 0 < len(hook) <= _MOST_NAME
        case _:
            return False


class PublisherHints:
    """Listens in a thread of its own, and again when Redis is back; without it, listings alone find publishers."""

    def __init__(self, target: RedisTarget, *, prefix: str, on_hint: Callable[[], None]) -> None:
        """`on_hint` is called in the thread, once for all hints that came together."""
        self._target = target
        self._channel = prefix + CHANNEL
        self._on_hint = on_hint
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher-hints", daemon=True)
        self.problem = ""
        """Why nobody listens, if so. Other threads may read this and the counts."""
        self.is_listening = False
        self.heard = 0
        self.not_understood = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Harmless where it was never started."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._listen()
            except SignalsError as error:
                failures = 1 if self.is_listening else failures + 1
                self.is_listening = False
                if not self.problem:
                    note = "publishers are found by listings alone"
                    log.warning("publisher_hints", problem=str(error), note=note)
                self.problem = str(error)
                pause_s = delay_s(failures, first_s=_RETRY_FIRST_S, cap_s=_RETRY_CAP_S, jitter=random.random())  # noqa: S311
                self._stopping.wait(pause_s)

    def _listen(self) -> None:
        subscription = Subscription(self._target, channel=self._channel)
        try:
            while not self._stopping.is_set():
                messages = subscription.messages(within_s=_ROUND_S)
                self._heard(messages)
                if messages:
                    self._stopping.wait(_BETWEEN_PORTIONS_S)
        finally:
            subscription.close()

    def _heard(self, messages: list[bytes]) -> None:
        if self.problem:
            log.info("publisher_hints", problem="")
        self.problem, self.is_listening = "", True
        hints = sum(is_hint(message) for message in messages)
        self.heard += hints
        self.not_understood += len(messages) - hints
        if hints:
            self._on_hint()
