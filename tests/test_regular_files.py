"""streamguard.regular_files: what may never end is no file, and only a folder is synced as one."""

import os
from pathlib import Path

import pytest

from streamguard.regular_files import HeldFile, open_regular, sync_directory


def test_a_regular_file_is_opened_through_links(tmp_path: Path) -> None:
    """Its bytes are there."""
    (tmp_path / "file").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"bytes"


def test_what_may_never_end_is_refused(tmp_path: Path) -> None:
    """A pipe that nobody writes to and a device are refused at once; a folder and a missing file have their names."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_file_that_is_held_is_read_again_and_again(tmp_path: Path) -> None:
    """From its first byte each time, and by its number: its name may be another file's, or out of reach, by then."""
    (tmp_path / "file").write_bytes(b"bytes")
    held = HeldFile.of(tmp_path / "file")
    (tmp_path / "file").unlink()
    for _ in range(2):
        with held.open() as file:
            assert file.read() == b"bytes"
    assert str(held) == str(tmp_path / "file")
    os.close(held.descriptor)
    with pytest.raises(IsADirectoryError):
        HeldFile.of(tmp_path)


def test_a_folder_is_synced_and_nothing_else(tmp_path: Path) -> None:
    """What is no folder is an error, and nothing stays open."""
    (tmp_path / "file").touch()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    sync_directory(tmp_path)
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
