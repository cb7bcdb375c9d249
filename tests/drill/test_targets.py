"""Which footage is attacked."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.drill.targets import Footage, Skipped, find, sample
from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemRecord
from streamguard.library.store import Library
from streamguard.types import AssetId
from tests.known_library import make_library
from tests.scenes import Clips

Found = tuple[list[Footage], list[Skipped]]


@pytest.fixture
def records(clips: Clips, tmp_path: Path) -> tuple[ItemRecord, ...]:
    """Two items, `image` and `known`, of copies that a test may spoil."""
    copies = [Path(shutil.copy(clip, tmp_path)) for clip in (clips.known, clips.image)]
    with Library.open(make_library(tmp_path / "library", *copies), read_only=True) as library:
        return library.items()


def ids(found: Found) -> list[str]:
    return [one.target.item for one in found[0]]


def test_every_item_by_the_path_that_it_came_from(records: tuple[ItemRecord, ...]) -> None:
    """In the order of their ids; or only those named."""
    footage, skipped = find(records, items=[], files=[])
    assert [one.target.item for one in footage] == ["image", "known"]
    assert [str(one.path) for one in footage] == [record.source for record in records]
    assert skipped == []
    assert ids(find(records, items=["known"], files=[])) == ["known"]


def test_what_is_gone_or_changed_is_skipped_by_name(records: tuple[ItemRecord, ...]) -> None:
    """With what to do; that is an error only where the item was named."""
    image, known = records
    Path(image.source).unlink()
    with Path(known.source).open("ab") as file:
        file.write(b"x")
    footage, skipped = find(records, items=[], files=[])
    assert footage == []
    assert [(one.name, one.by_name) for one in skipped] == [("image", False), ("known", False)]
    assert "No such file" in skipped[0].reason
    assert "not the file that was added" in skipped[1].reason
    assert all(f"drill --item {one.name} FILE" in one.reason for one in skipped)
    assert find(records, items=["known"], files=[])[1][0].by_name


def test_parts_of_shared_lists_are_left_out_unless_they_are_named(records: tuple[ItemRecord, ...]) -> None:
    """There is no footage of them, and a list may have thousands."""
    part = replace(records[0], id=AssetId("partner.000001"), source="exchange:partner")
    assert find([*records, part], items=[], files=[]) == find(records, items=[], files=[])
    _, (skipped,) = find([*records, part], items=[part.id], files=[])
    assert (skipped.name, skipped.by_name) == (part.id, True)


def test_disabled_items_are_left_out(records: tuple[ItemRecord, ...], tmp_path: Path) -> None:
    """They are not searched: nothing would catch them."""
    assert len(records) == 2
    with Library.open(tmp_path / "library") as library:
        library.disable("image")
        found = find(library.items(), items=[], files=[])
        assert ids(found) == ["known"]
        with pytest.raises(UsageError, match="no item 'image' is searched"):
            find(library.items(), items=["image"], files=[])


def test_files_are_told_by_their_content(records: tuple[ItemRecord, ...], clips: Clips, tmp_path: Path) -> None:
    """Wherever they are; one that no item was made from, and one that is not there, are errors of their own."""
    moved = Path(shutil.copy(clips.known, tmp_path / "moved.mp4"))
    footage, skipped = find(records, items=[], files=[clips.unrelated, moved, tmp_path / "missing.mp4"])
    assert [(one.path, one.target.item) for one in footage] == [(moved, "known")]
    assert [(one.name, one.by_name) for one in skipped] == [
        (str(clips.unrelated), True),
        (str(tmp_path / "missing.mp4"), True),
    ]
    assert "no item of the library has this content" in skipped[0].reason


def test_a_file_and_its_item(records: tuple[ItemRecord, ...], clips: Clips) -> None:
    """One of each: the file is taken for the item's footage whatever its content; more cannot be told apart."""
    footage, skipped = find(records, items=["known"], files=[clips.recoded])
    assert [(one.path, one.target.item) for one in footage] == [(clips.recoded, "known")]
    assert skipped == []
    with pytest.raises(UsageError, match="one FILE"):
        find(records, items=["known"], files=[clips.recoded, clips.known])


def test_a_pipe_is_not_waited_for(records: tuple[ItemRecord, ...], tmp_path: Path) -> None:
    """Nothing that may never end is read."""
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    _, (skipped,) = find(records, items=[], files=[pipe])
    assert skipped.reason == "not a regular file"


def test_a_sample_is_the_seeds(records: tuple[ItemRecord, ...]) -> None:
    """The same for the same seed, in the same order; all where that is no more than asked for."""
    footage = find(records, items=[], files=[])[0] * 10
    few = sample(footage, most=5, seed=3)
    assert len(few) == 5
    assert few == sample(footage, most=5, seed=3)
    assert {tuple(one.target.item for one in sample(footage, most=5, seed=seed)) for seed in range(9)} != {
        tuple(one.target.item for one in few)
    }
    assert sample(footage, most=None, seed=0) == sample(footage, most=99, seed=0) == footage
