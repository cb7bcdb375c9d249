"""streamguard.worker.bulk.shard_shelf: what was fingerprinted is in shards, and is not done again."""

import os
from pathlib import Path

import pytest

from streamguard.errors import LibraryError
from streamguard.library.durable import NEW_PREFIX
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.shard_shelf import ShardShelf, is_in_part, known_content, open_folder, shards_in
from tests.library.made import new_item, reference

PATHS = [Path(f"/films/{number}.mp4") for number in range(200)]


def _in_memory(shards: dict[str, bytes]) -> ShardShelf:
    return ShardShelf(known_content(()), keep=shards.__setitem__)


def test_every_file_is_in_one_part() -> None:
    """However many parts there are; none gets much more than its share."""
    for of in (1, 3, 10):
        parts = [[path for path in PATHS if is_in_part(path, index=index, of=of)] for index in range(of)]
        assert sorted(path for part in parts for path in part) == sorted(PATHS)
        assert max(map(len, parts)) <= 2 * len(PATHS) / of


def test_a_batch_is_a_shard() -> None:
    """It holds the items in order, and the shelf knows them from then on."""
    shards: dict[str, bytes] = {}
    shelf = _in_memory(shards)
    added = shelf.add_all([(new_item("a"), reference(1)), (new_item("b"), reference(2))])
    (data,) = shards.values()
    items = shard_file.from_bytes(data, subject="here")
    assert [(item.sha256, made) for item, made in items] == [
        (new_item("a").sha256, reference(1)),
        (new_item("b").sha256, reference(2)),
    ]
    assert shelf.items() == added
    assert shelf.with_content(new_item("b").sha256) == (added[1],)
    assert {item.segment for item in added} == set(shards)


def test_what_is_known_is_in_no_second_shard() -> None:
    """Of the same content there is one item, and without a new one no shard."""
    shards: dict[str, bytes] = {}
    shelf = _in_memory(shards)
    shelf.add_all([(new_item("a"), reference(1))])
    assert shelf.add_all([(new_item("other", content="a"), reference(1))]) == ()
    assert len(shards) == 1


def test_what_is_known_serves_many_shelves() -> None:
    """What one of them adds is in none of the others, and what is known keeps its size and takes no id."""
    (item,) = _in_memory({}).add_all([(new_item("a"), reference(1))])
    known = known_content([item])
    assert (known.there.ids, known.there.sizes_bytes) == ((), {item.size_bytes})
    one, other = (ShardShelf(known, keep=lambda _, __: None) for _ in range(2))
    assert one.add_all([(new_item("a"), reference(1))]) == ()
    (added,) = one.add_all([(new_item("b"), reference(2))])
    assert one.items() == (item, added)
    assert other.items() == (item,)


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    """Who opens it again knows what is in its shards; it is made where there is none."""
    shelf, damaged = open_folder(tmp_path / "deep" / "shards")
    shelf.add_all([(new_item("a"), reference(1))])
    again, still = open_folder(tmp_path / "deep" / "shards")
    (item,) = again.with_content(new_item("a").sha256)
    assert (item.source, item.size_bytes) == (new_item("a").source, new_item("a").size_bytes)
    assert damaged == still == ()
    assert [path.name for path in shards_in(tmp_path / "deep" / "shards")] == [item.segment]


def test_a_shard_that_is_no_good_is_told_and_not_believed(tmp_path: Path) -> None:
    """Cut short, or with a damaged head: what it held is done again, what others hold is not."""
    shelf, _ = open_folder(tmp_path)
    for name in "abc":
        shelf.add_all([(new_item(name), reference(ord(name)))])
    cut, damaged, _ = shelf.items()
    (tmp_path / cut.segment).write_bytes((tmp_path / cut.segment).read_bytes()[:-1])
    changed = bytearray((tmp_path / damaged.segment).read_bytes())
    changed[200] ^= 1
    (tmp_path / damaged.segment).write_bytes(changed)
    again, problems = open_folder(tmp_path)
    assert {problem.subject for problem in problems} == {str(tmp_path / item.segment) for item in (cut, damaged)}
    assert [item.sha256 for item in again.items()] == [new_item("c").sha256]


def test_what_a_killed_writer_left_is_removed_later(tmp_path: Path) -> None:
    """What others write now stays, and so does whatever is not ours."""
    old, fresh, strange = (tmp_path / name for name in (f"{NEW_PREFIX}a.shard.1", f"{NEW_PREFIX}b.shard.2", "notes"))
    for path in (old, fresh, strange):
        path.write_text("half")
    os.utime(old, (1000.0, 1000.0))
    os.utime(fresh, (4000.0, 4000.0))
    _, problems = open_folder(tmp_path, clock=lambda: 5000.0)
    assert problems == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, strange.name]


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    """A file in its place, for whoever makes shards and for whoever reads them."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LibraryError, match="make shards"):
        open_folder(tmp_path / "file")
    with pytest.raises(LibraryError, match="read shards"):
        shards_in(tmp_path / "file")
