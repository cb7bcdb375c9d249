"""The catalogue's table `brought`: of footage that others handed on whose it is, whether it may kill, and why it is
kept apart. An item gets its row in the transaction that adds it, so that poison is live at no moment. See brought.py.
"""

import sqlite3
from dataclasses import dataclass

from streamguard.errors import UsageError
from streamguard.library.exchange.schema import HashState
from streamguard.library.fallen import has_brought
from streamguard.library.poison import Reason

_TABLE = """CREATE TABLE IF NOT EXISTS brought (item INTEGER PRIMARY KEY REFERENCES items, source TEXT NOT NULL,
    may_kill INTEGER NOT NULL, state INTEGER NOT NULL, reason INTEGER NOT NULL)"""


@dataclass(frozen=True, slots=True)
class HandedOn:
    """How an item comes in. With a `reason` it is kept apart, unless it is `believed` all the same."""

    source: str
    may_kill: bool
    reason: Reason = Reason.NONE
    believed: bool = False

    @property
    def is_kept_apart(self) -> bool:
        return self.reason is not Reason.NONE and not self.believed


def put(connection: sqlite3.Connection, item: int, how: HandedOn) -> None:
    """Within a change of the catalogue, and right after the item: what is kept apart is disabled in the same step."""
    connection.execute(_TABLE)
    state = HashState.QUARANTINED if how.is_kept_apart else HashState.LIVE
    values = (item, how.source, how.may_kill or how.believed, int(state), int(how.reason))
    connection.execute("INSERT INTO brought VALUES (?, ?, ?, ?, ?)", values)
    if how.is_kept_apart:
        connection.execute("UPDATE items SET state = 'disabled' WHERE number = ?", (item,))


def refuse_kept_apart(connection: sqlite3.Connection, item: int, *, operation: str, subject: str) -> None:
    """Raises UsageError for what is in quarantine: to let it out takes a word more, and maybe a second person."""
    if found := _held(connection, item):
        source, reason = found
        hint = f"streamguard library quarantine release --source {source} {subject}"
        raise UsageError(operation, subject, f"it is in quarantine: {reason.words}", hint=hint)


def is_kept_out(connection: sqlite3.Connection, item: int) -> bool:
    """In quarantine, or thrown out: no rollback has it searched."""
    return _held(connection, item) is not None


def why_kept_apart(connection: sqlite3.Connection, item: int) -> Reason:
    """NONE where it is not."""
    found = _held(connection, item)
    return Reason.NONE if found is None else found[1]


def _held(connection: sqlite3.Connection, item: int) -> tuple[str, Reason] | None:
    if not has_brought(connection):
        return None
    asked = "SELECT source, reason FROM brought WHERE item = ? AND state != ?"
    row = connection.execute(asked, (item, int(HashState.LIVE))).fetchone()
    return None if row is None else (str(row[0]), Reason(row[1]))
