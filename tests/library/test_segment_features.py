"""streamguard.library.segments: local features are written once and checked always, and so is an item without any."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged, UsageError
from streamguard.library import faiss_flat
from streamguard.library.local_features import FEATURE, FRAME
from streamguard.library.segments import (
    FEATURE_INDEX,
    FEATURES,
    FRAMES,
    MANIFEST,
    SegmentRef,
    check_new,
    read_segment,
)
from streamguard.types import AssetId, Features, Place, Reference, ReferenceFrame
from tests.library.made import reference, with_frames, write_segment
from tests.made_features import made_frame

ITEMS = [
    (AssetId("a"), "one", with_frames(1)),
    (AssetId("hashes"), "only hashes", reference(2)),
    (AssetId("c"), "three", with_frames(3, frames=2)),
]
FILES = (FEATURE_INDEX, FEATURES, FRAMES)
ROWS = 200
FRAME_COUNT = 5


@pytest.fixture
def ref(tmp_path: Path) -> SegmentRef:
    """A segment of three items in tmp_path, one of which has no local features."""
    return write_segment(tmp_path, ITEMS, number=7)


def _resigned(
    folder: Path, files: dict[str, bytes], change: Callable[[dict[str, Any]], object] = lambda _: None
) -> SegmentRef:
    """A segment made by an enemy: other content, all checksums right."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name, data in files.items():
        (folder / name).write_bytes(data)
        manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return SegmentRef(folder.name, hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest())


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def test_features_that_are_written_are_read(tmp_path: Path, ref: SegmentRef) -> None:
    """Codes, places, forms, shares and frames come back as they were, each with its item."""
    local = read_segment(tmp_path, ref).local
    frames = [(number, frame) for number, (_, _, made) in enumerate(ITEMS) for frame in made.frames]
    assert local.codes.tobytes() == b"".join(frame.features.codes.tobytes() for _, frame in frames)
    places = np.concatenate([frame.features.places for _, frame in frames])
    assert np.array_equal(np.stack([local.rows["x"], local.rows["y"]], axis=1), places * 32)
    assert np.array_equal(local.rows["mirrored"], np.concatenate([frame.features.mirrored for _, frame in frames]))
    assert set(local.rows["seen_elsewhere"].tolist()) == {3}
    assert local.frames["item"].tolist() == [0, 0, 0, 2, 2]
    assert [(int(row["width_px"]), int(row["height_px"])) for row in local.frames] == [(512, 288)] * FRAME_COUNT


def test_items_without_features_alone_are_a_segment(tmp_path: Path) -> None:
    """A list of hashes has no features, and that is no damage."""
    ref = write_segment(tmp_path, [(AssetId("hashes"), "", reference(1))], number=1)
    segment = read_segment(tmp_path, ref)
    assert (len(segment.local.rows), len(segment.local.frames), len(segment.codes)) == (0, 0, 10)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_features_cut_short_are_seen(tmp_path: Path, ref: SegmentRef, *, name: str, share: float) -> None:
    """A truncated file is damage, with its name in the message."""
    path = tmp_path / ref.id / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(LibraryDamaged, match=name):
        read_segment(tmp_path, ref)


@pytest.mark.promise(5, "one bit of a file flipped", times=60)
@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_seen(tmp_path: Path, ref: SegmentRef, name: str) -> None:
    """One flipped bit anywhere in any file of the features keeps the segment from being read."""
    path = tmp_path / ref.id / name
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(60):
        bad = bytearray(good)
        bad[int(rng.integers(len(good)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        with pytest.raises(LibraryDamaged, match="SHA-256"):
            read_segment(tmp_path, ref)
    path.write_bytes(good)
    read_segment(tmp_path, ref)


@pytest.mark.parametrize("name", FILES)
def test_missing_features_are_seen(tmp_path: Path, ref: SegmentRef, name: str) -> None:
    """A file that is gone is told as that, for the snapshot that reads it again."""
    (tmp_path / ref.id / name).unlink()
    with pytest.raises(FileNotFoundError):
        read_segment(tmp_path, ref)


def _rows(**values: int) -> np.ndarray:
    rows = np.zeros(ROWS, FEATURE)
    rows["frame"] = np.repeat(np.arange(FRAME_COUNT), ROWS // FRAME_COUNT)
    for name, value in values.items():
        rows[name][17] = value
    return rows


def _frames(**values: int) -> np.ndarray:
    frames = np.array([(0, 0, 5, 512, 288)] * FRAME_COUNT, FRAME)
    for name, value in values.items():
        frames[name][1] = value
    return frames


@pytest.mark.parametrize(
    ("name", "array"),
    [
        (FEATURES, np.zeros(ROWS - 1, FEATURE)),
        (FEATURES, np.zeros(ROWS + 1, FEATURE)),
        (FEATURES, np.zeros((ROWS, 1), FEATURE)),
        (FEATURES, np.zeros(ROWS, np.int64)),
        (FEATURES, _rows(frame=FRAME_COUNT)),
        (FEATURES, _rows(frame=(1 << 32) - 1)),
        (FEATURES, _rows(mirrored=2)),
        (FRAMES, _frames(item=3)),
        (FRAMES, _frames(from_us=-1)),
        (FRAMES, _frames(from_us=6)),
        (FRAMES, _frames(width_px=0)),
        (FRAMES, _frames(height_px=0)),
        (FRAMES, np.zeros(FRAME_COUNT, FEATURE)),
    ],
)
def test_hostile_features_are_refused(tmp_path: Path, ref: SegmentRef, *, name: str, array: np.ndarray) -> None:
    """Arrays of another shape or type, or with frames, items, places and sizes that cannot be, are damage."""
    bad = _resigned(tmp_path / ref.id, {name: _npy(array)})
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


def test_sound_features_of_an_enemy_are_read(tmp_path: Path, ref: SegmentRef) -> None:
    """What is refused above is refused for what is wrong with it, not for having been written by hand."""
    good = _resigned(tmp_path / ref.id, {FEATURES: _npy(_rows()), FRAMES: _npy(_frames())})
    assert len(read_segment(tmp_path, good).local.rows) == ROWS


@pytest.mark.parametrize(
    "wrong", [{"row": 3}, {"distance_bits": 7}, {"query": "00" * 32}], ids=["row", "distance", "query"]
)
def test_an_index_of_features_that_answers_wrongly_is_refused(
    tmp_path: Path, ref: SegmentRef, wrong: dict[str, object]
) -> None:
    """Its canary query must find the code that it is made of, as far away as it is."""
    bad = _resigned(tmp_path / ref.id, {}, lambda manifest: manifest["feature_canary"].update(wrong))
    with pytest.raises(LibraryDamaged, match=r"features\.faiss: the canary query did not find"):
        read_segment(tmp_path, bad)


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS + 1, 0])
def test_codes_of_another_number_are_refused(tmp_path: Path, ref: SegmentRef, rows: int) -> None:
    """An index with more or fewer codes than the manifest says."""
    data = faiss_flat.to_bytes(np.zeros((rows, 32), np.uint8))
    bad = _resigned(tmp_path / ref.id, {FEATURE_INDEX: data})
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


@pytest.mark.parametrize("at", range(0, 33, 2))
def test_a_hostile_index_of_codes_is_refused(tmp_path: Path, ref: SegmentRef, at: int) -> None:
    """One whose header is not that of a flat index of these features is damage, whatever its checksum says."""
    data = bytearray((tmp_path / ref.id / FEATURE_INDEX).read_bytes())
    data[at] ^= 0x40
    bad = _resigned(tmp_path / ref.id, {FEATURE_INDEX: bytes(data)})
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(features=ROWS + 1),
        lambda manifest: manifest.update(features=0),
        lambda manifest: manifest.update(features=-1),
        lambda manifest: manifest.update(features=1 << 40),
        lambda manifest: manifest.update(frames=FRAME_COUNT - 1),
        lambda manifest: manifest.update(frames=1 << 40),
        lambda manifest: manifest.pop("features"),
        lambda manifest: manifest["files"].pop(FRAMES),
        lambda manifest: manifest["files"][FEATURES].update(bytes=1 << 50),
        lambda manifest: manifest["files"].update({"more.npy": manifest["files"][FRAMES]}),
        lambda manifest: manifest.update(items=manifest["items"][:2]),
    ],
)
def test_a_hostile_manifest_is_refused(
    tmp_path: Path, ref: SegmentRef, change: Callable[[dict[str, Any]], object]
) -> None:
    """Counts of features, frames and items that do not fit the files are damage even when every checksum is right."""
    bad = _resigned(tmp_path / ref.id, {}, change)
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


def _with(frame: ReferenceFrame) -> Reference:
    return replace(reference(1), frames=(made_frame(1), frame))


def _of(frame: ReferenceFrame, **changes: object) -> ReferenceFrame:
    values = {name: getattr(frame.features, name) for name in Features.__slots__} | changes
    return replace(frame, features=Features(**values))


FRAME_MADE = made_frame(2)


@pytest.mark.parametrize(
    "frame",
    [
        replace(FRAME_MADE, place=Place(-1, 5)),
        replace(FRAME_MADE, place=Place(6, 5)),
        replace(FRAME_MADE, place=Place(0, 1 << 62)),
        replace(FRAME_MADE, seen_elsewhere=np.zeros(39, np.uint8)),
        _of(FRAME_MADE, codes=FRAME_MADE.features.codes[:-1]),
        _of(FRAME_MADE, mirrored=FRAME_MADE.features.mirrored[:-1]),
        _of(FRAME_MADE, width_px=0),
        _of(FRAME_MADE, width_px=100),
        _of(FRAME_MADE, height_px=2048),
        _of(FRAME_MADE, places=FRAME_MADE.features.places - 600),
        _of(FRAME_MADE, places=FRAME_MADE.features.places * np.float32(np.nan)),
    ],
)
def test_references_that_cannot_be_written_are_refused(frame: ReferenceFrame) -> None:
    """A decoder child may have been taken over: what it says of its file is checked before anything is written."""
    check_new("good", "", _with(FRAME_MADE))
    with pytest.raises(UsageError, match="impossible values"):
        check_new("bad", "", _with(frame))


@pytest.mark.parametrize(
    "change",
    [
        {"duration_us": -1},
        {"duration_us": 1 << 63},
        {"frames_seen": -1},
        {"frames_seen": 1 << 63},
        {"blank_share": float("nan")},
        {"blank_share": 1.1},
    ],
)
def test_impossible_lengths_are_refused(change: dict[str, float]) -> None:
    """Numbers that no catalogue can hold cost the item, with an error that says so."""
    with pytest.raises(UsageError, match="impossible values"):
        check_new("bad", "", replace(reference(1), **change))  # type: ignore[arg-type]
