"""streamguard.library.staged: segments that are made while others write."""

import threading
from pathlib import Path

import pytest

from streamguard.errors import LibraryError, LibraryLocked
from streamguard.library.additions import New, put
from streamguard.library.durable import MAKING, NEW_PREFIX, alone, making
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.segments import contents_of
from streamguard.library.staged import stage
from streamguard.library.store import Library
from streamguard.types import AssetId
from tests.library.made import library_of, new_item, reference, write_segment
from tests.waiting import eventually


def _staged(path: Path) -> list[Path]:
    return list((path / SEGMENTS).glob(f"{NEW_PREFIX}*"))


def test_what_is_being_made_is_no_leftover(tmp_path: Path) -> None:
    """Others open the library, write to it and tidy it meanwhile; what got no name is gone in the end."""
    library_of(tmp_path, "a")
    with stage(tmp_path) as beside:
        made = beside.write(contents_of([(AssetId("b"), "x", reference(2))]))
        with Library.open(tmp_path) as library:
            library.add(new_item("c"), reference(3))
            library.remove("a")
            library.compact(forget=True)
            assert library.verify() == ()
        assert _staged(tmp_path) == [made.folder]
    assert _staged(tmp_path) == []
    assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"c"}


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """By whoever opens the library next."""
    library_of(tmp_path, "a")
    (tmp_path / SEGMENTS / f"{NEW_PREFIX}left").mkdir()
    Library.open(tmp_path).close()
    assert _staged(tmp_path) == []


def test_several_are_made_at_once(tmp_path: Path) -> None:
    """They wait for nobody but who tidies, and that has a bound."""
    library_of(tmp_path, "a")
    with stage(tmp_path), stage(tmp_path):
        pass
    with alone(tmp_path, MAKING) as nobody_makes:
        assert nobody_makes
        with pytest.raises(LibraryLocked), making(tmp_path, wait_s=0):
            pass
    with stage(tmp_path), alone(tmp_path, MAKING) as nobody_makes:
        assert not nobody_makes


def test_a_segment_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """And the error names the file."""
    library_of(tmp_path, "a")
    contents = contents_of([(AssetId("b"), "x", reference(2))])
    with stage(tmp_path) as beside:
        (tmp_path / SEGMENTS).rename(tmp_path / "elsewhere")
        with pytest.raises(LibraryError, match="write segment"):
            beside.write(contents)
        (tmp_path / "elsewhere").rename(tmp_path / SEGMENTS)
    assert _staged(tmp_path) == []


def test_two_add_the_same_at_once(tmp_path: Path) -> None:
    """What another writer added while a segment was made is left out, and the rest is added."""
    library_of(tmp_path, "a")
    added: list[str] = []

    def add() -> None:
        with Library.open(tmp_path) as library:
            said.set()
            new = [(new_item(id_), reference(number)) for number, id_ in enumerate("bc", start=10)]
            added.extend(record.id for record in library.add_all(new))

    said = threading.Event()
    with Library.open(tmp_path) as other:
        thread = threading.Thread(target=add)
        thread.start()
        assert said.wait(10)
        with other.writing() as catalogue:
            eventually(lambda: bool(_staged(tmp_path)))
            new = [New.of(new_item("b"), reference(10))]
            parts = [(one.item.id, one.item.label, one.reference) for one in new]
            ref = write_segment(tmp_path / SEGMENTS, parts, number=catalogue.generation() + 1)
            with catalogue.change(now_unix_s=1.0, action="add"):
                put(catalogue, ref, new, handed_on={}, into=None, now_unix_s=1.0)
        thread.join(10)
        assert added == ["c"]
        assert other.verify() == ()
    assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"a", "b", "c"}
    assert _staged(tmp_path) == []
