"""streamguard library on a disk that is full: nothing is half there, and the next step is said."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.library.loading import load_snapshot
from tests.cli.calling import Run, runner
from tests.library.exchange.shared import hashes, lost, write
from tests.library.made import library_of
from tests.pictures import noise
from tests.small_disks import MakeDisk, SmallDisk


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def disk(make_disk: MakeDisk) -> SmallDisk:
    """With a library of one item on it."""
    disk = make_disk(2048)
    library_of(disk.path / "lib", "a")
    return disk


def live(path: Path) -> set[str]:
    return {asset.id for asset in load_snapshot(path).assets}


def test_adding_on_a_full_disk(tmp_path: Path, disk: SmallDisk, run: Run) -> None:
    """The file is not there, the item is; given again with room the command does it."""
    picture = tmp_path / "new.png"
    cv2.imwrite(str(picture), noise(320, 180))
    add = ("library", "add", "--library", disk.path / "lib", "--id", "new", picture)
    disk.fill()
    done = run(*add)
    assert done.status == EXIT_ERROR
    assert "free some space and run it again" in done.err
    assert live(disk.path / "lib") == {"a"}
    disk.empty()
    assert run(*add).status == EXIT_OK
    assert live(disk.path / "lib") == {"a", "new"}


def test_importing_on_a_full_disk(tmp_path: Path, disk: SmallDisk, run: Run) -> None:
    """The same, of a list; the error is one line."""
    codes = hashes(1, 100)
    listed = write(tmp_path / "list.txt", codes)
    given = ("library", "import", "--library", disk.path / "lib", "--source", "partner", "--label", "terror", listed)
    disk.fill(leave_kib=64)
    done = run(*given)
    assert done.status == EXIT_ERROR
    assert "free some space and run it again" in done.err.splitlines()[-1]
    assert live(disk.path / "lib") == {"a"}
    disk.empty()
    assert run(*given).status in (EXIT_OK, EXIT_FOUND)
    assert lost(disk.path / "lib", codes) == []
