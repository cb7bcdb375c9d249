"""Fingerprinting on every machine of a Ray cluster: the same as `indexing.index`, elsewhere."""

import importlib.util
import multiprocessing
import pickle
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from streamguard import __version__
from streamguard.errors import LibraryError, UsageError
from streamguard.types import Reference
from streamguard.worker.batch import Batching, Shelf, made_durable
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.merging import Merger
from streamguard.worker.bulk.ray_messages import Lost, Stopped, TheEnd, Work
from streamguard.worker.bulk.shard_file import ShardItem
from streamguard.worker.bulk.shard_task import Answer
from streamguard.worker.confinement import hide_from_children
from streamguard.worker.forkserver import drop_settings, telling_nothing
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome, Read

AUTO = "auto"
"""The cluster that this machine belongs to."""

_REACH_S = 5.0
_CONNECT_S = 60.0
_LOOK_EVERY_S = 1.0
_LAST_MOMENT_S = 5.0
_INSTALL = "pip install 'streamguard[ray]', with the version of Ray that the cluster has"
_SAME = "does this machine belong to the cluster (`ray start`), with the same versions of Ray and Python?"
_NO_PICKLE = (pickle.UnpicklingError, AttributeError, ImportError, LookupError, TypeError, ValueError)
"""What unpickling something else than we know raises; `pickle` names some of them, and says that there are more."""

_GO_ON = "what was added stays, run it again to go on. Is the same StreamGuard on every machine of the cluster?"


def check_address(address: str) -> None:
    """Whether there can be a cluster, and Ray is here to speak with it. Raises UsageError."""
    if address != AUTO:
        _reach(address)
    if importlib.util.find_spec("ray") is None:
        raise UsageError("connect to Ray", address, "Ray is not installed here", hint=_INSTALL)


def _reach(address: str) -> None:
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        hint = f"`{AUTO}`, or HOST:PORT of its head (6379 usually), on a machine of the cluster"
        raise UsageError("connect to Ray", address, "no address of a cluster", hint=hint)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError("connect to Ray", address, str(error), hint="is the cluster's head up?") from error


def index(
    library: Shelf,
    jobs: Sequence[Job],
    *,
    address: str,
    news: Callable[[Job, Read], None],
    batching: Batching = Batching(),  # noqa: B008 - it is frozen
) -> Generator[Outcome, None, None]:
    """As `indexing.index`, on the cluster's cores: each machine must see the files under the same paths. What a worker
    had when it died is done again elsewhere. Raises UsageError where the cluster is none, is lost, or answers what is
    no answer of this version's: what came until then is added.
    """
    merger = Merger(library, batching)
    yield from made_durable(merger.batch, _outcomes(address, tuple(jobs), merger=merger, news=news))


def _outcomes(
    address: str, jobs: tuple[Job, ...], *, merger: Merger, news: Callable[[Job, Read], None]
) -> Iterator[Outcome]:
    process, connection = _started(Work(address, jobs, merger.batch.shelf.items()))
    try:
        if not connection.poll(_CONNECT_S):
            problem = f"no cluster answered in {_CONNECT_S:g} s"
            raise UsageError("connect to Ray", address, problem, hint=_SAME)
        _heard(connection, process, _Error("connect to Ray", address, _SAME))
        or_else = _Error("add by Ray", address, _GO_ON)
        while True:
            if connection.poll(_LOOK_EVERY_S):
                match _heard(connection, process, or_else):
                    case Answer() as answer:
                        yield from _taken(answer, _items(answer, or_else), merger=merger, news=news)
                    case Lost(job, problem):
                        yield _lost(job, problem)
                    case TheEnd():
                        return
            yield from merger.batch.commit_due()
    finally:
        process.kill()  # it holds nothing that is not there; the cluster ends what it asked for
        process.join(_LAST_MOMENT_S)
        connection.close()


def _started(work: Work) -> tuple[SpawnProcess, Connection]:
    """It unpickles what other machines answer: it gets no secret of ours, as no decoder does."""
    drop_settings()
    hide_from_children()
    context = multiprocessing.get_context("spawn")
    connection, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, work), daemon=True)
    with theirs, telling_nothing():
        process.start()
    return process, connection


def _run(connection: Connection, work: Work) -> None:
    """There: Ray is imported nowhere else."""
    ray_driver = importlib.import_module("streamguard.worker.bulk.ray_driver")
    ray_driver.run(connection, work)


@dataclass(frozen=True, slots=True)
class _Error:
    """What to say where it goes no further."""

    operation: str
    address: str
    hint: str

    def because(self, problem: str) -> UsageError:
        return UsageError(self.operation, self.address, problem, hint=self.hint)


def _heard(connection: Connection, process: SpawnProcess, or_else: _Error) -> object:
    """Its next message. Raises UsageError where that, or its end, says that it cannot go on."""
    try:
        message = connection.recv()
    except (EOFError, OSError) as error:
        process.join(_LAST_MOMENT_S)
        raise or_else.because(f"the cluster is gone (status {process.exitcode})") from error
    except _NO_PICKLE as error:
        raise or_else.because(f"an answer is not understood ({type(error).__name__})") from error
    if isinstance(message, Stopped):
        raise or_else.because(message.problem)
    return message


_Items = dict[str, tuple[ShardItem, Reference]]


def _items(answer: Answer, or_else: _Error) -> _Items:
    """What is in its shards, by content. Raises UsageError where they are none, or lack what it says that they hold."""
    if answer.version != __version__:
        raise or_else.because(f"a machine has StreamGuard {answer.version}, this one has {__version__}")
    try:
        items = {
            item.sha256: (item, reference)
            for data in answer.shards
            for item, reference in shard_file.from_bytes(data, subject="from the cluster")
        }
    except LibraryError as error:
        raise or_else.because(f"a shard is no good: {error.problem}") from error
    for outcome in answer.outcomes:
        if isinstance(outcome, Added) and outcome.item.sha256 not in items:
            raise or_else.because(f"no shard has what was made of {outcome.job.path}")
    return items


def _taken(answer: Answer, items: _Items, *, merger: Merger, news: Callable[[Job, Read], None]) -> Iterator[Outcome]:
    """What a task answered goes into the batch, or has its outcome already."""
    for outcome in answer.outcomes:
        match outcome:
            case Added(job, item, lost):
                yield from merger.put(job, items[item.sha256], pictures_lost=lost)
                news(job, Read(item.duration_us / 1e6))
            case Known(job, item) if item.sha256 in items:  # a copy of another file of the same task
                yield from merger.put(job, items[item.sha256])
            case Known() | Failed():
                yield outcome


def _lost(job: Job, problem: str) -> Failed:
    hint = "is memory short there? Run it again, or without --ray"
    return Failed(job, UsageError("add", job.path, f"the worker that read it was lost each time: {problem}", hint=hint))
