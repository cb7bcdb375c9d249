"""New parts of a library are opened by a child process first: a crash or a hang there is a version that is refused."""

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from streamguard.errors import LibraryCrashes, LibraryError
from streamguard.library.durable import open_unfollowed
from streamguard.library.segments import FILES, SegmentRef, folder_of
from streamguard.worker.children import not_waited_for_at_exit
from streamguard.worker.forkserver import forkserver_is_gone, forkserver_must_answer, telling_nothing
from streamguard.worker.library_child import MOST_ANSWER_BYTES, Asked, Work, opens, raise_what_it_says, run
from streamguard.worker.unprivileged import NOBODY, Ids, ids_for_decoders

_MIB = 1 << 20
_START_S = 10.0
_EXIT_STATUS_S = 1.0
_BYTES_A_SECOND = 20 * _MIB
"""So slow is no disk, and no processor."""

_USUAL_BYTES = 64 * _MIB
_BASE_MIB = 1536
_TIMES_ITS_SIZE = 3
"""What reading takes of address space; the rest is Python, FAISS and what else the forkserver has loaded."""


class LibraryTrial:
    """Call it as `loading.Trial`, from one thread; `close()` it from any.

    Its child is kept for the next new segments, until one crashes it or was so large that it has grown.
    """

    def __init__(
        self,
        *,
        user: str = NOBODY,
        answer_within_s: float = 10.0,
        first_within_s: float | None = None,
        work: Work = opens,
    ) -> None:
        """`answer_within_s`: beside what reading takes; `first_within_s`: until a child has opened the first segment.
        `work` is what the child does. Raises ConfigError.
        """
        self._ids = ids_for_decoders(user)
        self._answer_within_s = answer_within_s
        self._first_within_s = first_within_s
        self._work = work
        self._child: _Child | None = None

    def prepare(self) -> None:
        """Have a child ready, so that the next new segment waits for none. Where none can be had, that will tell; where
        the forkserver has died, decoders have it made anew first.
        """
        with contextlib.suppress(OSError):
            if not forkserver_is_gone():
                self._ready(_USUAL_BYTES)

    def __call__(
        self,
        directory: Path,
        refs: Sequence[SegmentRef],
        /,
        *,
        opened: Callable[[SegmentRef], None] = lambda _ref: None,
    ) -> None:
        """`opened` is called with each that the child has opened. Raises as `read_segment` for the first that it
        refuses; LibraryCrashes; LibraryError (no process).
        """
        try:
            for ref in refs:
                self._try(directory, ref)
                self._first_within_s = None
                opened(ref)
        finally:
            if self._child is not None and self._child.memory_mib > _memory_mib(_USUAL_BYTES):
                self.close()

    def close(self) -> None:
        """End the child. Harmless when there is none."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _try(self, directory: Path, ref: SegmentRef) -> None:
        folder = folder_of(directory, ref)
        with _opened(folder) as files:
            size_bytes = sum(os.fstat(descriptor).st_size for descriptor in files.values())
            try:
                child = self._ready(size_bytes)
            except OSError as error:
                hint = "is the machine out of processes, files or memory? It is tried again"
                raise LibraryError("try segment", folder, f"no process can be had: {error}", hint=hint) from error
            within_s = self._first_within_s or self._answer_within_s
            asked = Asked(str(directory), ref, tuple(files))
            said = child.ask(asked, list(files.values()), within_s=within_s + size_bytes / _BYTES_A_SECOND)
        try:
            raise_what_it_says(said)
        except ValueError as error:
            how = child.how_it_ended(said)
            self.close()  # one that hangs, or lies, is asked nothing more
            hint = "it is tried again; what lasts: streamguard library verify, where a crash does no harm"
            raise LibraryCrashes("try segment", folder, how, hint=hint) from error

    def _ready(self, size_bytes: int) -> "_Child":
        """A child that has room for so much. Raises OSError."""
        needed_mib = _memory_mib(max(size_bytes, _USUAL_BYTES))
        if self._child is not None and (self._child.memory_mib < needed_mib or not self._child.lives):
            self.close()
        if self._child is None:
            within_s = max(_START_S, self._first_within_s or 0.0)
            self._child = _Child(self._work, memory_mib=needed_mib, ids=self._ids, within_s=within_s)
        return self._child


class _Child:
    """A running child, and the line to it."""

    def __init__(self, work: Work, *, memory_mib: int, ids: Ids | None, within_s: float) -> None:
        """Raises OSError where no process can be had within so long."""
        self.memory_mib = memory_mib
        self._timed_out_after_s = 0.0
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        context = multiprocessing.get_context("forkserver")
        options = {"memory_mib": memory_mib, "ids": ids}
        self._process: ForkServerProcess = context.Process(target=run, args=(theirs, work), kwargs=options, daemon=True)
        try:
            with theirs, telling_nothing(), forkserver_must_answer(within_s):
                self._process.start()
        except (OSError, EOFError) as error:
            self._channel.close()
            raise ChildProcessError(f"the forkserver started none ({error})") from error
        not_waited_for_at_exit(self._process)  # it dies with the forkserver, however busy it is then

    @property
    def lives(self) -> bool:
        return self._process.exitcode is None

    def ask(self, asked: Asked, descriptors: list[int], *, within_s: float) -> bytes:
        """Its answer; empty where none came."""
        self._channel.settimeout(within_s)
        try:
            socket.send_fds(self._channel, [asked.to_bytes()], descriptors)
            return self._channel.recv(MOST_ANSWER_BYTES + 1)
        except TimeoutError:
            self._timed_out_after_s = within_s
            return b""
        except OSError:  # it is gone
            return b""

    def how_it_ended(self, said: bytes) -> str:
        """In words, for one that did not answer, or not as it should."""
        if said:
            return "the process that tried it first answered rubbish"
        if self._timed_out_after_s:
            return f"the process that tried it first hung: no answer in {self._timed_out_after_s:.0f} s"
        self._process.join(_EXIT_STATUS_S)
        code = self._process.exitcode
        how = "" if code is None else f" (signal {-code})" if code < 0 else f" (status {code})"
        return f"the process that tried it first crashed{how}"

    def end(self) -> None:
        """End it now, from any thread: it holds nothing that a kill could lose."""
        if self.lives:
            self._process.kill()
        self._channel.close()


def _memory_mib(size_bytes: int) -> int:
    return _BASE_MIB + _TIMES_ITS_SIZE * (size_bytes // _MIB + 1)


@contextmanager
def _opened(folder: Path) -> Iterator[dict[str, int]]:
    """Its files by name, those that are there; not a byte of them is read. Raises as `open_unfollowed`, but for files
    that are missing: the child says so.
    """
    descriptors: dict[str, int] = {}
    try:
        for name in FILES:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                descriptors[name] = open_unfollowed(folder / name)
        yield descriptors
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)
