"""One channel of Redis, listened to. Messages are lost while nobody listens: only what may be lost is told this way."""

import time
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from streamguard.enforce.redis.connect import client_of
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import UNREADABLE, Allowance, no_redis
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import SignalsUnreachable

_TIMEOUT_S = 3.0
_MOST_AT_ONCE = 50
_OPERATION = "listen to publishers in"


class Subscription:
    """Connected and subscribed, or an error: SignalsUnreachable, SignalsRejected."""

    def __init__(self, target: RedisTarget, *, channel: str) -> None:
        self._target = target
        self._allowance = Allowance(timeout_s=_TIMEOUT_S)
        self._unanswered = 0
        with our_errors(_OPERATION, target):
            self._client: Any = client_of(target, self._allowance)
            self._channel: Any = self._client.pubsub(ignore_subscribe_messages=True)
            try:
                self._channel.subscribe(channel)
            except BaseException:
                self.close()
                raise

    def messages(self, *, within_s: float) -> list[bytes]:
        """What has come, as soon as there is any; of a flood a few at a time, and the rest waits where it is.

        Raises SignalsUnreachable also where nobody answers on a connection that looks well.
        """
        try:
            with our_errors(_OPERATION, self._target):
                return self._messages(time.monotonic() + within_s)
        except UNREADABLE as error:
            raise SignalsUnreachable(_OPERATION, self._target, str(no_redis())) from error

    def _messages(self, ends_at_s: float) -> list[bytes]:
        # An answer has a deadline, and a message is none: each ping begins a new one.
        self._allowance.renew()
        self._channel.ping()
        self._unanswered += 1
        messages: list[bytes] = []
        for _ in range(_MOST_AT_ONCE):
            left_s = 0.0 if messages else max(0.0, ends_at_s - time.monotonic())
            message = self._channel.get_message(timeout=left_s)
            if message is not None:
                self._unanswered = 0
            if message is not None and message["type"] == "message":
                messages.append(message["data"])
            elif message is None and left_s <= 0.0:
                break
        if self._unanswered > 1:
            raise TimeoutError("no answer to a ping")
        return messages

    def close(self) -> None:
        for one in (self._channel, self._client):
            with suppress(RedisError, OSError, *UNREADABLE):
                one.close()
