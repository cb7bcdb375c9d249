"""streamguard.worker.bulk.merging: shards become a library, however bad some of them are."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from streamguard.library.live_set import SEGMENTS
from streamguard.library.store import Library
from streamguard.types import Reference
from streamguard.worker.batch import Batching
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.merging import BadShard, listed, merge
from streamguard.worker.outcomes import Added, Job, Known, Outcome, Read
from tests.library.made import new_item, reference, with_frames


def _shard(folder: Path, *ids: str) -> Path:
    name, data = shard_file.to_bytes([(new_item(id_), _reference(id_)) for id_ in ids])
    shard_file.write(folder, name, data)
    return folder / name


def _reference(id_: str) -> Reference:
    return with_frames(ord(id_[0]))


def _no_news(_: Job, __: Read) -> None:
    pass


def _merge(library: Path, shards: Sequence[Path]) -> tuple[list[Outcome], list[BadShard]]:
    good, bad = listed(shards)
    told = list(bad)
    with Library.open(library, create=True) as opened:
        return list(merge(opened, good, news=_no_news, bad=told.append)), told


def test_shards_make_the_library_that_adding_makes(tmp_path: Path) -> None:
    """The same segment, byte by byte, under ids from the files' names; and the library is whole."""
    with Library.open(tmp_path / "added", create=True) as added:
        added.add_all([(new_item(id_), _reference(id_)) for id_ in "abc"])
    outcomes, bad = _merge(tmp_path / "merged", [_shard(tmp_path, "a", "b"), _shard(tmp_path, "c")])
    assert bad == []
    with Library.open(tmp_path / "merged", read_only=True) as merged:
        assert outcomes == [Added(Job(Path(f"/films/{id_}.mp4"), "test"), merged.item(id_)) for id_ in "abc"]
        assert merged.verify() == ()
    (one,), (other,) = ((tmp_path / name / SEGMENTS).iterdir() for name in ("added", "merged"))
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


def test_merging_twice_adds_nothing_twice(tmp_path: Path) -> None:
    """Nor does a shard that shares items with another one; what is new in it goes in."""
    first, second = _shard(tmp_path, "a", "b"), _shard(tmp_path, "b", "c")
    outcomes, _ = _merge(tmp_path / "lib", [first, second, first])
    assert [type(outcome) for outcome in outcomes].count(Added) == 3
    again, _ = _merge(tmp_path / "lib", [first, second])
    assert [type(outcome) for outcome in again] == [Known] * 4
    with Library.open(tmp_path / "lib", read_only=True) as library:
        assert [item.id for item in library.items()] == ["a", "b", "c"]


def test_bad_shards_keep_no_others_out(tmp_path: Path) -> None:
    """Damaged in its head or in its last byte, cut short, none at all: each is told, and nothing of it goes in."""
    good = _shard(tmp_path, "g", "h")
    bad = [_shard(tmp_path, id_ * 2, id_ * 3) for id_ in "abc"]
    for path, where in zip(bad, (150, -1, None), strict=True):
        data = bytearray(path.read_bytes())
        if where is not None:
            data[where] ^= 1
        path.write_bytes(data if where is not None else data[:-1000])
    missing = tmp_path / "missing.shard"
    outcomes, told = _merge(tmp_path / "lib", [*bad, missing, good])
    assert [outcome.job.path.stem for outcome in outcomes if isinstance(outcome, Added)] == ["g", "h"]
    assert {one.path for one in told} == {*bad, missing}
    assert all(one.error.hint for one in told)
    with Library.open(tmp_path / "lib", read_only=True) as library:
        assert [item.id for item in library.items()] == ["g", "h"]


def test_ids_that_are_taken_get_a_number(tmp_path: Path) -> None:
    """Files of one name in two folders are two items, also where the library has one of that id."""
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("a", content="older"), reference(1))
    for content in ("one", "two"):
        name, data = shard_file.to_bytes([(new_item("a", content=content), with_frames(len(content)))])
        shard_file.write(tmp_path, f"{content}-{name}", data)
    outcomes, _ = _merge(tmp_path / "lib", sorted(tmp_path.glob("*.shard")))
    assert [outcome.item.id for outcome in outcomes if isinstance(outcome, Added)] == ["a-2", "a-3"]


def test_full_batches_are_durable_before_the_next_shard_is_read(tmp_path: Path) -> None:
    """Memory does not grow with the number of shards; whoever stops in the middle keeps what was read."""
    shards = [_shard(tmp_path, id_) for id_ in "abcd"]
    good, _ = listed(shards)
    with Library.open(tmp_path / "lib", create=True) as library:
        how = Batching(most_items=2)
        with closing(merge(library, good, news=_no_news, bad=_never, batching=how)) as outcomes:
            next(outcomes)
            assert len(library.items()) == 2
        assert len(library.items()) == 2
        assert library.verify() == ()


def _never(bad: BadShard) -> None:
    raise bad.error
