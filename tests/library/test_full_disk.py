"""The disk under a library is full at whatever point of a change: what served goes on, and nothing is half there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streamguard.errors import LibraryError
from streamguard.library.loading import load_snapshot
from streamguard.library.merging import FAN
from streamguard.library.store import Library
from tests.library.made import library_of, new_item, reference
from tests.small_disks import MakeDisk, SmallDisk

_STEP_KIB = 4
_FIRST = "abcdefg"
assert len(_FIRST) == FAN - 1


def _add(library: Library) -> None:
    """The eighth of one size, after which all eight are merged."""
    library.add(new_item("new"), reference(1, looks=300))


def _remove(library: Library) -> None:
    library.remove("a")


def _forget(library: Library) -> None:
    library.remove("a")
    library.compact(forget=True)


def _label(library: Library) -> None:
    library.label("a", "another")


def _live(path: Path) -> set[tuple[str, str]]:
    return {(asset.id, asset.label) for asset in load_snapshot(path).assets}


def _tried(disk: SmallDisk, template: Path, work: Callable[[Library], None], *, room_kib: int) -> LibraryError | None:
    """The work on a copy of the library, with so much room left; what it said."""
    path = disk.path / "lib"
    shutil.rmtree(path, ignore_errors=True)
    disk.empty()
    shutil.copytree(template, path)
    disk.fill(leave_kib=room_kib)
    try:
        with Library.open(path) as library:
            work(library)
    except LibraryError as error:
        return error
    return None


@pytest.mark.promise(5, "the disk full at whatever point of a change", times=4)
@pytest.mark.parametrize("work", [_add, _remove, _forget, _label])
def test_a_change_on_a_full_disk_is_all_there_or_not_at_all(
    tmp_path: Path, make_disk: MakeDisk, record_property: Callable[[str, object], None], *,
    work: Callable[[Library], None],
) -> None:  # fmt: skip
    """With more and more room, until it is enough: a change that fails says what to do, the version before it serves,
    whole; with room again the same change gets through, and all that there is to merge is merged.
    """
    template, done = tmp_path / "template", tmp_path / "done"
    library_of(template, _FIRST)
    shutil.copytree(template, done)
    with Library.open(done) as library:
        work(library)
    before, after = _live(template), _live(done)
    disk, path = make_disk(1024), tmp_path / "disk-0" / "lib"
    room_kib, failures = 0, 0
    while (error := _tried(disk, template, work, room_kib=room_kib)) is not None:
        failures += 1
        assert "free some space" in str(error), error
        assert _live(path) in (before, after)
        with Library.open(path, read_only=True) as library:
            assert not [problem for problem in library.verify() if problem.damage]
        disk.empty()
        with Library.open(path) as library:
            work(library) if _live(path) == before else None
            library.compact()
            assert library.verify() == ()
        assert _live(path) == after
        room_kib += _STEP_KIB
    assert failures
    assert _live(path) == after
    record_property("times", failures)


def test_what_could_not_be_merged_is_searched_as_it_is(tmp_path: Path, make_disk: MakeDisk) -> None:
    """There is room for what is new and none for the merge that it brings: the item is live, and the merge comes with
    the next change.
    """
    template, disk = tmp_path / "template", make_disk(1024)
    library_of(template, _FIRST)
    for room_kib in range(0, 400, _STEP_KIB):
        if _tried(disk, template, _add, room_kib=room_kib) is None:
            break
    path = disk.path / "lib"
    assert ("new", "test") in _live(path)
    segments = len(list((path / "segments").iterdir()))
    disk.empty()
    with Library.open(path) as library:
        library.label("a", "another")
        assert library.stats().segments <= segments
        assert library.verify() == ()
    assert len(_live(path)) == FAN
