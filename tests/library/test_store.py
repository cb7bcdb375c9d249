"""streamguard.library.store: every change is one durable step."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from streamguard.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFormatError,
    LibraryLocked,
    LibraryMissing,
    UsageError,
)
from streamguard.library.catalogue import CATALOGUE, ItemState
from streamguard.library.durable import FORMAT, writer_lock
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSet
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import TELLS_WHEN_BITS, USUAL_COPY_BITS, MediaKind, Place, Reference, ReferencePrint
from tests.library.made import library_of, new_item, reference
from tests.small_disks import MakeDisk


def _found(path: Path) -> set[str]:
    return {asset.id for asset in load_snapshot(path).assets}


def _look(at_s: int, *, bits: int) -> ReferencePrint:
    return ReferencePrint(Place(at_s * 1_000_000, at_s * 1_000_000), bytes([at_s] * 32), 90, bits)


def _segments(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / SEGMENTS).iterdir())


def test_an_item_is_live_when_add_returns(tmp_path: Path) -> None:
    """What was added is searched at once, and the catalogue tells all about it."""
    made = replace(reference(1), blank_share=0.25, frames_seen=40)
    with Library.open(tmp_path / "a" / "lib", create=True, clock=lambda: 1234.5) as library:
        record = library.add(new_item("one", label="terror"), made)
        assert _found(tmp_path / "a" / "lib") == {"one"}
        assert library.item("one") == record
        assert library.history("one") == ((1234.5, "add"),)
    assert (record.label, record.kind, record.looks, record.state) == ("terror", MediaKind.VIDEO, 10, ItemState.LIVE)
    assert (record.duration_us, record.frames_seen, record.blank_share) == (made.duration_us, 40, 0.25)
    assert (record.source, record.size_bytes, record.added_unix_s) == ("/films/one.mp4", 1000, 1234.5)
    assert not record.review_only


def test_what_tells_nothing_about_when_is_marked(tmp_path: Path) -> None:
    """An item is good for a review only, unless looks at two places of it are far from its other moments."""
    edge_bits = TELLS_WHEN_BITS + USUAL_COPY_BITS
    near = [_look(at_s, bits=bits) for at_s, bits in enumerate((edge_bits, 7, edge_bits - 1))]
    far = [_look(at_s, bits=bits) for at_s, bits in enumerate((edge_bits, 7, edge_bits))]
    with Library.open(tmp_path / "lib", create=True) as library:
        assert library.add(new_item("still"), Reference(MediaKind.VIDEO, 9, 9, 0.0, tuple(near))).review_only
        assert not library.add(new_item("moving"), Reference(MediaKind.VIDEO, 9, 9, 0.0, tuple(far))).review_only


def test_disable_enable_remove(tmp_path: Path) -> None:
    """Disabled items can come back, removed ones are searched no more, and the catalogue remembers each step."""
    library_of(tmp_path / "lib", "abc")
    with Library.open(tmp_path / "lib") as library:
        assert library.disable("a").state is ItemState.DISABLED
        assert _found(tmp_path / "lib") == {"b", "c"}
        assert len(_segments(tmp_path / "lib")) == 3
        library.enable("a")
        assert _found(tmp_path / "lib") == {"a", "b", "c"}
        assert [action for _, action in library.history("a")] == ["add", "disable", "enable"]
        library.remove("b")
        assert _found(tmp_path / "lib") == {"a", "c"}
        assert [item.id for item in library.items()] == ["a", "c"]
        assert [item.state for item in library.items(removed=True)][1] is ItemState.REMOVED
        assert library.verify() == ()
        with pytest.raises(UsageError, match="find item b"):
            library.enable("b")


@pytest.mark.parametrize("label", ["terror", "", "a, b: [c] {d}", "é" * 100])
def test_an_item_gets_another_label(tmp_path: Path, label: str) -> None:
    """It counts in the next version, the catalogue says so, and the item's segment stays as it is."""
    library_of(tmp_path / "lib", "ab")
    before = _segments(tmp_path / "lib")
    with Library.open(tmp_path / "lib") as library:
        assert library.label("a", label).label == library.item("a").label == label
        labels = {asset.id: asset.label for asset in load_snapshot(tmp_path / "lib").assets}
        assert labels == {"a": label, "b": "test"}
        assert library.verify() == ()
        assert [action for _, action in library.history("a")] == ["add", "label"]
        library.disable("a")
        library.enable("a")
        assert {asset.label for asset in load_snapshot(tmp_path / "lib").assets} == {label, "test"}
        library.label("a", "test")
        assert {asset.label for asset in load_snapshot(tmp_path / "lib").assets} == {"test"}
        with pytest.raises(UsageError, match="find item c"):
            library.label("c", "test")
    assert _segments(tmp_path / "lib") == before


def test_doing_it_twice_changes_nothing(tmp_path: Path) -> None:
    """Disabling what is disabled makes no new version and no second line in the history."""
    library_of(tmp_path / "lib", "a")
    with Library.open(tmp_path / "lib") as library:
        library.disable("a")
        version = load_snapshot(tmp_path / "lib").version
        library.disable("a")
        assert load_snapshot(tmp_path / "lib").version == version
        assert len(library.history("a")) == 2


def test_what_was_removed_may_come_back(tmp_path: Path) -> None:
    """Neither the id nor the content of a removed item is taken."""
    (made,) = library_of(tmp_path / "lib", "a")
    with Library.open(tmp_path / "lib") as library:
        library.remove("a")
        library.add(new_item("a"), made)
        assert library.verify() == ()
    assert _found(tmp_path / "lib") == {"a"}


@pytest.mark.parametrize("item", [new_item("a", content="other"), new_item("b", content="a")])
def test_an_id_and_a_content_are_there_once(tmp_path: Path, item: object) -> None:
    """Neither an id nor a content can be added twice, and the library is as it was."""
    library_of(tmp_path / "lib", "a")
    version = load_snapshot(tmp_path / "lib").version
    with Library.open(tmp_path / "lib") as library, pytest.raises(UsageError, match="already"):
        library.add(item, reference(5))  # type: ignore[arg-type]  # parametrised
    assert load_snapshot(tmp_path / "lib").version == version


_BAD_LOOKS = [
    ReferencePrint(Place(0, 0), bytes(31), 90, 0),
    ReferencePrint(Place(5, 4), bytes(32), 90, 0),
    ReferencePrint(Place(-1, 4), bytes(32), 90, 0),
    ReferencePrint(Place(0, 1 << 63), bytes(32), 90, 0),
    ReferencePrint(Place(0, 0), bytes(32), 900, 0),
    ReferencePrint(Place(0, 0), bytes(32), 90, -1),
    ReferencePrint(Place(0, 0), bytes(32), 90, 257),
]


@pytest.mark.parametrize("look", _BAD_LOOKS)
def test_impossible_looks_are_refused(tmp_path: Path, look: ReferencePrint) -> None:
    """A decoder that was taken over cannot put rubbish into the library."""
    with Library.open(tmp_path / "lib", create=True) as library, pytest.raises(UsageError, match="impossible"):
        library.add(new_item("a"), Reference(MediaKind.VIDEO, 9, 9, 0.0, (look,)))


def test_a_clip_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    """A black clip is an error, not an item that never matches."""
    with Library.open(tmp_path / "lib", create=True) as library:
        with pytest.raises(UsageError, match="all 120 frames are black, flat or fading"):
            library.add(new_item("a"), Reference(MediaKind.VIDEO, 10, 120, 1.0, ()))
        assert library.items() == ()


@pytest.mark.parametrize("id_", ["", "a/b", "../x", ".hidden", "a b", "é", "x" * 129, "a\n"])
def test_ids_are_safe(tmp_path: Path, id_: str) -> None:
    """An id cannot be a path, hidden, empty or endless."""
    with Library.open(tmp_path / "lib", create=True) as library, pytest.raises(UsageError, match="not a possible id"):
        library.add(new_item(id_), reference(1))


def test_a_library_is_made_only_where_there_is_room(tmp_path: Path) -> None:
    """A directory with other things in it is not written to, nor is a file; without `create` nothing is made."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("")
    with pytest.raises(LibraryError, match=r"other things \(letter.txt\)"):
        Library.open(tmp_path / "home", create=True)
    with pytest.raises(LibraryError, match="a library is a directory"):
        Library.open(tmp_path / "file", create=True)
    for read_only in (False, True):
        with pytest.raises(LibraryMissing, match="streamguard library add"):
            Library.open(tmp_path / "home", read_only=read_only)
    assert [entry.name for entry in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_a_newer_catalogue_is_refused(tmp_path: Path) -> None:
    """A catalogue of a later StreamGuard is refused and not touched, for reading and for writing."""
    library_of(tmp_path / "lib", "a")
    connection = sqlite3.connect(tmp_path / "lib" / CATALOGUE)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    before = (tmp_path / "lib" / CATALOGUE).read_bytes()
    for read_only in (False, True):
        with pytest.raises(LibraryFormatError):
            Library.open(tmp_path / "lib", create=not read_only, read_only=read_only)
    assert (tmp_path / "lib" / CATALOGUE).read_bytes() == before


def test_a_newer_live_set_is_not_overwritten(tmp_path: Path) -> None:
    """A writer does not replace the current.json of a later StreamGuard."""
    library_of(tmp_path / "lib", "a")
    newer = f'{{"format": {FORMAT + 1}}}'
    (tmp_path / "lib" / CURRENT).write_text(newer)
    with pytest.raises(LibraryFormatError):
        Library.open(tmp_path / "lib")
    assert (tmp_path / "lib" / CURRENT).read_text() == newer


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_catalogue_cut_short_is_damage(tmp_path: Path, share: float) -> None:
    """A truncated catalogue is never taken for an empty one: nothing is swept, and workers go on."""
    library_of(tmp_path / "lib", "ab")
    catalogue = tmp_path / "lib" / CATALOGUE
    data = catalogue.read_bytes()
    catalogue.write_bytes(data[: int(len(data) * share)])
    before = _segments(tmp_path / "lib")
    with pytest.raises(LibraryDamaged), Library.open(tmp_path / "lib", create=True) as library:
        library.items()
    assert _segments(tmp_path / "lib") == before
    assert _found(tmp_path / "lib") == {"a", "b"}


def test_a_missing_catalogue_is_damage(tmp_path: Path) -> None:
    """With segments there, a missing catalogue is not made anew."""
    library_of(tmp_path / "lib", "ab")
    (tmp_path / "lib" / CATALOGUE).unlink()
    for name in (CURRENT, None):
        with pytest.raises(LibraryDamaged, match="missing"):
            Library.open(tmp_path / "lib", create=True)
        if name:
            (tmp_path / "lib" / name).unlink()
    assert len(_segments(tmp_path / "lib")) == 2


def test_an_old_catalogue_does_not_sweep_new_segments(tmp_path: Path) -> None:
    """A catalogue put back from a backup is noticed before it costs the items that were added since."""
    library_of(tmp_path / "lib", "a")
    shutil.copy(tmp_path / "lib" / CATALOGUE, tmp_path / "backup")
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("b"), reference(2))
    shutil.copy(tmp_path / "backup", tmp_path / "lib" / CATALOGUE)
    with pytest.raises(LibraryDamaged, match="an old copy"):
        Library.open(tmp_path / "lib")
    assert len(_segments(tmp_path / "lib")) == 2
    assert _found(tmp_path / "lib") == {"a", "b"}


def test_a_writer_publishes_what_was_not_published(tmp_path: Path) -> None:
    """A writer killed after the catalogue's transaction loses nothing: the next one publishes, and sweeps."""
    library_of(tmp_path / "lib", "a")
    old = (tmp_path / "lib" / CURRENT).read_bytes()
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("b"), reference(2))
    (tmp_path / "lib" / CURRENT).write_bytes(old)
    orphan = tmp_path / "lib" / SEGMENTS / "00000009-0123456789ab"
    for folder in (orphan, tmp_path / "lib" / SEGMENTS / ".new-00000010-0123456789ab"):
        folder.mkdir()
        (folder / "manifest.json").write_text("half")
    with Library.open(tmp_path / "lib", read_only=True) as library:
        (problem,) = library.verify()
        assert not problem.damage
    assert _found(tmp_path / "lib") == {"a"}
    with Library.open(tmp_path / "lib") as library:
        assert library.verify() == ()
    assert _found(tmp_path / "lib") == {"a", "b"}
    assert len(_segments(tmp_path / "lib")) == 2


def test_an_item_that_could_not_be_published_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`add` says that publishing failed; the item is in the catalogue, and the next writer publishes it."""
    library_of(tmp_path / "lib", "a")
    with Library.open(tmp_path / "lib") as library:
        with monkeypatch.context() as broken:
            broken.setattr("streamguard.library.store.publish", _disk_full)
            with pytest.raises(LibraryError, match="publish library"):
                library.add(new_item("b"), reference(2))
        assert library.item("b").state is ItemState.LIVE
    assert _found(tmp_path / "lib") == {"a"}
    Library.open(tmp_path / "lib").close()
    assert _found(tmp_path / "lib") == {"a", "b"}


def _disk_full(library: Path, _live: LiveSet, **_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device", str(library))


def test_a_broken_live_set_is_published_anew(tmp_path: Path) -> None:
    """The next writer makes a current.json that was cut short whole again, from the catalogue."""
    library_of(tmp_path / "lib", "ab")
    good = (tmp_path / "lib" / CURRENT).read_bytes()
    (tmp_path / "lib" / CURRENT).write_bytes(good[:40])
    with pytest.raises(LibraryDamaged):
        load_snapshot(tmp_path / "lib")
    Library.open(tmp_path / "lib").close()
    assert (tmp_path / "lib" / CURRENT).read_bytes() == good


def test_two_libraries_open_at_once(tmp_path: Path) -> None:
    """A long `add` does not keep a `disable` out: the lock is held only while something is written."""
    library_of(tmp_path / "lib", "a")
    with Library.open(tmp_path / "lib") as one, Library.open(tmp_path / "lib") as two:
        one.add(new_item("b"), reference(2))
        two.disable("a")
        one.add(new_item("c"), reference(3))
        assert one.verify() == two.verify() == ()
    assert _found(tmp_path / "lib") == {"b", "c"}


def test_a_locked_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes, a writer gives up after a while and a reader does not care."""
    monkeypatch.setattr("streamguard.library.store.LOCK_WAIT_S", 0.05)
    library_of(tmp_path / "lib", "a")
    with writer_lock(tmp_path / "lib", wait_s=0):
        with pytest.raises(LibraryLocked):
            Library.open(tmp_path / "lib")
        with Library.open(tmp_path / "lib", read_only=True) as library:
            assert len(library.items()) == 1


def test_stats(tmp_path: Path) -> None:
    """The figures count what is live, what is not, and the labels."""
    library_of(tmp_path / "lib", "abcd")
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("e", label="other"), reference(5))
        library.disable("a")
        library.remove("b")
        stats = library.stats()
    assert (stats.live, stats.disabled, stats.removed, stats.looks, stats.segments) == (3, 1, 1, 30, 3)
    assert stats.labels == (("other", 1), ("test", 2))
    assert stats.footage_s == pytest.approx(7.5)
    assert stats.version == load_snapshot(tmp_path / "lib").version
    assert stats.bytes_on_disk > 3 * 10 * 57


def test_stats_beside_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a folder that goes while they are counted is not counted."""
    library_of(tmp_path, "ab")
    walk = os.walk

    def removing(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for where, folders, names in walk(folder):
            if where == str(folder):
                yield where, folders, [*names, ".new-current.json"]
                shutil.rmtree(next((tmp_path / SEGMENTS).iterdir()))
            else:
                yield where, folders, names

    with Library.open(tmp_path, read_only=True) as library:
        before = library.stats().bytes_on_disk
        monkeypatch.setattr(os, "walk", removing)
        assert 0 < library.stats().bytes_on_disk < before


_FILL = """
import os, resource, sys
from pathlib import Path
from typing import NoReturn
from streamguard.errors import LibraryError
from streamguard.library.store import Library
from tests.library.made import new_item, reference
path, limit = Path(sys.argv[1]), int(sys.argv[2])
with Library.open(path) as library:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        for number in range(60):
            library.add(new_item(f"more-{number}"), reference(1000 + number, looks=20))
    except LibraryError as error:
        print("refused", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        library.add(new_item("after"), reference(2000))
"""


@pytest.mark.parametrize("limit_bytes", [512, 1024, 45_056])
def test_a_write_that_fails_leaves_the_library_whole(tmp_path: Path, limit_bytes: int) -> None:
    """Whichever file cannot grow, the add says so, what was there stays, and once there is room adding goes on."""
    library_of(tmp_path / "lib", "ab")
    command = [sys.executable, "-c", _FILL, str(tmp_path / "lib"), str(limit_bytes)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.startswith("refused")
    assert {"a", "b", "after"} <= _found(tmp_path / "lib")
    with Library.open(tmp_path / "lib") as library:
        assert library.verify() == ()
        assert {item.id for item in library.items()} == _found(tmp_path / "lib")


@pytest.fixture
def small_disk(make_disk: MakeDisk) -> Path:
    """A file system of its own, of 400 kB; needs root."""
    return make_disk(400).path


def _add_for_ever(library: Library) -> None:
    for number in count():
        library.add(new_item(f"item-{number}"), reference(number, looks=300))


@pytest.mark.promise(5, "the disk full while items are added")
def test_a_full_disk(small_disk: Path) -> None:
    """On a full disk adding fails with the next step, what is there stays whole, and removing makes room."""
    with Library.open(small_disk / "lib", create=True) as library:
        added = 0
        with pytest.raises(LibraryError, match="free some space"):
            _add_for_ever(library)
        added = len(library.items())
        assert added > 3
    with Library.open(small_disk / "lib", read_only=True) as library:
        assert not any(problem.damage for problem in library.verify())
    assert len(_found(small_disk / "lib")) >= added - 1


def test_a_read_only_disk(small_disk: Path) -> None:
    """On a read-only disk everything that reads works, and what writes says that it cannot."""
    library_of(small_disk / "lib", "ab")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert _found(small_disk / "lib") == {"a", "b"}
    with Library.open(small_disk / "lib", read_only=True) as library:
        assert len(library.items()) == 2
        assert library.verify() == ()
        assert library.stats().live == 2
    for path in (small_disk / "lib", small_disk / "other"):
        with pytest.raises(LibraryError, match=r"(?i)read-only"):
            Library.open(path, create=True)
