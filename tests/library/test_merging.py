"""streamguard.library.merging: few segments, and nothing lost by it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from errno import ENOSPC
from os import strerror
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.thumbnails import thumbnail
from streamguard.errors import LibraryError
from streamguard.library.catalogue import Catalogue, ItemState
from streamguard.library.durable import MERGING, alone
from streamguard.library.holdings import Held, held
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.merging import FAN, LARGEST_ROWS, MOST_SMALL, Merged, merged, next_merge, put_in_place
from streamguard.library.segments import SegmentRef
from streamguard.library.snapshot import Snapshot
from streamguard.library.staged import Stage, stage
from streamguard.library.store import KEPT_S, Library
from streamguard.types import FULL_RANGE, AssetId, Place
from tests.library.made import RADIUS_BITS, library_of, new_item, reference, seen, with_frames, without_history
from tests.made_features import made_features


class _Clock:
    """A clock that goes when told."""

    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def _held(number: int, rows: int, *, is_used: bool = True, gone: int = 0) -> Held:
    return Held(SegmentRef(f"{number:08d}-0123456789ab", "ab" * 32), rows, rows, gone, is_used)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, LARGEST_ROWS * 2) | st.integers(1, 5000) | st.just(1), max_size=150),
    used=st.integers(0, 2**150),
)
def test_there_are_never_many_segments(sizes: list[int], used: int) -> None:
    """Whatever comes in whatever order, at most 42 small ones are left of what is searched, and 42 of the others."""
    held: list[Held] = []
    written = 0
    for number, size in enumerate(sizes):
        held.append(_held(number, size, is_used=bool(used >> number & 1)))
        while group := next_merge(held):
            assert len({one.is_used for one in group}) == 1
            merged = sum(one.rows for one in group)
            assert merged < 2 * LARGEST_ROWS
            written += merged
            held = [one for one in held if one not in group]
            held.append(_held(number, merged, is_used=group[0].is_used))
        for is_used in (True, False):
            assert sum(one.rows < LARGEST_ROWS and one.is_used is is_used for one in held) <= MOST_SMALL
    assert sum(one.rows for one in held) == sum(sizes)
    assert written <= 6 * sum(sizes)


def test_what_is_mostly_gone_is_written_anew() -> None:
    """A segment of which half was removed for good, however large; less of it stays, unless asked for."""
    held = [_held(1, 10 * LARGEST_ROWS, gone=5 * LARGEST_ROWS), _held(2, 100, gone=49)]
    assert next_merge(held) == (held[0],)
    assert next_merge(held[1:]) == ()
    assert next_merge(held[1:], rewrite_share=0.0) == (held[1],)
    assert next_merge([_held(1, 5)], rewrite_share=0.0) == ()


def _found(snapshot: Snapshot, seed: int) -> list[tuple[str, str]]:
    look = seen(reference(seed).prints[4].code)
    return [(one.asset, one.label) for one in snapshot.search((look,), radius_bits=RADIUS_BITS)]


def test_merged_items_are_found_as_before(tmp_path: Path) -> None:
    """By hashes and by features, with their labels and pictures; those that are disabled come back when enabled."""
    picture = thumbnail(np.full((90, 160), 120, np.uint8), levels=FULL_RANGE)
    with Library.open(tmp_path, create=True) as library:
        for number in range(FAN - 1):
            made = with_frames(number)
            frames = tuple(replace(frame, thumbnail=picture if number == 3 else b"") for frame in made.frames)
            library.add(new_item(f"item-{number}"), replace(made, frames=frames))
        library.disable("item-1")
        library.remove("item-2")
        library.label("item-4", "other")
        library.add(new_item("more"), with_frames(20))
        library.add(new_item("last"), with_frames(21))
        assert len(list((tmp_path / SEGMENTS).iterdir())) == 2  # and one that is kept for a rollback
        assert library.verify() == ()
        assert [change.action for change in library.changes()][-2:] == ["add", "merge"]
        snapshot = load_snapshot(tmp_path)
        assert len(read_live_set(tmp_path).segments) == 1
        assert read_live_set(tmp_path).segments[0].relabelled == ()
        for number in range(FAN - 1):
            here = [] if number in (1, 2) else [(f"item-{number}", "other" if number == 4 else "test")]
            assert _found(snapshot, number) == here
            assert [one.asset for one in snapshot.vote(made_features(100 * number + 1))] == [id_ for id_, _ in here]
        assert snapshot.picture(AssetId("item-3"), Place(0, 0)) == picture
        assert snapshot.picture(AssetId("item-4"), Place(0, 0)) == b""
        library.enable("item-1")
    assert _found(load_snapshot(tmp_path, previous=snapshot), 1) == [("item-1", "test")]


def test_hundreds_of_items_one_by_one(tmp_path: Path) -> None:
    """Leave few segments at any time, and all are found in the end, also by a worker that took up each version."""
    followed = None
    with Library.open(tmp_path, create=True) as library:
        for number in range(150):
            library.add(new_item(f"item-{number}"), reference(number, looks=5))
            followed = load_snapshot(tmp_path, previous=followed)
            assert len(read_live_set(tmp_path).segments) <= 3 * FAN
        assert library.verify() == ()
        assert len(list((tmp_path / SEGMENTS).iterdir())) == len(read_live_set(tmp_path).segments)
    assert followed is not None
    for snapshot in (followed, load_snapshot(tmp_path)):
        assert (snapshot.items, snapshot.looks) == (150, 750)
        for number in range(150):
            assert _found(snapshot, number) == [(f"item-{number}", "test")]


def test_removed_items_leave_the_disk_after_a_week(tmp_path: Path) -> None:
    """Until then they are kept, apart from what workers read; what is removed with others goes when half of it is."""
    clock = _Clock()
    with Library.open(tmp_path, create=True, clock=clock) as library:
        library.add_all([(new_item(f"item-{number}"), reference(number)) for number in range(4)])
        library.add(new_item("alone"), reference(9))
        library.remove("alone")
        library.remove("item-0")
        library.remove("item-1")
        clock.now_s += KEPT_S - 1
        library.disable("item-2")
        assert len(list((tmp_path / SEGMENTS).iterdir())) == 2
        assert read_live_set(tmp_path).segments[0].off == ("item-0", "item-1", "item-2")
        clock.now_s += 2
        library.enable("item-2")
        assert len(list((tmp_path / SEGMENTS).iterdir())) == 1
        assert read_live_set(tmp_path).segments[0].off == ()
        assert library.verify() == ()
    assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"item-2", "item-3"}


def test_forgetting_frees_the_disk_at_once(tmp_path: Path) -> None:
    """What was removed is gone for good, however little of its segment it was."""
    with Library.open(tmp_path, create=True) as library:
        library.add_all([(new_item(f"item-{number}"), reference(number)) for number in range(9)])
        library.add(new_item("alone"), reference(90))
        library.remove("alone")
        library.remove("item-0")
        assert library.compact() == 0
        assert len(list((tmp_path / SEGMENTS).iterdir())) == 2
        assert library.compact(forget=True) == 1
        (left,) = (tmp_path / SEGMENTS).iterdir()
        assert b"item-0" not in (left / "manifest.json").read_bytes()
        assert library.verify() == ()
        assert library.compact(forget=True) == 0


def test_what_is_served_keeps_its_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer has removed an item and not published that; who forgets what was removed does both, or neither."""
    library_of(tmp_path, "ab")
    with Library.open(tmp_path) as library, Library.open(tmp_path) as other:
        with monkeypatch.context() as broken:
            broken.setattr("streamguard.library.store.publish", _disk_full)
            with pytest.raises(LibraryError, match="No space left"):
                other.remove("a")
            with pytest.raises(LibraryError, match="No space left"):
                library.compact(forget=True)
        assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"a", "b"}
        library.compact(forget=True)
        assert {asset.id for asset in load_snapshot(tmp_path).assets} == {"b"}
        assert len(list((tmp_path / SEGMENTS).iterdir())) == 1
        assert library.verify() == ()


def _disk_full(*_: object, **__: object) -> None:
    raise OSError(ENOSPC, strerror(ENOSPC))


def test_a_damaged_segment_is_not_merged_and_keeps_nobody_out(tmp_path: Path) -> None:
    """What was asked for is done; the damage is not written anew under a good checksum, and `verify` names it."""
    with Library.open(tmp_path, create=True) as library:
        for number in range(FAN - 1):
            library.add(new_item(f"item-{number}"), reference(number))
        bad = min((tmp_path / SEGMENTS).iterdir()) / "pdq.faiss"
        good = bad.read_bytes()
        bad.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        library.add(new_item("last"), reference(20))
        assert library.item("last").looks == 10
        assert len(list((tmp_path / SEGMENTS).iterdir())) == FAN
        assert [problem.damage for problem in library.verify()] == [True]
        bad.write_bytes(good)
        library.disable("last")
        assert len(list((tmp_path / SEGMENTS).iterdir())) == 1
        assert library.verify() == ()


def test_an_id_that_was_removed_again_and_again(tmp_path: Path) -> None:
    """Of its copies the last is kept for a rollback, and they do not pile up."""
    with Library.open(tmp_path, create=True) as library:
        for number in range(3 * FAN):
            library.add(new_item("again", content=str(number)), reference(number))
            library.remove("again")
        assert len(list((tmp_path / SEGMENTS).iterdir())) <= FAN
        before_last = library.changes()[-2 if library.changes()[-1].action != "merge" else -3].version
        library.roll_back(before_last)
        assert library.verify() == ()
        assert _found(load_snapshot(tmp_path), 3 * FAN - 1) == [("again", "test")]


def _eight(path: Path) -> None:
    """As many items as are merged, which another writer is about to do."""
    Library.open(path, create=True).close()
    with alone(path, MERGING), Library.open(path) as library:
        for number in range(FAN):
            library.add(new_item(f"item-{number}"), reference(number))
        assert library.stats().segments == FAN


def _relabel(library: Library) -> None:
    library.label("item-0", "other")


def _remove(library: Library) -> None:
    library.remove("item-0")


def _merge(library: Library) -> None:
    library.compact()


def _disable(library: Library) -> None:
    library.disable("item-0")


def _add(library: Library) -> None:
    library.add(new_item("more"), reference(20))


@pytest.mark.parametrize(
    ("change", "outdates"), [(_relabel, True), (_remove, True), (_merge, True), (_disable, False), (_add, False)]
)
def test_others_write_while_segments_are_merged(
    tmp_path: Path, *, change: Callable[[Library], None], outdates: bool
) -> None:
    """What is merged is put in place where they changed nothing that is in it, and is nothing else than it was."""
    _eight(tmp_path)
    with Library.open(tmp_path) as library, stage(tmp_path) as beside:
        with library.writing() as catalogue:
            group = next_merge(held(catalogue, since_unix_s=0.0))
        made = merged(tmp_path, catalogue, group, beside=beside, since_unix_s=0.0)
        with alone(tmp_path, MERGING) if change is not _merge else nullcontext():
            change(library)
        before = {(item.id, item.label, item.state) for item in library.items(removed=True)}
        assert made.is_outdated(catalogue) is outdates
        if not outdates:
            with library.writing() as catalogue:
                put_in_place(catalogue, made, now_unix_s=1.0)
        assert {(item.id, item.label, item.state) for item in library.items(removed=True)} == before
        library.compact()
        assert library.verify() == ()
        live = {(item.id, item.label) for item in library.items() if item.state is ItemState.LIVE}
    assert {(asset.id, asset.label) for asset in load_snapshot(tmp_path).assets} == live


@pytest.mark.parametrize("times", [1, 2, 9])
def test_what_was_changed_meanwhile_is_merged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A few times; where that is not enough, the next change merges it, and `compact` says why it did not."""
    _eight(tmp_path)
    changes = iter(range(times))

    def merged_slowly(
        path: Path, catalogue: Catalogue, group: Sequence[Held], *, beside: Stage, since_unix_s: float
    ) -> Merged:
        made = merged(path, catalogue, group, beside=beside, since_unix_s=since_unix_s)
        for number in changes:
            with Library.open(path) as other:
                other.label("item-3", f"label-{number}")
            break
        return made

    monkeypatch.setattr("streamguard.library.merging.merged", merged_slowly)
    with Library.open(tmp_path) as library:
        if times > 3:
            with pytest.raises(LibraryError, match="changed while they were merged"):
                library.compact()
            assert library.stats().segments == FAN
        else:
            assert library.compact() == 1
            assert library.item("item-3").label == f"label-{times - 1}"
            assert len(list((tmp_path / SEGMENTS).iterdir())) == 1
        assert library.verify() == ()


def test_who_merges_keeps_nobody_out(tmp_path: Path) -> None:
    """Others write, and merge nothing themselves; what they left to be merged is merged with the next change."""
    _eight(tmp_path)
    with Library.open(tmp_path) as library:
        library.label("item-0", "other")
        assert library.stats().segments == 1
        assert library.verify() == ()


def test_an_older_library_is_taken_up(tmp_path: Path) -> None:
    """One without a history is read as it is; its first change begins one, and merges what there is too much of."""
    with Library.open(tmp_path, create=True) as library:
        for number in range(FAN - 1):
            library.add(new_item(f"item-{number}"), reference(number))
    without_history(tmp_path)
    with Library.open(tmp_path, read_only=True) as library:
        assert (library.changes(), library.verify(), len(library.items())) == ((), (), FAN - 1)
    with Library.open(tmp_path) as library:
        (begin,) = library.changes()
        assert (begin.action, begin.generation) == ("begin", FAN - 1)
        library.add(new_item("last"), reference(20))
        assert [change.action for change in library.changes()] == ["begin", "add", "merge"]
        library.roll_back(str(begin.generation))
        assert library.verify() == ()
    assert {asset.id for asset in load_snapshot(tmp_path).assets} == {f"item-{number}" for number in range(FAN - 1)}
