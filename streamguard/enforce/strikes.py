"""A strike: a publisher that was killed for known footage, and is refused for a while."""

from dataclasses import dataclass

from streamguard.types import SessionId, StreamId


@dataclass(frozen=True, slots=True)
class Strike:
    """One kill-signal's consequence at the gate: whoever has one of the `keys` is refused.

    Keys are like `stream:live/cam`, `address:203.0.113.9`, `account:anna`. `session` is the one that was killed, by
    its server's own id; `decided_unix_s` is the worker's clock, and for people only.
    """

    signal_id: str
    keys: tuple[str, ...]
    stream: StreamId
    session: SessionId
    reference: str
    reason: str
    decided_unix_s: float
