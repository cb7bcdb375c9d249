"""Puts the shards of a library in memory in order beside the worker's other work, so that no change waits for it."""

import threading
from collections.abc import Callable

import structlog

from streamguard.errors import LibraryDamaged
from streamguard.library.snapshot import Snapshot, tidied, untidy_from
from streamguard.spare_memory import give_back

Run = Callable[[Callable[[], None]], None]

log = structlog.get_logger()


def in_a_thread(work: Callable[[], None]) -> None:
    """Starts it, and returns at once; it ends with the process."""
    threading.Thread(target=work, name="library-tidying", daemon=True).start()


class Tidier:
    """One thread calls `offer` and `take`; the work is done wherever `run` does it, one piece at a time."""

    def __init__(self, run: Run = in_a_thread) -> None:
        self._run = run
        self._is_busy = False
        self._done: Snapshot | None = None
        self._tried: Snapshot | None = None

    def offer(self, snapshot: Snapshot) -> None:
        """Begin with it, unless it is tidy or was tried before, or something else is at work, or done and not taken."""
        if self._is_busy or self._done is not None or snapshot is self._tried:
            return
        first = untidy_from(snapshot)
        if first is None:
            return
        self._is_busy = True
        self._tried = snapshot
        self._run(lambda: self._tidy(snapshot, first))

    def take(self) -> Snapshot | None:
        """What is done, once: the version that was offered, which need not be the newest any more."""
        if self._is_busy:
            return None
        done, self._done = self._done, None
        return done

    def _tidy(self, snapshot: Snapshot, first: int) -> None:
        try:
            self._done = tidied(snapshot, first=first)
            self._tried = None  # the old one is large
            give_back()
        except (MemoryError, LibraryDamaged) as error:
            note = "it is searched as it is, a little slower; tried again after its next change"
            log.warning("library_not_tidied", version=snapshot.version, problem=str(error) or "no memory", note=note)
        finally:
            self._is_busy = False
