"""What there is where an outbox is to be, without making or changing anything: for whoever only looks."""

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from streamguard.enforce.outbox.file import check_format, is_foreign, lock_file, outbox_error
from streamguard.errors import OutboxError

_HINT = "signals.outbox must lie in a directory that exists and can be written to"

LEAST_ROOM_BYTES = 16 << 20
"""For the file, its journal, and a few thousand signals while Redis is away."""


@dataclass(frozen=True, slots=True)
class OutboxProbe:
    """`in_use`: another process has it, and nothing else is known. `waiting` is None where there is no outbox yet."""

    in_use: bool
    waiting: int | None = None


def probe_outbox(path: Path) -> OutboxProbe:
    """How `Outbox.open` would fare as this user. Raises OutboxError as that would, but not where it is in use."""
    if _is_locked(path):
        return OutboxProbe(in_use=True)
    if not path.exists():
        if not path.parent.is_dir():
            raise OutboxError("open outbox", path, "No such file or directory", hint=_HINT)
        _writable(path.parent, path)
        return OutboxProbe(in_use=False)
    if path.is_dir():
        raise OutboxError("open outbox", path, "it is a directory", hint="name a file in signals.outbox")
    for needed in (path.parent, path):
        _writable(needed, path)
    # Without a journal nothing may be made beside it; with one, whatever is needed to read it is there already.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"file:{quote(os.fsencode(path.absolute()))}?{mode}", uri=True)) as db:
            if check_format(db, path):
                return OutboxProbe(in_use=False)
            row = db.execute("SELECT count(*) FROM signals WHERE state = 'pending' AND verdict != 'canary'").fetchone()
    except sqlite3.Error as error:
        raise outbox_error("open", path, error) from error
    return OutboxProbe(in_use=False, waiting=int(row[0]))


def check_room(path: Path) -> None:
    """Raises OutboxError where the disk is as good as full: what cannot be written there is not sent."""
    try:
        disk = os.statvfs(path.parent)
    except OSError as error:
        raise OutboxError("open outbox", path, error.strerror or str(error), hint=_HINT) from error
    room_bytes = disk.f_bavail * disk.f_frsize
    has_files_left = disk.f_favail > 0 or disk.f_files == 0  # some file systems do not count files
    if room_bytes >= LEAST_ROOM_BYTES and has_files_left:
        return
    left = f"{room_bytes >> 10} KiB of at least {LEAST_ROOM_BYTES >> 10} KiB" if has_files_left else "room for no file"
    hint = "make room, or name another place in signals.outbox: kill-signals are durable there before they are sent"
    raise OutboxError("open outbox", path, f"its disk is full: {left} left", hint=hint)


def _is_locked(path: Path) -> bool:
    lock = lock_file(path)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OutboxError("open outbox", path, error.strerror or str(error), hint=is_foreign(lock) or _HINT) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _writable(needed: Path, path: Path) -> None:
    if not os.access(needed, os.R_OK | os.W_OK):
        raise OutboxError("open outbox", path, f"{needed} cannot be written", hint=is_foreign(needed) or _HINT)
