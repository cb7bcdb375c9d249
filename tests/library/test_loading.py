"""streamguard.library.loading: a version is read and checked, and takes over what the one before has."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged, LibraryFormatError, LibraryMissing
from streamguard.library import loading
from streamguard.library.durable import FORMAT, replace_file
from streamguard.library.faiss_flat import MOST_HITS
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSegment, LiveSet, publish
from streamguard.library.loading import Demands, load_snapshot
from streamguard.library.segments import SegmentRef
from streamguard.library.shard import Part, read_part
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.types import AssetId, MediaKind, Place, Reference, ReferencePrint
from tests.library.made import RADIUS_BITS, library_of, multi_item, new_item, reference, seen, write_segment

_PARTS = ["current.json", "manifest.json", "pdq.faiss", "places.npy"]


def _part(library: Path, name: str) -> Path:
    return library / name if name == "current.json" else next((library / SEGMENTS).glob(f"*/{name}"))


def test_a_new_version_takes_over_what_it_knows(tmp_path: Path) -> None:
    """A snapshot made from the one before it answers like one that read everything, and reads only what is new."""
    references = library_of(tmp_path / "lib", "abc")
    before = load_snapshot(tmp_path / "lib")
    with Library.open(tmp_path / "lib") as library:
        library.disable("a")
        library.add(new_item("d"), reference(7))
    kept = [path for path in (tmp_path / "lib" / SEGMENTS).iterdir() if path.name.startswith("00000002")]
    for path in kept:
        shutil.rmtree(path)
    after = load_snapshot(tmp_path / "lib", previous=before)
    assert (after.items, after.looks) == (3, 30)
    answers = [
        [found.asset for found in after.search((seen(ref.prints[5].code),), radius_bits=RADIUS_BITS)]
        for ref in references
    ]
    assert answers == [[], ["b"], ["c"]]
    assert [found.asset for found in after.search((seen(reference(7).prints[0].code),), radius_bits=RADIUS_BITS)] == [
        "d"
    ]


def test_what_is_off_or_relabelled_is_not_read_again(tmp_path: Path) -> None:
    """A worker masks it out, and calls it by its new name, though nothing of the segments is there any more."""
    references = library_of(tmp_path, "abc")
    snapshot = load_snapshot(tmp_path)
    with Library.open(tmp_path) as library:
        library.disable("a")
        library.label("b", "other")
    for path in (tmp_path / SEGMENTS).iterdir():
        shutil.rmtree(path)
    after = load_snapshot(tmp_path, previous=snapshot)
    assert (after.items, after.looks) == (2, 20)
    assert [
        [(found.asset, found.label) for found in after.search((seen(ref.prints[5].code),), radius_bits=RADIUS_BITS)]
        for ref in references
    ] == [[], [("b", "other")], [("c", "test")]]
    assert len(snapshot.search((seen(references[0].prints[5].code),), radius_bits=RADIUS_BITS)) == 1


def test_what_was_off_at_a_start_is_enabled_without_reading_its_segment(tmp_path: Path) -> None:
    """Where little of the segment is off, it is in memory and masked; where much is, it is read when it is needed."""
    ids = "abcdefghi"
    with Library.open(tmp_path, create=True) as library:
        library.add_all([(new_item(id_), reference(ord(id_))) for id_ in ids])
        library.disable("b")
        snapshot = load_snapshot(tmp_path)
        assert (snapshot.items, snapshot.looks) == (8, 80)
        assert _found(snapshot, "b") == []
        library.enable("b")
        folder = next((tmp_path / SEGMENTS).iterdir())
        folder.rename(tmp_path / "away")
        after = load_snapshot(tmp_path, previous=snapshot)
        assert (after.items, _found(after, "b")) == (9, ["b"])
        (tmp_path / "away").rename(folder)
        for id_ in "bcd":
            library.disable(id_)
        rest = load_snapshot(tmp_path)
        assert rest.bytes_in_memory < snapshot.bytes_in_memory
        library.enable("c")
        folder.rename(tmp_path / "away")
        with pytest.raises(LibraryDamaged, match="is missing"):
            load_snapshot(tmp_path, previous=rest)
        (tmp_path / "away").rename(folder)
        assert _found(load_snapshot(tmp_path, previous=rest), "c") == ["c"]


def _found(snapshot: Snapshot, id_: str) -> list[str]:
    """What shows the item of `reference(ord(id_))`."""
    shown = seen(reference(ord(id_)).prints[5].code)
    return [found.asset for found in snapshot.search((shown,), radius_bits=RADIUS_BITS)]


def test_a_live_item_of_one_id_in_a_new_segment_is_refused(tmp_path: Path) -> None:
    """Also where the other one is in a shard that a worker has already, unless it is off there."""
    path = tmp_path / "lib"
    _, first = multi_item(path, off=())
    snapshot = load_snapshot(path)
    ref = write_segment(path / SEGMENTS, [(AssetId("a"), "x", reference(8))], number=2)
    second = LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256)
    publish(path, LiveSet(generation=2, changed_unix_s=1.0, segments=(first, second)))
    with pytest.raises(LibraryDamaged, match="one id"):
        load_snapshot(path, previous=snapshot)
    off = LiveSegment(id=first.id, manifest_sha256=first.manifest_sha256, off=("a",))
    publish(path, LiveSet(generation=3, changed_unix_s=1.0, segments=(off, second)))
    after = load_snapshot(path, previous=snapshot)
    assert sorted(asset.id for asset in after.assets) == ["a", "b", "c"]


def test_no_library_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    """A path without a library, a missing one and a file each raise LibraryMissing: the path may be wrong."""
    (tmp_path / "file").write_text("hello")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(LibraryMissing, match="check the path"):
            load_snapshot(path)


@pytest.mark.promise(5, "one bit of a file flipped", times=60)
@pytest.mark.parametrize("name", _PARTS)
def test_every_flipped_bit_is_seen(tmp_path: Path, name: str) -> None:
    """One flipped bit anywhere in any file keeps the library from loading."""
    library_of(tmp_path / "lib", "a")
    path = _part(tmp_path / "lib", name)
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(60):
        at, bit = int(rng.integers(len(good))), int(rng.integers(8))
        bad = bytearray(good)
        bad[at] ^= 1 << bit
        path.write_bytes(bad)
        with pytest.raises((LibraryDamaged, LibraryFormatError)):
            load_snapshot(tmp_path / "lib")


@pytest.mark.promise(5, "a file cut short")
@pytest.mark.parametrize("name", _PARTS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_seen(tmp_path: Path, name: str, share: float) -> None:
    """A truncated file is damage, with the file's name in the message."""
    library_of(tmp_path / "lib", "a")
    path = _part(tmp_path / "lib", name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        LibraryDamaged, match=rf"{name}: .*; what to do: streamguard library verify --library {tmp_path}"
    ):
        load_snapshot(tmp_path / "lib")


@pytest.mark.promise(5, "a file missing")
@pytest.mark.parametrize("name", _PARTS[1:])
def test_a_missing_file_is_seen(tmp_path: Path, name: str) -> None:
    """A file that is gone is damage."""
    library_of(tmp_path / "lib", "a")
    _part(tmp_path / "lib", name).unlink()
    with pytest.raises(LibraryDamaged, match="missing"):
        load_snapshot(tmp_path / "lib")


def test_a_file_in_the_place_of_a_segment_is_seen(tmp_path: Path) -> None:
    """It is damage like any other, not the end of the thread that follows the library."""
    library_of(tmp_path / "lib", "a")
    folder = _part(tmp_path / "lib", "manifest.json").parent
    shutil.rmtree(folder)
    folder.write_text("a file")
    with pytest.raises(LibraryDamaged, match="missing"):
        load_snapshot(tmp_path / "lib")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"format": "1"}',
        '{"format": true}',
        "[" * 100_000,
        f'{{"format": {FORMAT}}}',
        "\ud800",
        f'{{"format": {FORMAT}.0}}',
    ],
)
def test_a_hostile_live_set_is_refused(tmp_path: Path, text: str) -> None:
    """Anything that is not exactly a live set is damage."""
    library_of(tmp_path / "lib", "a")
    (tmp_path / "lib" / CURRENT).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(LibraryDamaged):
        load_snapshot(tmp_path / "lib")


@pytest.mark.promise(5, "a version that is not ours")
def test_a_newer_format_is_called_newer(tmp_path: Path) -> None:
    """A library of a later StreamGuard is refused by its format, whatever else it says."""
    library_of(tmp_path / "lib", "a")
    replace_file(tmp_path / "lib" / CURRENT, b'{"format": %d, "shape": "nobody knows"}' % (FORMAT + 1))
    with pytest.raises(LibraryFormatError, match=f"format {FORMAT + 1}, this StreamGuard reads up to {FORMAT}"):
        load_snapshot(tmp_path / "lib")


def test_a_segment_outside_the_library_is_refused(tmp_path: Path) -> None:
    """A link in place of a segment's file is not followed."""
    library_of(tmp_path / "lib", "a")
    index = _part(tmp_path / "lib", "pdq.faiss")
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LibraryDamaged):
        load_snapshot(tmp_path / "lib")


def test_two_live_items_of_one_id_are_refused(tmp_path: Path) -> None:
    """A live set that names one item twice is damage: a kill must name its reference without doubt."""
    path = tmp_path / "lib"
    _, first = multi_item(path, off=())
    ref = write_segment(path / SEGMENTS, [(AssetId("a"), "x", reference(8))], number=2)
    second = LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256)
    publish(path, LiveSet(generation=2, changed_unix_s=1.0, segments=(first, second)))
    with pytest.raises(LibraryDamaged, match="one id"):
        load_snapshot(path)


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    """The version is short, changes with each change, and is the same for the same content."""
    library_of(tmp_path / "lib", "ab")
    versions = [load_snapshot(tmp_path / "lib").version, load_snapshot(tmp_path / "lib").version]
    with Library.open(tmp_path / "lib") as library:
        library.disable("a")
    versions.append(load_snapshot(tmp_path / "lib").version)
    assert versions[0] == versions[1] != versions[2]
    assert all(len(version) <= 20 for version in versions)


def test_more_equal_codes_than_are_kept_are_no_damage(tmp_path: Path) -> None:
    """A canary among more equal looks than a search keeps is not found by it, and is sound all the same."""
    looks = tuple(ReferencePrint(Place(at, at), b"\x5a\x0f" * 16, 90, 128) for at in range(2 * MOST_HITS + 100))
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("equal"), Reference(MediaKind.VIDEO, len(looks), len(looks), 0.0, looks))
        library.add(new_item("other"), reference(3))
    assert load_snapshot(tmp_path / "lib").items == 2


class _Trial:
    """Passes all, and says when; what was read by then it knows as well."""

    def __init__(self, read: list[str]) -> None:
        self.read = read
        self.seen_by: list[tuple[str, bool]] = []

    def __call__(
        self, _directory: Path, refs: Sequence[SegmentRef], /, *, opened: Callable[[SegmentRef], None]
    ) -> None:
        for ref in refs:
            self.seen_by.append((ref.id, ref.id in self.read))
            opened(ref)


def test_nothing_is_read_before_the_trial_opened_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all is read that it opened."""
    library_of(tmp_path, "abcdefg")
    read: list[str] = []

    def tells(library: Path, live: LiveSegment) -> Part:
        read.append(live.id)
        return read_part(library, live)

    monkeypatch.setattr(loading, "read_part", tells)
    trial = _Trial(read)
    assert load_snapshot(tmp_path, demands=Demands(trial=trial)).items == 7
    assert len(trial.seen_by) == 7
    assert not any(was_read for _, was_read in trial.seen_by)
    assert sorted(read) == sorted(id_ for id_, _ in trial.seen_by)


def test_what_was_read_is_not_read_again_when_a_segment_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that removes one while all are read costs the reading of what is new."""
    library_of(tmp_path, "abc")
    read: list[str] = []

    def loses(library: Path, live: LiveSegment) -> Part:
        read.append(live.id)
        if live.id.startswith("00000002") and read.count(live.id) == 1:
            with Library.open(tmp_path) as opened:
                opened.label("c", "other")
            raise FileNotFoundError(2, "gone", live.id)
        return read_part(library, live)

    monkeypatch.setattr(loading, "read_part", loses)
    assert load_snapshot(tmp_path).items == 3
    assert sorted(id_[:8] for id_ in read if not id_.startswith("00000003")) == ["00000001", "00000002", "00000002"]


def test_a_segment_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    """No writer of ours names one so; which of its items are off could not be said."""
    _, first = multi_item(tmp_path, off=())
    again = LiveSegment(id=first.id, manifest_sha256=first.manifest_sha256, off=("a",))
    for twice in (first, again):
        publish(tmp_path, LiveSet(generation=2, changed_unix_s=1.0, segments=(first, twice)))
        with pytest.raises(LibraryDamaged, match="names a segment twice"):
            load_snapshot(tmp_path)
