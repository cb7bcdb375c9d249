"""streamguard.library.hot_set: what came in open incidents, in shards of its own, whatever becomes of the library."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamguard.library import hot_set, merging, shard
from streamguard.library.hot_set import MOST_PIECES, HotSet
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.library.tidying import tidied
from streamguard.types import AssetId
from tests.library.made import RADIUS_BITS, library_of, new_item, reference, seen, with_frames
from tests.waiting import eventually

LETTERS = "abcdefgh"


@pytest.fixture(autouse=True)
def _small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new goes into a shard of its own from 25 looks on."""
    monkeypatch.setattr(shard, "TAIL_ROWS", 25)


def now(work: Callable[[], None]) -> None:
    """No thread."""
    work()


def ids(letters: Sequence[str]) -> tuple[AssetId, ...]:
    return tuple(map(AssetId, letters))


def beside(hot: HotSet, snapshot: Snapshot) -> Snapshot:
    """When all that is to be made is made."""
    hot.beside(snapshot)
    return hot.beside(snapshot)


def found(snapshot: Snapshot | None, id_: str) -> list[tuple[str, str]]:
    """(item, label) of what a stream shows that shows that item."""
    if snapshot is None:
        return []
    look = seen(reference(ord(id_[0])).prints[3].code)
    return [(one.asset, one.label) for one in snapshot.search((look,), radius_bits=RADIUS_BITS)]


def in_it(snapshot: Snapshot) -> str:
    """The letters of what is hot, by what is found."""
    return "".join(id_ for id_ in LETTERS if found(snapshot.hot, id_))


def test_it_has_what_is_wanted_and_nothing_else(tmp_path: Path) -> None:
    """By hashes and by features, under the label of now; the library has all of it as well."""
    with Library.open(tmp_path / "lib", create=True) as library:
        for id_ in LETTERS:
            library.add(new_item(id_), with_frames(ord(id_)))
        library.label("c", "terror")
    snapshot = load_snapshot(tmp_path / "lib")
    found_here = beside(hot := HotSet(now), snapshot)
    assert (found_here.hot, found_here.in_incidents) == (None, frozenset())
    hot.want(ids("ch"))
    warm = beside(hot, snapshot)
    assert warm.hot is not None
    assert in_it(warm) == "ch"
    assert found(warm.hot, "c") == found(warm, "c") == [("c", "terror")]
    assert (warm.hot.items, warm.hot.looks, warm.hot.features) == (2, 20, 240)
    assert warm.in_incidents == frozenset(ids("ch"))
    frames = with_frames(ord("c")).frames
    assert [one.asset for one in warm.hot.vote(frames[1].features, closely=True)] == ["c"]
    assert warm.hot.vote(with_frames(ord("d")).frames[1].features, closely=True) == ()
    assert warm.bytes_in_memory > snapshot.bytes_in_memory


def test_nothing_is_made_where_nothing_has_changed(tmp_path: Path) -> None:
    """It is asked four times a second; the same snapshot stays the same."""
    library_of(tmp_path, "abc")
    snapshot, works = load_snapshot(tmp_path), list[Callable[[], None]]()
    hot = HotSet(works.append)
    assert hot.beside(snapshot) is snapshot
    hot.want(ids("b"))
    first = hot.beside(snapshot)
    assert (first.hot, first.in_incidents, len(works)) == (None, frozenset(ids("b")), 1)
    assert hot.beside(first) is first
    works.pop()()
    second = hot.beside(first)
    assert in_it(second) == "b"
    hot.want(ids("b"))
    assert hot.beside(second) is second
    assert works == []


def test_what_is_closed_is_hot_no_more_at_once(tmp_path: Path) -> None:
    """All of it, or one of two incidents; and is found with the rest all the time."""
    library_of(tmp_path, LETTERS)
    snapshot = load_snapshot(tmp_path)
    hot = HotSet(now)
    hot.want(ids("abc"))
    warm = beside(hot, snapshot)
    hot.want(ids("b"))
    fewer = hot.beside(warm)
    assert in_it(fewer) == "b"
    assert fewer.in_incidents == {"b"}
    hot.want(())
    cold = hot.beside(fewer)
    assert (cold.hot, cold.in_incidents) == (None, frozenset())
    assert all(found(one, id_) for one in (warm, fewer, cold) for id_ in LETTERS)


def test_what_is_switched_off_is_not_found_by_it(tmp_path: Path) -> None:
    """From the version on that says so, before anything is made; and what is added anew is another item."""
    library_of(tmp_path, "abc")
    works = list[Callable[[], None]]()
    hot = HotSet(works.append)
    hot.want(ids("abc"))
    snapshot = load_snapshot(tmp_path)
    hot.beside(snapshot)
    works.pop()()
    assert in_it(hot.beside(snapshot)) == "abc"
    with Library.open(tmp_path) as library:
        library.disable("a")
        library.remove("b")
        library.add(new_item("b", content="another"), reference(77))
        library.label("c", "other")
    later = hot.beside(load_snapshot(tmp_path, previous=snapshot))
    assert in_it(later) == "c"
    assert found(later.hot, "c") == [("c", "other")]
    works.pop()()
    again = hot.beside(later)
    look = seen(reference(77).prints[3].code)
    assert again.hot is not None
    assert [one.asset for one in again.hot.search((look,), radius_bits=RADIUS_BITS)] == ["b"]
    assert found(again.hot, "b") == found(again.hot, "a") == []


def test_what_is_put_together_or_merged_is_hot_still(tmp_path: Path) -> None:
    """Shards in memory take nothing from it; segments on the disk have it made anew, and meanwhile it is found with the
    rest.
    """
    library_of(tmp_path, LETTERS[:4])
    snapshot, works = load_snapshot(tmp_path), list[Callable[[], None]]()
    hot = HotSet(works.append)
    hot.want(ids("bg"))
    hot.beside(snapshot)
    works.pop()()
    with Library.open(tmp_path) as library:
        for id_ in LETTERS[4:7]:
            library.add(new_item(id_), reference(ord(id_)))
    snapshot = load_snapshot(tmp_path, previous=snapshot)
    hot.beside(snapshot)
    works.pop()()
    assert in_it(hot.beside(snapshot)) == "bg"
    together = hot.beside(tidied(hot.beside(snapshot), first=0))
    assert (in_it(together), works) == ("bg", [])
    before = {segment.id for one in snapshot.served for segment in one.segments.values()}
    with Library.open(tmp_path) as library:
        library.add(new_item("h"), reference(ord("h")))
    merged = load_snapshot(tmp_path, previous=together)
    assert not before & {segment.id for one in merged.served for segment in one.segments.values()}
    cold = hot.beside(merged)
    assert in_it(cold) == ""
    assert all(found(cold, id_) for id_ in "bg")
    works.pop()()
    assert in_it(hot.beside(cold)) == "bg"


def test_there_is_room_for_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named first is hot; one that does not fit is left to the rest, and a smaller one behind it is not."""
    monkeypatch.setattr(hot_set, "MOST_ROWS", 35)
    with Library.open(tmp_path, create=True) as library:
        library.add(new_item("a"), reference(ord("a")))
        library.add(new_item("b"), replace(with_frames(ord("b")), prints=reference(ord("b")).prints))
        library.add(new_item("c"), reference(ord("c")))
    hot = HotSet(now)
    hot.want(ids("abc"))
    warm = beside(hot, load_snapshot(tmp_path))
    assert in_it(warm) == "ac"
    assert warm.in_incidents == frozenset(ids("abc"))


def test_what_comes_one_by_one_stands_in_few_shards(tmp_path: Path) -> None:
    """However many items there are, and each is made hot once and a few times more."""
    library_of(tmp_path, "a")
    snapshot, hot = load_snapshot(tmp_path), HotSet(now)
    names = [f"{LETTERS[number % 8]}-{number}" for number in range(20)]
    for number, name in enumerate(names):
        with Library.open(tmp_path) as library:
            library.add(new_item(name), reference(200 + number))
        hot.want(ids(names[: number + 1][::-1]))
        snapshot = beside(hot, load_snapshot(tmp_path, previous=snapshot))
        assert snapshot.hot is not None
        assert snapshot.hot.items == number + 1
        assert len(snapshot.hot.served) <= MOST_PIECES
        assert sum(one.dead_rows for one in snapshot.hot.served) <= snapshot.hot.looks + 10


def test_what_is_hot_no_more_is_left_out_when_it_is_half(tmp_path: Path) -> None:
    """With the next item that comes; a shard of nothing else at once: it is memory for nothing."""
    library_of(tmp_path, LETTERS[:7])
    snapshot, hot = load_snapshot(tmp_path), HotSet(now)
    rows = []
    for wanted in ("abcd", "de", "ef", "g"):
        hot.want(ids(wanted))
        snapshot = beside(hot, snapshot)
        assert snapshot.hot is not None
        assert in_it(snapshot) == wanted
        rows.append(sum(one.shard.rows for one in snapshot.hot.served))
    assert rows == [40, 20, 30, 10]


def test_without_the_memory_for_it_all_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found with the rest, the log says so, and it is tried again at the next change and not before."""
    library_of(tmp_path, "ab")
    hot = HotSet(now)
    hot.want(ids("a"))

    def no_memory(*_: object) -> None:
        raise MemoryError

    snapshot = load_snapshot(tmp_path)
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(hot_set, "_cut_out", no_memory)
        for _ in range(3):
            snapshot = hot.beside(snapshot)
    assert [(line["event"], line["log_level"]) for line in logged] == [("hot_set_not_made", "warning")]
    assert (snapshot.hot, found(snapshot, "a")) == (None, [("a", "test")])
    assert hot.beside(snapshot).hot is None
    hot.want(ids("ab"))
    assert in_it(beside(hot, snapshot)) == "ab"


def test_it_is_made_in_a_thread(tmp_path: Path) -> None:
    """Nobody waits for it."""
    library_of(tmp_path, "abc")
    hot, snapshot = HotSet(), load_snapshot(tmp_path)
    hot.want(ids("b"))
    eventually(lambda: hot.beside(snapshot).hot is not None, what="what is hot")
    assert in_it(hot.beside(snapshot)) == "b"


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "disable", "enable", "remove", "label"]), st.sampled_from(LETTERS))
    | st.tuples(st.just("want"), st.text(LETTERS, max_size=4))
    | st.tuples(st.just("make"), st.just(""))
    | st.tuples(st.just("tidy"), st.just("")),
    max_size=14,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_it_finds_nothing_that_the_library_does_not(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, *, steps: list[tuple[str, str]]
) -> None:
    """Under the same label; of what is wanted alone; and all of that as soon as it is made."""
    monkeypatch.setattr(merging, "FAN", 3)
    path = tmp_path_factory.mktemp("hot") / "lib"
    library_of(path, "ab")
    works: list[Callable[[], None]] = []
    hot, wanted = HotSet(works.append), ""
    snapshot = load_snapshot(path)
    for step in steps:
        wanted = step[1] if step[0] == "want" else wanted
        hot.want(ids("".join(dict.fromkeys(wanted))))
        snapshot = hot.beside(_after(snapshot, path, step=step, works=works))
        for id_ in LETTERS:
            assert set(found(snapshot.hot, id_)) <= (set(found(snapshot, id_)) if id_ in wanted else set())
    for _ in range(3):
        while works:
            works.pop()()
        snapshot = hot.beside(snapshot)
    assert in_it(snapshot) == "".join(id_ for id_ in LETTERS if id_ in wanted and found(snapshot, id_))


def _after(snapshot: Snapshot, path: Path, *, step: tuple[str, str], works: list[Callable[[], None]]) -> Snapshot:
    """The library's newest version after one thing more that happens to it."""
    what, id_ = step
    if what == "make":
        while works:
            works.pop()()
    if what == "tidy" and snapshot.served:
        return tidied(snapshot, first=0)
    if what in ("want", "make", "tidy"):
        return snapshot
    with Library.open(path) as library:
        there = {item.id for item in library.items()}
        match what:
            case "add" if AssetId(id_) not in there:
                library.add(new_item(id_, content=f"{id_}-{snapshot.version}"), reference(ord(id_)))
            case "disable" | "enable" | "remove" if AssetId(id_) in there:
                getattr(library, what)(id_)
            case "label" if AssetId(id_) in there:
                library.label(id_, "other")
    return load_snapshot(path, previous=snapshot)
