"""The disk is full at whatever point of an import: what was known goes on being found, and the next import finishes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streamguard.errors import LibraryError
from streamguard.library.exchange import parts
from streamguard.library.exchange.book import Book
from streamguard.library.exchange.importing import Asked, import_files
from streamguard.library.store import Library
from tests.library.exchange.shared import SOURCE, hashes, lost, take_up, write
from tests.library.made import library_of
from tests.small_disks import MakeDisk, SmallDisk

_OLD, _NEW = hashes(1, 40), hashes(2, 600)
_STEP_KIB = 12


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many parts and several segments of few hashes."""
    monkeypatch.setattr(parts, "PART_HASHES", 100)
    monkeypatch.setattr(parts, "_BATCH_HASHES", 300)


def _tried(disk: SmallDisk, template: Path, listed: Path, *, room_kib: int) -> LibraryError | None:
    """The import into a copy of the library, with so much room left; what it said."""
    path = disk.path / "lib"
    shutil.rmtree(path, ignore_errors=True)
    disk.empty()
    shutil.copytree(template, path)
    disk.fill(leave_kib=room_kib)
    try:
        import_files(path, [listed], Asked("another", "terror"))
    except LibraryError as error:
        return error
    return None


@pytest.mark.promise(5, "the disk full at whatever point of an import")
def test_an_import_on_a_full_disk_is_finished_by_the_next(
    tmp_path: Path, make_disk: MakeDisk, record_property: Callable[[str, object], None]
) -> None:
    """With more and more room, until it is enough: the import says what to do, footage and the list of before are found
    as ever, the book is whole, and with room the same import finds all.
    """
    template = tmp_path / "template"
    library_of(template, "a")
    take_up(template, _OLD)
    listed = write(tmp_path / "new.txt", _NEW)
    with Library.open(template, read_only=True) as library:
        items = len(library.items()) + len(_NEW) // 100
    disk = make_disk(2048)
    path, room_kib, failures = disk.path / "lib", 0, 0
    while (error := _tried(disk, template, listed, room_kib=room_kib)) is not None:
        failures += 1
        assert "free some space" in str(error), error
        assert lost(path, _OLD) == []
        with Library.open(path, read_only=True) as library:
            assert "a" in {item.id for item in library.items()}
            assert not [problem for problem in library.verify() if problem.damage]
        with Book.open(path, read_only=True) as book:
            assert [tuple(row) for row in book.rows("PRAGMA integrity_check")] == [("ok",)]
            assert SOURCE in {source.name for source in book.sources()}
        disk.empty()
        import_files(path, [listed], Asked("another", "terror"))
        assert lost(path, [*_OLD, *_NEW[::20]]) == []
        with Library.open(path) as library:
            assert len(library.items()) == items
            assert library.verify() == ()
        room_kib += _STEP_KIB
    assert lost(path, [*_OLD, *_NEW]) == []
    assert failures > 3
    record_property("times", failures)


def test_a_book_on_a_full_disk_stays_as_it_was(make_disk: MakeDisk) -> None:
    """What was not written is said, and comes with room."""
    disk = make_disk(1024)
    path = disk.path / "lib"
    library_of(path, "a")
    take_up(path, _OLD)
    with Book.open(path) as book:
        before = book.sources()
        disk.fill()
        with pytest.raises(LibraryError, match="free some space"):
            book.make_source("new", label="x" * 5000)
        assert book.sources() == before
        disk.empty()
        assert book.make_source("new", label="x" * 5000).name == "new"
