"""`exchange.sqlite` in a library's directory: every shared hash with its source, state and remarks.

Workers never read it: what is searched stands in the library's segments, in *parts* of a few thousand hashes each
(exchange.parts). A hash costs some 60 bytes here and 55 there, so that two million are a matter of seconds.
"""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from streamguard.errors import LibraryDamaged, LibraryError, UsageError
from streamguard.library.catalogue import CATALOGUE
from streamguard.library.catalogue_values import HELD_BY_OTHERS, kept_waiting
from streamguard.library.durable import LOCK_WAIT_S, no_library, writer_lock
from streamguard.library.exchange.hashes import NO_REMARKS, HashKind, Remarks
from streamguard.library.exchange.schema import SCHEMA, VERSION, HashState, PartState

BOOK = "exchange.sqlite"
LOCK = "exchange.lock"
ORIGIN = "exchange:"
"""With the source's name, what the library has as the source of an item that is part of a list: there is no file."""

SOURCE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_CACHE_KIB = 128 << 10
_RESTORE = "put it back from a backup; workers go on with what is published"


@dataclass(frozen=True, slots=True)
class Source:
    """Whoever shares a list. What comes from it may kill only once it `may_kill`; until then it earns reviews.

    `exchange` is the kind of exchange that it is fetched from, empty for lists that come as files.
    """

    number: int
    name: str
    label: str
    may_kill: bool
    exchange: str
    settings: str
    checkpoint: str
    fetched_unix_s: float | None


class Book:
    """Open one with `Book.open`, and close it. Every method raises LibraryError, or LibraryDamaged where the file is
    broken. Changes belong within `change`.
    """

    def __init__(self, library: Path, connection: sqlite3.Connection, *, clock: Callable[[], float]) -> None:
        self.library = library
        self.connection = connection
        self.now_unix_s = clock

    @classmethod
    def open(cls, library: Path, *, read_only: bool = False, clock: Callable[[], float] = time.time) -> Self:
        """Makes it where there is none, or an empty file, unless `read_only`: then an empty one is told of. Raises
        LibraryMissing where there is no library, LibraryDamaged, LibraryError.
        """
        if not (library / CATALOGUE).is_file():
            raise no_library(library)
        path = library / BOOK
        with ours(path):
            # Empty where a full disk, or a kill, came before the first one was made: there is nothing to put back.
            is_there = path.is_file() and path.stat().st_size > 0
            name = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            if read_only and not is_there:
                name = ":memory:"
            connection = sqlite3.connect(name, uri=True, timeout=LOCK_WAIT_S, isolation_level=None)
            connection.row_factory = sqlite3.Row
            try:
                _prepare(connection, path, may_make=not (read_only and is_there))
            except BaseException:
                connection.close()
                raise
        return cls(library, connection, clock=clock)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction: all of it or nothing."""
        with ours(self.library / BOOK):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk may have rolled it back already
                    self.connection.execute("ROLLBACK")
                raise

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        with ours(self.library / BOOK):
            return self.connection.execute(statement, values).fetchall()

    def sources(self) -> tuple[Source, ...]:
        return tuple(map(_source, self.rows("SELECT * FROM sources ORDER BY name")))

    def source(self, name: str) -> Source:
        """Raises UsageError where there is none of that name."""
        is_one = re.fullmatch(SOURCE_PATTERN, name) is not None  # what is no text SQLite cannot even look for
        for row in self.rows("SELECT * FROM sources WHERE name = ?", name) if is_one else ():
            return _source(row)
        hint = "see `streamguard library exchange list`"
        raise UsageError("find source", name, "the library knows no source of that name", hint=hint)

    def make_source(self, name: str, *, label: str, exchange: str = "", settings: str = "") -> Source:
        """That source, made where there is none; a new one only earns reviews. Raises UsageError for a name that is
        none, and for a source that is another kind of exchange.
        """
        if re.fullmatch(SOURCE_PATTERN, name) is None:
            hint = "letters, digits, dot, dash and underscore, at most 64, the first a letter or digit"
            raise UsageError("name source", repr(name), "not a possible name", hint=hint)
        with self.change():
            self.connection.execute(
                """INSERT OR IGNORE INTO sources (name, label, may_kill, exchange, settings, checkpoint)
                   VALUES (?, ?, 0, ?, ?, '')""",
                (name, label, exchange, settings),
            )
        source = self.source(name)
        if (source.exchange, source.settings) != (exchange, settings):
            problem = f"it is fetched from {source.exchange or 'files'} {source.settings}".strip()
            raise UsageError("use source", name, problem, hint="name another source")
        return source

    def remark_number(self, remarks: Remarks) -> int:
        """Within `change`: most hashes of a list have the same few remarks, which stand here once."""
        if remarks == NO_REMARKS:
            return 0
        text = json.dumps(asdict(remarks), separators=(",", ":"), sort_keys=True)
        self.connection.execute("INSERT OR IGNORE INTO remarks (text) VALUES (?)", (text,))
        return int(self.connection.execute("SELECT number FROM remarks WHERE text = ?", (text,)).fetchone()[0])

    def remarks(self) -> dict[int, Remarks]:
        """All remarks by their numbers."""
        found = {0: NO_REMARKS}
        for row in self.rows("SELECT number, text FROM remarks"):
            tree = json.loads(row["text"])
            found[row["number"]] = Remarks(tuple(tree["tags"]), tree["agree"], tree["disagree"], tree["seen"])
        return found

    def mark_stale(self, source: Source, kind: HashKind, codes: Iterable[bytes]) -> None:
        """Within `change`: the parts that hold these hashes are to be written anew."""
        for code in codes:
            self.connection.execute(
                """UPDATE parts SET state = ? WHERE number =
                   (SELECT part FROM hashes WHERE kind = ? AND code = ? AND source = ?)""",
                (PartState.STALE, kind, code, source.number),
            )

    def counts(self) -> dict[tuple[int, HashKind, HashState], int]:
        """How many hashes there are, by source, kind and state."""
        rows = self.rows("SELECT source, kind, state, count(*) AS n FROM hashes GROUP BY source, kind, state")
        return {(row["source"], HashKind(row["kind"]), HashState(row["state"])): row["n"] for row in rows}


@contextmanager
def book_for_change(library: Path, *, clock: Callable[[], float] = time.time) -> Iterator[Book]:
    """The one writer of a book. Raises LibraryLocked where another writes, and what Book.open raises."""
    if not (library / CATALOGUE).is_file():
        raise no_library(library)
    with writer_lock(library, wait_s=LOCK_WAIT_S, name=LOCK), Book.open(library, clock=clock) as book:
        yield book


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """SQLite's errors in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_ERROR:
            raise LibraryDamaged("read exchange book", path, str(error), hint=_RESTORE) from error
        if code in HELD_BY_OTHERS:
            raise kept_waiting("use exchange book", path) from error
        raise LibraryError("use exchange book", path, str(error), hint=_hint(code)) from error
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged("read exchange book", path, str(error), hint=_RESTORE) from error


def _hint(code: int) -> str:
    match code:
        case sqlite3.SQLITE_FULL:
            return "free some space and run it again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return "it is read-only here, or an import was killed: run `streamguard library import` again"
        case _:
            return "is the disk full, or failing?"


def _prepare(connection: sqlite3.Connection, path: Path, *, may_make: bool) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA synchronous = FULL")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == VERSION:
        return
    if version or not may_make or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise LibraryDamaged("open exchange book", path, "not one of this StreamGuard", hint=_RESTORE)
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


def _source(row: sqlite3.Row) -> Source:
    return Source(
        number=row["number"],
        name=row["name"],
        label=row["label"],
        may_kill=bool(row["may_kill"]),
        exchange=row["exchange"],
        settings=row["settings"],
        checkpoint=row["checkpoint"],
        fetched_unix_s=row["fetched_unix_s"],
    )
