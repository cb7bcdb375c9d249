"""Strikes as they lie in Redis, as JSON. Whoever can write to Redis can write anything: what cannot be read is None."""

import json
from typing import Any

from streamguard.core.strikes import Lift, Records, Standing, StrikeRecord
from streamguard.enforce.strikes.strike import LONGEST_KEY, LONGEST_TEXT, AuditEntry
from streamguard.types import SessionId, StreamId

MOST_BYTES = 1 << 20
_MOST_MS = 1 << 53


def records_json(records: Records) -> str:
    return json.dumps({"strikes": [_record_tree(record) for record in records]}, separators=(",", ":"))


def read_records(raw: object) -> Records | None:
    """Those of one key; none where there is nothing."""
    if raw is None:
        return ()
    tree = json_object(raw)
    strikes = tree.get("strikes")
    if not isinstance(strikes, list):
        return None
    try:
        return tuple(_record(item) for item in strikes)
    except _UnfitError:
        return None


def audit_json(entry: AuditEntry) -> str:
    """How the key stands since goes with it, so that a cache need not ask."""
    standing = entry.standing
    tree = {
        "action": entry.action,
        "key": entry.key,
        "who": entry.who,
        "why": entry.why,
        "signal": entry.signal_id,
        "at_unix_ms": entry.at_unix_ms,
        "count": standing.count,
        "until_unix_ms": standing.until_unix_ms,
        "sessions": [list(session) for session in standing.sessions],
        "newest": None if standing.newest is None else _record_tree(standing.newest),
    }
    return json.dumps(tree, separators=(",", ":"))


def read_audit(raw: object) -> AuditEntry | None:
    tree = json_object(raw)
    sessions, newest = tree.get("sessions"), tree.get("newest")
    try:
        return AuditEntry(
            action=_text(tree, "action"),
            key=_text(tree, "key", most=LONGEST_KEY),
            who=_text(tree, "who"),
            why=_text(tree, "why"),
            signal_id=_text(tree, "signal"),
            at_unix_ms=_whole(tree, "at_unix_ms"),
            standing=Standing(
                count=_whole(tree, "count"),
                until_unix_ms=_whole(tree, "until_unix_ms"),
                newest=None if newest is None else _record(newest),
                sessions=tuple(_session(pair) for pair in sessions) if isinstance(sessions, list) else (),
            ),
        )
    except _UnfitError:
        return None


class _UnfitError(Exception):
    """A part that is not as we write it."""


def _record_tree(record: StrikeRecord) -> dict[str, Any]:
    lift = record.lift
    return {
        "signal": record.signal_id,
        "stream": record.stream,
        "session": record.session,
        "reference": record.reference,
        "reason": record.reason,
        "who": record.who,
        "at_unix_ms": record.at_unix_ms,
        "until_unix_ms": record.until_unix_ms,
        "lifted": None if lift is None else {"who": lift.who, "why": lift.why, "at_unix_ms": lift.at_unix_ms},
    }


def _record(tree: object) -> StrikeRecord:
    if not isinstance(tree, dict):
        raise _UnfitError
    lift = tree.get("lifted")
    if lift is not None and not isinstance(lift, dict):
        raise _UnfitError
    return StrikeRecord(
        signal_id=_text(tree, "signal", most=LONGEST_KEY),
        stream=StreamId(_text(tree, "stream", most=LONGEST_KEY)),
        session=SessionId(_text(tree, "session", most=LONGEST_KEY)),
        reference=_text(tree, "reference", most=LONGEST_KEY),
        reason=_text(tree, "reason"),
        who=_text(tree, "who"),
        at_unix_ms=_whole(tree, "at_unix_ms"),
        until_unix_ms=_whole(tree, "until_unix_ms"),
        lift=None if lift is None else Lift(_text(lift, "who"), _text(lift, "why"), _whole(lift, "at_unix_ms")),
    )


def json_object(raw: object, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """What lies in Redis as one; empty where it is none, or longer than that."""
    if not isinstance(raw, bytes) or len(raw) > most_bytes:
        return {}
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _text(tree: dict[str, Any], name: str, *, most: int = LONGEST_TEXT) -> str:
    value = tree.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise _UnfitError
    return value


def _whole(tree: dict[str, Any], name: str) -> int:
    value = tree.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_MS:
        raise _UnfitError
    return value


def _session(pair: object) -> tuple[StreamId, SessionId]:
    match pair:
        case [str(stream), str(session)] if len(stream) <= LONGEST_KEY and len(session) <= LONGEST_KEY:
            return StreamId(stream), SessionId(session)
    raise _UnfitError
