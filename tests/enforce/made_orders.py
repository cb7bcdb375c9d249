"""Kill-signals of a media server's sessions, signed, as they stand in Redis."""

import json
from dataclasses import dataclass
from typing import Any

from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.signals.received import ReceivedSignal, read_signal
from streamguard.signing import sign
from streamguard.types import SessionId, StreamId, Verdict
from tests.kill_signals import KEY, NOW_UNIX_S, a_decision, addressed


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill-signal for a session; `event` is its text."""

    id: str
    event: str
    decided_unix_s: float

    def fields(self, *, key: bytes | None = KEY, event: str | None = None) -> dict[bytes, bytes]:
        """Signed with `key` as it was made; `event` stands in its place."""
        signature = ""
        if key is not None:
            signature = sign(key, id=self.id, timestamp_s=int(self.decided_unix_s), payload=self.event)
        return {b"event": (event or self.event).encode(), b"sig": signature.encode()}

    def received(self) -> ReceivedSignal:
        return read_signal(self.fields())


def a_kill(  # noqa: PLR0913 - what a signal names, each by name
    session: str = "nginx-1",
    *,
    stream: str = "live/cam",
    server: str | None = "nginx-rtmp",
    now_unix_s: float = NOW_UNIX_S,
    expires_after_s: float = 300.0,
    verdict: Verdict = Verdict.KILL,
    pts_us: int = 14_000_000,
) -> Kill:
    """A worker's decision on a session of a media server; None: on a stream named by its URL."""
    signal = addressed(
        a_decision(verdict=verdict, pts_us=pts_us),
        stream=stream,
        session=session,
        now_unix_s=now_unix_s,
        expires_after_s=expires_after_s,
    )
    tree: dict[str, Any] = json.loads(signal.event)
    if server is not None:
        tree["data"]["server"] = server
    return Kill(signal.id, json.dumps(tree), signal.decided_unix_s)


def an_order(session: str = "nginx-1", *, stream: str = "live/cam", now_unix_s: float = NOW_UNIX_S) -> Order:
    """What is kept of such a signal."""
    return Order(
        id=f"sig_{session}",
        stream=StreamId(stream),
        session=SessionId(session),
        server="nginx-rtmp",
        reference="clip-1",
        label="terror",
        decided_unix_s=now_unix_s,
        expires_unix_s=now_unix_s + 300.0,
        nats=31.25,
        at_s=14.0,
    )
