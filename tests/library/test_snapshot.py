"""streamguard.library.snapshot: searching."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.errors import FingerprintError
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import Fingerprint, MediaKind, Place, Reference, ReferencePrint, Region, View
from tests.library.made import RADIUS_BITS, flipped, library_of, multi_item, new_item, seen


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
    references, _ = multi_item(tmp_path / "lib", off=("a", "c"))
    snapshot = load_snapshot(tmp_path / "lib")
    assert (snapshot.items, snapshot.looks) == (1, 10)
    assert [bool(snapshot.search((seen(ref.prints[2].code),), radius_bits=RADIUS_BITS)) for ref in references] == [
        False,
        True,
        False,
    ]
    assert snapshot.search((seen(references[1].prints[2].code),), radius_bits=RADIUS_BITS)[0].asset == "b"


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
