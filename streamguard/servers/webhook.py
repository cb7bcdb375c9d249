"""A platform that is told of kill-signals by a signed webhook, for every media server that has no file of its own here.

It is told, and no more: it lists nobody, so whether anything was cut is not known. Whoever acknowledges may say that it
was told, and never that a stream was cut. So it is no MediaServer, and has a contract of its own.

The headers are those of Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature), which has libraries for
the other side in most languages: https://github.com/standard-webhooks/standard-webhooks
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl, Call, HttpApi
from streamguard.signing import sign

_TELL = "tell"
_ACCEPTED = frozenset(range(200, 300))


@dataclass(frozen=True, slots=True)
class Notice:
    """`id` is the same however often it is told, so that the other side can act once. `event` is a CloudEvents object
    as JSON, and is sent to the letter.
    """

    id: str
    event: str


class Told(Protocol):
    """Somebody who is told, and may act on it. Telling again does no harm."""

    @property
    def name(self) -> str:
        """What the operator calls it."""

    def tell(self, notice: Notice, /) -> None:
        """Returns when it was taken: it will be acted on, or not; nobody here will know. Raises ServerUnreachable (tell
        it again, later), ServerRefused or ServerNotUnderstood (again will not help: mend the address, the key, or it).
        """


class Webhook:
    """`url` is where to POST; `key` is what the other side verifies with."""

    def __init__(
        self, url: ApiUrl, *, name: str, key: bytes, limits: ApiLimits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._name = name
        self._key = key
        self._clock = clock
        self._api = HttpApi(url, name=name, limits=limits)

    @property
    def name(self) -> str:
        return self._name

    def tell(self, notice: Notice, /) -> None:
        """2xx is taken; 408, 425, 429, 5xx and no answer are worth another try; the rest is a refusal."""
        # The time is that of this try: the other side refuses old ones, lest a recorded one be played again.
        timestamp_s = int(self._clock())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": notice.id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(self._key, id=notice.id, timestamp_s=timestamp_s, payload=notice.event),
        }
        body = notice.event.encode("utf-8", "surrogatepass")
        self._api.ask(Call(_TELL, "", "POST", headers, body, _ACCEPTED, only_status=True))
