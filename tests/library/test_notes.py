"""streamguard.library.notes: what was done to a library beside its versions."""

from pathlib import Path

import pytest

from streamguard.errors import LibraryMissing
from streamguard.library.changes import Origin
from streamguard.library.exchange.book import book_for_change
from streamguard.library.exchange.opinions import note
from streamguard.library.notes import Note, read_notes, write_note
from streamguard.library.store import Library
from tests.library.made import library_of


def test_notes_of_both_books_are_told_in_the_order_of_time(tmp_path: Path) -> None:
    """The catalogue's own and those about shared lists; the newest, where only some are asked for."""
    library_of(tmp_path, "a")
    assert read_notes(tmp_path) == ()
    opened = Note(10.0, "incident open", "attack", Origin("anna", "a call"))
    closed = Note(30.0, "incident close", "attack", Origin("berta", ""))
    for one in (opened, closed):
        write_note(tmp_path, one)
    with book_for_change(tmp_path, clock=lambda: 20.0) as book, book.change():
        note(book, None, "two persons on", who="carla", why="because")
    about_lists = Note(20.0, "exchange two persons on", "", Origin("carla", "because"))
    assert read_notes(tmp_path) == (opened, about_lists, closed)
    assert read_notes(tmp_path, most=2) == (about_lists, closed)
    with Library.open(tmp_path, read_only=True) as library:
        assert library.verify() == ()


def test_where_there_is_no_library_there_is_nothing_to_note(tmp_path: Path) -> None:
    """Nor to read, and none is made."""
    with pytest.raises(LibraryMissing):
        write_note(tmp_path, Note(1.0, "forget", "", Origin()))
    with pytest.raises(LibraryMissing):
        read_notes(tmp_path)
    assert list(tmp_path.iterdir()) == []
