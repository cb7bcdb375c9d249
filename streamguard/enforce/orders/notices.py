"""What the platform is told beside kill-signals: a kill that is held, one that became a review, that one was a mistake
(an undo), or right. Pure.

Each is a CloudEvents object in the form of a signal, so that whoever reads signals reads these, too; its `verdict` and
type say what it is, and `signal_id` which kill-signal it is about. Its id is the same however often it is told.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from urllib.parse import quote

from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.signals.acks import signed
from streamguard.enforce.signals.events import as_text
from streamguard.errors import one_line

_MOST_TEXT = 300
UNDO_HOLDS_S = 86_400.0
"""An undo is worth telling for so long."""


class NoticeKind(Enum):
    HELD = "held"
    REVIEW = "review"
    UNDO = "undo"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class SignedNotice:
    """As it goes into a stream."""

    id: str
    event: str
    sig: str


@dataclass(frozen=True, slots=True)
class NoticeMaker:
    """Who tells, and the key that it signs with; None: it does not sign."""

    name: str
    key: bytes | None

    def make(
        self,
        order: Order,
        kind: NoticeKind,
        *,
        why: str,
        expires_unix_s: float,
        now_unix_s: float,
        match_was_right: bool = False,
    ) -> SignedNotice:
        """About this order, until then. `match_was_right`: an undo that says nothing against the reference."""
        digest = hashlib.sha256(json.dumps([kind.value, as_text(order.id)]).encode()).hexdigest()
        data = {
            "signal_id": as_text(order.id),
            "why": one_line(as_text(why))[:_MOST_TEXT],
            **({"match_was_right": True} if match_was_right else {}),
            "stream": as_text(order.stream),
            "session_id": as_text(order.session),
            **({"server": as_text(order.server)} if order.server else {}),
            "verdict": kind.value,
            "reference": as_text(order.reference),
            "label": as_text(order.label),
            "nats": order.nats,
            "at_s": order.at_s,
            "expires_at": _rfc3339(expires_unix_s),
        }
        event = {
            "specversion": "1.0",
            "id": f"ntc_{digest[:32]}",
            "source": f"/streamguard/{quote(as_text(self.name), safe='')}",
            "type": f"org.streamguard.{kind.value}.v1",
            "subject": as_text(order.stream),
            "time": _rfc3339(now_unix_s),
            "datacontenttype": "application/json",
            "data": data,
        }
        text = json.dumps(event, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return SignedNotice(f"ntc_{digest[:32]}", text, signed(text, key=self.key))


def _rfc3339(unix_s: float) -> str:
    """UTC with milliseconds, cut off."""
    unix_ms = int(1000 * unix_s)
    return f"{datetime.fromtimestamp(unix_ms // 1000, tz=UTC):%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"
