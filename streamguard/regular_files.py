"""Files by their names: what is one (a pipe or a device, which may never end, is none), and what makes a name last."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """A regular file, links followed, for reading. Never blocks. Raises OSError, for pipes and devices as well."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that is open, for whoever may not open it any more: read it again and again, but one reader at a time."""

    path: Path
    descriptor: int

    @classmethod
    def of(cls, path: Path) -> "HeldFile":
        """Raises OSError, for pipes and devices as well."""
        with open_regular(path) as file:
            return cls(path, os.dup(file.fileno()))

    def open(self) -> BinaryIO:
        """From its first byte."""
        descriptor = os.dup(self.descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.fdopen(descriptor, "rb")

    def __str__(self) -> str:
        return str(self.path)


def sync_directory(path: Path) -> None:
    """Make names in the directory, new ones and renamed ones, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
