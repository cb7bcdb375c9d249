"""streamguard.library.shard: what some segments hold, in one index."""

from pathlib import Path

import numpy as np

from streamguard.library.live_set import SEGMENTS, LiveSegment
from streamguard.library.segments import SegmentRef, write_segment
from streamguard.library.shard import Ids, Shard, read_part, ref_of
from streamguard.types import AssetId
from tests.library.made import with_frames


def _segment(path: Path, ids: str, *, number: int, off: tuple[str, ...] = ()) -> LiveSegment:
    (path / SEGMENTS).mkdir(exist_ok=True)
    items = [(AssetId(id_), "x", with_frames(ord(id_))) for id_ in ids]
    ref = write_segment(path / SEGMENTS, items, number=number)
    return LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256, off=off)


def test_parts_become_one(tmp_path: Path) -> None:
    """Each segment knows its assets in it; what was off when it was read is not there, and named."""
    first, second = _segment(tmp_path, "abc", number=1, off=("b",)), _segment(tmp_path, "de", number=2)
    shard = Shard.over([read_part(tmp_path, first), read_part(tmp_path, second)])
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
    shard = Shard.over([read_part(tmp_path, first), read_part(tmp_path, second)])
    live = np.array([True, False, True, False, False])
    left = Shard.over([shard.part(live)])
    alone = Shard.over([read_part(tmp_path, first.model_copy(update={"off": ("b",)}))])
    assert left.assets == alone.assets
    assert left.index.codes().tobytes() == alone.index.codes().tobytes()
    assert left.places.tobytes() == alone.places.tobytes()
    assert left.features.rows.tobytes() == alone.features.rows.tobytes()
    assert list(left.spans) == [SegmentRef(first.id, first.manifest_sha256)]
    assert left.spans[ref_of(first)].absent == {"b"}
    whole = Shard.over([shard.part(None)])
    assert whole.assets == shard.assets
    assert whole.nbytes == shard.nbytes


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
