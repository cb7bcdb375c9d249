"""Files that were read wait here for others, so that the library gets one segment and one sync for many of them."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemRecord, NewItem
from streamguard.types import Reference
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome


class Shelf(Protocol):
    """Where items go: a library, as far as it is filled here."""

    def items(self) -> tuple[ItemRecord, ...]: ...

    def has(self, id_: str) -> bool: ...

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]: ...

    def add_all(self, new: Sequence[tuple[NewItem, Reference]]) -> tuple[ItemRecord, ...]: ...


@dataclass(frozen=True, slots=True)
class Batching:
    """When a batch is full: at so many files or bytes, or when its first file has waited for `share_of_run` of the run
    so far, within bounds: the first files are live at once, a long run makes few segments, and a kill costs little.
    """

    most_items: int = 64
    most_bytes: int = 64 << 20
    least_wait_s: float = 2.0
    most_wait_s: float = 60.0
    share_of_run: float = 0.25


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that was read, with all that the library keeps of it."""

    job: Job
    item: NewItem
    reference: Reference
    pictures_lost: int


class Batch:
    """What was read and is not durable yet; after each `commit` the next batch begins."""

    def __init__(self, shelf: Shelf, how: Batching, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.shelf = shelf
        self._how = how
        self._clock = clock
        self._began_s = clock()
        self._since_s: float | None = None
        self._bytes = 0
        self._waiting: dict[str, Waiting] = {}
        self._copies: list[tuple[Job, str]] = []

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._waiting

    def put(self, file: Waiting, *, size_bytes: int) -> None:
        """`size_bytes` is about what it takes in memory."""
        if self._since_s is None:
            self._since_s = self._clock()
        self._bytes += size_bytes
        self._waiting[file.item.sha256] = file

    def put_copy(self, job: Job, sha256: str) -> None:
        """A file of the same content as one that waits."""
        self._copies.append((job, sha256))

    def due_in_s(self) -> float | None:
        """How long until it should be committed; None as long as nothing waits."""
        how = self._how
        if self._since_s is None:
            return None
        if len(self._waiting) >= how.most_items or self._bytes >= how.most_bytes:
            return 0.0
        run_s = self._since_s - self._began_s
        wait_s = min(how.most_wait_s, max(how.least_wait_s, how.share_of_run * run_s))
        return max(0.0, self._since_s + wait_s - self._clock())

    def commit(self) -> Iterator[Outcome]:
        """Make all that waits live and durable, and say what became of each. Raises LibraryError."""
        waiting, copies = self._waiting, self._copies
        if not waiting:
            return
        # Gone from here first: whoever is interrupted in the middle must not add them again.
        self._since_s, self._bytes, self._waiting, self._copies = None, 0, {}, []
        added = self.shelf.add_all([(file.item, file.reference) for file in waiting.values()])
        records = {record.sha256: record for record in added}
        for sha256, file in waiting.items():
            if sha256 in records:
                yield Added(file.job, records[sha256], file.pictures_lost)
            else:
                yield self._left_out(file.job, sha256)
        for job, sha256 in copies:
            yield self._left_out(job, sha256)

    def commit_due(self) -> Iterator[Outcome]:
        """The same, if it is time to."""
        return self.commit() if self.due_in_s() == 0.0 else iter(())

    def _left_out(self, job: Job, sha256: str) -> Outcome:
        """Another file of this run, or another process, was quicker."""
        for item in self.shelf.with_content(sha256):
            return Known(job, item)
        problem = "another process took its id meanwhile"
        return Failed(job, UsageError("add", job.path, problem, hint="run it again, or name another --id"))


def made_durable(batch: Batch, outcomes: Iterable[Outcome]) -> Generator[Outcome, None, None]:
    """Pass them on, then commit what waits in the batch.

    On Ctrl-C, and where a UsageError says that nothing more will come, that is still added, and told, before the error
    goes on; so it is, untold, where the generator is closed.
    """
    try:
        yield from outcomes
        yield from batch.commit()
    except (KeyboardInterrupt, UsageError):
        yield from batch.commit()
        raise
    except GeneratorExit:
        deque(batch.commit(), maxlen=0)
        raise
