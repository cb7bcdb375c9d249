"""streamguard.library.snapshot: local features are loaded, searched and taken over like everything else."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged
from streamguard.library.live_set import SEGMENTS, LiveSegment, LiveSet, publish
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.types import NO_FEATURES, AssetId, Features, MediaKind
from tests.library.made import RADIUS_BITS, new_item, reference, seen, with_frames, write_segment
from tests.made_features import flipped_bits, made_features

FEATURES_A_FRAME = 40


def _shown(seed: int, *, frame: int = 1, bits: int = 25) -> Features:
    """A poor copy of one frame of the made item."""
    known = made_features(100 * seed + frame)
    return replace(known, codes=flipped_bits(known.codes, bits), width_px=640, height_px=360)


def _library(path: Path, seeds: str) -> Path:
    """An item with features for each digit, under that name."""
    with Library.open(path, create=True) as library:
        for digit in seeds:
            library.add(new_item(digit), with_frames(int(digit)))
    return path


def _voted(snapshot: Snapshot, features: Features) -> list[str]:
    return [votes.asset for votes in snapshot.vote(features)]


def test_a_stream_votes_for_the_frames_that_it_shows(tmp_path: Path) -> None:
    """Each item is found by its own frames, over all segments, and the snapshot says how much it holds."""
    snapshot = load_snapshot(_library(tmp_path / "lib", "123"))
    assert snapshot.features == 3 * 3 * FEATURES_A_FRAME
    for seed in (1, 2, 3):
        (votes,) = snapshot.vote(_shown(seed))
        assert (votes.asset, votes.kind, votes.place) == (
            str(seed), MediaKind.VIDEO, with_frames(seed).frames[1].place,
        )  # fmt: skip
        assert len(votes.stream_places) == FEATURES_A_FRAME
    assert snapshot.vote(made_features(5000, count=350)) == ()


def test_disabled_and_removed_items_do_not_vote(tmp_path: Path) -> None:
    """And an item that is enabled again does."""
    path = _library(tmp_path / "lib", "123")
    with Library.open(path) as library:
        library.disable("1")
        library.remove("2")
    snapshot = load_snapshot(path)
    assert [_voted(snapshot, _shown(seed)) for seed in (1, 2, 3)] == [[], [], ["3"]]
    assert snapshot.features == 3 * FEATURES_A_FRAME
    with Library.open(path) as library:
        library.enable("1")
    again = load_snapshot(path, previous=snapshot)
    assert [_voted(again, _shown(seed)) for seed in (1, 2, 3)] == [["1"], [], ["3"]]


def test_items_that_are_off_do_not_vote_in_a_shared_segment(tmp_path: Path) -> None:
    """In a segment of several items, as merging will make them, the others keep their features and their names."""
    path = tmp_path / "lib"
    (path / SEGMENTS).mkdir(parents=True)
    made = [(AssetId(f"item-{seed}"), "x", with_frames(seed)) for seed in (1, 2, 3)]
    ref = write_segment(path / SEGMENTS, made, number=1)
    live = LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256, off=("item-2",))
    publish(path, LiveSet(generation=1, changed_unix_s=1.0, segments=(live,)))
    snapshot = load_snapshot(path)
    assert [_voted(snapshot, _shown(seed)) for seed in (1, 2, 3)] == [["item-1"], [], ["item-3"]]


def test_an_item_of_hashes_stands_beside_items_of_footage(tmp_path: Path) -> None:
    """An imported list has no features: it is found by its hashes, the footage by both, and neither is in the way."""
    path = _library(tmp_path / "lib", "1")
    with Library.open(path) as library:
        library.add(new_item("hashes"), reference(50))
        library.add(new_item("2"), with_frames(2))
    snapshot = load_snapshot(path)
    for seed, name in ((50, "hashes"), (1, "1"), (2, "2")):
        (found,) = snapshot.search((seen(reference(seed).prints[4].code),), radius_bits=RADIUS_BITS)
        assert found.asset == name
    assert [_voted(snapshot, _shown(seed)) for seed in (1, 2, 50)] == [["1"], ["2"], []]


def test_a_library_of_hashes_alone_has_no_votes(tmp_path: Path) -> None:
    """It works by its hashes, and every picture's features find nothing."""
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("hashes"), reference(50))
    snapshot = load_snapshot(tmp_path / "lib")
    assert (snapshot.features, snapshot.vote(_shown(1)), snapshot.vote(NO_FEATURES)) == (0, (), ())
    assert snapshot.search((seen(reference(50).prints[0].code),), radius_bits=RADIUS_BITS)


def test_a_new_version_takes_over_the_features(tmp_path: Path) -> None:
    """Made from the one before it, it votes like one that read everything, also when what came before is off now."""
    path = _library(tmp_path / "lib", "123")
    before = load_snapshot(path)
    with Library.open(path) as library:
        library.disable("1")
        library.add(new_item("4"), with_frames(4))
        library.add(new_item("hashes"), reference(60))
    taken_over, read_anew = load_snapshot(path, previous=before), load_snapshot(path)
    for snapshot in (taken_over, read_anew, load_snapshot(path, previous=taken_over)):
        assert [_voted(snapshot, _shown(seed)) for seed in (1, 2, 3, 4)] == [[], ["2"], ["3"], ["4"]]
        assert (snapshot.features, snapshot.bytes_in_memory) == (read_anew.features, read_anew.bytes_in_memory)
    assert _voted(before, _shown(1)) == ["1"]


def test_memory_counts_the_features(tmp_path: Path) -> None:
    """What an operator sees of a library's size has its features in it."""
    with_them = load_snapshot(_library(tmp_path / "with", "1"))
    with Library.open(tmp_path / "without", create=True) as library:
        library.add(new_item("1"), reference(1))
    without = load_snapshot(tmp_path / "without")
    assert with_them.bytes_in_memory - without.bytes_in_memory >= with_them.features * 32


@pytest.mark.parametrize("name", ["features.faiss", "features.npy", "frames.npy"])
def test_damaged_features_keep_a_library_from_loading(tmp_path: Path, name: str) -> None:
    """One flipped bit, a file cut short or gone: damage, with the file's name and what to do."""
    path = _library(tmp_path / "lib", "1")
    (file,) = (path / SEGMENTS).glob(f"*/{name}")
    good = file.read_bytes()
    for bad in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b""):
        file.write_bytes(bad)
        with pytest.raises(LibraryDamaged, match=rf"{name}.*streamguard library verify"):
            load_snapshot(path)
    file.unlink()
    with pytest.raises(LibraryDamaged, match="missing"):
        load_snapshot(path)


def test_many_threads_vote_in_one_snapshot(tmp_path: Path) -> None:
    """Threads that ask at once get the answers that they would get alone."""
    snapshot = load_snapshot(_library(tmp_path / "lib", "1234"))
    shown = [_shown(seed, frame=frame) for seed in (1, 2, 3, 4) for frame in (0, 1, 2)]
    alone = [_told(snapshot, one) for one in shown]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda one: _told(snapshot, one), shown * 5)) == alone * 5


def _told(snapshot: Snapshot, features: Features) -> list[tuple[str, int, bytes]]:
    return [(one.asset, one.place.from_us, np.asarray(one.frame_places).tobytes()) for one in snapshot.vote(features)]
