"""The tables of `exchange.sqlite`, and the numbers that stand in them."""

from enum import IntEnum

VERSION = 1


class HashState(IntEnum):
    """Whether a hash is searched: only LIVE ones are. DROPPED ones stay out, however often their list names them."""

    LIVE = 0
    QUARANTINED = 1
    DROPPED = 2


class PartState(IntEnum):
    """How far the library is with a part: it must get it, has it, must get a new one for it, must lose it."""

    WRITING = 0
    LIVE = 1
    STALE = 2
    DROPPING = 3


SCHEMA = (
    """CREATE TABLE sources (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
       may_kill INTEGER NOT NULL, exchange TEXT NOT NULL, settings TEXT NOT NULL, checkpoint TEXT NOT NULL,
       fetched_unix_s REAL)""",
    "CREATE TABLE remarks (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    # `first` and `last`: its hashes lie between these, so that they are found without an index of their own.
    """CREATE TABLE parts (number INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL, state INTEGER NOT NULL,
       first BLOB, last BLOB)""",
    # Sorted by hash, as a list is written: two million go in in the order of the tree. No other index: it would
    # cost as much again, and what is rare (a part's hashes, a source's) may look at all of them.
    """CREATE TABLE hashes (kind INTEGER NOT NULL, code BLOB NOT NULL, source INTEGER NOT NULL, part INTEGER,
       quality INTEGER NOT NULL, remarks INTEGER NOT NULL, state INTEGER NOT NULL, reason INTEGER NOT NULL,
       PRIMARY KEY (kind, code, source)) WITHOUT ROWID""",
    # An exchange's own records: it takes them back by their keys, and a hash goes with the last that names it.
    """CREATE TABLE records (source INTEGER NOT NULL, key TEXT NOT NULL, kind INTEGER NOT NULL, code BLOB NOT NULL,
       detail TEXT NOT NULL, PRIMARY KEY (source, key, kind, code)) WITHOUT ROWID""",
    "CREATE INDEX records_of_a_hash ON records (kind, code, source)",
    """CREATE TABLE films (source INTEGER NOT NULL, name TEXT NOT NULL, part INTEGER, frames BLOB NOT NULL,
       state INTEGER NOT NULL, reason INTEGER NOT NULL, PRIMARY KEY (source, name))""",
    """CREATE TABLE opinions (kind INTEGER NOT NULL, code BLOB NOT NULL, source INTEGER NOT NULL,
       opinion TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, at_unix_s REAL NOT NULL, sent_unix_s REAL,
       PRIMARY KEY (kind, code, source)) WITHOUT ROWID""",
    "CREATE TABLE benign (code BLOB PRIMARY KEY, origin TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE history (number INTEGER PRIMARY KEY, at_unix_s REAL NOT NULL, source INTEGER, action TEXT NOT NULL,
       who TEXT NOT NULL, why TEXT NOT NULL)""",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    f"PRAGMA user_version = {VERSION}",
)
