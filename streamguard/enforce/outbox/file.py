"""The outbox's file: who may open it, its schema, and SQLite's words for trouble turned into ours."""

import fcntl
import os
import pwd
import sqlite3
from pathlib import Path

from streamguard.errors import OutboxBusy, OutboxError
from streamguard.regular_files import sync_directory

APPLICATION_ID = 0x53474F42  # "SGOB", so that another program's SQLite file is not taken for an outbox
SCHEMA_VERSION = 3
"""The first had no `sha256`, the second no `ack`."""

UNASKED = "unasked"
"""Stands in `ack` where no acknowledgement is waited for."""

_BUSY_TIMEOUT_S = 0.1
"""Only a person's tool can hold a lock on it, maybe for hours; the worker's loop waits with each append meanwhile."""

HELD = "another process has the outbox open, an sqlite3 shell for example: close it"

_SCHEMA = """
CREATE TABLE signals (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL,
    session TEXT NOT NULL,
    verdict TEXT NOT NULL,
    event TEXT NOT NULL,
    decided_unix_s REAL NOT NULL,
    expires_unix_s REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'parked')),
    refusals INTEGER NOT NULL DEFAULT 0,
    last_refusal TEXT,
    settled_unix_s REAL,
    sha256 TEXT,
    ack TEXT
);
CREATE INDEX waiting ON signals (refusals, seq) WHERE state = 'pending';
CREATE INDEX settled ON signals (seq, settled_unix_s) WHERE settled_unix_s IS NOT NULL;
CREATE INDEX unanswered ON signals (seq) WHERE state = 'delivered' AND ack IS NULL;
"""

_MIGRATIONS = {
    1: ("ALTER TABLE signals ADD COLUMN sha256 TEXT",),
    2: (
        "ALTER TABLE signals ADD COLUMN ack TEXT",
        # Nobody was asked to answer to what was delivered before.
        f"UPDATE signals SET ack = '{UNASKED}' WHERE state = 'delivered'",  # noqa: S608 - a word of ours
        "CREATE INDEX unanswered ON signals (seq) WHERE state = 'delivered' AND ack IS NULL",
    ),
}
"""From each format to the next."""


def claim(path: Path) -> int:
    """Makes this process the outbox's only user; returns a file descriptor that `release` takes.

    The lock is on a file beside it: SQLite has locks of its own on the database, which closing any other descriptor of
    that file would drop. The kernel lets go of it however the process ends. Raises OutboxError.
    """
    lock = lock_file(path)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        problem = error.strerror or str(error)
        hint = is_foreign(lock) or "signals.outbox must lie in a directory that exists and can be written to"
        raise OutboxError("open outbox", path, problem, hint=hint) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        hint = "each worker needs an outbox of its own: see signals.outbox"
        raise OutboxError("open outbox", path, "another process is using it", hint=hint) from error
    return descriptor


def release(descriptor: int) -> None:
    os.close(descriptor)


def is_claimed(path: Path, descriptor: int) -> bool:
    """Whether the lock file is still the one that was claimed: without it another process could claim the outbox."""
    status = os.fstat(descriptor)
    return identity(lock_file(path)) == (status.st_dev, status.st_ino)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there, however its name came to it; None: there is none to be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def lock_file(path: Path) -> Path:
    """What is locked instead of the database at `path`."""
    return path.with_name(f"{path.name}.lock")


def is_foreign(path: Path) -> str:
    """The next step where that file is somebody else's: whoever ran it first was root, maybe. Else empty."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return ""
    if owner == os.geteuid():
        return ""
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"user {owner}"
    return f"{path} belongs to {name}: give it to the user that StreamGuard runs as (chown), or name another outbox"


def open_database(path: Path) -> sqlite3.Connection:
    """The outbox's database, ready to use; made when there is none. Raises OutboxError."""
    try:
        db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, path)
        except (OutboxError, sqlite3.Error, UnicodeDecodeError):
            db.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise outbox_error("open", path, error) from error
    return db


def check_format(db: sqlite3.Connection, path: Path) -> bool:
    """Whether there is nothing in the database yet. Raises OutboxError: damaged, no outbox, a newer one."""
    # Reads the whole file, 1 ms a MB: damage shows at the start, not in the middle of a night.
    damage = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if damage != "ok":
        raise _damaged(path, damage)
    application_id = int(db.execute("PRAGMA application_id").fetchone()[0])
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    empty = int(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]) == 0
    if not empty and application_id != APPLICATION_ID:
        problem = "it is an SQLite file, but no outbox"
        raise OutboxError("open outbox", path, problem, hint="name another file in signals.outbox")
    if version > SCHEMA_VERSION:
        problem = f"it was made by a newer StreamGuard (format {version}, this one knows {SCHEMA_VERSION})"
        raise OutboxError("open outbox", path, problem, hint="update StreamGuard, or name another file")
    return empty


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    empty = check_format(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    # FULL: each commit is on the disk when it returns. NORMAL would lose the last ones with the power.
    db.execute("PRAGMA synchronous = FULL")
    if empty:
        numbers = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {numbers} COMMIT;")
        _make_last(path)
    else:
        # A file that can only be read says so now, not at the first decision.
        db.execute("BEGIN IMMEDIATE")
        for version in range(int(db.execute("PRAGMA user_version").fetchone()[0]), SCHEMA_VERSION):
            for step in _MIGRATIONS[version]:
                db.execute(step)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")


def _make_last(path: Path) -> None:
    """So that the new file itself survives a power cut."""
    try:
        sync_directory(path.parent)
    except OSError as error:
        raise OutboxError("make outbox in", path.parent, error.strerror or str(error)) from error


def outbox_error(operation: str, path: Path, error: sqlite3.Error | UnicodeDecodeError) -> OutboxError:
    """SQLite's trouble as ours, with the next step."""
    if isinstance(error, UnicodeDecodeError):  # sqlite3 does not say so itself
        return _damaged(path, "a name in it is no text")
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return OutboxBusy(f"{operation} outbox", path, str(error), hint=HELD)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged(path, str(error))
    hints = {
        "SQLITE_FULL": "the disk is full: make room",
        "SQLITE_READONLY": "make file and directory writable for StreamGuard's user",
        "SQLITE_CANTOPEN": "the directory must exist and be writable for StreamGuard's user",
        "SQLITE_IOERR": "the disk is failing, full, or gone",
        "SQLITE_ERROR": "its tables are not those of an outbox: move it aside and start again",
        "SQLITE_CONSTRAINT": "its tables are not those of an outbox: move it aside and start again",
    }
    hint = next((hint for start, hint in hints.items() if name.startswith(start)), "")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
        hint = next(filter(None, map(is_foreign, files)), hint)
    return OutboxError(f"{operation} outbox", path, str(error), hint=hint)


def _damaged(path: Path, what: str) -> OutboxError:
    hint = f"move it aside and start again; `sqlite3 {path.name} .recover` shows the signals that can be saved from it"
    return OutboxError("open outbox", path, f"the file is damaged: {what}", hint=hint)
