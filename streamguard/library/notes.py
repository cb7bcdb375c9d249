"""What was done to a library beside its versions, with who, when and why: incidents opened and closed, what was given
up for good, and all that was decided about shared lists.

The catalogue keeps it, and `exchange.sqlite` its own (exchange.opinions.note); `streamguard library history` tells both
among the versions.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from streamguard.library.catalogue import Catalogue
from streamguard.library.catalogue_values import moment, ours, possible
from streamguard.library.changes import Origin
from streamguard.library.exchange.book import Book

_TABLE = """CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, at_unix_s REAL NOT NULL, action TEXT NOT NULL,
    detail TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL)"""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that was done. `detail`: to what."""

    at_unix_s: float
    action: str
    detail: str
    origin: Origin


def write_note(library: Path, note: Note) -> None:
    """Durable when it returns; makes no version. Raises LibraryError."""
    values = (note.at_unix_s, note.action, note.detail, note.origin.by, note.origin.reason)
    with closing(Catalogue.open(library, create=False)) as catalogue, ours(catalogue.path):
        run = catalogue.connection.execute
        run(_TABLE)
        run("INSERT INTO notes (at_unix_s, action, detail, who, why) VALUES (?, ?, ?, ?, ?)", values)


def read_notes(library: Path, *, most: int | None = None) -> tuple[Note, ...]:
    """The newest `most`, or all, the oldest first. Raises LibraryError."""
    limit = -1 if most is None else most
    with closing(Catalogue.open(library, create=False)) as catalogue:
        found = _of_catalogue(catalogue, limit)
    found += _of_book(library, limit)
    found.sort(key=lambda note: note.at_unix_s)
    return tuple(found if most is None else found[-most:])


def _of_catalogue(catalogue: Catalogue, limit: int) -> list[Note]:
    connection = catalogue.connection
    with ours(catalogue.path), possible(catalogue.path):
        there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'notes'"
        if not connection.execute(there).fetchone()[0]:
            return []
        asked = "SELECT at_unix_s, action, detail, who, why FROM notes ORDER BY number DESC LIMIT ?"
        return [_note(row) for row in connection.execute(asked, (limit,)).fetchall()[::-1]]


def _of_book(library: Path, limit: int) -> list[Note]:
    with Book.open(library, read_only=True) as book, possible(library):
        rows = book.rows(
            """SELECT at_unix_s, 'exchange ' || action AS action, coalesce(name, '') AS detail, who, why
               FROM history LEFT JOIN sources ON sources.number = source ORDER BY history.number DESC LIMIT ?""",
            limit,
        )
        return [_note(row) for row in rows[::-1]]


def _note(row: sqlite3.Row) -> Note:
    origin = Origin(str(row["who"]), str(row["why"]))
    return Note(moment(row["at_unix_s"]), str(row["action"]), str(row["detail"]), origin)
