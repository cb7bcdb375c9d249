"""One connection for commands and scripts: each call ends in time, in an answer or an error of ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from redis.exceptions import RedisError

from streamguard.enforce.redis.connect import connect, redis_now_ms
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import UNREADABLE, Client, no_redis
from streamguard.enforce.redis.script import Script, run_script
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import SignalsUnreachable


class RedisCaller:
    """Connects when first used; one thread at a time. Each call raises SignalsUnreachable or SignalsRejected, and
    leaves it ready for the next.
    """

    def __init__(self, target: RedisTarget, *, timeout_s: float) -> None:
        self.target = target
        self._timeout_s = timeout_s
        self._client: Client | None = None

    @contextmanager
    def asking(self, operation: str) -> Iterator[Client]:
        """For several commands of one operation. What stumbles over an answer within shows that it is none of Redis."""
        try:
            with our_errors(operation, self.target):
                if self._client is None:
                    self._client = connect(self.target, timeout_s=self._timeout_s)
                try:
                    yield self._client
                except UNREADABLE as error:
                    raise no_redis() from error
        except BaseException:
            # A fresh start next time: a Cluster's map, a Sentinel's master or a login may have changed.
            self.close()
            raise

    def run(
        self, script: Script, *, operation: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> object:
        """What the script returns."""
        with self.asking(operation) as client:
            return run_script(client, script, keys=keys, arguments=arguments)

    def call(self, *command: str | bytes | int, operation: str) -> object:
        """One command's answer."""
        with self.asking(operation) as client:
            answer: object = client.execute_command(*command)
            return answer

    def now_ms(self, operation: str) -> int:
        """Unix milliseconds by Redis's clock: those of workers and operators may be wrong."""
        with self.asking(operation) as client:
            return redis_now_ms(client, self.target)

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
