"""Strikes for tests."""

from streamguard.enforce.strikes.strike import Strike
from streamguard.types import SessionId, StreamId

STREAM = StreamId("live/cam")
KEY = f"stream:{STREAM}"


def a_strike(
    number: int = 0, *, keys: tuple[str, ...] = (KEY,), session: str | None = None, stream: StreamId = STREAM
) -> Strike:
    """The strike of signal `number`, over a session of its own unless one is named."""
    return Strike(
        signal_id=f"sig_{number:032d}",
        keys=keys,
        stream=stream,
        session=SessionId(f"session-{number}" if session is None else session),
        reference="mandelbrot",
        reason="known footage",
        decided_unix_s=1.0,
    )
