"""Segments are made beside the library, without the writers' lock: what takes seconds keeps nobody out.

Written and synced they get their name under the lock, right before the catalogue's transaction. Killed before that,
they are leftovers, which the next writer removes; while one is made no writer takes it for such.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamguard.library import segments
from streamguard.library.durable import LOCK_WAIT_S, library_error, making
from streamguard.library.live_set import SEGMENTS
from streamguard.library.segments import Contents, Staged


class Stage:
    """See `stage`."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._staged: list[Staged] = []

    def write(self, contents: Contents) -> Staged:
        """Raises LibraryError, and then leaves nothing."""
        try:
            staged = segments.stage(self._library / SEGMENTS, contents)
        except OSError as error:
            raise library_error("write segment", error.filename or self._library, error) from error
        self._staged.append(staged)
        return staged

    def clear(self) -> None:
        """What got no name is gone."""
        for one in self._staged:
            shutil.rmtree(one.folder, ignore_errors=True)


@contextmanager
def stage(library: Path) -> Iterator[Stage]:
    """What is written to it stays until the end, or gets its name before. Raises LibraryLocked, LibraryError."""
    with making(library, wait_s=LOCK_WAIT_S):
        made = Stage(library)
        try:
            yield made
        finally:
            made.clear()
