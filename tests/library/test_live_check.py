"""streamguard.library.live_check: could a worker load it?"""

import shutil
from pathlib import Path

import pytest

from streamguard.errors import LibraryDamaged, LibraryError, LibraryMissing
from streamguard.library.live_check import check_live, segments_there
from streamguard.library.live_set import CURRENT, SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from tests.library.made import library_of, new_item, reference


def _message(check: object, path: Path) -> str:
    assert callable(check)
    with pytest.raises(LibraryError) as error:
        check(path)
    return error.value.problem


def test_a_whole_library_passes(tmp_path: Path) -> None:
    """With items and without."""
    library_of(tmp_path, "ab")
    check_live(tmp_path)
    with Library.open(tmp_path) as library:
        library.remove("a")
        library.remove("b")
    check_live(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "no live set"])
def test_what_keeps_it_from_being_loaded_is_told(tmp_path: Path, damage: str) -> None:
    """Just as loading it tells."""
    library_of(tmp_path, "ab")
    segment = min((tmp_path / SEGMENTS).iterdir())
    index = segment / "pdq.faiss"
    data = bytearray(index.read_bytes())
    match damage:
        case "cut":
            index.write_bytes(data[:-3])
        case "flipped":
            data[-5] ^= 1
            index.write_bytes(data)
        case "gone":
            shutil.rmtree(segment)
        case _:
            (tmp_path / CURRENT).unlink()
    kind = LibraryMissing if damage == "no live set" else LibraryDamaged
    with pytest.raises(kind):
        check_live(tmp_path)
    assert _message(check_live, tmp_path) == _message(load_snapshot, tmp_path)


def test_what_was_there_before_is_not_read_again(tmp_path: Path) -> None:
    """But it is looked whether it is there; what is new is read."""
    library_of(tmp_path, "a")
    there = segments_there(tmp_path)
    assert there == {entry.name for entry in (tmp_path / SEGMENTS).iterdir()}
    (old,) = (tmp_path / SEGMENTS / name for name in there)
    with Library.open(tmp_path) as library:
        library.add(new_item("b"), reference(2))
    (new,) = (entry for entry in (tmp_path / SEGMENTS).iterdir() if entry != old)
    kept = (old / "pdq.faiss").read_bytes()
    (old / "pdq.faiss").write_bytes(kept[:-3])
    check_live(tmp_path, since=there)
    with pytest.raises(LibraryDamaged):
        check_live(tmp_path)
    (old / "pdq.faiss").write_bytes(kept)
    (new / "pdq.faiss").write_bytes(b"")
    with pytest.raises(LibraryDamaged, match=new.name):
        check_live(tmp_path, since=there)
    shutil.rmtree(old)
    with pytest.raises(LibraryDamaged, match="the file is missing"):
        check_live(tmp_path, since=there)
    (tmp_path / CURRENT).unlink()
    assert segments_there(tmp_path) == frozenset()
