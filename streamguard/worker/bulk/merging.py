"""Shards into a library: each is checked as a whole, whoever made it; a bad one costs that shard only."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryError, UsageError
from streamguard.library.catalogue import NewItem
from streamguard.types import Reference
from streamguard.worker.batch import Batch, Batching, Shelf, Waiting, made_durable
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.shard_file import ShardHead, ShardItem
from streamguard.worker.ids import FreshIds
from streamguard.worker.outcomes import Job, Known, Outcome, Read


@dataclass(frozen=True, slots=True)
class Listed:
    """A shard whose head was read."""

    path: Path
    head: ShardHead


@dataclass(frozen=True, slots=True)
class BadShard:
    """Nothing of it was added; the others go on. `missed`: what its head says that it held, and the library has not."""

    path: Path
    error: LibraryError | UsageError
    missed: tuple[ShardItem, ...] = ()


class Merger:
    """Puts items from shards into the batch, each under an id from its file's name, and no content twice."""

    def __init__(self, library: Shelf, batching: Batching) -> None:
        self.batch = Batch(library, batching)
        self._ids = FreshIds(frozenset(item.id for item in library.items()))

    def put(self, job: Job, new: tuple[ShardItem, Reference], *, pictures_lost: int = 0) -> Iterator[Outcome]:
        """What is known already has its outcome now; else it waits for its batch, which is committed when full."""
        item, reference = new
        if there := self.batch.shelf.with_content(item.sha256):
            yield from (Known(job, known) for known in there)
        elif item.sha256 in self.batch:
            self.batch.put_copy(job, item.sha256)
        else:
            made = NewItem(self._ids.give(job.path), item.label, item.source, item.size_bytes, item.sha256)
            self.batch.put(Waiting(job, made, reference, pictures_lost), size_bytes=item.reference_bytes)
            yield from self.batch.commit_due()


def listed(paths: Sequence[Path]) -> tuple[tuple[Listed, ...], tuple[BadShard, ...]]:
    """(those whose heads can be read, the others)."""
    good: list[Listed] = []
    bad: list[BadShard] = []
    for path in paths:
        try:
            good.append(Listed(path, shard_file.read_head(path)))
        except (LibraryError, UsageError) as error:
            bad.append(BadShard(path, error))
    return tuple(good), tuple(bad)


def job_of(item: ShardItem) -> Job:
    """The file that an item was made from, wherever that was."""
    return Job(Path(item.source), item.label)


def merge(
    library: Shelf,
    shards: Sequence[Listed],
    *,
    news: Callable[[Job, Read], None],
    bad: Callable[[BadShard], None],
    batching: Batching = Batching(),  # noqa: B008 - it is frozen
) -> Generator[Outcome, None, None]:
    """Add what is in the shards; yields each item's outcome when it is durable. What the library has already costs no
    more than its shard's head. Ctrl-C as in `indexing.index`. Raises LibraryError when the library itself fails.
    """
    merger = Merger(library, batching)

    def outcomes() -> Iterator[Outcome]:
        for shard in shards:
            there = [known for item in shard.head.items for known in _there(library, item)]
            if len(there) == len(shard.head.items):
                yield from there
                continue
            try:
                items = shard_file.read(shard.path)
            except (LibraryError, UsageError) as error:
                missed = tuple(item for item in shard.head.items if not library.with_content(item.sha256))
                bad(BadShard(shard.path, error, missed))
                yield from there
                continue
            for item, reference in items:
                yield from merger.put(job_of(item), (item, reference))
                news(job_of(item), Read(reference.duration_us / 1e6))

    yield from made_durable(merger.batch, outcomes())


def _there(library: Shelf, item: ShardItem) -> tuple[Known, ...]:
    return tuple(Known(job_of(item), there) for there in library.with_content(item.sha256))
