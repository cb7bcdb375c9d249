"""streamguard.library.thumbnails: on disk, checked, and read one at a time."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamguard.core.thumbnails import thumbnail
from streamguard.errors import LibraryDamaged, UsageError
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.segments import MANIFEST, SegmentRef, read_segment
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.library.thumbnails import PICTURES, SPANS
from streamguard.types import FULL_RANGE, NO_FEATURES, AssetId, Place, Reference, ReferenceFrame
from tests.library.made import new_item, reference

FIGHT = AssetId("fight")


def _picture(level: int) -> bytes:
    """A thumbnail that can be told from others by its brightness."""
    return thumbnail(np.full((90, 160), level, np.uint8), levels=FULL_RANGE)


def _level(data: bytes) -> float:
    """To the nearest ten."""
    picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
    return round(float(np.mean(picture)), -1)


def _frame(from_s: float, to_s: float, picture: bytes) -> ReferenceFrame:
    place = Place(round(from_s * 1e6), round(to_s * 1e6))
    return ReferenceFrame(place, NO_FEATURES, np.empty(0, np.uint8), picture)


def _reference(seed: int, *frames: ReferenceFrame) -> Reference:
    return replace(reference(seed), frames=frames)


def _library(path: Path) -> Path:
    """`fight` with pictures at 0-1 s, 4-5 s and, the same one, 9 s; `brawl` with one; `list` with none."""
    grey, light, dark = _picture(100), _picture(200), _picture(30)
    with Library.open(path, create=True) as library:
        fight = _reference(1, _frame(0, 1, grey), _frame(4, 5, light), _frame(9, 9, grey), _frame(12, 12, b""))
        library.add(new_item("fight"), fight)
        library.add(new_item("brawl"), _reference(2, _frame(0, 9, dark)))
        library.add(new_item("list"), reference(3))
    return path


def _levels(snapshot: Snapshot, asset: AssetId, *moments_s: float) -> list[float]:
    places = [Place(round(at_s * 1e6), round(at_s * 1e6)) for at_s in moments_s]
    return [_level(snapshot.picture(asset, place)) for place in places]


def test_a_place_has_the_picture_of_its_frame_or_the_nearest(tmp_path: Path) -> None:
    """Each item has its own pictures; one that came as hashes only has none, and neither has one that is not there."""
    snapshot = load_snapshot(_library(tmp_path / "library"))
    assert _levels(snapshot, FIGHT, 0.5, 4.0, 4.9, 2.0, 3.5, 8.0, 9.0, 60.0) == [100, 200, 200, 100, 200, 100, 100, 100]
    assert _levels(snapshot, AssetId("brawl"), 3.0) == [30]
    assert snapshot.picture(AssetId("list"), Place(0, 0)) == b""
    assert snapshot.picture(AssetId("nobody"), Place(0, 0)) == b""


def test_the_exact_frame_wins(tmp_path: Path) -> None:
    """Where frames of two shapes overlap, the evidence's own is shown."""
    with Library.open(tmp_path / "library", create=True) as library:
        library.add(new_item("fight"), _reference(1, _frame(0, 9, _picture(100)), _frame(3, 5, _picture(200))))
    snapshot = load_snapshot(tmp_path / "library")
    assert _level(snapshot.picture(FIGHT, Place(3_000_000, 5_000_000))) == 200
    assert _level(snapshot.picture(FIGHT, Place(0, 9_000_000))) == 100


def test_the_next_version_has_them_too(tmp_path: Path) -> None:
    """Segments that are taken over from the last snapshot keep their pictures."""
    first = load_snapshot(_library(tmp_path / "library"))
    with Library.open(tmp_path / "library") as library:
        library.add(new_item("new"), _reference(4, _frame(0, 0, _picture(150))))
    second = load_snapshot(tmp_path / "library", previous=first)
    assert (_levels(second, FIGHT, 4.5), _levels(second, AssetId("new"), 0.0)) == ([200], [150])


def test_an_id_that_was_used_again_has_the_new_pictures(tmp_path: Path) -> None:
    """What was removed beside others is on the disk still, and never shown for the footage that has its id now."""
    path = tmp_path / "library"
    with Library.open(path, create=True) as library:
        both = (
            (new_item("fight"), _reference(1, _frame(0, 1, _picture(100)))),
            (new_item("brawl"), _reference(2, _frame(0, 1, _picture(30)))),
        )
        library.add_all(both)
        library.remove("fight")
        library.add(new_item("fight", content="another"), _reference(3, _frame(0, 1, _picture(200))))
    snapshot = load_snapshot(path)
    assert _levels(snapshot, FIGHT, 0.5) == [200]
    assert _levels(snapshot, AssetId("brawl"), 0.5) == [30]


def test_a_picture_that_is_shared_is_kept_once(tmp_path: Path) -> None:
    """Footage that is indexed in two shapes has one picture for both."""
    library = _library(tmp_path / "library")
    sizes = {folder.name[:8]: (folder / PICTURES).stat().st_size for folder in (library / SEGMENTS).iterdir()}
    assert sorted(sizes.values()) == sorted([len(_picture(100)) + len(_picture(200)), len(_picture(30)), 0])


def test_pictures_stay_on_disk(tmp_path: Path) -> None:
    """Of a picture the snapshot holds its place in the file, and no more; one whose file has gone is none."""
    noise = np.random.default_rng(1).integers(0, 256, (100, 90, 160), np.uint8)
    pictures = [_frame(n, n, thumbnail(picture, levels=FULL_RANGE)) for n, picture in enumerate(noise)]
    with Library.open(tmp_path / "library", create=True) as library:
        library.add(new_item("fight"), _reference(1, *pictures))
    snapshot = load_snapshot(tmp_path / "library")
    (path,) = tmp_path.glob(f"library/{SEGMENTS}/*/{PICTURES}")
    assert path.stat().st_size > 300_000
    assert snapshot.bytes_in_memory < 20_000
    os.truncate(path, 10_000)
    assert snapshot.picture(FIGHT, Place(90_000_000, 90_000_000)) == b""
    path.unlink()
    assert snapshot.picture(FIGHT, Place(0, 0)) == b""


@pytest.mark.parametrize("damage", ["flipped", "shorter", "longer"])
def test_damage_is_found_when_the_library_is_read(tmp_path: Path, damage: str) -> None:
    """Every byte counts, as of every other file; `verify` names the file."""
    library = _library(tmp_path / "library")
    path = max((library / SEGMENTS).glob(f"*/{PICTURES}"), key=lambda one: one.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flipped": bytes(data), "shorter": bytes(data[:-1]), "longer": bytes(data) + b"x"}[damage])
    with pytest.raises(LibraryDamaged, match=PICTURES):
        load_snapshot(library)
    with Library.open(library, read_only=True) as opened:
        assert [PICTURES in problem.what for problem in opened.verify()] == [True]


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    """The manifest names it, so it must be there."""
    library = _library(tmp_path / "library")
    next((library / SEGMENTS).glob(f"*/{PICTURES}")).unlink()
    with pytest.raises(LibraryDamaged, match="missing"):
        load_snapshot(library)


def test_a_size_that_no_pictures_have_is_not_read(tmp_path: Path) -> None:
    """A manifest that promises gigabytes of them is refused before anything is read."""
    segments = _library(tmp_path / "library") / SEGMENTS
    folder = min(segments.iterdir())
    manifest = json.loads((folder / MANIFEST).read_text())
    read_segment(segments, SegmentRef(folder.name, hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()))
    manifest["files"][PICTURES]["bytes"] = 1 << 50
    document = json.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(document)
    with pytest.raises(LibraryDamaged, match=f"no possible size of {PICTURES}"):
        read_segment(segments, SegmentRef(folder.name, hashlib.sha256(document).hexdigest()))


def test_a_segment_without_pictures_is_searched_all_the_same(tmp_path: Path) -> None:
    """What was indexed before there were any has none to show, and is as good as before."""
    segments = _library(tmp_path / "library") / SEGMENTS
    folder = min(segments.iterdir())
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in (PICTURES, SPANS):
        del manifest["files"][name]
    document = json.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(document)
    segment = read_segment(segments, SegmentRef(folder.name, hashlib.sha256(document).hexdigest()))
    assert len(segment.places) == 10
    assert segment.album.picture(FIGHT, Place(0, 0)) == b""


def test_what_is_no_thumbnail_is_not_taken_in(tmp_path: Path) -> None:
    """The child that made it may have been taken over: then nothing of the file is added."""
    with Library.open(tmp_path / "library", create=True) as library:
        with pytest.raises(UsageError, match="impossible values"):
            library.add(new_item("fight"), _reference(1, _frame(0, 0, b"\xff\xd8 no picture \xff\xd9")))
        assert library.items() == ()
