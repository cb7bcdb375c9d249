"""The catalogue's history: each change with who, when, why and from where, and what it made of which item; so that the
library can be put back to what it was at any version since the history begins.

The tables stand beside those of the catalogue's first form, so that an older library gets them at its next change.
"""

import getpass
import os
import re
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from streamguard.errors import UsageError, one_line

HISTORY = (
    """CREATE TABLE changes (generation INTEGER PRIMARY KEY, at_unix_s REAL NOT NULL, version TEXT NOT NULL,
       action TEXT NOT NULL, detail TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, source TEXT NOT NULL)""",
    """CREATE TABLE effects (generation INTEGER NOT NULL, item INTEGER NOT NULL REFERENCES items, state TEXT NOT NULL,
       label TEXT NOT NULL, PRIMARY KEY (generation, item)) WITHOUT ROWID""",
    "CREATE INDEX effects_of_an_item ON effects (item)",
    "CREATE TABLE written_labels (item INTEGER PRIMARY KEY REFERENCES items, label TEXT NOT NULL)",
    "CREATE TABLE sizes (segment TEXT PRIMARY KEY REFERENCES segments, looks INTEGER NOT NULL, rows INTEGER NOT NULL)",
    "CREATE INDEX items_by_segment ON items (segment, state)",
    "CREATE INDEX items_off ON items (segment, id) WHERE state != 'live'",
    # What went before is known by what it is now.
    """INSERT INTO changes SELECT generation, changed_unix_s, '', 'begin', 'the history begins', '', '', ''
       FROM library""",
    "INSERT INTO sizes SELECT segment, SUM(looks), MAX(SUM(looks), 8 * COUNT(*)) FROM items GROUP BY segment",
)
"""`effects` has the state ('' where there was none) and the label that an item had before the change. `written_labels`
are those that stand in an item's segment, where it has another one by now. `sizes`: see holdings.rows_of.
"""

MOST_WORDS = 500
_VERSION = re.compile(r"(\d{1,18})(-[0-9a-f]{8})?")
_ITEMS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Who changes the library, why, and from where what they add comes. All words may be empty."""

    by: str = ""
    reason: str = ""
    source: str = ""


def origin(*, by: str | None = None, reason: str = "", source: str = "") -> Origin:
    """`by` None: the user of this process, and the machine. Raises UsageError for more than 500 characters of any."""
    words = (user() if by is None else by, reason, source)
    for option, text in zip(("--by", "--reason", "source"), words, strict=True):
        if len(text) > MOST_WORDS:
            raise UsageError("change library", option, f"longer than {MOST_WORDS} characters", hint="say it shorter")
    return Origin(*(one_line(text).encode(errors="replace").decode() for text in words))


def user() -> str:
    """`anna@ingest-7`; the number of a user who has no name."""
    name = str(os.getuid())
    with suppress(KeyError, OSError, ImportError):
        name = getpass.getuser()
    return f"{name}@{socket.gethostname()}"[:MOST_WORDS]


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the history. `items` changed, of which a few are named; `version` is empty where none was kept."""

    generation: int
    version: str
    at_unix_s: float
    action: str
    detail: str
    origin: Origin
    items: int = 0
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an item was at some version; `state` is empty where it was not there yet."""

    item: int
    state: str
    label: str


def generation_of(version: str) -> int:
    """`17-9f2c41aa` or `17`. Raises UsageError."""
    found = _VERSION.fullmatch(version)
    if found is None:
        hint = "versions are called 17-9f2c41aa, or 17 for short: see `streamguard library history`"
        raise UsageError("library rollback", repr(version), "not a version's name", hint=hint)
    return int(found[1])


def has_history(connection: sqlite3.Connection) -> bool:
    asked = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'changes'"
    return bool(connection.execute(asked).fetchone()[0])


def record(connection: sqlite3.Connection, change: Change) -> None:
    """Within the change's transaction."""
    words = (change.origin.by, change.origin.reason, change.origin.source)
    values = (change.generation, change.at_unix_s, change.version, change.action, change.detail, *words)
    connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def keep_before(connection: sqlite3.Connection, generation: int, before: Earlier) -> None:
    """What an item was before this change; where it is changed twice in one, what it was before the first time."""
    values = (generation, before.item, before.state, before.label)
    connection.execute("INSERT OR IGNORE INTO effects VALUES (?, ?, ?, ?)", values)


def read_changes(connection: sqlite3.Connection, *, most: int | None, id_: str | None = None) -> Iterator[Change]:
    """The newest `most`, or all, the oldest first; with `id_` those that changed items of that id, removed ones too."""
    rows = connection.execute(
        """SELECT * FROM (SELECT * FROM changes WHERE :id IS NULL OR generation IN
           (SELECT generation FROM effects WHERE item IN (SELECT number FROM items WHERE id = :id))
           ORDER BY generation DESC LIMIT :most) ORDER BY generation""",
        {"id": id_, "most": -1 if most is None else most},
    ).fetchall()
    for generation, at_unix_s, version, action, detail, who, why, source in rows:
        count = connection.execute("SELECT count(*) FROM effects WHERE generation = ?", (generation,)).fetchone()[0]
        named = connection.execute(
            """SELECT items.id FROM effects JOIN items ON items.number = effects.item WHERE generation = ?
               ORDER BY effects.item LIMIT ?""",
            (generation, _ITEMS_NAMED),
        ).fetchall()
        origin_ = Origin(str(who), str(why), str(source))
        ids = tuple(str(id_) for (id_,) in named)
        yield Change(int(generation), str(version), float(at_unix_s), str(action), str(detail), origin_, count, ids)


def version_at(connection: sqlite3.Connection, generation: int) -> str | None:
    """The version's name, maybe empty; None where the history does not reach."""
    row = connection.execute("SELECT version FROM changes WHERE generation = ?", (generation,)).fetchone()
    return None if row is None else str(row[0])


def earlier(connection: sqlite3.Connection, generation: int) -> Sequence[Earlier]:
    """What has changed since: what each such item was at that generation."""
    rows = connection.execute(
        """SELECT item, state, label FROM effects AS first WHERE generation > ? AND generation =
           (SELECT MIN(generation) FROM effects WHERE item = first.item AND generation > ?) ORDER BY item""",
        (generation, generation),
    ).fetchall()
    return [Earlier(int(item), str(state), str(label)) for item, state, label in rows]
