"""streamguard.library.library_to_be: no item, no library."""

from pathlib import Path

import pytest

from streamguard.errors import LibraryError, UsageError
from streamguard.library.library_to_be import LibraryToBe
from streamguard.library.store import Library
from tests.library.made import library_of, new_item, reference


def test_it_is_made_at_the_first_item(tmp_path: Path) -> None:
    """Until then there is nothing on the disk, and nothing in it."""
    path = tmp_path / "deep" / "lib"
    with LibraryToBe(path) as shelf:
        assert (shelf.items(), shelf.has("a"), shelf.with_content("0" * 64)) == ((), False, ())
        assert shelf.add_all([]) == ()
        assert list(tmp_path.iterdir()) == []
        (added,) = shelf.add_all([(new_item("a"), reference(1))])
        assert (shelf.items(), shelf.has("a"), shelf.with_content(added.sha256)) == ((added,), True, (added,))
    with Library.open(path) as library:
        assert library.items() == (added,)


def test_what_is_refused_makes_none(tmp_path: Path) -> None:
    """Neither the library nor its folders."""
    with LibraryToBe(tmp_path / "lib") as shelf, pytest.raises(UsageError):
        shelf.add_all([(new_item("a"), reference(1)), (new_item("not an id"), reference(1))])
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_there_is_opened(tmp_path: Path) -> None:
    """Also one that another process made meanwhile."""
    with LibraryToBe(tmp_path / "lib") as shelf:
        library_of(tmp_path / "lib", "ab")
        assert {item.id for item in shelf.items()} == {"a", "b"}
    with LibraryToBe(tmp_path / "lib") as shelf:
        assert shelf.has("a")


def test_where_none_can_be_made_is_said_at_once(tmp_path: Path) -> None:
    """A file in the way, and a folder with other things in it."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "file" / "lib"):
        with pytest.raises(LibraryError):
            LibraryToBe(path)
