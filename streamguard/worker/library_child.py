"""The process that opens new parts of a library before the worker does: what crashes or stops it does so here.

It is confined as a decoder is before it hears of anything, and opens nothing itself: it is handed files that are open.
It goes on for many segments, for importing FAISS takes ten times as long as opening a small one.
"""

import errno
import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryDamaged, LibraryError, LibraryFormatError
from streamguard.library.segments import FILES, SegmentRef, read_segment
from streamguard.worker.confinement import confine
from streamguard.worker.unprivileged import Ids

NAME = "sg-library"
"""As `ps` and `top` call the process."""

MOST_ASKED_BYTES = 16 << 10
MOST_ANSWER_BYTES = 32 << 10
_MOST_WORDS = 2000
_CLASSES: Mapping[str, type[LibraryError]] = {
    one.__name__: one for one in (LibraryError, LibraryDamaged, LibraryFormatError)
}
_GONE = "gone"


@dataclass(frozen=True, slots=True)
class Asked:
    """A segment, and what its open files are called, in their order."""

    directory: str
    ref: SegmentRef
    names: tuple[str, ...]

    def to_bytes(self) -> bytes:
        return json.dumps([self.directory, self.ref.id, self.ref.manifest_sha256, self.names]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Asked":
        directory, id_, sha256, names = json.loads(data)
        return cls(directory, SegmentRef(id_, sha256), tuple(names))


Work = Callable[[Asked, Mapping[str, int]], None]
"""Opens it; raises what `read_segment` raises."""


def opens(asked: Asked, descriptors: Mapping[str, int]) -> None:
    """All of it: every checksum, every value, and its canary queries."""

    def opener(path: Path) -> int:
        if path.name not in descriptors:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        os.lseek(descriptors[path.name], 0, os.SEEK_SET)
        return os.dup(descriptors[path.name])

    read_segment(Path(asked.directory), asked.ref, opener=opener)


def run(channel: socket.socket, work: Work, *, memory_mib: int, ids: Ids | None) -> None:
    """The child's main function: one answer for each segment, until its parent is gone."""
    with suppress(OSError):  # only for people, who would take it for a decoder otherwise
        Path("/proc/self/comm").write_text(NAME, encoding="ascii")
    confine(channel.fileno(), memory_mib=memory_mib, ids=ids)
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, MOST_ASKED_BYTES, len(FILES))
        if not data:
            return
        asked = Asked.from_bytes(data)
        try:
            channel.sendall(answer(work, asked, dict(zip(asked.names, descriptors, strict=True))))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def answer(work: Work, asked: Asked, descriptors: Mapping[str, int]) -> bytes:
    """What came of it, in words that `raise_what_it_says` knows."""
    said: list[str] = []
    try:
        work(asked, descriptors)
    except (FileNotFoundError, NotADirectoryError) as error:
        said = [_GONE, str(error.filename)]
    except MemoryError:
        problem = "opening it takes more memory than its size allows"
        said = [LibraryDamaged.__name__, "try segment", f"{asked.directory}/{asked.ref.id}", problem, ""]
    except LibraryError as error:
        kind = type(error).__name__
        said = [kind, error.operation, error.subject, error.problem, error.hint]
    return json.dumps([word[:_MOST_WORDS] for word in said]).encode()


def raise_what_it_says(data: bytes) -> None:
    """The parent's side. Raises what the child says, or ValueError for what no child of ours says."""
    try:
        said = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    match said:
        case []:
            return
        case [str(gone), str(name)] if gone == _GONE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        case [str(kind), str(operation), str(subject), str(problem), str(hint)] if kind in _CLASSES:
            raise _CLASSES[kind](operation, subject, problem, hint=hint)
        case _:
            raise ValueError("no answer")
