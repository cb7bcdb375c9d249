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


def fallen_by_segment(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Live items that earn a review at most, by their segment."""
    found: dict[str, list[str]] = {}
    if has_tables(connection):
        rows = connection.execute(
            """SELECT items.segment, items.id FROM fallen JOIN items ON items.number = fallen.item
               WHERE items.state = 'live' ORDER BY items.id"""
        ).fetchall()
        for segment, id_ in rows:
            found.setdefault(segment, []).append(id_)
    return found
