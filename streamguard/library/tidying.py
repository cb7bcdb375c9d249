"""Puts the shards of a library in memory in order beside the worker's other work, so that no change waits for it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from streamguard.errors import LibraryDamaged
from streamguard.library import canaries, shard
from streamguard.library.in_threads import stand_back
from streamguard.library.served import Served
from streamguard.library.shard import Shard, together
from streamguard.library.snapshot import Snapshot
from streamguard.spare_memory import give_back

Run = Callable[[Callable[[], None]], None]

MOST_SHARDS = 3
"""Of more the newest are put together, see `newest_alike`."""

_TIMES_THE_NEWER = 2
_FOR_THE_FIRST = 4
"""All other shards join the first one when they are a quarter of its size; and what is off in one is left out when it
is a quarter of it."""

log = structlog.get_logger()


def untidy_from(snapshot: Snapshot) -> int | None:
    """From which shard on they should be put together; None: they are good as they are."""
    sizes = [one.shard.rows for one in snapshot.served]
    later = sum(sizes[1:])
    if later > shard.TAIL_ROWS and later * _FOR_THE_FIRST > sizes[0]:
        return 0
    for number, one in enumerate(snapshot.served):
        if one.dead_rows * _FOR_THE_FIRST > max(one.shard.rows, shard.TAIL_ROWS):
            return number
    return newest_alike(sizes) if len(sizes) > MOST_SHARDS else None


def newest_alike(sizes: Sequence[int]) -> int | None:
    """From which on none is larger than twice all that are newer; the first never; None: there is no such.

    So what is new is indexed again a few times until it stands in a large one, and not at each such turn; beside the
    first there are six for a million, as each has more than twice what those behind it have.
    """
    first = len(sizes) - 1
    newer = sizes[first]
    while first > 1 and sizes[first - 1] <= _TIMES_THE_NEWER * newer:
        first -= 1
        newer += sizes[first]
    return first if first < len(sizes) - 1 else None


def tidied(snapshot: Snapshot, *, first: int) -> Snapshot:
    """The same version with the shards from the `first` on put together. Takes seconds where they are large.

    Raises LibraryDamaged where what came of it does not find what it must.
    """
    kept, rest = snapshot.served[:first], snapshot.served[first:]
    segments = {ref: segment for one in rest for ref, segment in one.segments.items()}
    parts = [one.shard.part(one.worth_keeping) for one in rest]
    asked = canaries.questions(parts, [next(iter(one.segments.values())) for one in rest])
    give_way = snapshot.turns.give_way
    made = Shard.over(together(parts, give_way=give_way), give_way=give_way)
    canaries.ask(Path(), made, asked, give_way=give_way)
    return snapshot.over((*kept, Served.of(made, segments)))


def in_a_thread(work: Callable[[], None]) -> None:
    """Starts it, and returns at once; it ends with the process."""

    def begin() -> None:
        stand_back()
        work()

    threading.Thread(target=begin, name="library-tidying", daemon=True).start()


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
