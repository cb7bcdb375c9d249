"""What an enforcer answers to a kill-signal: one CloudEvents object in the stream of acknowledgements. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

from streamguard.enforce.signals.events import as_text
from streamguard.errors import SignalNotUnderstood, one_line
from streamguard.signing import sign, verify

ACK_TYPE = "org.streamguard.ack.v1"
MOST_ACK_BYTES = 16_384
_MOST_WHY = 300
_MOST_ID = 200
_MOST_SIGNATURE = 1000


class Outcome(Enum):
    """What became of a kill-signal; it comes to an end with each of them."""

    EXECUTED = "executed"
    """The session was cut, and a listing without it confirmed that."""
    ALREADY_GONE = "already_gone"
    REFUSED = "refused"
    """It must not be acted upon: expired, a successor, no session to cut."""
    FAILED = "failed"
    """It could not be done before it expired: a person should."""


@dataclass(frozen=True, slots=True)
class Ack:
    """One kill-signal's end. `timings_s` are seconds since the decision, by the enforcer's clock, step by step."""

    signal_id: str
    outcome: Outcome
    why: str
    stream: str
    session: str
    server: str
    timings_s: tuple[tuple[str, float], ...] = ()

    def event(self, *, enforcer: str, now_unix_s: float) -> str:
        """The CloudEvents object as JSON text: ASCII, and far below MOST_ACK_BYTES."""
        now_ms = int(now_unix_s * 1000)
        digest = hashlib.sha256(json.dumps([self.signal_id, self.outcome.value, now_ms]).encode()).hexdigest()
        moment = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
        tree = {
            "specversion": "1.0",
            "id": f"ack_{digest[:32]}",
            "source": f"/streamguard/{quote(as_text(enforcer), safe='')}",
            "type": ACK_TYPE,
            "subject": as_text(self.stream),
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z",
            "datacontenttype": "application/json",
            "data": {
                "signal_id": self.signal_id,
                "outcome": self.outcome.value,
                "why": one_line(as_text(self.why))[:_MOST_WHY],
                "server": as_text(self.server),
                "session_id": as_text(self.session),
                "timings_s": {step: round(seconds, 6) for step, seconds in self.timings_s},
            },
        }
        return json.dumps(tree, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def signed(event: str, *, key: bytes | None) -> str:
    """What goes into the field `sig` beside this event of ours; empty without a key."""
    if key is None:
        return ""
    head = json.loads(event)
    return sign(key, id=head["id"], timestamp_s=_second_of(head["time"]), payload=event)


@dataclass(frozen=True, slots=True)
class ReceivedAck:
    """What stands in the stream of acknowledgements, in the form of one; `genuine`: signed with our key, or we have
    none.
    """

    signal_id: str
    outcome: Outcome
    why: str
    genuine: bool


def read_ack(fields: Mapping[bytes, bytes], *, key: bytes | None) -> ReceivedAck:
    """One entry, which anybody may have written. Raises SignalNotUnderstood, whatever it holds."""
    raw = fields.get(b"event", b"")
    if not 0 < len(raw) <= MOST_ACK_BYTES:
        raise _not_understood(f"its event has {len(raw)} bytes")
    try:
        payload = raw.decode("utf-8")
        signature = fields.get(b"sig", b"")[:_MOST_SIGNATURE].decode("utf-8")
        event = json.loads(payload)
        if event["specversion"] != "1.0" or event["type"] != ACK_TYPE:
            raise _not_understood("no acknowledgement")
        data = event["data"]
        id_, signal_id, why = (_text(value) for value in (event["id"], data["signal_id"], data["why"]))
        outcome = Outcome(data["outcome"])
        timestamp_s = _second_of(_text(event["time"]))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise _not_understood(f"no acknowledgement ({type(error).__name__})") from error
    genuine = key is None or verify(key, id=id_, timestamp_s=timestamp_s, payload=payload, signature=signature)
    return ReceivedAck(signal_id, outcome, one_line(why), genuine)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    """Raises ValueError."""
    if not isinstance(value, str) or len(value) > max(_MOST_ID, _MOST_WHY):
        raise ValueError("no text, or a long one")
    return value.encode().decode()  # no lone surrogates: SQLite takes none


def _second_of(time: str) -> int:
    """Raises ValueError."""
    moment = datetime.fromisoformat(time)
    if moment.utcoffset() is None:
        raise ValueError("no time zone")
    return int(moment.timestamp())


def _not_understood(problem: str) -> SignalNotUnderstood:
    return SignalNotUnderstood("read acknowledgement", "", problem)
