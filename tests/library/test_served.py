"""streamguard.library.served: what is found over all shards, of what is live."""

from pathlib import Path

from streamguard.library.faiss_flat import MOST_HITS
from streamguard.library.loading import load_snapshot
from streamguard.library.served import MOST_CANDIDATES
from streamguard.library.store import Library
from streamguard.types import MediaKind, Place, Reference, ReferencePrint
from tests.library.made import RADIUS_BITS, alike, flipped, new_item, seen


def test_at_most_four_places_an_item_and_view(tmp_path: Path) -> None:
    """Footage that looks the same everywhere gives its four nearest places, not hundreds."""
    code = b"\x5a\x0f" * 16
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("same"), alike(code, looks=300))
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
            library.add(new_item(f"same-{number}"), alike(flipped(code, number % 8), looks=5))
    found = load_snapshot(tmp_path / "lib").search((seen(code),), radius_bits=RADIUS_BITS)
    assert len(found) == MOST_CANDIDATES
    assert [one.distance_bits for one in found] == sorted(one.distance_bits for one in found)
    assert found[-1].distance_bits <= 5


def test_what_is_off_crowds_out_nothing(tmp_path: Path) -> None:
    """More equal looks than a search keeps, switched off, do not hide the one that is live."""
    code = b"\x5a\x0f" * 16
    with Library.open(tmp_path, create=True) as library:
        library.add(new_item("many"), alike(code, looks=MOST_HITS + 10))
        library.add(new_item("one"), alike(flipped(code, 3), looks=1))
        snapshot = load_snapshot(tmp_path)
        library.disable("many")
    snapshot = load_snapshot(tmp_path, previous=snapshot)
    (found,) = snapshot.search((seen(code),), radius_bits=RADIUS_BITS)
    assert (found.asset, found.distance_bits) == ("one", 3)
