"""The evidence store: a directory of evidence files, one a decision, kept for a set time and within a set size.

Each is written beside, synced and renamed. Nothing else in the directory is touched.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.enforce.evidence.file import ID_PATTERN, MOST_FILE_BYTES
from streamguard.errors import EvidenceError
from streamguard.regular_files import open_regular, sync_directory

_SUFFIX = ".json"
_NEW_PREFIX = ".new-"
_OWN = re.compile(rf"(?:{re.escape(_NEW_PREFIX)})?{ID_PATTERN}{re.escape(_SUFFIX)}")
_ROOM = 0.9
"""Where it is too large it is made smaller than it may be, so that not each new file has the directory read."""

_LEFT_BYTES = 64 << 20
_LEFT_SHARE = 0.05
"""What is left free of the disk, or this share of a small one: the outbox mostly lies on it as well, and a kill that
cannot be made durable is not sent.
"""

_ID_BYTES = 256
"""A file says its ids within so many bytes of its beginning."""

_HINTS = {
    errno.ENOSPC: "free some space; decisions are made and sent all the same",
    errno.EDQUOT: "free some space; decisions are made and sent all the same",
    errno.EACCES: "check who owns evidence.directory",
    errno.EPERM: "check who owns evidence.directory",
    errno.EROFS: "the disk is read-only: name another evidence.directory",
    errno.ENOENT: "evidence.directory must lie in a directory that exists",
    errno.ENOTDIR: "evidence.directory (`check`: --evidence) must be a directory",
    errno.EEXIST: "evidence.directory (`check`: --evidence) must be a directory",
}


@dataclass(frozen=True, slots=True)
class EvidenceProbe:
    """What there is where evidence is to be kept. `room_bytes`: free for it, as far as this user may use it."""

    is_there: bool
    kept_bytes: int
    room_bytes: int


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    size_bytes: int
    written_unix_s: float


class EvidenceStore:
    """Used by one thread. The directory is made when there is something to keep."""

    def __init__(
        self, directory: Path, *, keep_s: float, most_bytes: int, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.directory = directory
        self._keep_s = keep_s
        self._most_bytes = most_bytes
        self._wall_clock = wall_clock
        self._bytes = 0
        """As of the last time that the directory was read, and what was written since."""

    def make_room(self) -> None:
        """Make the directory where there is none, for its owner only, in one that exists: what somebody has removed is
        not made anew. Raises EvidenceError.
        """
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _evidence_error("make directory", self.directory, error) from error

    def probe(self) -> EvidenceProbe:
        """How `write` would fare as this user, without making or changing anything. Raises EvidenceError."""
        is_there = os.path.lexists(self.directory)
        looked_at = self.directory if is_there else self.directory.parent
        try:
            os.stat(f"{looked_at}/.")  # noqa: PTH116 - it raises where that is no directory; Path drops the dot
            if not os.access(looked_at, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            disk = os.statvfs(looked_at)
            kept_bytes = sum(one.size_bytes for one in self._files())
        except OSError as error:
            raise _evidence_error("keep evidence", self.directory, error) from error
        return EvidenceProbe(is_there, kept_bytes, disk.f_bavail * disk.f_frsize)

    def write(self, id_: str, data: bytes) -> Path:
        """Durable when it returns. Raises EvidenceError, and then there is nothing of it; also where it would take the
        last of the disk from the outbox.
        """
        self.make_room()
        path = self.directory / f"{id_}{_SUFFIX}"
        self._leave_room(path, len(data))
        beside = path.with_name(f"{_NEW_PREFIX}{path.name}")
        try:
            try:
                with os.fdopen(
                    os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb"
                ) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(path)
            except OSError:
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
                raise
            sync_directory(self.directory)
        except OSError as error:
            raise _evidence_error("write evidence", path, error) from error
        self._bytes += len(data)
        if self._bytes > self._most_bytes:
            self.clean_up()
        return path

    def _leave_room(self, path: Path, size_bytes: int) -> None:
        """Old evidence is not removed for it: whoever fills the disk would have all of it gone."""
        try:
            disk = os.statvfs(self.directory)
        except OSError as error:
            raise _evidence_error("write evidence", path, error) from error
        left_bytes = min(_LEFT_BYTES, int(_LEFT_SHARE * disk.f_blocks * disk.f_frsize))
        if disk.f_bavail * disk.f_frsize - size_bytes < left_bytes:
            problem = f"the disk is nearly full: its last {left_bytes >> 10} KiB are left to the outbox"
            raise EvidenceError("write evidence", path, problem, hint=_HINTS[errno.ENOSPC])

    def clean_up(self) -> int:
        """Remove what is too old, and then the oldest while there is too much; how many. Raises EvidenceError."""
        try:
            kept = sorted(self._files(), key=lambda one: one.written_unix_s)
            self._bytes = sum(one.size_bytes for one in kept)
            most_bytes = self._most_bytes * _ROOM if self._bytes > self._most_bytes else self._most_bytes
            oldest_unix_s = self._wall_clock() - self._keep_s
            removed = 0
            for one in kept:
                if one.written_unix_s >= oldest_unix_s and self._bytes <= most_bytes:
                    break
                one.path.unlink(missing_ok=True)
                self._bytes -= one.size_bytes
                removed += 1
        except OSError as error:
            raise _evidence_error("clean up evidence", self.directory, error) from error
        return removed

    def _files(self) -> Iterator[_Kept]:
        with suppress(FileNotFoundError), os.scandir(self.directory) as entries:
            for entry in entries:
                if _OWN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another worker cleans up, too
                        status = entry.stat(follow_symlinks=False)
                        yield _Kept(Path(entry.path), status.st_size, status.st_mtime)


def read_file(path: Path) -> bytes:
    """An evidence file's bytes, from anywhere. Raises EvidenceError."""
    try:
        with open_regular(path) as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise EvidenceError("read evidence", path, error.strerror or str(error), hint="check the path") from error
    if len(data) > MOST_FILE_BYTES:
        raise EvidenceError("read evidence", path, f"larger than {MOST_FILE_BYTES} bytes", hint="is it the right file?")
    return data


def find_file(directory: Path, id_: str) -> Path:
    """The file of a kill-signal's id, or of the evidence id in it. Raises EvidenceError where there is none."""
    try:
        if re.fullmatch(ID_PATTERN, id_) and (path := directory / f"{id_}{_SUFFIX}").exists():
            return path
        if re.fullmatch(r"ev_[0-9a-f]{32}", id_):
            for one in sorted(directory.glob(f"sig_*{_SUFFIX}")):
                with suppress(OSError), open_regular(one) as file:
                    if f'"{id_}"'.encode() in file.read(_ID_BYTES):
                        return one
    except OSError as error:
        raise _evidence_error("find evidence", directory, error) from error
    hint = "is it the directory that the worker wrote to (--dir), and was it kept (evidence.keep_days)?"
    raise EvidenceError("find evidence", id_, f"not in {directory}", hint=hint)


def _evidence_error(operation: str, subject: object, error: OSError) -> EvidenceError:
    hint = _HINTS.get(error.errno or 0, "is the disk failing, or gone?")
    return EvidenceError(operation, subject, error.strerror or str(error), hint=hint)
