"""What a consumer receives from Redis, which anybody may have written: a kill-signal, or something not understood."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from streamguard.enforce.signals.events import event_type
from streamguard.enforce.signals.redis_streams import MAX_EVENT_BYTES
from streamguard.errors import SignalNotUnderstood
from streamguard.servers.json_words import no_constants
from streamguard.signing import verify
from streamguard.types import Trial, Verdict

_VERDICTS = {event_type(verdict): verdict.value for verdict in Verdict if verdict is not Verdict.CLEAR}
_VERDICTS |= {event_type(trial): trial.value for trial in Trial}
# What is told about a kill-signal, in the same form: notices.py.
_VERDICTS |= {f"org.streamguard.{word}.v1": word for word in ("held", "undo", "confirm")}
_LONGEST_NAME = 1000
_MOST_BELIEVED = 10_000


class Signature(Enum):
    GOOD = "good"
    BAD = "bad"
    MISSING = "missing"
    UNCHECKED = "unchecked"

    @property
    def doubtful(self) -> bool:
        """A key was there to check with, and it did not fit."""
        return self in {Signature.BAD, Signature.MISSING}


@dataclass(frozen=True, slots=True)
class ReceivedSignal:
    """A message in the form of a kill-signal. Its texts may hold anything that JSON can: mind the terminal."""

    id: str
    verdict: str
    stream: str
    session: str
    reference: str
    label: str
    nats: float
    at_s: float
    sent_at: datetime
    expires_at: datetime
    event: Mapping[str, Any]
    payload: str
    signature: str

    @property
    def server(self) -> str:
        """The media server whose session it names; empty: none, the stream was named by its URL."""
        name: str = self.event["data"].get("server", "")
        return name

    @property
    def streams_believed(self) -> int:
        """In how many streams its reference may kill, as the worker says of an open incident; 0: it says nothing that
        could be meant.
        """
        number = self.event["data"].get("streams_believed", 0)
        is_one = isinstance(number, int) and not isinstance(number, bool) and 0 < number <= _MOST_BELIEVED
        return number if is_one else 0

    def checked(self, key: bytes | None) -> Signature:
        """Whether it was signed with `key`; without a key nothing is known."""
        if key is None:
            return Signature.UNCHECKED
        if not self.signature:
            return Signature.MISSING
        timestamp_s = int(self.sent_at.timestamp())
        good = verify(key, id=self.id, timestamp_s=timestamp_s, payload=self.payload, signature=self.signature)
        return Signature.GOOD if good else Signature.BAD

    def expired(self, *, now_unix_s: float) -> bool:
        return now_unix_s > self.expires_at.timestamp()


def read_signal(fields: Mapping[bytes, bytes]) -> ReceivedSignal:
    """One entry of the stream. Raises SignalNotUnderstood, whatever the entry holds."""
    raw = fields.get(b"event")
    if raw is None:
        raise _not_understood("there is no field `event`")
    if len(raw) > MAX_EVENT_BYTES:
        raise _not_understood(f"{len(raw)} bytes, {MAX_EVENT_BYTES} are the most")
    try:
        payload = raw.decode("utf-8")
        signature = fields.get(b"sig", b"")[:_LONGEST_NAME].decode("utf-8")
        event = json.loads(payload, parse_constant=no_constants, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise _not_understood("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _not_understood("not JSON") from error
    if not isinstance(event, dict) or event.get("specversion") != "1.0":
        raise _not_understood("no CloudEvents 1.0 object")
    return _signal(event, payload=payload, signature=signature)


def _signal(event: dict[str, Any], *, payload: str, signature: str) -> ReceivedSignal:
    data = event.get("data")
    if not isinstance(data, dict):
        raise _not_understood("`data` is no object")
    verdict = _VERDICTS.get(_text(event, "type"))
    if verdict is None or data.get("verdict") != verdict:
        raise _not_understood("an unknown type, or another verdict than its type says")
    if "server" in data:
        _text(data, "server")
    return ReceivedSignal(
        id=_text(event, "id"),
        verdict=verdict,
        stream=_text(data, "stream"),
        session=_text(data, "session_id"),
        reference=_text(data, "reference"),
        label=_text(data, "label"),
        nats=_number(data, "nats"),
        at_s=_number(data, "at_s"),
        sent_at=_time(event, "time"),
        expires_at=_time(data, "expires_at"),
        event=event,
        payload=payload,
        signature=signature,
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > _LONGEST_NAME:
        raise _not_understood(f"`{name}` is no text of 1 to {_LONGEST_NAME} characters")
    return value


def _number(fields: dict[str, Any], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_understood(f"`{name}` is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise _not_understood(f"`{name}` is too large") from error
    return number


def _time(fields: dict[str, Any], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(fields, name))
    except ValueError as error:
        raise _not_understood(f"`{name}` is no time") from error
    if moment.utcoffset() is None:
        raise _not_understood(f"`{name}` names no time zone")
    return moment


def _finite(digits: str) -> float:
    """Python reads 1e999 as infinity, and would write that as no JSON knows it."""
    number = float(digits)
    if not math.isfinite(number):
        raise _not_understood("a number is too large")
    return number


def _not_understood(problem: str) -> SignalNotUnderstood:
    return SignalNotUnderstood("read signal", "", problem)
