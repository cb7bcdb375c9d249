"""A library's folder on the disk: what it may hold, how much that is, and what in it nothing uses any more."""

import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from streamguard.errors import LibraryError
from streamguard.library.catalogue import CATALOGUE
from streamguard.library.durable import MAKING, MERGING, NEW_PREFIX, alone, library_error
from streamguard.library.live_set import CURRENT, SEGMENTS
from streamguard.library.segments import SEGMENT_PATTERN

_OWN_NAMES = {CATALOGUE, f"{CATALOGUE}-journal", CURRENT, SEGMENTS, "lock", f"{NEW_PREFIX}{CURRENT}"}
_OWN_NAMES |= {"exchange.sqlite", "exchange.sqlite-journal", "exchange.lock", "lock.next", "exchange.lock.next"}
_OWN_NAMES |= {MAKING, MERGING, f"{MERGING}.next"}


def make_room(path: Path) -> None:
    """A directory that is a library, or can become one. Raises LibraryError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        problem = error.strerror or str(error)
        raise LibraryError("make library", path, problem, hint="check --library; a library is a directory") from error
    if CATALOGUE not in names and names - _OWN_NAMES:
        stranger = min(names - _OWN_NAMES)
        raise LibraryError(
            "make library", path, f"the directory holds other things ({stranger})", hint="name a new one"
        )


def bytes_in(folder: Path) -> int:
    """Of what is still there when it is looked at: another command may be writing."""
    size_bytes = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size_bytes += Path(where, name).lstat().st_size
    return size_bytes


def remove_segments(library: Path, *, but: Collection[str]) -> None:
    """Under the lock: those that nothing uses, and those never finished, unless one is being made.

    Raises LibraryError.
    """
    try:
        with alone(library, MAKING) as nobody_makes:
            for folder in (library / SEGMENTS).iterdir():
                is_unfinished = folder.name.startswith(NEW_PREFIX) and nobody_makes
                if is_unfinished or (folder.name not in but and re.fullmatch(SEGMENT_PATTERN, folder.name)):
                    shutil.rmtree(folder)
    except OSError as error:
        raise library_error("clean up library", error.filename or library, error) from error
