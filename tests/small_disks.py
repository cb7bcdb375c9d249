"""File systems of a few hundred kilobytes, that can be filled to the last byte and emptied again (a pytest plugin)."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.programs import skip_or_fail

_BALLAST = "ballast"


class SmallDisk:
    """One that is mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def free_bytes(self) -> int:
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

    def fill(self, *, leave_kib: int = 0) -> None:
        """Until no more than that is left, in pages of 4 KiB."""
        self.empty()
        taken_bytes = self.free_bytes - (leave_kib << 10)
        if taken_bytes > 0:
            with (self.path / _BALLAST).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, taken_bytes)

    def empty(self) -> None:
        """What filled it is gone; what others wrote stays."""
        (self.path / _BALLAST).unlink(missing_ok=True)


MakeDisk = Callable[[int], SmallDisk]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """`make_disk(size_kib)`; needs root. All are gone after the test."""
    if os.geteuid() != 0:
        skip_or_fail("mounting a small disk needs root")
    mounted: list[Path] = []

    def make(size_kib: int) -> SmallDisk:
        where = tmp_path / f"disk-{len(mounted)}"
        where.mkdir()
        mount = ("mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(where))
        if subprocess.run(mount, check=False).returncode:
            skip_or_fail("no permission to mount here")
        mounted.append(where)
        return SmallDisk(where)

    yield make
    for where in mounted:
        subprocess.run(["umount", "-l", str(where)], check=True)
