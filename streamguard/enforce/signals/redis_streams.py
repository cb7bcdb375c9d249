"""Kill-signals to Redis Streams: each one once in the stream, however often it had to be sent."""

from contextlib import suppress

from redis.exceptions import NoScriptError, RedisError

from streamguard.enforce.redis.connect import connect
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import Client, no_redis
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.errors import SignalRefused, SignalsError, SignalsUnreachable
from streamguard.signing import sign
from streamguard.types import KillSignal

MAX_EVENT_BYTES = 262_144
"""An event is 1 to 20 kB; consumers refuse anything above this unread."""

PUBLISH = load_script(__name__, "publish_signal.lua")
"""For whatever goes into the stream of signals, once: notices, too."""
_PUBLISHED = (0, 1)
"""All that the script answers, when the signal is in the stream: it was there before, or is there now."""

_NO_SCRIPT = object()


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
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._keep_s = int(keep_s)
        self._key = key
        self._client: Client | None = None

    def check(self) -> None:
        """Asks Redis to take the script: shows an unreachable Redis, a wrong password, a certificate, no permission for
        scripts. Which keys may be written, and whether `signals` is a stream, only a signal shows: we may not look.

        Raises SignalsUnreachable (at start that is no reason to stop) or SignalsRejected (that is one).
        """
        self._call("check Redis", "SCRIPT LOAD", PUBLISH.text)

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
        arguments = (len(keys), *keys, signal.event, signature, self._keep_s)
        # A Redis that was restarted has forgotten the script; EVAL teaches it again. NOSCRIPT means that nothing ran.
        answer = self._call("publish signal", "EVALSHA", PUBLISH.sha, *arguments)
        if answer is _NO_SCRIPT:
            answer = self._call("publish signal", "EVAL", PUBLISH.text, *arguments)
        if not isinstance(answer, int) or answer not in _PUBLISHED:
            # Whatever it is, it did not run our script.
            self.close()
            raise SignalsUnreachable("publish signal", self.target, str(no_redis()))

    def close(self) -> None:
        """Harmless when called twice, or before anything was sent."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()

    def _call(self, operation: str, *command: str | int) -> object:
        """Redis's answer, or _NO_SCRIPT: it does not know the script."""
        try:
            with our_errors(operation, self.target):
                if self._client is None:
                    self._client = connect(self.target, timeout_s=self._timeout_s)
                try:
                    answer: object = self._client.execute_command(*command)
                except NoScriptError:
                    return _NO_SCRIPT
                return answer
        except SignalsError:
            # A fresh start next time: a Cluster's map, a Sentinel's master or a login may have changed.
            self.close()
            raise
