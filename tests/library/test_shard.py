"""streamguard.library.shard: what some segments hold, in one index."""

import weakref
from pathlib import Path

import numpy as np

from streamguard.library.live_set import SEGMENTS, LiveSegment
from streamguard.library.local_features import NONE, Asset
from streamguard.library.segments import PLACE, SegmentRef
from streamguard.library.shard import Arrays, Ids, Part, Shard, read_part, ref_of, together
from streamguard.types import AssetId, MediaKind
from tests.library.made import with_frames, write_segment


def _segment(path: Path, ids: str, *, number: int, off: tuple[str, ...] = ()) -> LiveSegment:
    (path / SEGMENTS).mkdir(exist_ok=True)
    items = [(AssetId(id_), "x", with_frames(ord(id_))) for id_ in ids]
    ref = write_segment(path / SEGMENTS, items, number=number)
    return LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256, off=off)


def test_parts_become_one(tmp_path: Path) -> None:
    """Each segment knows its assets in it; what was off when it was read is not there, and named."""
    first, second = _segment(tmp_path, "abc", number=1, off=("b",)), _segment(tmp_path, "de", number=2)
    shard = Shard.over(together([read_part(tmp_path, first), read_part(tmp_path, second)]))
    assert [asset.id for asset in shard.assets] == ["a", "c", "d", "e"]
    assert (shard.looks_of.tolist(), shard.features_of.tolist()) == ([10] * 4, [120] * 4)
    assert shard.rows == 40 + 480
    assert shard.spans[ref_of(first)].stop == 2
    assert shard.spans[ref_of(first)].absent == {"b"}
    assert shard.numbers(ref_of(second), ("e", "a", "nobody")).tolist() == [3]
    assert shard.with_id(AssetId("c")) == (1,)


def test_a_part_of_a_shard_is_as_if_the_rest_had_never_been(tmp_path: Path) -> None:
    """Indexed anew it is what the segments would be that have the others off."""
    first, second = _segment(tmp_path, "abc", number=1), _segment(tmp_path, "de", number=2)
    shard = Shard.over(together([read_part(tmp_path, first), read_part(tmp_path, second)]))
    live = np.array([True, False, True, False, False])
    left = Shard.over(shard.part(live))
    alone = Shard.over(read_part(tmp_path, first.model_copy(update={"off": ("b",)})))
    assert left.assets == alone.assets
    assert left.index.codes().tobytes() == alone.index.codes().tobytes()
    assert left.places.tobytes() == alone.places.tobytes()
    assert left.features.rows.tobytes() == alone.features.rows.tobytes()
    assert list(left.spans) == [SegmentRef(first.id, first.manifest_sha256)]
    assert left.spans[ref_of(first)].absent == {"b"}
    whole = Shard.over(shard.part(None))
    assert whole.assets == shard.assets
    assert whole.nbytes == shard.nbytes


def test_one_alone_is_indexed_where_it_was_read(tmp_path: Path) -> None:
    """Its codes and places are never in memory twice: of ten million looks that is half a gigabyte."""
    part = read_part(tmp_path, _segment(tmp_path, "abc", number=1))
    codes, places = part.arrays.codes, part.arrays.places
    shard = Shard.over(together([part]))
    assert np.shares_memory(shard.index.codes(), codes)
    assert np.shares_memory(shard.places, places)
    assert codes.ctypes.data % 8 == 0, "else NumPy copies them all for each query"


def test_parts_that_are_put_together_are_let_go(tmp_path: Path) -> None:
    """So that they are not in memory beside the tables, too."""
    parts = [read_part(tmp_path, _segment(tmp_path, id_, number=number)) for number, id_ in enumerate("ab", start=1)]
    codes = [weakref.ref(part.arrays.codes) for part in parts]
    whole = together(parts)
    assert parts == []
    assert [one() for one in codes] == [None, None]
    assert whole.arrays.items == 2


def test_places_are_numbered_through_all_parts(tmp_path: Path) -> None:
    """Looks of one place have one number, and no other place has it, also where a part's looks come in no order."""
    places = np.zeros(4, PLACE)
    places["from_us"] = places["to_us"] = [0, 20, 0, 20]
    codes = np.zeros((4, 32), np.uint8)
    first, second = _segment(tmp_path, "ab", number=1), _segment(tmp_path, "c", number=2)
    barred = Part.of((Asset(AssetId("x"), "", MediaKind.VIDEO),), Arrays(1, codes, places, NONE), {})
    whole = together([read_part(tmp_path, first), barred, read_part(tmp_path, second)])
    assert whole.place_numbers.tolist() == [*range(20), 20, 21, 20, 21, *range(22, 32)]
    again = Shard.over(whole).part(np.array([False, True, True, True]))
    assert again.place_numbers[10:14].tolist() == [again.place_numbers[at] for at in (12, 13, 10, 11)]
    assert sorted(set(again.place_numbers.tolist())) == list(range(22))
    assert (again.looks_of.tolist(), again.features_of.tolist()) == ([10, 4, 10], [120, 0, 120])


def test_ids_are_found_by_their_hashes() -> None:
    """Also one that is there twice, and none of those that are not."""
    names = ["a", "b", "c", "a", "d"]
    ids = Ids.of(names)
    assert ids.with_id("a", of=names.__getitem__) == (0, 3)
    assert ids.with_id("x", of=names.__getitem__) == ()
    assert sorted(ids.twins()) == [0, 3]
    few, none = Ids.of(["d", "a", "y"]), Ids.of([])
    assert sorted(ids.shared(few)) == [0, 3, 4]
    assert sorted(few.shared(ids)) == [0, 1]
    assert ids.shared(none) == none.shared(ids) == none.twins() == ()
