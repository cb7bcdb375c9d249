"""What SQLite says and holds, in our words: its errors, and values that cannot be."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamguard.errors import LibraryDamaged, LibraryError, LibraryLocked
from streamguard.library.live_set import LAST_UNIX_S

RESTORE = "put it back from a backup; workers go on with what is published"
HELD_BY_OTHERS = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@contextmanager
def possible(path: Path) -> Iterator[None]:
    """Values that cannot be are damage: the file may be broken, or made by somebody else."""
    try:
        yield
    except IndexError as error:  # of sqlite3.Row, for a column
        raise LibraryDamaged("read catalogue", path, "a column is missing", hint=RESTORE) from error
    except (TypeError, ValueError) as error:
        raise LibraryDamaged("read catalogue", path, f"impossible value {error}", hint=RESTORE) from error


def whole(value: object) -> int:
    """Nothing that is counted can be negative."""
    if not isinstance(value, int) or value < 0:
        raise ValueError(repr(value))
    return value


def number(value: object, *, most: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(repr(value))
    return float(value)


def moment(value: object) -> float:
    return number(value, most=LAST_UNIX_S)


def text(value: object, pattern: str) -> str:
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise ValueError(repr(value))
    return value


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """SQLite's errors in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # Without a code it is Python's own: a text that is no UTF-8. SQLITE_ERROR: the schema is not ours any more.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code == sqlite3.SQLITE_ERROR:
            raise LibraryDamaged("read catalogue", path, str(error), hint=RESTORE) from error
        if code & 0xFF in HELD_BY_OTHERS:
            raise kept_waiting("use catalogue", path) from error
        raise LibraryError("use catalogue", path, str(error), hint=_hint(error)) from error
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged("read catalogue", path, str(error), hint=RESTORE) from error
    except UnicodeDecodeError as error:
        raise LibraryDamaged("read catalogue", path, "a name in it is no text", hint=RESTORE) from error


def kept_waiting(operation: str, path: Path) -> LibraryLocked:
    """The error to raise where SQLite has waited for another process for as long as it was told to."""
    problem = "another process has not let go of it in time"
    hint = "run it again when the other `streamguard library` command is done; if none runs, is the disk slow?"
    return LibraryLocked(operation, path, problem, hint=hint)


def _hint(error: sqlite3.OperationalError) -> str:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "free some space and run it again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "writing commands need a writable disk and write permission"
        case _:
            return "is the disk full, or failing?"
