"""Files into the library: each in its own child process and its own durable step, so that one bad file costs that file.

A pool of workers breaks as a whole when one crashes; one process a file, at most one a core at once, does not.
"""

import multiprocessing
import os
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

from streamguard.errors import StreamGuardError, UsageError
from streamguard.library.catalogue import ItemRecord, NewItem
from streamguard.types import AssetId, Reference
from streamguard.worker import reference_child
from streamguard.worker.children import not_waited_for_at_exit
from streamguard.worker.forkserver import telling_nothing
from streamguard.worker.reference_child import Content, Damage, Progress
from streamguard.worker.watchdog import DeadlineId, Watchdog

MEDIA_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".f4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"),
        *(".wmv", ".3gp", ".ogv", ".mxf", ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    }
)

_EXIT_STATUS_S = 10.0
_LAST_MOMENT_S = 1.0
_MOST_MESSAGE_BYTES = 512 << 20
_MOST_ID_CHARACTERS = 100


class Shelf(Protocol):
    """Where items go: a library, as far as it is filled here."""

    def items(self) -> tuple[ItemRecord, ...]: ...

    def has(self, id_: str) -> bool: ...

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]: ...

    def add(self, item: NewItem, reference: Reference) -> ItemRecord: ...


@dataclass(frozen=True, slots=True)
class Job:
    """A file to add. Without an id it gets one from its name."""

    path: Path
    label: str
    id: AssetId | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost: a child silent for `silence_s` hangs, and none may take longer than `total_s`."""

    at_once: int
    silence_s: float = 60.0
    total_s: float = 6 * 3600.0
    memory_mib: int = 4096


@dataclass(frozen=True, slots=True)
class Added:
    """In the library now, live and durable."""

    job: Job
    item: ItemRecord
    pictures_lost: int = 0
    """Parts of the file that could not be decoded."""


@dataclass(frozen=True, slots=True)
class Known:
    """The same bytes were in the library already, as `item`."""

    job: Job
    item: ItemRecord


@dataclass(frozen=True, slots=True)
class Failed:
    """Not added; the others go on."""

    job: Job
    error: StreamGuardError


Outcome = Added | Known | Failed


def default_limits() -> Limits:
    return Limits(at_once=os.cpu_count() or 1)


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


def id_from_name(path: Path, *, taken: Container[str]) -> AssetId:
    """The file's name in safe characters, with a number when it is taken."""
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:_MOST_ID_CHARACTERS] or "item"
    number = 1
    while (id_ := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return AssetId(id_)


def index(
    library: Shelf, jobs: Sequence[Job], *, limits: Limits, news: Callable[[Job, Progress], None]
) -> Iterator[Outcome]:
    """Add files, several at once; yields each one's outcome when it is durable, in the order in which they end.
    Call `forkserver.start_forkserver` first, so that no child inherits our secrets.

    Raises LibraryError when the library itself fails: then no other file would fare better.
    """
    taken = {item.id for item in library.items()}
    waiting = deque(jobs)
    running: dict[Connection, _Child] = {}
    watchdog = Watchdog()
    try:
        while waiting or running:
            while waiting and len(running) < limits.at_once:
                job = waiting.popleft()
                id_ = job.id or id_from_name(job.path, taken=taken)
                taken.add(id_)
                try:
                    watchdog.start()
                    child = _Child(job, id_, limits, watchdog=watchdog)
                except OSError as error:
                    yield _not_started(job, error)
                    continue
                running[child.connection] = child
            for connection in wait(list(running)):
                child = running[connection]  # type: ignore[index]  # only connections were given
                outcome = _hear(library, child, news)
                if outcome is not None:
                    child.end()
                    del running[child.connection]
                    yield outcome
    finally:
        for child in running.values():
            child.end()
        watchdog.close()


class _Child:
    """One file's process, with the deadlines that end it when it hangs."""

    def __init__(self, job: Job, id_: AssetId, limits: Limits, *, watchdog: Watchdog) -> None:
        """`watchdog` must have been started. Raises OSError where no process can be had."""
        self.job = job
        self.id = id_
        self.content: Content | None = None
        self.pictures_lost = 0
        self.timed_out = False
        self._limits = limits
        self._watchdog = watchdog
        context = multiprocessing.get_context("forkserver")
        self.connection, theirs = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=reference_child.run,
            args=(str(job.path), theirs),
            kwargs={"memory_mib": limits.memory_mib},
            daemon=True,
        )
        try:
            with theirs, telling_nothing():
                self._process.start()
        except (OSError, EOFError) as error:
            self.connection.close()
            raise ChildProcessError(f"the forkserver started none ({error})") from error
        self._total = self._deadline(limits.total_s)
        self._silence = self._deadline(limits.silence_s)

    def receive(self) -> bytes:
        """Its next message. Never waits longer than the limits. Raises EOFError, OSError."""
        data = self.connection.recv_bytes(_MOST_MESSAGE_BYTES)
        self._watchdog.cancel(self._silence)
        self._silence = self._deadline(self._limits.silence_s)
        return data

    def why_it_ended(self) -> str:
        if self.timed_out:
            return f"decoding hung: nothing for {self._limits.silence_s:g} s, or over {self._limits.total_s:g} s in all"
        self._process.join(_EXIT_STATUS_S)
        code = self._process.exitcode
        if code is None:
            return "decoding ended without a word"
        return f"decoding crashed (signal {-code})" if code < 0 else f"decoding failed (status {code})"

    def end(self) -> None:
        self._watchdog.cancel(self._silence)
        self._watchdog.cancel(self._total)
        self._process.kill()
        not_waited_for_at_exit(self._process)
        self._process.join(_LAST_MOMENT_S)
        if self._process.exitcode is not None:
            self._process.close()
        self.connection.close()

    def _deadline(self, after_s: float) -> DeadlineId:
        return self._watchdog.after(after_s, self._hangs)

    def _hangs(self) -> None:
        self.timed_out = True
        self._process.kill()


def _hear(library: Shelf, child: _Child, news: Callable[[Job, Progress], None]) -> Outcome | None:
    """Take one message; the outcome when that ends the file."""
    job = child.job
    try:
        message = reference_child.understand(child.receive())
    except (EOFError, OSError, ValueError) as error:
        # An OSError is the end in the middle of a message, or a message that is too long.
        if not isinstance(error, EOFError) and not child.timed_out:
            return _rubbish(job)
        hint = "the others are not affected; is the file damaged?"
        return Failed(job, UsageError("add", job.path, child.why_it_ended(), hint=hint))
    match message:
        case Progress():
            news(job, message)
        case Damage():
            child.pictures_lost = message.pictures
        case UsageError():
            return Failed(job, message)
        case Content():
            child.content = message
            return _known(library, child, message)
        case Reference():
            return _add(library, child, message)
    return None


def _as_text(path: Path) -> str:
    """Linux takes any bytes for a name, the catalogue text only."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _not_started(job: Job, error: OSError) -> Failed:
    hint = "is the machine out of processes, files or memory? Run it again when it is not"
    return Failed(job, UsageError("add", job.path, f"no decoder could be started: {error}", hint=hint))


def _rubbish(job: Job) -> Failed:
    return Failed(job, UsageError("add", job.path, "its decoder sent rubbish", hint="is the file hostile?"))


def _known(library: Shelf, child: _Child, content: Content) -> Outcome | None:
    """The outcome when the file need not be decoded."""
    job = child.job
    for item in library.with_content(content.sha256):
        return Known(job, item)
    if library.has(child.id):
        problem = f"the library has another item {child.id}"
        return Failed(job, UsageError("add", job.path, problem, hint="name another --id, or remove that one"))
    return None


def _add(library: Shelf, child: _Child, reference: Reference) -> Outcome:
    job, content = child.job, child.content
    if content is None:
        return _rubbish(job)
    # Two copies may have been decoded side by side.
    for item in library.with_content(content.sha256):
        return Known(job, item)
    new = NewItem(child.id, job.label, _as_text(job.path), content.size_bytes, content.sha256)
    try:
        return Added(job, library.add(new, reference), child.pictures_lost)
    except UsageError as error:
        return Failed(job, UsageError("add", job.path, error.problem, hint=error.hint))
