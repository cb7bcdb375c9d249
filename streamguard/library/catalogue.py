"""The catalogue: what is in the library, whence, under which label, and who did what when. Only writers and people read
it; workers never do. One SQLite file with a rollback journal, so that it can be read on a read-only disk as well.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from streamguard.core.telling import review_only
from streamguard.errors import LibraryDamaged, LibraryError
from streamguard.library.durable import FORMAT, no_library, refuse_other
from streamguard.library.live_set import CURRENT, LAST_UNIX_S, SEGMENTS, LiveSegment, LiveSet
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN, SEGMENT_PATTERN, SHA256_PATTERN, SegmentRef
from streamguard.types import AssetId, MediaKind, Reference

CATALOGUE = "catalogue.sqlite"

_RESTORE = "put it back from a backup; workers go on with what is published"
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = (
    """CREATE TABLE library (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL,
       changed_unix_s REAL NOT NULL)""",
    "CREATE TABLE labels (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE sources (number INTEGER PRIMARY KEY, path TEXT NOT NULL, size_bytes INTEGER NOT NULL)",
    "CREATE TABLE segments (id TEXT PRIMARY KEY, manifest_sha256 TEXT NOT NULL)",
    """CREATE TABLE items (number INTEGER PRIMARY KEY, id TEXT NOT NULL, state TEXT NOT NULL, kind TEXT NOT NULL,
       label_number INTEGER NOT NULL REFERENCES labels, source_number INTEGER NOT NULL REFERENCES sources,
       segment TEXT NOT NULL REFERENCES segments, sha256 TEXT NOT NULL, looks INTEGER NOT NULL,
       duration_us INTEGER NOT NULL, frames_seen INTEGER NOT NULL, blank_share REAL NOT NULL,
       review_only INTEGER NOT NULL, added_unix_s REAL NOT NULL, removed_unix_s REAL)""",
    "CREATE UNIQUE INDEX one_item_an_id ON items (id) WHERE state != 'removed'",
    "CREATE UNIQUE INDEX one_item_a_content ON items (sha256) WHERE state != 'removed'",
    """CREATE TABLE audit (number INTEGER PRIMARY KEY, at_unix_s REAL NOT NULL, action TEXT NOT NULL,
       item INTEGER REFERENCES items, detail TEXT NOT NULL)""",
    "INSERT INTO library VALUES (1, 0, 0)",
    f"PRAGMA user_version = {FORMAT}",
)
_SELECT_ITEMS = """SELECT items.*, labels.name AS label, sources.path, sources.size_bytes
    FROM items JOIN labels ON labels.number = items.label_number JOIN sources ON sources.number = items.source_number"""


class ItemState(Enum):
    LIVE = "live"
    DISABLED = "disabled"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class NewItem:
    """What to add: an id that no item has, and the content that its reference was made from."""

    id: AssetId
    label: str
    source: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """One item as the catalogue has it."""

    number: int
    id: AssetId
    label: str
    state: ItemState
    kind: MediaKind
    segment: str
    sha256: str
    looks: int
    duration_us: int
    frames_seen: int
    blank_share: float
    review_only: bool
    added_unix_s: float
    source: str
    size_bytes: int


class Catalogue:
    """An open catalogue. Every method raises LibraryError, or LibraryDamaged when SQLite finds the file broken."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, library: Path, *, create: bool) -> "Catalogue":
        """Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryError."""
        path = library / CATALOGUE
        if not (path.is_file() and path.stat().st_size) and _is_in_use(library):
            raise LibraryDamaged("open library", path, "it is missing or empty", hint=_RESTORE)
        if not create and not path.is_file():
            raise no_library(library)
        with _ours(path):
            uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
            connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            connection.row_factory = sqlite3.Row
            try:
                _prepare(connection, path, create=create)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def change(self, *, now_unix_s: float) -> Iterator[None]:
        """One transaction that makes one new generation; all of it or nothing."""
        with _ours(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute(
                    "UPDATE library SET generation = generation + 1, changed_unix_s = ?", (now_unix_s,)
                )
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def generation(self) -> int:
        with _ours(self._path):
            row = self._connection.execute("SELECT generation FROM library").fetchone()
        with _possible(self._path):
            (generation,) = row or ("none",)
            return _whole(generation)

    def items(self, *, removed: bool = False) -> tuple[ItemRecord, ...]:
        """All items by id; with `removed` those that were removed as well."""
        states = ("live", "disabled", "removed" if removed else "live")
        return self._items("WHERE state IN (?, ?, ?) ORDER BY items.id, items.number", states)

    def with_id(self, id_: str) -> tuple[ItemRecord, ...]:
        """The item of that id that is not removed, or nothing; nor is there one of an impossible id."""
        if re.fullmatch(ID_PATTERN, id_) is None:
            return ()
        return self._items("WHERE items.id = ? AND state != 'removed'", (id_,))

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]:
        """The item of that content that is not removed, or nothing."""
        return self._items("WHERE items.sha256 = ? AND state != 'removed'", (sha256,))

    def removed_count(self) -> int:
        with _ours(self._path):
            return int(self._connection.execute("SELECT count(*) FROM items WHERE state = 'removed'").fetchone()[0])

    def segments_in_use(self) -> tuple[SegmentRef, ...]:
        """Segments of items that are not removed, oldest first."""
        with _ours(self._path):
            rows = self._connection.execute(
                """SELECT id, manifest_sha256 FROM segments WHERE id IN
                   (SELECT segment FROM items WHERE state != 'removed') ORDER BY id"""
            ).fetchall()
        with _possible(self._path):
            return tuple(SegmentRef(_text(row[0], SEGMENT_PATTERN), _text(row[1], SHA256_PATTERN)) for row in rows)

    def live_set(self) -> LiveSet:
        """What `current.json` should say."""
        with _ours(self._path):
            row = self._connection.execute("SELECT generation, changed_unix_s FROM library").fetchone()
            rows = self._connection.execute("SELECT segment, id, state FROM items ORDER BY segment, id").fetchall()
        with _possible(self._path):
            generation, changed = row or ("none", "none")
            live = {segment for segment, _, state in rows if state == ItemState.LIVE.value}
            # An id that was removed and then added again in the same segment cannot be: a segment never changes.
            off: dict[str, list[str]] = {segment: [] for segment in live}
            for segment, id_, state in rows:
                if segment in live and state != ItemState.LIVE.value:
                    off[segment].append(id_)
            return LiveSet(
                generation=_whole(generation),
                changed_unix_s=_time(changed),
                segments=tuple(
                    LiveSegment(
                        id=ref.id,
                        manifest_sha256=ref.manifest_sha256,
                        off=tuple(_text(id_, ID_PATTERN) for id_ in off[ref.id]),
                    )
                    for ref in self.segments_in_use()
                    if ref.id in live
                ),
            )

    def add_segment(self, segment: SegmentRef) -> None:
        """Within `change`, before its items."""
        self._connection.execute("INSERT INTO segments VALUES (?, ?)", (segment.id, segment.manifest_sha256))

    def add(self, item: NewItem, reference: Reference, segment: SegmentRef, *, now_unix_s: float) -> None:
        """Within `change`."""
        run = self._connection.execute
        run("INSERT OR IGNORE INTO labels (name) VALUES (?)", (item.label,))
        source = run("INSERT INTO sources (path, size_bytes) VALUES (?, ?)", (item.source, item.size_bytes))
        added = run(
            """INSERT INTO items (id, state, kind, label_number, source_number, segment, sha256, looks, duration_us,
               frames_seen, blank_share, review_only, added_unix_s)
               VALUES (?, 'live', ?, (SELECT number FROM labels WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                *(item.id, reference.kind.value, item.label, source.lastrowid, segment.id, item.sha256),
                *(len(reference.prints), reference.duration_us, reference.frames_seen, reference.blank_share),
                *(review_only(reference), now_unix_s),
            ),
        )
        self._audit("add", added.lastrowid or 0, item.source, at_unix_s=now_unix_s)

    def set_state(self, item: ItemRecord, state: ItemState, *, action: str, now_unix_s: float) -> None:
        """Within `change`."""
        removed = now_unix_s if state is ItemState.REMOVED else None
        values = (state.value, removed, item.number)
        self._connection.execute("UPDATE items SET state = ?, removed_unix_s = ? WHERE number = ?", values)
        self._audit(action, item.number, item.id, at_unix_s=now_unix_s)

    def audit(self, item: ItemRecord) -> tuple[tuple[float, str], ...]:
        """(when, what) of an item's history, oldest first."""
        with _ours(self._path):
            rows = self._connection.execute(
                "SELECT at_unix_s, action FROM audit WHERE item = ? ORDER BY number", (item.number,)
            ).fetchall()
        with _possible(self._path):
            return tuple((_time(row[0]), str(row[1])) for row in rows)

    def problem(self) -> str:
        """What SQLite's own check finds wrong with the file; empty when nothing is."""
        with _ours(self._path):
            answer = str(self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            return "" if answer == "ok" else answer

    def _audit(self, action: str, item_number: int, detail: str, *, at_unix_s: float) -> None:
        values = (at_unix_s, action, item_number, detail)
        self._connection.execute("INSERT INTO audit (at_unix_s, action, item, detail) VALUES (?, ?, ?, ?)", values)

    def _items(self, where: str, values: tuple[str, ...]) -> tuple[ItemRecord, ...]:
        with _ours(self._path):
            rows = self._connection.execute(f"{_SELECT_ITEMS} {where}", values).fetchall()
        with _possible(self._path):
            return tuple(map(_record, rows))


def _is_in_use(library: Path) -> bool:
    """It holds something: then a catalogue made anew would lose it."""
    segments = library / SEGMENTS
    return (library / CURRENT).exists() or (segments.is_dir() and any(segments.iterdir()))


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")  # the file may come from elsewhere
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = EXTRA")  # also syncs the directory when the journal is gone
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    refuse_other(version, path)
    if version == FORMAT:
        return
    if not create or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        hint = "is --library right? Otherwise put it back from a backup"
        raise LibraryDamaged("open library", path, "not a catalogue of StreamGuard", hint=hint)
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


@contextmanager
def _possible(path: Path) -> Iterator[None]:
    """Values that cannot be are damage: the file may be broken, or made by somebody else."""
    try:
        yield
    except IndexError as error:  # of sqlite3.Row, for a column
        raise LibraryDamaged("read catalogue", path, "a column is missing", hint=_RESTORE) from error
    except (TypeError, ValueError) as error:
        raise LibraryDamaged("read catalogue", path, f"impossible value {error}", hint=_RESTORE) from error


def _record(row: sqlite3.Row) -> ItemRecord:
    return ItemRecord(
        number=_whole(row["number"]),
        id=AssetId(_text(row["id"], ID_PATTERN)),
        label=_text(row["label"], LABEL_PATTERN),
        state=ItemState(row["state"]),
        kind=MediaKind(row["kind"]),
        segment=_text(row["segment"], SEGMENT_PATTERN),
        sha256=_text(row["sha256"], SHA256_PATTERN),
        looks=_whole(row["looks"]),
        duration_us=_whole(row["duration_us"]),
        frames_seen=_whole(row["frames_seen"]),
        blank_share=_number(row["blank_share"], most=1.0),
        review_only=bool(_whole(row["review_only"])),
        added_unix_s=_time(row["added_unix_s"]),
        source=str(row["path"]),
        size_bytes=_whole(row["size_bytes"]),
    )


def _whole(value: object) -> int:
    """Nothing that is counted can be negative."""
    if not isinstance(value, int) or value < 0:
        raise ValueError(repr(value))
    return value


def _number(value: object, *, most: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(repr(value))
    return float(value)


def _time(value: object) -> float:
    return _number(value, most=LAST_UNIX_S)


def _text(value: object, pattern: str) -> str:
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise ValueError(repr(value))
    return value


@contextmanager
def _ours(path: Path) -> Iterator[None]:
    """SQLite's errors in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # Without a code it is Python's own: a text that is no UTF-8. SQLITE_ERROR: the schema is not ours any more.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR:
            raise LibraryDamaged("read catalogue", path, str(error), hint=_RESTORE) from error
        raise LibraryError("use catalogue", path, str(error), hint=_hint(error)) from error
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged("read catalogue", path, str(error), hint=_RESTORE) from error
    except UnicodeDecodeError as error:
        raise LibraryDamaged("read catalogue", path, "a name in it is no text", hint=_RESTORE) from error


def _hint(error: sqlite3.OperationalError) -> str:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "free some space and run it again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "writing commands need a writable disk and write permission"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another `streamguard library` command is writing; run it again when that one is done"
        case _:
            return "is the disk full, or failing?"
