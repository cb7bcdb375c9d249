"""streamguard.worker.canary_making: a child that fills a folder, or does not."""

import re
import tempfile
from pathlib import Path

import pytest

from streamguard.demo import canary
from streamguard.errors import LibraryError
from streamguard.library.snapshot import Snapshot
from streamguard.worker.canary_making import ASSET, Failure, Made, Make, Making, remove
from streamguard.worker.canary_metrics import Stage
from streamguard.worker.forkserver import start_forkserver
from tests.small_disks import MakeDisk
from tests.waiting import eventually
from tests.worker import canary_works


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_forkserver()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def end_of(making: Making) -> Made | Failure:
    end = eventually(making.turn, timeout_s=60, what="its end")
    assert end is not None
    return end


def test_the_footage_and_a_library_of_it_are_made() -> None:
    """By a process that is gone afterwards; what it made is there until it is removed."""
    making = Making(canary.make)
    made = end_of(making)
    making.end()
    assert isinstance(made, Made)
    assert isinstance(made.reference, Snapshot)
    assert [asset.id for asset in made.reference.assets] == [ASSET]
    assert made.clip.stat().st_size < 1 << 20
    assert sum(path.stat().st_size for path in making.folder.rglob("*") if path.is_file()) < 2 << 20
    remove(making.folder)
    assert not making.folder.exists()


@pytest.mark.parametrize(
    ("make", "problem"),
    [(canary_works.fails, "could not be made: No space left on device"), (canary_works.crashes, "without a word")],
)
def test_what_fails_says_why(make: Make, problem: str) -> None:
    """It is no error of the worker's."""
    making = Making(make)
    failure = end_of(making)
    making.end()
    remove(making.folder)
    assert isinstance(failure, Failure)
    assert failure.stage is Stage.MAKE
    assert problem in failure.problem


@pytest.mark.parametrize("room_kib", [0, 64, 600], ids=["the clip", "the middle of the clip", "its library"])
def test_a_full_disk_of_temporary_files_says_so(
    make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch, room_kib: int
) -> None:
    """Whatever does not fit is the canary's trouble alone, and the folder goes."""
    disk = make_disk(2048)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    disk.fill(leave_kib=room_kib)
    making = Making(canary.make)
    failure = end_of(making)
    making.end()
    remove(making.folder)
    assert isinstance(failure, Failure)
    assert re.search(r"(?i)no space|free some space|disk is full", failure.problem), failure.problem
    assert [path.name for path in disk.path.iterdir()] == ["ballast"]


def test_what_was_not_made_cannot_be_loaded() -> None:
    """It is read as every library is."""
    making = Making(canary_works.lies)
    with pytest.raises(LibraryError):
        end_of(making)
    making.end()
    remove(making.folder)


def test_one_that_hangs_keeps_nobody_waiting() -> None:
    """Asked how it is, it says nothing; it can be ended."""
    making = Making(canary_works.hangs)
    assert making.turn() is None
    making.end()
    remove(making.folder)


def test_without_a_folder_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or missing TMPDIR is an OSError, and nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with pytest.raises(FileNotFoundError):
        Making(canary.make)
    assert list(tmp_path.iterdir()) == []
