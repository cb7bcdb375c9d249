"""One connection for scripts in Redis: each call ends in time, in an answer or an error of ours."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources

from redis.exceptions import NoScriptError, RedisError

from streamguard.enforce.redis_connect import connect
from streamguard.enforce.redis_errors import our_errors
from streamguard.enforce.redis_limits import UNREADABLE, Client, no_redis
from streamguard.enforce.redis_url import RedisKind, RedisTarget
from streamguard.errors import SignalsUnreachable


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a .lua file beside this, and its digest, by which Redis knows it."""

    text: str
    sha: str


def load_script(name: str) -> Script:
    text = resources.files("streamguard.enforce").joinpath(name).read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class ScriptRunner:
    """Connects when first used; one thread at a time. Each call raises SignalsUnreachable or SignalsRejected, and
    leaves it ready for the next.
    """

    def __init__(self, target: RedisTarget, *, timeout_s: float) -> None:
        self.target = target
        self._timeout_s = timeout_s
        self._client: Client | None = None

    def run(self, script: Script, *, operation: str, keys: Sequence[str], arguments: Sequence[str | int]) -> object:
        """What the script returns. One round trip, but for the first time that this Redis sees it."""
        with_keys = (len(keys), *keys, *arguments)
        try:
            return self._call(operation, "EVALSHA", script.sha, *with_keys)
        except _UnknownScriptError:  # nothing ran; EVAL teaches it
            return self._call(operation, "EVAL", script.text, *with_keys)

    def call(self, *command: str | int | bytes, operation: str) -> object:
        """One command's answer."""
        return self._call(operation, *command)

    def time_ms(self, operation: str) -> int:
        """Unix milliseconds by Redis's clock: those of workers and operators may be wrong."""
        # A Cluster's client would ask every node.
        where = {"target_nodes": "random"} if self.target.kind is RedisKind.CLUSTER else {}
        match self._call(operation, "TIME", **where):
            case (int(seconds), int(microseconds)):
                return seconds * 1000 + microseconds // 1000
        raise self.no_redis(operation)

    def no_redis(self, operation: str) -> SignalsUnreachable:
        """For an answer that is none of ours; the connection is given up."""
        self.close()
        return SignalsUnreachable(operation, self.target, str(no_redis()))

    def close(self) -> None:
        """Harmless when called twice, or before anything was asked."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()

    def _call(self, operation: str, *command: str | int | bytes, **options: str) -> object:
        try:
            with our_errors(operation, self.target):
                if self._client is None:
                    self._client = connect(self.target, timeout_s=self._timeout_s)
                try:
                    answer: object = self._client.execute_command(*command, **options)
                except NoScriptError as error:
                    raise _UnknownScriptError from error
                return answer
        except _UnknownScriptError:
            raise
        except UNREADABLE as error:
            raise self.no_redis(operation) from error
        except BaseException:
            # A fresh start next time: a Cluster's map, a Sentinel's master or a login may have changed.
            self.close()
            raise


class _UnknownScriptError(Exception):
    """Redis was restarted, or never saw the script."""
