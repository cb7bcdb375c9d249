"""Files that are whole or not there: written beside, synced, renamed; and the locks of those who write."""

import errno
import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from streamguard.errors import LibraryDamaged, LibraryError, LibraryFormatError, LibraryLocked, LibraryMissing
from streamguard.regular_files import sync_directory

FORMAT = 2
"""Of everything in a library directory. A higher number on disk is refused, never guessed at."""

NEW_PREFIX = ".new-"
"""What a crash leaves behind starts with this, and the next writer removes it."""

Opener = Callable[[Path], int]
"""How a file of a library is opened for reading; raises as `open_unfollowed`."""

MAKING = "lock.making"
"""Shared by all who make something beside, which is no leftover as long as they do."""

MERGING = "lock.merging"
"""Of the one writer that merges, while others write."""

LOCK_WAIT_S = 10.0
"""So long a writer waits for its turn, and whoever looks without the lock for another's commit to the catalogue."""

_LOCK_POLL_S = 0.05
_NEXT = ".next"
_ALIGNED_BYTES = 64
_FORMAT_FIRST = re.compile(rb'\s*\{\s*"format"\s*:\s*([1-9][0-9]{0,8})\s*[,}]')
_HINTS = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some space and run it again",
    errno.EFBIG: "the limit on file sizes is too low (ulimit -f)",
    errno.EROFS: "the disk is read-only; writing commands need a writable one",
    errno.EACCES: "check who owns the directory; writing commands need write permission",
    errno.EPERM: "check who owns the directory; writing commands need write permission",
    errno.ENOTDIR: "name a directory",
}


def library_error(operation: str, subject: object, error: OSError) -> LibraryError:
    """Ours for an OSError, with the next step."""
    hint = _HINTS.get(error.errno or 0, "is the disk failing, or gone?")
    return LibraryError(operation, subject, error.strerror or str(error), hint=hint)


def no_library(library: Path) -> LibraryMissing:
    """The error to raise where there is none, by what is there instead."""
    hint = f"make one: streamguard library add --library {library} FILE"
    if library.is_dir():
        return LibraryMissing("open library", library, "there is no library here", hint=f"{hint}; or check the path")
    if library.exists():
        return LibraryMissing("open library", library, "not a directory", hint="check the path: a library is one")
    return LibraryMissing("open library", library, "no such directory", hint=f"check the path, or {hint}")


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that nobody reads yet, and sync it. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Readers see the old bytes or the new ones, never a part. Raises OSError, and then leaves the old ones."""
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    beside = path.with_name(f"{NEW_PREFIX}{path.name}")
    try:
        write_synced(beside, data)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make `directory` with these files, synced, under a name that nobody reads. Raises OSError, and then leaves
    nothing.
    """
    try:
        directory.mkdir()
        for name, data in files.items():
            (directory / name).write_bytes(data)
        # All are written by now, so that the first sync takes the others along, and the disk is waited for once.
        for name in files:
            _sync(directory / name)
        sync_directory(directory)
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def put_in_place(beside: Path, directory: Path) -> None:
    """Give what is whole the name by which it is read, durably. Raises OSError.

    Nothing may use the name yet: what is there under it was left by a writer that died before its catalogue knew.
    """
    shutil.rmtree(directory, ignore_errors=True)
    beside.rename(directory)
    sync_directory(directory.parent)


def open_unfollowed(path: Path) -> int:
    """A descriptor of a library's file, which may be hostile: a link is not followed, and what is no regular file (a
    pipe may have nothing to say, and that is not its end) is none.

    Raises FileNotFoundError or NotADirectoryError when there is none, LibraryDamaged, LibraryError (no permission).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except PermissionError as error:
        hint = "check who may read the library"
        raise LibraryError("read library file", path, error.strerror or str(error), hint=hint) from error
    except OSError as error:
        raise LibraryDamaged("read library file", path, error.strerror or str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LibraryDamaged("read library file", path, "not a regular file")
    return descriptor


def read_bounded(path: Path, *, most_bytes: int, opener: Opener = open_unfollowed) -> bytes:
    """A file of a library that may be hostile or cut short. Raises as `open_unfollowed`."""
    descriptor = opener(path)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise LibraryDamaged("read library file", path, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    if len(data) > most_bytes:
        raise LibraryDamaged("read library file", path, f"larger than {most_bytes} bytes")
    return data


def read_exactly(path: Path, *, size_bytes: int, aligned_at: int = 0, opener: Opener = open_unfollowed) -> memoryview:
    """A file of a library that must have so many bytes. They stay where they are, for good: what is at `aligned_at` can
    be read as numbers of any size without a copy.

    Raises as `open_unfollowed`, and LibraryDamaged for another size.
    """
    room = np.empty(size_bytes + _ALIGNED_BYTES, np.uint8)
    first = -(room.ctypes.data + aligned_at) % _ALIGNED_BYTES
    data, seen = room.data[first : first + size_bytes], 0
    descriptor = opener(path)
    try:
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            while seen < size_bytes and (count := file.readinto(data[seen:])):
                seen += count
            is_longer = seen == size_bytes and bool(file.read(1))
    except OSError as error:
        raise LibraryDamaged("read library file", path, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    if seen < size_bytes:
        raise LibraryDamaged("check segment", path, f"cut short: {seen} of {size_bytes} bytes")
    if is_longer:
        raise LibraryDamaged("read library file", path, f"larger than {size_bytes} bytes")
    return data.toreadonly()


def check_format(document: bytes, path: Path) -> None:
    """Every JSON file says its format first of all, so that a newer library is called newer, and not damaged.

    Reads no further: what a hostile file goes on with is for whoever knows what to expect. Raises LibraryFormatError,
    or LibraryDamaged when it is no JSON object that begins with a format number.
    """
    found = _FORMAT_FIRST.match(document)
    if found is None:
        raise LibraryDamaged("read library file", path, "no format number in it: cut short or overwritten")
    refuse_other(int(found[1]), path)


def refuse_other(number: int, path: Path) -> None:
    """Raises LibraryFormatError for the format of another StreamGuard. 0 is none at all, and somebody else's matter."""
    if number > FORMAT:
        problem = f"format {number}, this StreamGuard reads up to {FORMAT}"
        raise LibraryFormatError("read library file", path, problem, hint="use the StreamGuard that made it, or newer")
    if 0 < number < FORMAT:
        problem = f"format {number} has no local features; this StreamGuard reads format {FORMAT}"
        hint = "make a new library of the same footage: streamguard library add --library NEW FILE..."
        raise LibraryFormatError("read library file", path, problem, hint=hint)


@contextmanager
def writer_lock(library: Path, *, wait_s: float, name: str = "lock") -> Iterator[None]:
    """Hold the library for writing. The kernel lets go when the process dies, however it dies. `name`: of the file
    that is locked, where it is a part of the library with writers of its own.

    Whoever waits comes before who lets go and comes again at once: one that merges for minutes, step by step, must not
    keep an incident out. So the next one holds a lock, too, for as long as it waits.

    Raises LibraryLocked after `wait_s`, LibraryMissing, LibraryError.
    """
    deadline_s = time.monotonic() + wait_s
    descriptor = _lock_file(library, name)
    try:
        turn = _lock_file(library, f"{name}{_NEXT}")
        try:
            _wait_for_lock(turn, library, deadline_s=deadline_s)
            _wait_for_lock(descriptor, library, deadline_s=deadline_s)
        finally:
            os.close(turn)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def making(library: Path, *, wait_s: float) -> Iterator[None]:
    """Make something beside what is there, without keeping writers out: meanwhile nobody takes it for a leftover. The
    kernel lets go when the process dies. Raises LibraryLocked after `wait_s`, LibraryMissing, LibraryError.
    """
    descriptor = _lock_file(library, MAKING)
    try:
        _wait_for_lock(descriptor, library, deadline_s=time.monotonic() + wait_s, kind=fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone(library: Path, name: str) -> Iterator[bool]:
    """Waits for nobody: whether no other process or thread holds that lock, and none takes it while this one does.

    Raises LibraryMissing, LibraryError.
    """
    descriptor = _lock_file(library, name)
    try:
        yield _try_lock(descriptor, library, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _lock_file(library: Path, name: str) -> int:
    try:
        return os.open(library / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError as error:
        raise LibraryMissing("open library", library, "no such directory", hint="check --library") from error
    except OSError as error:
        raise library_error("write library", library, error) from error


def _wait_for_lock(descriptor: int, library: Path, *, deadline_s: float, kind: int = fcntl.LOCK_EX) -> None:
    while not _try_lock(descriptor, library, kind):
        if time.monotonic() >= deadline_s:
            hint = "another `streamguard library` command is writing; run it again when that one is done"
            raise LibraryLocked("write library", library, "it is being written to", hint=hint)
        time.sleep(_LOCK_POLL_S)


def _try_lock(descriptor: int, library: Path, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise library_error("lock library", library, error) from error
    return True
