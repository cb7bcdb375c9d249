"""Files into the library: each is read in a child process of its own, so that one bad file costs that file; what was
read becomes durable in batches.

A pool of workers breaks as a whole when one crashes; one process a file, at most one a core at once, does not.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemRecord, NewItem
from streamguard.library.segments import check_new
from streamguard.regular_files import open_regular
from streamguard.types import AssetId, Reference
from streamguard.worker import reference_child
from streamguard.worker.batch import Batch, Batching, Shelf, Waiting, made_durable
from streamguard.worker.ids import FreshIds
from streamguard.worker.outcomes import Failed, Job, Known, Outcome, Read
from streamguard.worker.reference_child import Content, Damage, Progress
from streamguard.worker.task_child import TaskChild
from streamguard.worker.watchdog import Watchdog

MEDIA_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".f4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"),
        *(".wmv", ".3gp", ".ogv", ".mxf", ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    }
)

_MOST_MESSAGE_BYTES = 512 << 20
_READ_AT_ONCE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost: a child silent for `silence_s` hangs, and none may take longer than `total_s`."""

    at_once: int
    silence_s: float = 60.0
    total_s: float = 6 * 3600.0
    memory_mib: int = 4096


def default_limits(*, jobs: int | None = None) -> Limits:
    """For so many files at once; unless said otherwise, one for each core that we may use."""
    return Limits(at_once=jobs or len(os.sched_getaffinity(0)))


def media_in(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """(media, the rest): every file under a folder, by its extension, in order of name. Raises UsageError."""

    def stop(error: OSError) -> None:
        raise UsageError("read folder", error.filename, error.strerror or str(error)) from error

    media: list[Path] = []
    others: list[Path] = []
    for where, folders, names in os.walk(folder, onerror=stop):
        folders.sort()
        for name in sorted(names):
            (media if Path(name).suffix.lower() in MEDIA_SUFFIXES else others).append(Path(where, name))
    return tuple(media), tuple(others)


@dataclass(frozen=True, slots=True)
class There:
    """What a shelf holds, as far as it is looked up for every file: ids that are taken, sizes of what may be known."""

    ids: Container[str]
    sizes_bytes: Container[int]


def what_is_there(items: Iterable[ItemRecord]) -> There:
    """In one pass."""
    pairs = [(item.id, item.size_bytes) for item in items]
    return There(frozenset(id_ for id_, _ in pairs), frozenset(size_bytes for _, size_bytes in pairs))


def index(
    library: Shelf,
    jobs: Sequence[Job],
    *,
    limits: Limits,
    news: Callable[[Job, Progress | Read], None],
    batching: Batching = Batching(),  # noqa: B008 - it is frozen
    there: There | None = None,
) -> Generator[Outcome, None, None]:
    """Add files, several at once; yields each one's outcome when it is durable, in the order in which they end.
    Call `forkserver.start_forkserver` first, so that no child inherits our secrets. `there`: for who knows it.

    On Ctrl-C what was read to its end is still added, and told, before KeyboardInterrupt goes on; so it is, untold,
    where the generator is closed. Raises LibraryError when the library itself fails: no other file would fare better.
    """
    batch = Batch(library, batching)
    there = there or what_is_there(library.items())
    yield from made_durable(batch, _outcomes(batch, jobs, limits=limits, news=news, there=there))


def _outcomes(
    batch: Batch,
    jobs: Sequence[Job],
    *,
    limits: Limits,
    news: Callable[[Job, Progress | Read], None],
    there: There,
) -> Iterator[Outcome]:
    ids = FreshIds(there.ids)
    waiting = deque(jobs)
    running: dict[Connection, _Child] = {}
    watchdog = Watchdog()
    try:
        while waiting or running:
            while waiting and len(running) < limits.at_once:
                job = waiting.popleft()
                if known := _known_at_once(batch.shelf, job, sizes_bytes=there.sizes_bytes):
                    yield from known
                    continue
                id_ = ids.give(job.path) if job.id is None else ids.take(job.id)
                started = _started(job, id_, limits, watchdog=watchdog)
                if isinstance(started, Failed):
                    yield started
                else:
                    running[started.process.connection] = started
            # Without anybody to hear from it would wait for ever.
            for connection in wait(list(running), batch.due_in_s()) if running else ():
                child = running[connection]  # type: ignore[index]  # only connections were given
                outcomes = _hear(batch, child, news=news)
                if child.finished:
                    child.process.end()
                    del running[child.process.connection]
                yield from outcomes
                yield from batch.commit_due()  # before the next one: each may be large, and all of them ready
            yield from batch.commit_due()
    finally:
        for child in running.values():
            child.process.end()
        watchdog.close()


class _Child:
    """One file's process, and what it has said so far."""

    def __init__(self, job: Job, id_: AssetId, limits: Limits, *, watchdog: Watchdog) -> None:
        """Raises OSError where no process can be had."""
        self.job = job
        self.id = id_
        self.content: Content | None = None
        self.finished = False
        self.pictures_lost = 0
        self._limits = limits
        self.process = TaskChild(
            reference_child.run,
            str(job.path),
            memory_mib=limits.memory_mib,
            silence_s=limits.silence_s,
            total_s=limits.total_s,
            watchdog=watchdog,
        )

    def why_it_ended(self) -> str:
        if self.process.timed_out:
            return f"decoding hung: nothing for {self._limits.silence_s:g} s, or over {self._limits.total_s:g} s in all"
        code = self.process.exit_code()
        if code is None:
            return "decoding ended without a word"
        return f"decoding crashed (signal {-code})" if code < 0 else f"decoding failed (status {code})"


def _hear(batch: Batch, child: _Child, *, news: Callable[[Job, Progress | Read], None]) -> tuple[Outcome, ...]:
    """Take one message. Where that ends the file, `child.finished`, and its outcome unless it waits in the batch."""
    job = child.job
    try:
        data = child.process.receive(most_bytes=_MOST_MESSAGE_BYTES)
        message = reference_child.understand(data)
    except (EOFError, OSError, ValueError) as error:
        child.finished = True
        # An OSError is the end in the middle of a message, or a message that is too long.
        if not isinstance(error, EOFError) and not child.process.timed_out:
            return (_rubbish(job),)
        hint = "the others are not affected; is the file damaged?"
        return (Failed(job, UsageError("add", job.path, child.why_it_ended(), hint=hint)),)
    child.finished = isinstance(message, UsageError | Reference)
    match message:
        case Progress():
            news(job, message)
        case Damage():
            child.pictures_lost = message.pictures
        case UsageError():
            return (Failed(job, message),)
        case Content():
            child.content = message
            return _seen_before(batch, child, message)
        case Reference():
            outcomes = _put(batch, child, message, size_bytes=len(data))
            news(job, Read(message.duration_us / 1e6))
            return outcomes
    return ()


def _known_at_once(library: Shelf, job: Job, *, sizes_bytes: Container[int]) -> tuple[Known, ...]:
    """A second run passes over what the first one added: what is small enough costs no process, only to be read."""
    try:
        with open_regular(job.path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > _READ_AT_ONCE_BYTES or size_bytes not in sizes_bytes:
                return ()
            sha256 = hashlib.sha256(file.read(_READ_AT_ONCE_BYTES)).hexdigest()
    except OSError:  # its child says what is wrong with it
        return ()
    return tuple(Known(job, item) for item in library.with_content(sha256))


def _as_text(path: Path) -> str:
    """Linux takes any bytes for a name, the catalogue text only."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _started(job: Job, id_: AssetId, limits: Limits, *, watchdog: Watchdog) -> _Child | Failed:
    try:
        watchdog.start()
        return _Child(job, id_, limits, watchdog=watchdog)
    except OSError as error:
        hint = "is the machine out of processes, files or memory? Run it again when it is not"
        return Failed(job, UsageError("add", job.path, f"no decoder could be started: {error}", hint=hint))


def _rubbish(job: Job) -> Failed:
    return Failed(job, UsageError("add", job.path, "its decoder sent rubbish", hint="is the file hostile?"))


def _seen_before(batch: Batch, child: _Child, content: Content) -> tuple[Outcome, ...]:
    """Where the file need not be decoded, that is its end."""
    job = child.job
    there = batch.shelf.with_content(content.sha256)
    child.finished = True
    if there:
        return tuple(Known(job, item) for item in there)
    if content.sha256 in batch:
        batch.put_copy(job, content.sha256)
        return ()
    if batch.shelf.has(child.id):
        problem = f"the library has another item {child.id}"
        return (Failed(job, UsageError("add", job.path, problem, hint="name another --id, or remove that one")),)
    child.finished = False
    return ()


def _put(batch: Batch, child: _Child, reference: Reference, *, size_bytes: int) -> tuple[Outcome, ...]:
    job, content = child.job, child.content
    if content is None:
        return (_rubbish(job),)
    # Two copies may have been decoded side by side.
    if there := batch.shelf.with_content(content.sha256):
        return tuple(Known(job, item) for item in there)
    if content.sha256 in batch:
        batch.put_copy(job, content.sha256)
        return ()
    try:
        check_new(child.id, job.label, reference)
    except UsageError as error:
        return (Failed(job, UsageError("add", job.path, error.problem, hint=error.hint)),)
    new = NewItem(child.id, job.label, _as_text(job.path), content.size_bytes, content.sha256)
    batch.put(Waiting(job, new, reference, child.pictures_lost), size_bytes=size_bytes)
    return ()
