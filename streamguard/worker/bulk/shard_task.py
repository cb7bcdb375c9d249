"""What one machine of many does: fingerprint some files, and answer with shards and with what became of each file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from streamguard import __version__
from streamguard.worker import indexing
from streamguard.worker.batch import Batching
from streamguard.worker.bulk.shard_shelf import KnownContent, ShardShelf
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.indexing import Limits
from streamguard.worker.outcomes import Job, Outcome, Read
from streamguard.worker.reference_child import Progress

_WAIT_S = 86_400.0
_ONE_SHARD = Batching(least_wait_s=_WAIT_S, most_wait_s=_WAIT_S)
"""Nobody sees a part of an answer: its shards are made when they are full, or at the end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcomes` of all the files; those that were added are in the shards. `version`: of the StreamGuard there."""

    shards: tuple[bytes, ...]
    outcomes: tuple[Outcome, ...]
    version: str = __version__


def fingerprint(jobs: Sequence[Job], known: KnownContent) -> Answer:
    """One file at once, each in a child of its own, as `library add` does it. What is `known` is not decoded again.

    Raises UsageError where no child can be started here.
    """
    _start_forkserver()
    shards: list[bytes] = []
    shelf = ShardShelf(known, keep=lambda _, data: shards.append(data))
    one = Limits(at_once=1)
    outcomes = tuple(
        indexing.index(shelf, jobs, limits=one, news=_nobody_listens, batching=_ONE_SHARD, there=known.there)
    )
    return Answer(tuple(shards), outcomes)


@cache
def _start_forkserver() -> None:
    """Once a process, which may be given one task after another."""
    start_forkserver()


def _nobody_listens(_: Job, __: Progress | Read) -> None:
    pass
