"""Kill-signals to Redis Streams: each one once in the stream, however often it had to be sent."""

from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.errors import SignalRefused
from streamguard.signing import sign
from streamguard.types import KillSignal

MAX_EVENT_BYTES = 262_144
"""An event is 1 to 20 kB; consumers refuse anything above this unread."""

PUBLISH = load_script(__name__, "publish_signal.lua")
"""For whatever goes into the stream of signals, once: notices, too."""
_PUBLISHED = (0, 1)
"""All that the script answers, when the signal is in the stream: it was there before, or is there now."""


class RedisStreams:
    """A Transport (see delivery.py). Connects when first used; one thread at a time.

    A signal is known to have been sent for `keep_s`, so a signal that waits longer than that after its reply was lost
    comes a second time: consumers tell by its id.
    """

    def __init__(
        self, target: str | RedisTarget, *, prefix: str, timeout_s: float, keep_s: float, key: bytes | None = None
    ) -> None:
        """`key` signs; without one `sig` is empty. Raises UsageError: the URL, or a prefix that a Cluster splits."""
        self.target = checked_target(target, prefix=prefix)
        self._caller = RedisCaller(self.target, timeout_s=timeout_s)
        self._prefix = prefix
        self._keep_s = int(keep_s)
        self._key = key

    def check(self) -> None:
        """Asks Redis to take the script: shows an unreachable Redis, a wrong password, a certificate, no permission for
        scripts. Which keys may be written, and whether `signals` is a stream, only a signal shows: we may not look.

        Raises SignalsUnreachable (at start that is no reason to stop) or SignalsRejected (that is one).
        """
        self._caller.call("SCRIPT LOAD", PUBLISH.text, operation="check Redis")

    def deliver(self, signal: KillSignal) -> None:
        """Returns when the signal is in the stream. Raises SignalsUnreachable, SignalsRejected, SignalRefused."""
        size_bytes = len(signal.event.encode())
        if size_bytes > MAX_EVENT_BYTES:
            problem = f"its event has {size_bytes} bytes, {MAX_EVENT_BYTES} are the most"
            raise SignalRefused("publish signal", signal.id, problem)
        signature = ""
        if self._key is not None:
            signature = sign(self._key, id=signal.id, timestamp_s=int(signal.decided_unix_s), payload=signal.event)
        keys = (f"{self._prefix}signals", f"{self._prefix}sent:{signal.id}")
        arguments = (signal.event, signature, self._keep_s)
        answer = self._caller.run(PUBLISH, operation="publish signal", keys=keys, arguments=arguments)
        if not isinstance(answer, int) or answer not in _PUBLISHED:
            raise self._caller.no_redis("publish signal")  # whatever it is, it did not run our script

    def close(self) -> None:
        """Harmless when called twice, or before anything was sent."""
        self._caller.close()
