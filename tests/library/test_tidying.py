"""streamguard.library.tidying: shards put in order beside other work."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamguard.library import shard, tidying
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.library.tidying import MOST_SHARDS, Tidier, in_a_thread, newest_alike, tidied
from streamguard.library.watch import Refreshed, SnapshotHolder
from tests.library.made import RADIUS_BITS, alike, flipped, library_of, new_item, reference, seen
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new goes into a shard of its own from 25 looks on."""
    monkeypatch.setattr(shard, "TAIL_ROWS", 25)


class _Later:
    """Keeps what is to be done, to be done when told."""

    def __init__(self) -> None:
        self.works: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.works.append(work)

    def do(self) -> None:
        self.works.pop()()


def _finds(snapshot: Snapshot, id_: str) -> bool:
    look = seen(reference(ord(id_)).prints[3].code)
    return [one.asset for one in snapshot.search((look,), radius_bits=RADIUS_BITS)] == [id_]


def _add(path: Path, ids: str) -> None:
    with Library.open(path) as library:
        for id_ in ids:
            library.add(new_item(id_), reference(ord(id_)))


def _disable(path: Path, ids: str) -> None:
    with Library.open(path) as library:
        for id_ in ids:
            library.disable(id_)


def test_shards_are_put_together_and_changes_go_on(tmp_path: Path) -> None:
    """While that is done new versions go live, and what comes of it serves the newest."""
    library_of(tmp_path, "abcdefg")
    later = _Later()
    holder = SnapshotHolder(tmp_path, tidier=Tidier(later))
    for ids in ("h", "ijk", "lmn"):
        _add(tmp_path, ids)
        assert holder.refresh().changed
    assert len(holder.snapshot.served) >= 3
    assert len(later.works) == 1
    with Library.open(tmp_path) as library:
        library.remove("a")
        library.label("b", "other")
    _add(tmp_path, "o")
    assert holder.refresh().changed
    assert len(later.works) == 1
    shards = len(holder.snapshot.served)
    later.do()
    assert not holder.refresh().changed
    assert len(holder.snapshot.served) < shards
    snapshot = holder.snapshot
    assert snapshot.version == load_snapshot(tmp_path).version
    assert all(_finds(snapshot, id_) for id_ in "bcdefghijklmno")
    assert not _finds(snapshot, "a")
    assert {asset.label for asset in snapshot.assets if asset.id == "b"} == {"other"}
    while later.works:
        later.do()
        assert not holder.refresh().changed
    assert len(holder.snapshot.served) == 1
    assert sorted(asset.id for asset in holder.snapshot.assets) == list("bcdefghijklmno")


def test_what_is_off_is_left_out(tmp_path: Path) -> None:
    """When it is a quarter of a shard; and comes back from the disk when it is enabled."""
    library_of(tmp_path, "abcdefg")
    later = _Later()
    holder = SnapshotHolder(tmp_path, tidier=Tidier(later))
    with Library.open(tmp_path) as library:
        for id_ in "abc":
            library.disable(id_)
        assert holder.refresh().changed
        large = holder.snapshot.bytes_in_memory
        later.do()
        assert not holder.refresh().changed
        assert holder.snapshot.bytes_in_memory < large
        assert (holder.snapshot.items, holder.snapshot.looks) == (4, 40)
        library.enable("b")
        assert holder.refresh().changed
    assert _finds(holder.snapshot, "b")
    assert _finds(holder.snapshot, "d")
    assert not _finds(holder.snapshot, "a")


def test_what_little_is_off_stays_when_shards_are_put_together(tmp_path: Path) -> None:
    """So that enabling it reads nothing; what its segments have no more goes all the same."""
    library_of(tmp_path, "abcdefghijklmno")
    later = _Later()
    holder = SnapshotHolder(tmp_path, tidier=Tidier(later))
    first = holder.snapshot.served[0].shard.rows
    with Library.open(tmp_path) as library:
        library.disable("b")
        for id_ in "pqrstuvw":
            library.add(new_item(id_), reference(ord(id_)))
            holder.refresh()
        while later.works:
            later.do()
            holder.refresh()
        snapshot = holder.snapshot
        assert snapshot.served[0].shard.rows > first
        assert snapshot.items == 22
        assert not _finds(snapshot, "b")
        library.enable("b")
        (tmp_path / SEGMENTS).rename(tmp_path / "away")
        assert holder.refresh() == Refreshed(changed=True)
        (tmp_path / "away").rename(tmp_path / SEGMENTS)
    assert _finds(holder.snapshot, "b")


def test_what_is_done_is_not_lost(tmp_path: Path) -> None:
    """Until it is taken nothing else is begun, also when it was done in the middle of a refresh."""
    library_of(tmp_path, "abcdefg")
    first = load_snapshot(tmp_path)
    _disable(tmp_path, "abc")
    second = load_snapshot(tmp_path, previous=first)
    _disable(tmp_path, "d")
    third = load_snapshot(tmp_path, previous=second)
    later = _Later()
    tidier = Tidier(later)
    tidier.offer(second)
    assert tidier.take() is None
    later.do()
    tidier.offer(third)
    assert later.works == []
    done = tidier.take()
    assert done is not None
    assert (done.version, done.items) == (second.version, 4)
    assert tidier.take() is None
    tidier.offer(third)
    assert len(later.works) == 1


def test_without_memory_it_goes_on_as_it_is_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be put together is searched as it lies, is not tried again as it is, and the log has why."""

    def no_memory(*_: object, **__: object) -> Snapshot:
        raise MemoryError

    monkeypatch.setattr(tidying, "tidied", no_memory)
    monkeypatch.setattr(tidying, "untidy_from", lambda _: 0)
    library_of(tmp_path, "a")
    snapshot, later = load_snapshot(tmp_path), _Later()
    tidier = Tidier(later)
    with capture_logs() as logged:
        tidier.offer(snapshot)
        later.do()
    assert [(line["event"], line["log_level"]) for line in logged] == [("library_not_tidied", "warning")]
    tidier.offer(snapshot)
    assert (later.works, tidier.take()) == ([], None)


def test_it_is_done_in_a_thread(tmp_path: Path) -> None:
    """Nobody waits for it."""
    library_of(tmp_path, "abcdefg")
    holder = SnapshotHolder(tmp_path)
    _disable(tmp_path, "abc")
    assert holder.refresh().changed
    large = holder.snapshot.bytes_in_memory

    def tidy() -> bool:
        holder.refresh()
        return holder.snapshot.bytes_in_memory < large

    eventually(tidy)
    assert [_finds(holder.snapshot, id_) for id_ in "abcdefg"] == [False] * 3 + [True] * 4


def test_without_the_memory_for_it_all_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried again and again with the same version."""

    def fails(snapshot: Snapshot, *, first: int) -> Snapshot:
        raise MemoryError(snapshot, first)

    monkeypatch.setattr(tidying, "tidied", fails)
    library_of(tmp_path, "abcdefg")
    later = _Later()
    holder = SnapshotHolder(tmp_path, tidier=Tidier(later))
    _disable(tmp_path, "abc")
    assert holder.refresh().changed
    later.do()
    for _ in range(3):
        assert not holder.refresh().changed
    assert later.works == []
    assert [_finds(holder.snapshot, id_) for id_ in "abcdefg"] == [False] * 3 + [True] * 4
    _disable(tmp_path, "d")
    assert holder.refresh().changed
    assert len(later.works) == 1


def test_shards_answer_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that took up each version by itself finds what one does that read the last, in the same order."""
    monkeypatch.setattr(shard, "TAIL_ROWS", 40)
    code = b"\x5a\x0f" * 16
    followed = None
    with Library.open(tmp_path, create=True) as library:
        for number in range(30):
            library.add(new_item(f"same-{number:02}"), alike(flipped(code, number % 8), looks=5))
            if number % 5 == 4:
                library.disable(f"same-{number:02}")
            followed = load_snapshot(tmp_path, previous=followed)
    assert followed is not None
    assert len(followed.served) > 2
    read = load_snapshot(tmp_path)
    looks = (seen(code), seen(flipped(code, 30)))
    both = [one.search(looks, radius_bits=RADIUS_BITS) for one in (followed, read)]
    assert len(both[0]) == 192
    assert [one.distance_bits for one in both[0]] == [one.distance_bits for one in both[1]]
    assert {(one.asset, one.view, one.distance_bits) for one in both[0]} == {
        (one.asset, one.view, one.distance_bits) for one in both[1]
    }
    joined = tidied(followed, first=0)
    assert len(joined.served) == 1
    assert len(joined.search(looks, radius_bits=RADIUS_BITS)) == 192


def test_what_is_new_is_indexed_again_a_few_times_only() -> None:
    """Two million looks and features that come in little by little beside ten million are not all indexed anew at each
    turn, and stand in a few shards all the same.
    """
    sizes, indexed, most = [10_000_000], 0, 0
    for _ in range(1000):
        if len(sizes) > 1 and sizes[-1] + 1860 <= 1 << 15:
            sizes[-1] += 1860
        else:
            sizes.append(1860)
        first = newest_alike(sizes) if len(sizes) > MOST_SHARDS else None
        if first is not None:
            sizes[first:] = [sum(sizes[first:])]
            indexed += sizes[-1]
        most = max(most, len(sizes))
    assert sum(sizes) == 11_860_000
    assert indexed < 8 * 1_860_000
    assert most <= 7


@pytest.mark.parametrize(
    ("sizes", "first"),
    [
        ([9], None),
        ([9, 1], None),
        ([1, 9, 1, 1], 2),
        ([1, 4, 1, 1], 1),
        ([1, 9, 3, 1], None),
        ([100, 1, 1, 80], 1),
        ([1, 1], None),
    ],
)
def test_the_newest_that_are_of_a_size_are_put_together(sizes: list[int], first: int | None) -> None:
    """The first and largest is left alone, whatever the others are; and one that is much larger than all behind it."""
    assert newest_alike(sizes) == first


@pytest.mark.skipif(sys.platform != "linux", reason="a thread alone has a priority on Linux only")
def test_it_stands_back_for_those_that_look_something_up() -> None:
    """And nobody else does."""
    told: list[int] = []
    in_a_thread(lambda: told.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    eventually(lambda: told)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert told == [min(own + 9, 19)]
