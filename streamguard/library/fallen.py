"""The catalogue's tables of what people said of references, and which references have fallen by it.

They stand beside those of the catalogue's first form, and are made when the first kill-signal is noted. `decided`: the
newest kill-signals by these references, for an opinion must be about one; `code` is the hash, of a list. `tallies`:
how many there were at all. `opinions`: one a signal; `settled` ones were dealt with by an operator and count no more;
`open` ones about a hash of a list wait for exchange.sqlite. `due`: items whose opinions are to be looked at. `falls`:
what fell when.
"""

import sqlite3

TABLES = (
    """CREATE TABLE IF NOT EXISTS decided (number INTEGER PRIMARY KEY, signal TEXT NOT NULL UNIQUE,
       reference TEXT NOT NULL, item INTEGER NOT NULL REFERENCES items, code BLOB)""",
    """CREATE TABLE IF NOT EXISTS tallies (item INTEGER PRIMARY KEY REFERENCES items, kills INTEGER NOT NULL,
       limits INTEGER NOT NULL, reviews INTEGER NOT NULL, last_unix_s REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS opinions (signal TEXT PRIMARY KEY, item INTEGER NOT NULL REFERENCES items,
       code BLOB, opinion TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
       at_unix_s REAL NOT NULL, settled INTEGER NOT NULL, open INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS opinions_of_an_item ON opinions (item)",
    "CREATE INDEX IF NOT EXISTS removed_items ON items (id) WHERE state = 'removed'",
    "CREATE INDEX IF NOT EXISTS open_opinions ON opinions (open) WHERE open = 1",
    """CREATE TABLE IF NOT EXISTS fallen (item INTEGER PRIMARY KEY REFERENCES items, since_unix_s REAL NOT NULL,
       why TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS due (item INTEGER PRIMARY KEY REFERENCES items)",
    """CREATE TABLE IF NOT EXISTS falls (number INTEGER PRIMARY KEY, at_unix_s REAL NOT NULL, reference TEXT NOT NULL,
       depth TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS opinion_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


def has_tables(connection: sqlite3.Connection) -> bool:
    """Asked each time: another process may have made them since the catalogue was opened."""
    asked = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'opinion_settings'"
    return bool(connection.execute(asked).fetchone()[0])


def has_brought(connection: sqlite3.Connection) -> bool:
    """Whether the table of brought.py is there: of footage that others handed on."""
    asked = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'brought'"
    return bool(connection.execute(asked).fetchone()[0])


def fallen(connection: sqlite3.Connection) -> frozenset[int]:
    """Items that earn a review at most, by number: they had mistakes, or whoever brought them has not earned more."""
    found: list[tuple[int]] = []
    if has_tables(connection):
        found += connection.execute("SELECT item FROM fallen").fetchall()
    if has_brought(connection):
        found += connection.execute("SELECT item FROM brought WHERE NOT may_kill").fetchall()
    return frozenset(int(number) for (number,) in found)


def fallen_by_segment(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Live ones of these, by their segment, in the order of their ids."""
    found: dict[str, list[str]] = {}
    for number in fallen(connection):
        asked = "SELECT segment, id FROM items WHERE number = ? AND state = 'live'"
        for segment, id_ in connection.execute(asked, (number,)).fetchall():
            found.setdefault(segment, []).append(id_)
    return {segment: sorted(ids) for segment, ids in found.items()}
