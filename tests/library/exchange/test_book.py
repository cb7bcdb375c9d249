"""streamguard.library.exchange.book: the file of all shared hashes."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.errors import LibraryDamaged, LibraryError, LibraryLocked, LibraryMissing, UsageError
from streamguard.library.durable import writer_lock
from streamguard.library.exchange import book as module
from streamguard.library.exchange.book import BOOK, LOCK, Book, book_for_change
from streamguard.library.exchange.hashes import Remarks
from streamguard.library.store import Library
from tests.library.exchange.shared import hashes, take_up


@pytest.fixture
def library(tmp_path: Path) -> Path:
    Library.open(tmp_path / "library", create=True).close()
    return tmp_path / "library"


def test_without_a_library_there_is_no_book(tmp_path: Path) -> None:
    """Neither to read nor to change."""
    with pytest.raises(LibraryMissing):
        Book.open(tmp_path / "nothing", read_only=True)
    with pytest.raises(LibraryMissing), book_for_change(tmp_path / "nothing"):
        pass


def test_a_library_without_lists_reads_as_one_without_sources(library: Path) -> None:
    """And no file is made by looking."""
    with Book.open(library, read_only=True) as book:
        assert book.sources() == ()
        assert book.counts() == {}
    assert not (library / BOOK).exists()


def test_a_book_that_was_never_made_reads_as_none(library: Path) -> None:
    """SQLite makes its file before it fills it: where the disk is full by then it stays empty, and nothing is lost."""
    (library / BOOK).touch()
    with Book.open(library, read_only=True) as book:
        assert book.sources() == ()
    assert (library / BOOK).stat().st_size == 0
    with Book.open(library) as book:
        assert book.make_source("partner", label="terror").name == "partner"


def test_a_library_may_have_its_book_before_anything_else(library: Path) -> None:
    """It is one of its own files: whoever adds footage later is not told of strangers."""
    take_up(library, hashes(1, 1))
    (library / "catalogue.sqlite").unlink()
    (library / "current.json").unlink()
    for segment in (library / "segments").iterdir():
        for file in segment.iterdir():
            file.unlink()
        segment.rmdir()
    Library.open(library, create=True).close()


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(1000)])
def test_a_damaged_book_is_said_to_be_damaged(library: Path, content: bytes) -> None:
    """With what to do; workers do not need it."""
    (library / BOOK).write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(LibraryDamaged, match="put it back from a backup"), Book.open(library, read_only=read_only):
            pass


def test_a_book_of_another_streamguard_is_refused(library: Path) -> None:
    """A newer one may mean something else by the same numbers."""
    with sqlite3.connect(library / BOOK) as made:
        made.execute("PRAGMA user_version = 99")
    made.close()
    with pytest.raises(LibraryDamaged, match="not one of this StreamGuard"):
        Book.open(library)


def test_a_change_is_all_or_nothing(library: Path) -> None:
    """An error in the middle leaves what was there."""
    with Book.open(library) as book:
        with pytest.raises(LibraryDamaged, match="no such table"), book.change():
            _two_steps(book)
        assert book.rows("SELECT * FROM settings") == []


def _two_steps(book: Book) -> None:
    """The second goes wrong."""
    book.connection.execute("INSERT INTO settings VALUES ('a', '1')")
    book.connection.execute("INSERT INTO absent VALUES (1)")


def test_one_changes_at_a_time(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is told to wait; readers are not kept out, nor is who adds footage."""
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.0)
    with book_for_change(library):
        with pytest.raises(LibraryLocked), book_for_change(library):
            pass
        with Book.open(library, read_only=True) as book:
            assert book.sources() == ()
        with writer_lock(library, wait_s=0.0):
            pass
    assert (library / LOCK).exists()


def test_a_book_that_another_is_too_long_at_is_told_as_locked(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whoever opens it to read, too: operation, book, next step."""
    Book.open(library).close()
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.0)
    with closing(sqlite3.connect(library / BOOK, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LibraryLocked) as caught:
            Book.open(library, read_only=True)
    assert str(caught.value) == (
        f"use exchange book {library / BOOK}: another process has not let go of it in time; run it again when the "
        "other `streamguard library` command is done; if none runs, is the disk slow?"
    )


def test_a_source_keeps_its_name_and_its_kind(library: Path) -> None:
    """A name that is none is refused, and one that is another exchange's."""
    with Book.open(library) as book:
        made = book.make_source("partner", label="terror")
        assert (made.name, made.label, made.may_kill, made.exchange) == ("partner", "terror", False, "")
        assert book.make_source("partner", label="other") == made
        with pytest.raises(UsageError, match="it is fetched from files; name another source"):
            book.make_source("partner", label="terror", exchange="ncmec", settings="{}")
        for name in ("", "a b", "../x", "x" * 65):
            with pytest.raises(UsageError, match="not a possible name"):
                book.make_source(name, label="terror")
        for name in ("nobody", "\udcff", "a\0b"):
            with pytest.raises(UsageError, match="knows no source of that name"):
                book.source(name)


def test_equal_remarks_stand_there_once(library: Path) -> None:
    """Whoever makes them."""
    remarks = Remarks(("a", "b"), agree=1, seen=2)
    with Book.open(library) as book, book.change():
        numbers = {book.remark_number(remarks) for _ in range(3)}
        assert len(numbers) == 1
        assert book.remark_number(Remarks()) == 0
        assert book.remarks()[numbers.pop()] == remarks


def test_a_book_that_cannot_be_read_here_says_so(library: Path) -> None:
    """SQLite's words in ours, with what to do."""
    take_up(library, hashes(1, 1))
    with Book.open(library, read_only=True) as book, pytest.raises(LibraryError, match="read-only here"), book.change():
        book.connection.execute("INSERT INTO settings VALUES ('a', '1')")
