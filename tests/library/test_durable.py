"""streamguard.library.durable: whole or not there."""

import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged, LibraryFormatError, LibraryLocked, LibraryMissing
from streamguard.library.durable import (
    FORMAT,
    check_format,
    library_error,
    no_library,
    put_in_place,
    read_bounded,
    read_exactly,
    replace_file,
    write_directory,
    writer_lock,
)
from tests.waiting import eventually


def test_publishing_over_leftovers_works(tmp_path: Path) -> None:
    """What a killed writer left under a name does not keep the name from being used."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").write_text("old")
    write_directory(tmp_path / ".new-x", {"new": b"new"})
    put_in_place(tmp_path / ".new-x", tmp_path / "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x" / "new").read_bytes() == b"new"


@pytest.mark.parametrize("path", [".", "/"])
def test_a_directory_is_not_replaced(path: str) -> None:
    """Even one that has no name is an OSError, which callers expect."""
    with pytest.raises(IsADirectoryError):
        replace_file(Path(path), b"new")


def test_a_file_that_cannot_be_written_keeps_its_old_bytes(tmp_path: Path) -> None:
    """A write that hits the limit on file sizes leaves the old file and nothing beside it."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="large") as caught:
            replace_file(path, bytes(8192))
        with pytest.raises(OSError, match="large"):
            write_directory(tmp_path / "folder", {"part": bytes(8192)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert "ulimit" in str(library_error("write", path, caught.value))


@pytest.mark.parametrize(
    ("code", "hint"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
def test_errors_name_the_next_step(code: int, hint: str) -> None:
    """A full disk, a read-only one and a lack of permission each say what to do."""
    assert hint in str(library_error("write library", "known", OSError(code, os.strerror(code))))


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second writer is told that somebody writes, and gets in once the first is done."""
    with (
        writer_lock(tmp_path, wait_s=0),
        pytest.raises(LibraryLocked, match="another"),
        writer_lock(tmp_path, wait_s=0),
    ):
        pass
    with writer_lock(tmp_path, wait_s=0):
        pass


def test_who_waits_comes_before_who_comes_again_at_once(tmp_path: Path) -> None:
    """A chain of changes without a pause between them keeps nobody out."""
    through, turns = threading.Event(), 0

    def chain() -> None:
        nonlocal turns
        while turns < 200 and not through.is_set():
            with writer_lock(tmp_path, wait_s=10.0):
                turns += 1
                through.wait(0.02)

    other = threading.Thread(target=chain)
    other.start()
    eventually(lambda: turns, what="the chain")
    for _ in range(5):
        with writer_lock(tmp_path, wait_s=10.0):
            assert turns < 200, "the chain was over first"
    through.set()
    other.join()


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    """The kernel lets go of a dead process' lock, so nobody has to remove a stale one."""
    code = (
        "import sys, time; from pathlib import Path; from streamguard.library.durable import writer_lock\n"
        "with writer_lock(Path(sys.argv[1]), wait_s=0):\n    print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(LibraryLocked), writer_lock(tmp_path, wait_s=0.1):
            pass
        holder.kill()
    with writer_lock(tmp_path, wait_s=0):
        pass


def test_no_lock_where_there_is_no_library(tmp_path: Path) -> None:
    """A missing directory is said to be missing, and is not made."""
    with pytest.raises(LibraryMissing), writer_lock(tmp_path / "nowhere", wait_s=0):
        pass
    assert not (tmp_path / "nowhere").exists()


def test_where_there_is_no_library_the_path_may_be_wrong(tmp_path: Path) -> None:
    """Each says what is there instead; to make one is not all that can be done."""
    file = tmp_path / "file"
    file.touch()
    told = {path: str(no_library(path)) for path in (tmp_path, tmp_path / "typo", file)}
    assert told[tmp_path].endswith(f"there is no library here; {_make(tmp_path)}; or check the path")
    assert told[tmp_path / "typo"].endswith(f"no such directory; check the path, or {_make(tmp_path / 'typo')}")
    assert told[file].endswith("not a directory; check the path: a library is one")


def _make(library: Path) -> str:
    return f"make one: streamguard library add --library {library} FILE"


def test_reads_are_bounded(tmp_path: Path) -> None:
    """A file that is too large, a link, a folder and a pipe, with a silent writer or without one, are each refused at
    once.
    """
    (tmp_path / "large").write_bytes(bytes(101))
    (tmp_path / "link").symlink_to(tmp_path / "large")
    (tmp_path / "folder").mkdir()
    assert read_bounded(tmp_path / "large", most_bytes=101) == bytes(101)
    with pytest.raises(LibraryDamaged, match="larger"):
        read_bounded(tmp_path / "large", most_bytes=100)
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "held")
    writer = os.open(tmp_path / "held", os.O_RDWR)
    for name in ("link", "folder", "pipe", "held"):
        with pytest.raises(LibraryDamaged):
            read_bounded(tmp_path / name, most_bytes=1000)
    os.close(writer)


@pytest.mark.parametrize("aligned_at", [0, 33])
def test_what_is_read_exactly_stands_where_numbers_can_be_read(tmp_path: Path, aligned_at: int) -> None:
    """NumPy copies what does not; and nobody can change what was read."""
    data = bytes(range(256)) * 40
    (tmp_path / "file").write_bytes(data)
    read = read_exactly(tmp_path / "file", size_bytes=len(data), aligned_at=aligned_at)
    assert (read.tobytes(), read.readonly) == (data, True)
    assert np.frombuffer(read, np.uint8, offset=aligned_at).ctypes.data % 64 == 0
    (tmp_path / "file").write_bytes(b"")
    assert read_exactly(tmp_path / "file", size_bytes=0).tobytes() == b""


def test_what_has_another_size_is_not_read(tmp_path: Path) -> None:
    """A file that is longer or shorter than it must be, a link, a folder and a pipe are each refused at once."""
    (tmp_path / "file").write_bytes(bytes(100))
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LibraryDamaged, match="larger than 99 bytes"):
        read_exactly(tmp_path / "file", size_bytes=99)
    with pytest.raises(LibraryDamaged, match="cut short: 100 of 101 bytes"):
        read_exactly(tmp_path / "file", size_bytes=101)
    for name in ("link", "folder", "pipe"):
        with pytest.raises(LibraryDamaged):
            read_exactly(tmp_path / name, size_bytes=100)
    with pytest.raises(FileNotFoundError):
        read_exactly(tmp_path / "nowhere", size_bytes=100)


def test_formats(tmp_path: Path) -> None:
    """A newer format is called newer, an older one older, each with its next step; what has no format is damaged."""
    check_format(b'{"format": %d}' % FORMAT, tmp_path)
    check_format(b'{"format": %d, and whatever follows' % FORMAT, tmp_path)
    with pytest.raises(LibraryFormatError, match="use the StreamGuard that made it"):
        check_format(b'{"format": %d}' % (FORMAT + 5), tmp_path)
    with pytest.raises(LibraryFormatError, match="make a new library of the same footage"):
        check_format(b'{"format": %d}' % (FORMAT - 1), tmp_path)
    for text in (b"", b"{}", b'{"format": 0}', b'{"format": 1.5}', b"\xff\xfe", b"[" * 9999):
        with pytest.raises(LibraryDamaged):
            check_format(text, tmp_path)
