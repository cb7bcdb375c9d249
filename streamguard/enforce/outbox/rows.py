"""A kill-signal as a row of the outbox, and back. What a disk or a person changed meanwhile is no signal of ours."""

import hashlib
import json
import math

from streamguard.types import KillSignal, SessionId, StreamId, Trial, Verdict

_TEXTS = ("id", "stream", "session", "verdict", "event")
_TIMES = ("decided_unix_s", "expires_unix_s")

MOST_A_STATEMENT = 1000
"""SQLite takes 32,766 values in one."""


def insert(rows: int) -> str:
    """One statement for so many rows: a transaction by itself. For each statement a thread gives up the interpreter,
    and then waits for its turn again.
    """
    names, values = ", ".join((*_TEXTS, *_TIMES)), ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
    return f"INSERT INTO signals ({names}, sha256) VALUES {values} ON CONFLICT (id) DO NOTHING"  # noqa: S608 - names of ours


def _if_of_type(name: str, types: str, read_as: str) -> str:
    return f"CASE WHEN typeof({name}) IN ({types}) THEN {read_as} END"


# Texts as bytes: sqlite3 would fail on one that is no UTF-8, and so on all the rows with it.
_ROWS = (
    "SELECT seq, "  # noqa: S608 - names of ours
    + ", ".join(_if_of_type(name, "'text'", f"CAST({name} AS BLOB)") for name in (*_TEXTS, "sha256"))
    + ", "
    + ", ".join(_if_of_type(name, "'real', 'integer'", name) for name in _TIMES)
    + ", sha256 IS NULL FROM signals"
)
PENDING = f"{_ROWS} WHERE state = 'pending' ORDER BY refusals, seq"
UNANSWERED = (
    f"{_ROWS} WHERE state = 'delivered' AND ack IS NULL AND verdict = 'kill'"
    " AND expires_unix_s > ? AND settled_unix_s <= ? ORDER BY seq LIMIT ?"
)
"""Kills that were delivered by the second moment, that nobody answered to, and that do not expire before the first."""

Row = tuple[int, bytes | None, bytes | None, bytes | None, bytes | None, bytes | None, bytes | None, float, float, int]
"""What both select; the number of the row first."""


def row_of(signal: KillSignal) -> tuple[str | float, ...]:
    """What `insert` takes for each."""
    texts = (signal.id, signal.stream, signal.session, signal.verdict.value, signal.event)
    times = (signal.decided_unix_s, signal.expires_unix_s)
    return (*texts, *times, _sha256(signal))


def signal_of(row: Row) -> KillSignal:
    """The signal as it was appended. Raises ValueError where it is not: damaged, or changed by somebody."""
    _, *texts, sha256, decided, expires, has_no_sum = row
    id_, stream, session, verdict, event = (_text(name, value) for name, value in zip(_TEXTS, texts, strict=True))
    times = (_time(name, value) for name, value in zip(_TIMES, (decided, expires), strict=True))
    signal = KillSignal(id_, StreamId(stream), SessionId(session), _verdict(verdict), event, *times)
    # An outbox of the first format has no sums.
    if not has_no_sum and sha256 != _sha256(signal).encode():
        raise ValueError("it is not what was appended")
    return signal


def _verdict(word: str) -> Verdict | Trial:
    return Trial.CANARY if word == Trial.CANARY.value else Verdict(word)


def _text(name: str, value: bytes | None) -> str:
    if value is None:
        raise ValueError(f"its {name} is no text")
    return value.decode()


def _time(name: str, value: float | None) -> float:
    if value is None or not math.isfinite(value):
        raise ValueError(f"its {name} is no time")
    return float(value)


def _sha256(signal: KillSignal) -> str:
    times = (float(signal.decided_unix_s), float(signal.expires_unix_s))
    parts = (signal.id, signal.stream, signal.session, signal.verdict.value, signal.event, *times)
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()
