"""Follows a library while others change it: a new version is loaded beside, and put in place when it is whole."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryDamaged, LibraryError
from streamguard.library.live_set import CURRENT
from streamguard.library.snapshot import Snapshot, load_snapshot

_RETRY_S = 30.0

_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh brought: a new snapshot or not, and an error that was not reported before, if any."""

    changed: bool
    error: LibraryError | None = None


class SnapshotHolder:
    """The worker's library. One thread calls `refresh`; any thread reads `snapshot`, once for each thing it does."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises LibraryError when there is nothing good to begin with."""
        self._path = path
        self._clock = clock
        self._mark = _mark(path)
        self._snapshot = load_snapshot(path)
        self._error: LibraryError | None = None
        self._retry_at_s = 0.0

    @property
    def snapshot(self) -> Snapshot:
        """The newest version that loaded whole."""
        return self._snapshot

    @property
    def error(self) -> LibraryError | None:
        """Why the newest version on disk is not the one that serves; None when it is."""
        return self._error

    def refresh(self) -> Refreshed:
        """Cheap when nothing changed: call it every second. A version that does not load leaves the last good one
        serving; it is reported once, and tried again when the file changes. Where it is not `current.json` itself that
        is wrong, also every 30 s: a segment may be put back.
        """
        mark = _mark(self._path)
        if mark == self._mark and (self._error is None or self._clock() < self._retry_at_s):
            return Refreshed(changed=False)
        try:
            fresh = load_snapshot(self._path, previous=self._snapshot)
        except LibraryError as error:
            is_news = self._error is None or str(error) != str(self._error)
            self._mark, self._error = mark, error
            self._retry_at_s = math.inf if self._stays_wrong(error) else self._clock() + _RETRY_S
            return Refreshed(changed=False, error=error if is_news else None)
        changed = fresh.version != self._snapshot.version
        self._mark, self._error, self._snapshot = mark, None, fresh
        return Refreshed(changed=changed)

    def _stays_wrong(self, error: LibraryError) -> bool:
        """Reading damaged bytes again costs time and memory, and they are the same."""
        unreadable = error.__cause__ is not None and isinstance(error.__cause__.__cause__ or error.__cause__, OSError)
        return isinstance(error, LibraryDamaged) and error.subject == str(self._path / CURRENT) and not unreadable


def _mark(library: Path) -> _Mark:
    """Differs after each change: publishing makes a new file. All zero when it cannot be seen."""
    try:
        status = (library / CURRENT).stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size
