"""streamguard.regular_files: what may never end is no file, and only a folder is synced as one."""

import os
from pathlib import Path

import pytest

from streamguard.regular_files import open_regular, sync_directory


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


def test_a_folder_is_synced_and_nothing_else(tmp_path: Path) -> None:
    """What is no folder is an error, and nothing stays open."""
    (tmp_path / "file").touch()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    sync_directory(tmp_path)
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
