"""streamguard.library.watch: following a library that others change."""

from pathlib import Path

import pytest

from streamguard.core.rules import Rules
from streamguard.errors import LibraryDamaged, LibraryError, LibraryMissing
from streamguard.library import watch
from streamguard.library.durable import FORMAT
from streamguard.library.hot_set import HotSet
from streamguard.library.live_set import CURRENT, SEGMENTS
from streamguard.library.rule_file import RULE, write_rules
from streamguard.library.shard import Shard
from streamguard.library.store import Library
from streamguard.library.watch import Refreshed, SnapshotHolder
from streamguard.types import AssetId
from tests.library.fitted import fitted_rules
from tests.library.made import RADIUS_BITS, library_of, new_item, reference, seen


class _Clock:
    """A clock that goes when told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_change_is_live_after_the_next_refresh(tmp_path: Path) -> None:
    """Without a change nothing is loaded; after one the new version serves."""
    library_of(tmp_path / "lib", "a")
    holder = SnapshotHolder(tmp_path / "lib")
    before = holder.snapshot
    assert holder.refresh() == Refreshed(changed=False)
    assert holder.snapshot is before
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("b"), reference(5))
    assert holder.refresh() == Refreshed(changed=True)
    assert [
        found.asset for found in holder.snapshot.search((seen(reference(5).prints[0].code),), radius_bits=RADIUS_BITS)
    ] == ["b"]
    assert holder.error is None


@pytest.mark.promise(5, "a new version that is broken")
def test_a_broken_version_leaves_the_last_good_one(tmp_path: Path) -> None:
    """Damage is reported once and not looked at again, while the last good version goes on answering."""
    (made,) = library_of(tmp_path / "lib", "a")
    clock = _Clock()
    holder = SnapshotHolder(tmp_path / "lib", clock=clock)
    good = (tmp_path / "lib" / CURRENT).read_bytes()
    (tmp_path / "lib" / CURRENT).write_bytes(good[:50])
    assert isinstance(holder.refresh().error, LibraryDamaged)
    for _ in range(3):
        assert holder.refresh() == Refreshed(changed=False)
        clock.now_s += 31
    assert isinstance(holder.error, LibraryDamaged)
    assert holder.snapshot.search((seen(made.prints[0].code),), radius_bits=RADIUS_BITS)
    (tmp_path / "lib" / CURRENT).write_bytes(good)
    assert holder.refresh() == Refreshed(changed=False)
    assert holder.error is None


def test_a_damaged_file_is_not_read_again_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be large; the same bytes are wrong for ever."""
    library_of(tmp_path / "lib", "a")
    clock = _Clock()
    holder = SnapshotHolder(tmp_path / "lib", clock=clock)
    (tmp_path / "lib" / CURRENT).write_bytes(b'{"format": %d, "segments": 7}' % FORMAT)
    assert isinstance(holder.refresh().error, LibraryDamaged)

    def loaded(*_: object, **__: object) -> None:
        pytest.fail("it was read again")

    monkeypatch.setattr(watch, "load_snapshot", loaded)
    clock.now_s += 3600
    assert holder.refresh() == Refreshed(changed=False)


def test_a_segment_that_is_put_back_is_found(tmp_path: Path) -> None:
    """Although nothing in `current.json` changed."""
    library_of(tmp_path / "lib", "a")
    clock = _Clock()
    holder = SnapshotHolder(tmp_path / "lib", clock=clock)
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("b"), reference(5))
    (newest,) = (tmp_path / "lib" / SEGMENTS).glob("00000002-*")
    newest.rename(tmp_path / "aside")
    assert isinstance(holder.refresh().error, LibraryDamaged)
    (tmp_path / "aside").rename(newest)
    assert holder.refresh() == Refreshed(changed=False)
    clock.now_s += 31
    assert holder.refresh() == Refreshed(changed=True)


@pytest.mark.promise(5, "a library that vanishes")
def test_a_library_that_vanishes_goes_on_serving(tmp_path: Path) -> None:
    """A disk that is unmounted under the worker is an error to see, not an end to watching."""
    (made,) = library_of(tmp_path / "lib", "a")
    holder = SnapshotHolder(tmp_path / "lib")
    (tmp_path / "lib").rename(tmp_path / "gone")
    assert isinstance(holder.refresh().error, LibraryMissing)
    assert holder.snapshot.search((seen(made.prints[0].code),), radius_bits=RADIUS_BITS)


def test_without_the_memory_for_a_version_the_last_one_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said as what it is, and tried again after a while; at a start there is nothing to serve."""
    library_of(tmp_path / "lib", "a")
    clock = _Clock()
    holder = SnapshotHolder(tmp_path / "lib", clock=clock)
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("b"), reference(5))

    def dies(_part: object, **_: object) -> Shard:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Shard, "over", dies)
        refreshed = holder.refresh()
        assert "there is not the memory for it; give the process more" in str(refreshed.error)
        assert holder.snapshot.items == 1
        with pytest.raises(LibraryError, match="not the memory"):
            SnapshotHolder(tmp_path / "lib")
    clock.now_s += 31
    assert holder.refresh() == Refreshed(changed=True)
    assert (holder.snapshot.items, holder.error) == (2, None)


def test_nothing_good_to_begin_with(tmp_path: Path) -> None:
    """A worker does not start without a library."""
    with pytest.raises(LibraryMissing):
        SnapshotHolder(tmp_path / "nowhere")


def _rules(holder: SnapshotHolder) -> Rules | None:
    return holder.snapshot.rules


def test_a_new_rule_counts_after_the_next_refresh(tmp_path: Path) -> None:
    """Without loading the library again; removed, the built-in one counts."""
    library_of(tmp_path / "lib", "a")
    holder = SnapshotHolder(tmp_path / "lib")
    assert _rules(holder) is None
    served = holder.snapshot.served
    write_rules(tmp_path / "lib", fitted_rules())
    assert holder.refresh() == Refreshed(changed=True)
    assert _rules(holder) == fitted_rules()
    assert holder.snapshot.served is served
    assert holder.refresh() == Refreshed(changed=False)
    (tmp_path / "lib" / RULE).unlink()
    assert holder.refresh() == Refreshed(changed=True)
    assert _rules(holder) is None


def test_a_damaged_rule_leaves_the_last_good_one_and_holds_up_no_item(tmp_path: Path) -> None:
    """It is an error of the library until it is mended; footage that is added meanwhile is found all the same."""
    library_of(tmp_path / "lib", "a")
    write_rules(tmp_path / "lib", fitted_rules())
    clock = _Clock()
    holder = SnapshotHolder(tmp_path / "lib", clock=clock)
    good = (tmp_path / "lib" / RULE).read_bytes()
    (tmp_path / "lib" / RULE).write_bytes(good[:-9])
    error = holder.refresh().error
    assert isinstance(error, LibraryDamaged)
    assert (error.subject, holder.snapshot.rules) == (str(tmp_path / "lib" / RULE), fitted_rules())
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("b"), reference(5))
    assert holder.refresh() == Refreshed(changed=True)
    assert (len(holder.snapshot.assets), holder.snapshot.rules) == (2, fitted_rules())
    assert RULE in str(holder.error)
    clock.now_s += 3600
    assert holder.refresh() == Refreshed(changed=False)
    (tmp_path / "lib" / RULE).write_bytes(good)
    assert holder.refresh() == Refreshed(changed=False)
    assert holder.error is None


def test_a_rule_survives_a_library_that_vanishes(tmp_path: Path) -> None:
    """A disk that is unmounted takes no rule away."""
    library_of(tmp_path / "lib", "a")
    write_rules(tmp_path / "lib", fitted_rules())
    holder = SnapshotHolder(tmp_path / "lib")
    (tmp_path / "lib").rename(tmp_path / "gone")
    assert isinstance(holder.refresh().error, LibraryMissing)
    assert holder.snapshot.rules == fitted_rules()


def test_a_damaged_rule_is_nothing_good_to_begin_with(tmp_path: Path) -> None:
    """A worker that starts would otherwise decide by another rule than the one that was fitted for it."""
    library_of(tmp_path / "lib", "a")
    (tmp_path / "lib" / RULE).write_bytes(b"{}")
    with pytest.raises(LibraryDamaged, match="streamguard calibrate"):
        SnapshotHolder(tmp_path / "lib")


def test_what_is_hot_counts_from_the_first_moment(tmp_path: Path) -> None:
    """Also while the newest version does not load; a new version has what it should from its first moment, and what is
    closed is not hot any more.
    """
    library_of(tmp_path / "lib", "abc")
    wanted: list[tuple[str, ...]] = [("b",)]
    holder = SnapshotHolder(
        tmp_path / "lib", hot_set=HotSet(lambda work: work()), read_hot=lambda: tuple(map(AssetId, wanted[-1]))
    )

    def hot() -> tuple[int, list[str]]:
        snapshot = holder.snapshot
        return (0 if snapshot.hot is None else snapshot.hot.items), sorted(snapshot.in_incidents)

    assert hot() == (0, ["b"])
    assert holder.refresh() == Refreshed(changed=False)
    assert hot() == (1, ["b"])
    with Library.open(tmp_path / "lib") as library:
        library.add(new_item("d"), reference(5))
    assert holder.refresh().changed
    assert hot() == (1, ["b"])
    (tmp_path / "lib" / CURRENT).write_bytes(b"{")
    wanted.append(("a", "b"))
    assert holder.refresh().error is not None
    holder.refresh()
    assert hot() == (2, ["a", "b"])
    wanted.append(())
    holder.refresh()
    assert hot() == (0, [])
