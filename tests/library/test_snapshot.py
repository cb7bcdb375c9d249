"""streamguard.library.snapshot: loading and searching."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.errors import FingerprintError, LibraryDamaged, LibraryFormatError, LibraryMissing
from streamguard.library.durable import FORMAT, replace_file
from streamguard.library.faiss_flat import MOST_HITS
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSegment, LiveSet, publish
from streamguard.library.segments import write_segment
from streamguard.library.snapshot import MOST_CANDIDATES, load_snapshot
from streamguard.library.store import Library
from streamguard.types import AssetId, Fingerprint, MediaKind, Place, Reference, ReferencePrint, Region, View
from tests.library.made import RADIUS_BITS, flipped, library_of, new_item, reference, seen

_PARTS = ["current.json", "manifest.json", "pdq.faiss", "places.npy"]


def _alike(code: bytes, *, looks: int) -> Reference:
    """Footage of which every look, at its own place, has the same code."""
    prints = tuple(ReferencePrint(Place(n * 1000, n * 1000), code, 90, 0) for n in range(looks))
    return Reference(MediaKind.VIDEO, looks * 1000, looks, 0.0, prints)


def _part(library: Path, name: str) -> Path:
    return library / name if name == "current.json" else next((library / SEGMENTS).glob(f"*/{name}"))


def _multi_item(path: Path, *, off: tuple[str, ...]) -> tuple[tuple[Reference, ...], LiveSegment]:
    """A library of one segment with the items a, b and c, as merging will make them."""
    (path / SEGMENTS).mkdir(parents=True)
    references = tuple(reference(seed) for seed in (1, 2, 3))
    items = [(AssetId(id_), "x", ref) for id_, ref in zip("abc", references, strict=True)]
    ref = write_segment(path / SEGMENTS, items, number=1)
    live = LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256, off=off)
    publish(path, LiveSet(generation=1, changed_unix_s=1.0, segments=(live,)))
    return references, live


@pytest.mark.parametrize("view", list(View))
def test_finds_a_look_in_every_view(tmp_path: Path, view: View) -> None:
    """All eight symmetries, and the negatives of all eight, find the look and say which one it was."""
    references = library_of(tmp_path / "lib", "ab")
    look = references[1].prints[3]
    (found,) = load_snapshot(tmp_path / "lib").search((seen(look.code, view=view),), radius_bits=RADIUS_BITS)
    assert (found.asset, found.label, found.kind) == ("b", "test", MediaKind.VIDEO)
    assert (found.view, found.place, found.distance_bits) == (view, look.place, 0)
    assert found.nearest_elsewhere_bits == look.nearest_elsewhere_bits == 103


def test_the_radius_is_inclusive(tmp_path: Path) -> None:
    """31 bits away is found, 32 bits away is not."""
    code = library_of(tmp_path / "lib", "a")[0].prints[0].code
    snapshot = load_snapshot(tmp_path / "lib")
    assert [found.distance_bits for found in snapshot.search((seen(flipped(code, 31)),), radius_bits=RADIUS_BITS)] == [
        31
    ]
    assert snapshot.search((seen(flipped(code, 32)),), radius_bits=RADIUS_BITS) == ()
    assert snapshot.search((seen(flipped(code, 5)),), radius_bits=4) == ()


def test_poor_prints_are_not_asked(tmp_path: Path) -> None:
    """A print below quality 50 finds nothing, whatever its code."""
    code = library_of(tmp_path / "lib", "a")[0].prints[0].code
    snapshot = load_snapshot(tmp_path / "lib")
    assert snapshot.search((seen(code, quality=49),), radius_bits=RADIUS_BITS) == ()
    assert len(snapshot.search((seen(code, quality=50),), radius_bits=RADIUS_BITS)) == 1


def test_each_candidate_names_its_region(tmp_path: Path) -> None:
    """Two prints of one frame are told apart by their region, and a poor one before them changes nothing."""
    references = library_of(tmp_path / "lib", "ab")
    inner = Region(0.0, 0.1, 1.0, 0.9)
    prints = (
        seen(b"\x55" * 32, quality=3),
        seen(references[0].prints[0].code),
        seen(flipped(references[1].prints[9].code, 2), region=inner),
    )
    found = load_snapshot(tmp_path / "lib").search(prints, radius_bits=RADIUS_BITS)
    assert [(one.asset, one.region, one.distance_bits) for one in found] == [
        ("a", prints[1].region, 0),
        ("b", inner, 2),
    ]


def test_an_empty_library_finds_nothing(tmp_path: Path) -> None:
    """A library without items loads, and answers every search with nothing."""
    Library.open(tmp_path / "lib", create=True).close()
    snapshot = load_snapshot(tmp_path / "lib")
    assert (snapshot.items, snapshot.looks, snapshot.bytes_in_memory) == (0, 0, 0)
    assert snapshot.search((seen(bytes(32)),), radius_bits=RADIUS_BITS) == ()
    assert snapshot.search((), radius_bits=RADIUS_BITS) == ()


def test_disabled_and_removed_items_are_not_searched(tmp_path: Path) -> None:
    """What is off is not found, also in a segment that it shares with what is on."""
    references, _ = _multi_item(tmp_path / "lib", off=("a", "c"))
    snapshot = load_snapshot(tmp_path / "lib")
    assert (snapshot.items, snapshot.looks) == (1, 10)
    assert [bool(snapshot.search((seen(ref.prints[2].code),), radius_bits=RADIUS_BITS)) for ref in references] == [
        False,
        True,
        False,
    ]
    assert snapshot.search((seen(references[1].prints[2].code),), radius_bits=RADIUS_BITS)[0].asset == "b"


def test_at_most_four_places_an_item_and_view(tmp_path: Path) -> None:
    """Footage that looks the same everywhere gives its four nearest places, not hundreds."""
    code = b"\x5a\x0f" * 16
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("same"), _alike(code, looks=300))
    found = load_snapshot(tmp_path / "lib").search((seen(code),), radius_bits=RADIUS_BITS)
    assert len(found) == 4
    assert len({one.place for one in found}) == 4


def test_one_place_is_named_once(tmp_path: Path) -> None:
    """A place that is kept with and without its black bars is one candidate, the nearer."""
    code = b"\x5a\x0f" * 16
    looks = tuple(ReferencePrint(Place(0, 9), flipped(code, bits), 90, 128) for bits in (3, 1, 2))
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("barred"), Reference(MediaKind.VIDEO, 10, 1, 0.0, looks))
    assert [
        one.distance_bits for one in load_snapshot(tmp_path / "lib").search((seen(code),), radius_bits=RADIUS_BITS)
    ] == [1]


def test_a_place_that_comes_again_later_is_the_same_place(tmp_path: Path) -> None:
    """Looks without bars stand behind all those with bars, at the same places: each place is one candidate."""
    code = b"\x5a\x0f" * 16
    looks = tuple(
        ReferencePrint(Place(start, start + 9), flipped(code, bits), 90, 128)
        for start, bits in ((0, 3), (20, 2), (0, 1), (20, 4))
    )
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("barred"), Reference(MediaKind.VIDEO, 30, 4, 0.0, looks))
    found = load_snapshot(tmp_path / "lib").search((seen(code),), radius_bits=RADIUS_BITS)
    assert [(one.place.from_us, one.distance_bits) for one in found] == [(0, 1), (20, 2)]


def test_candidates_are_bounded(tmp_path: Path) -> None:
    """A hundred items of one look cannot make a search return more than 256 candidates, and the nearest are kept."""
    code = b"\x5a\x0f" * 16
    with Library.open(tmp_path / "lib", create=True) as library:
        for number in range(100):
            library.add(new_item(f"same-{number}"), _alike(flipped(code, number % 8), looks=5))
    found = load_snapshot(tmp_path / "lib").search((seen(code),), radius_bits=RADIUS_BITS)
    assert len(found) == MOST_CANDIDATES
    assert [one.distance_bits for one in found] == sorted(one.distance_bits for one in found)
    assert found[-1].distance_bits <= 5


@settings(max_examples=25, deadline=None)
@given(
    codes=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=12),
    asked=st.binary(min_size=32, max_size=32),
    radius_bits=st.integers(0, 140),
)
def test_search_agrees_with_counting_bits(
    tmp_path_factory: pytest.TempPathFactory, *, codes: list[bytes], asked: bytes, radius_bits: int
) -> None:
    """For any codes and any radius the nearest look of each view is what counting bits says it is."""
    path = tmp_path_factory.mktemp("libs") / "lib"
    looks = tuple(ReferencePrint(Place(n, n), code, 90, 128) for n, code in enumerate(codes))
    with Library.open(path, create=True) as library:
        library.add(new_item("a"), Reference(MediaKind.VIDEO, 99, 9, 0.0, looks))
    look = seen(asked)
    found = load_snapshot(path).search((look,), radius_bits=radius_bits)
    for view in View:
        query = int.from_bytes(look.codes[view % 8], "big") ^ ((1 << 256) - 1 if view >= View.NEGATIVE_UPRIGHT else 0)
        bits = sorted((query ^ int.from_bytes(code, "big")).bit_count() for code in codes)
        expected = [distance for distance in bits if distance <= radius_bits][:4]
        assert [one.distance_bits for one in found if one.view is view] == expected


def test_a_print_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    """Codes that are not eight times 32 bytes are an error, never a wrong answer."""
    library_of(tmp_path / "lib", "a")
    snapshot = load_snapshot(tmp_path / "lib")
    with pytest.raises(FingerprintError):
        snapshot.search((Fingerprint(Region(0, 0, 1, 1), 90, (bytes(31),) * 8),), radius_bits=RADIUS_BITS)
    with pytest.raises(FingerprintError):
        snapshot.search((Fingerprint(Region(0, 0, 1, 1), 90, (bytes(32),) * 7),), radius_bits=RADIUS_BITS)


def test_many_threads_search_one_snapshot(tmp_path: Path) -> None:
    """Threads that search at once get the answers that they would get alone."""
    references = library_of(tmp_path / "lib", "abcd")
    snapshot = load_snapshot(tmp_path / "lib")
    looks = [seen(flipped(look.code, 7)) for ref in references for look in ref.prints]
    alone = [snapshot.search((look,), radius_bits=RADIUS_BITS) for look in looks]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda look: snapshot.search((look,), radius_bits=RADIUS_BITS), looks * 5)) == alone * 5


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
    _, first = _multi_item(path, off=())
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
