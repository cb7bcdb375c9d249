"""streamguard.library.store: many items in one step."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.errors import LibraryLocked, UsageError
from streamguard.library.additions import New, not_there
from streamguard.library.catalogue import CATALOGUE, Catalogue, ItemState
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from tests.library.made import RADIUS_BITS, library_of, new_item, reference, seen


def _segments(path: Path) -> int:
    return len(list((path / SEGMENTS).iterdir()))


def test_many_items_make_one_segment(tmp_path: Path) -> None:
    """They are live together, each is found by its own looks, and the catalogue has a history of each."""
    made = {id_: reference(ord(id_)) for id_ in "abc"}
    with Library.open(tmp_path, create=True, clock=lambda: 5.0) as library:
        generation = load_snapshot(tmp_path).version.partition("-")[0]
        added = library.add_all([(new_item(id_), one) for id_, one in made.items()])
        assert added == tuple(library.item(id_) for id_ in made)
        assert [library.history(id_) for id_ in made] == [((5.0, "add"),)] * 3
        assert library.verify() == ()
    snapshot = load_snapshot(tmp_path)
    assert int(snapshot.version.partition("-")[0]) == int(generation) + 1
    assert _segments(tmp_path) == 1
    for id_, one in made.items():
        (candidate,) = snapshot.search((seen(one.prints[3].code),), radius_bits=RADIUS_BITS)
        assert (candidate.asset, candidate.place) == (id_, one.prints[3].place)


def test_what_is_there_is_left_out(tmp_path: Path) -> None:
    """An id or a content that the library has, or that came before in the same call; the others are added."""
    library_of(tmp_path, "a")
    new = [
        new_item("a", content="other"),
        new_item("b", content="a"),
        new_item("c"),
        new_item("c", content="d"),
        new_item("e", content="c"),
        new_item("f"),
    ]
    with Library.open(tmp_path) as library:
        added = library.add_all([(item, reference(number)) for number, item in enumerate(new)])
        assert [record.id for record in added] == ["c", "f"]
        assert [item.id for item in library.items()] == ["a", "c", "f"]
        version = load_snapshot(tmp_path).version
        assert library.add_all([(new_item("a"), reference(1))]) == ()
        assert load_snapshot(tmp_path).version == version
        assert library.verify() == ()
    assert _segments(tmp_path) == 2


def test_a_look_before_the_lock_that_waits_too_long_says_for_whom(tmp_path: Path) -> None:
    """For a commit on a slow disk: operation, catalogue, next step; after it all is as before."""
    library_of(tmp_path, "a")
    new = [New.of(new_item(id_), reference(ord(id_))) for id_ in "ab"]
    with (
        closing(sqlite3.connect(tmp_path / CATALOGUE, isolation_level=None)) as other,
        closing(Catalogue.open(tmp_path, create=False, wait_s=0.0)) as catalogue,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LibraryLocked) as caught:
            not_there(catalogue, new)
        assert str(caught.value) == (
            f"use catalogue {tmp_path / CATALOGUE}: another process has not let go of it in time; run it again when "
            "the other `streamguard library` command is done; if none runs, is the disk slow?"
        )
        other.execute("COMMIT")
        assert [one.item.id for one in not_there(catalogue, new)] == ["b"]


def test_one_that_cannot_be_written_keeps_all_out(tmp_path: Path) -> None:
    """Whoever gives many checks them first; nothing is added by halves."""
    with Library.open(tmp_path, create=True) as library:
        with pytest.raises(UsageError, match="not a possible id"):
            library.add_all([(new_item("a"), reference(1)), (new_item("not an id"), reference(2))])
        assert library.items() == ()
    assert _segments(tmp_path) == 0


def test_items_of_one_segment_go_one_by_one(tmp_path: Path) -> None:
    """Disabled or removed, one is not found any more and the others are; the segment goes when all are forgotten."""
    with Library.open(tmp_path, create=True) as library:
        library.add_all([(new_item(id_), reference(ord(id_))) for id_ in "abc"])
        library.disable("a")
        library.remove("b")
        assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"c"}
        library.add(new_item("b"), reference(9))
        assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"b", "c"}
        assert library.verify() == ()
        library.remove("c")
        assert library.item("a").state is ItemState.DISABLED
        assert _segments(tmp_path) == 2
        library.remove("a")
        library.compact(forget=True)
        assert _segments(tmp_path) == 1
        assert library.verify() == ()
