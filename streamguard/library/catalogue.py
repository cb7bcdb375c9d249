"""The catalogue: what is in the library, whence, under which label, and who did what when. Only writers and people read
it; workers never do. One SQLite file with a rollback journal, so that it can be read on a read-only disk as well.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from streamguard.errors import LibraryDamaged
from streamguard.library import changes
from streamguard.library.catalogue_values import RESTORE, moment, number, ours, possible, text, whole
from streamguard.library.changes import Change, Earlier, Origin
from streamguard.library.durable import FORMAT, LOCK_WAIT_S, no_library, refuse_other
from streamguard.library.fallen import fallen_by_segment
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSegment, LiveSet, quoted
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN, SEGMENT_PATTERN, SHA256_PATTERN, SegmentRef
from streamguard.types import AssetId, MediaKind, Reference

CATALOGUE = "catalogue.sqlite"

FROM_STREAM = "stream "
"""So begins the source of what a stream has shown."""

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


_OF_IT = "SELECT 1 FROM items WHERE segment = segments.id"


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
    """An open catalogue. Every method raises LibraryError, LibraryLocked where another process is too long at it, or
    LibraryDamaged when SQLite finds the file broken.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._has_history = changes.has_history(connection)
        self._changing = 0

    @classmethod
    def open(cls, library: Path, *, create: bool, now_unix_s: float = 0.0, wait_s: float = LOCK_WAIT_S) -> "Catalogue":
        """`now_unix_s`: when one that is made begins; `wait_s`: so long each question waits for a commit of another.

        Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryLocked, LibraryError.
        """
        path = library / CATALOGUE
        if not (path.is_file() and path.stat().st_size) and _is_in_use(library):
            raise LibraryDamaged("open library", path, "it is missing or empty", hint=RESTORE)
        if not create and not path.is_file():
            raise no_library(library)
        with ours(path):
            uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
            connection = sqlite3.connect(uri, uri=True, timeout=wait_s, isolation_level=None)
            connection.row_factory = sqlite3.Row
            try:
                _prepare(connection, path, create=create, now_unix_s=now_unix_s)
                return cls(path, connection)
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        self._connection.close()

    @property
    def path(self) -> Path:
        return self._path

    @property
    def connection(self) -> sqlite3.Connection:
        """For what looks at the tables from another side: changes.py, holdings.py."""
        return self._connection

    @property
    def has_history(self) -> bool:
        """False for an older library that nothing was changed in since."""
        return self._has_history

    def begin_history(self) -> None:
        """Under the lock: of an older library what it is now is where its history begins."""
        if self._has_history:
            return
        with ours(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in changes.HISTORY:
                self._connection.execute(statement)
            self._connection.execute("COMMIT")
        self._has_history = True

    @contextmanager
    def change(
        self,
        *,
        now_unix_s: float,
        action: str = "change",
        detail: str = "",
        origin: Origin = Origin(),  # noqa: B008 - it is frozen
    ) -> Iterator[None]:
        """One transaction that makes one new generation, with its line in the history; all of it or nothing."""
        with ours(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._changing = self.generation() + 1
                yield
                self._connection.execute(
                    "UPDATE library SET generation = generation + 1, changed_unix_s = ?", (now_unix_s,)
                )
                version = self.live_set().version
                change = Change(self._changing, version, now_unix_s, action, detail, origin)
                changes.record(self._connection, change)
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def generation(self) -> int:
        with ours(self._path):
            row = self._connection.execute("SELECT generation FROM library").fetchone()
        with possible(self._path):
            (generation,) = row or ("none",)
            return whole(generation)

    def items(self, *, removed: bool = False) -> tuple[ItemRecord, ...]:
        """All items by id; with `removed` those that were removed as well."""
        states = ("live", "disabled", "removed" if removed else "live")
        return self._items("WHERE state IN (?, ?, ?) ORDER BY items.id, items.number", states)

    def with_id(self, id_: str) -> tuple[ItemRecord, ...]:
        """The item of that id that is not removed, or nothing; nor is there one of an impossible id."""
        if re.fullmatch(ID_PATTERN, id_) is None:
            return ()
        return self._items("WHERE items.id = ? AND state != 'removed'", (id_,))

    def with_number(self, item: int) -> ItemRecord:
        """The item, removed or not. Raises LibraryDamaged where there is none."""
        for record in self._items("WHERE items.number = ?", (item,)):
            return record
        raise LibraryDamaged(
            "read catalogue", self._path, f"its history has an item {item} that is not there", hint=RESTORE
        )

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]:
        """The item of that content that is not removed, or nothing."""
        return self._items("WHERE items.sha256 = ? AND state != 'removed'", (sha256,))

    def removed_count(self) -> int:
        with ours(self._path):
            return int(self._connection.execute("SELECT count(*) FROM items WHERE state = 'removed'").fetchone()[0])

    def segments_in_use(self) -> tuple[SegmentRef, ...]:
        """Segments of items that are not removed, oldest first."""
        return self._segments(f"EXISTS ({_OF_IT} AND state < 'removed') OR EXISTS ({_OF_IT} AND state > 'removed')")

    def segments_named(self, ids: Sequence[str]) -> tuple[SegmentRef, ...]:
        """Those of these ids that it knows, oldest first."""
        return tuple(ref for id_ in sorted(ids) for ref in self._segments("id = ?", (id_,)))

    def _segments(self, condition: str, values: tuple[str, ...] = ()) -> tuple[SegmentRef, ...]:
        asked = f"SELECT id, manifest_sha256 FROM segments WHERE {condition} ORDER BY id"  # noqa: S608 - our own words
        with ours(self._path):
            rows = self._connection.execute(asked, values).fetchall()
        with possible(self._path):
            return tuple(SegmentRef(text(row[0], SEGMENT_PATTERN), text(row[1], SHA256_PATTERN)) for row in rows)

    def live_set(self) -> LiveSet:
        """What `current.json` should say. Takes as long as there are segments and items that are off, not items."""
        with ours(self._path):
            row = self._connection.execute("SELECT generation, changed_unix_s FROM library").fetchone()
            segments = self._segments(f"EXISTS ({_OF_IT} AND state = 'live')")
            off = {ref.id: self._off(ref) for ref in segments}
            relabelled = self._relabelled()
            fallen = fallen_by_segment(self._connection)
        with possible(self._path):
            generation, changed = row or ("none", "none")
            return LiveSet(
                generation=whole(generation),
                changed_unix_s=moment(changed),
                segments=tuple(
                    LiveSegment(
                        id=ref.id,
                        manifest_sha256=ref.manifest_sha256,
                        off=tuple(text(id_, ID_PATTERN) for id_ in off[ref.id]),
                        relabelled=tuple(id_ for id_, _ in relabelled.get(ref.id, ())),
                        labels=tuple(quoted(label) for _, label in relabelled.get(ref.id, ())),
                        review=tuple(text(id_, ID_PATTERN) for id_ in fallen.get(ref.id, ())),
                    )
                    for ref in segments
                ),
            )

    def _off(self, segment: SegmentRef) -> list[str]:
        """No id is in a segment twice: see merging.py."""
        asked = "SELECT id FROM items WHERE segment = ? AND state != 'live' ORDER BY id"
        return [id_ for (id_,) in self._connection.execute(asked, (segment.id,)).fetchall()]

    def _relabelled(self) -> dict[str, list[tuple[str, str]]]:
        """(id, label of now) of live items, by segment."""
        found: dict[str, list[tuple[str, str]]] = {}
        if self._has_history:
            rows = self._connection.execute(
                """SELECT items.segment, items.id, labels.name FROM written_labels JOIN items
                   ON items.number = written_labels.item JOIN labels ON labels.number = items.label_number
                   WHERE items.state = 'live' ORDER BY items.id"""
            ).fetchall()
            for segment, id_, label in rows:
                found.setdefault(segment, []).append((id_, label))
        return found

    def written_labels(self) -> dict[int, str]:
        """Of items that were relabelled the label that stands in their segment, by the item's number."""
        if not self._has_history:
            return {}
        with ours(self._path):
            return dict(self._connection.execute("SELECT item, label FROM written_labels").fetchall())

    def add_segment(self, segment: SegmentRef, *, looks: int, rows: int) -> None:
        """Within `change`, before its items. `rows`: see holdings.rows_of."""
        self._connection.execute("INSERT INTO segments VALUES (?, ?)", (segment.id, segment.manifest_sha256))
        self._connection.execute("INSERT INTO sizes VALUES (?, ?, ?)", (segment.id, looks, rows))

    def add(
        self, item: NewItem, reference: Reference, segment: SegmentRef, *, review_only: bool, now_unix_s: float
    ) -> int:
        """Within `change`; the item's number. `review_only`: see telling.py."""
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
                *(review_only, now_unix_s),
            ),
        )
        item_number = added.lastrowid or 0
        changes.keep_before(self._connection, self._changing, Earlier(item_number, "", ""))
        self._audit("add", item_number, item.source, at_unix_s=now_unix_s)
        return item_number

    def set_state(self, item: ItemRecord, state: ItemState, *, action: str, now_unix_s: float) -> None:
        """Within `change`."""
        removed = now_unix_s if state is ItemState.REMOVED else None
        values = (state.value, removed, item.number)
        self._keep(item)
        self._connection.execute("UPDATE items SET state = ?, removed_unix_s = ? WHERE number = ?", values)
        self._audit(action, item.number, item.id, at_unix_s=now_unix_s)

    def set_label(self, item: ItemRecord, label: str, *, now_unix_s: float) -> None:
        """Within `change`. The segment keeps the label that it was written with."""
        run = self._connection.execute
        self._keep(item)
        run("INSERT OR IGNORE INTO labels (name) VALUES (?)", (label,))
        values = (label, item.number)
        run("UPDATE items SET label_number = (SELECT number FROM labels WHERE name = ?) WHERE number = ?", values)
        run("INSERT OR IGNORE INTO written_labels VALUES (?, ?)", (item.number, item.label))
        run("DELETE FROM written_labels WHERE label = ? AND item = ?", values)
        self._audit("label", item.number, label, at_unix_s=now_unix_s)

    def set_fallen(self, item: ItemRecord, *, why: str, now_unix_s: float) -> None:
        """Within `change`, where the tables of fallen.py are: from now on it earns a review at most; `why` empty: what
        its label may.
        """
        self._keep(item)
        self._connection.execute("DELETE FROM fallen WHERE item = ?", (item.number,))
        if why:
            self._connection.execute("INSERT INTO fallen VALUES (?, ?, ?)", (item.number, now_unix_s, why))
        self._audit("fall" if why else "restore", item.number, why, at_unix_s=now_unix_s)

    def _keep(self, item: ItemRecord) -> None:
        changes.keep_before(self._connection, self._changing, Earlier(item.number, item.state.value, item.label))

    def audit(self, item: ItemRecord) -> tuple[tuple[float, str], ...]:
        """(when, what) of an item's history, oldest first."""
        with ours(self._path):
            rows = self._connection.execute(
                "SELECT at_unix_s, action FROM audit WHERE item = ? ORDER BY number", (item.number,)
            ).fetchall()
        with possible(self._path):
            return tuple((moment(row[0]), str(row[1])) for row in rows)

    def changes(self, *, most: int | None, id_: str | None) -> tuple[Change, ...]:
        """See changes.read_changes; of an older library nothing."""
        if not self._has_history:
            return ()
        with ours(self._path), possible(self._path):
            return tuple(changes.read_changes(self._connection, most=most, id_=id_))

    def problem(self) -> str:
        """What SQLite's own check finds wrong with the file; empty when nothing is."""
        with ours(self._path):
            answer = str(self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            return "" if answer == "ok" else answer

    def _audit(self, action: str, item_number: int, detail: str, *, at_unix_s: float) -> None:
        values = (at_unix_s, action, item_number, detail)
        self._connection.execute("INSERT INTO audit (at_unix_s, action, item, detail) VALUES (?, ?, ?, ?)", values)

    def _items(self, where: str, values: tuple[str | int, ...]) -> tuple[ItemRecord, ...]:
        with ours(self._path):
            rows = self._connection.execute(f"{_SELECT_ITEMS} {where}", values).fetchall()
        with possible(self._path):
            return tuple(map(_record, rows))


def _is_in_use(library: Path) -> bool:
    """It holds something: then a catalogue made anew would lose it."""
    segments = library / SEGMENTS
    return (library / CURRENT).exists() or (segments.is_dir() and any(segments.iterdir()))


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool, now_unix_s: float) -> None:
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
    for statement in (*_SCHEMA, *changes.HISTORY):
        connection.execute(statement)
    # It was never changed, but it was made.
    connection.execute("UPDATE changes SET at_unix_s = ?", (now_unix_s,))
    connection.execute("COMMIT")


def _record(row: sqlite3.Row) -> ItemRecord:
    return ItemRecord(
        number=whole(row["number"]),
        id=AssetId(text(row["id"], ID_PATTERN)),
        label=text(row["label"], LABEL_PATTERN),
        state=ItemState(row["state"]),
        kind=MediaKind(row["kind"]),
        segment=text(row["segment"], SEGMENT_PATTERN),
        sha256=text(row["sha256"], SHA256_PATTERN),
        looks=whole(row["looks"]),
        duration_us=whole(row["duration_us"]),
        frames_seen=whole(row["frames_seen"]),
        blank_share=number(row["blank_share"], most=1.0),
        review_only=bool(whole(row["review_only"])),
        added_unix_s=moment(row["added_unix_s"]),
        source=str(row["path"]),
        size_bytes=whole(row["size_bytes"]),
    )
