"""streamguard.library.segments: written once, checked always."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged, LibraryFormatError
from streamguard.library.durable import FORMAT
from streamguard.library.segments import INDEX, MANIFEST, PLACE, PLACES, SegmentRef, read_segment
from streamguard.types import AssetId
from tests.library.made import reference, write_segment


@pytest.fixture
def ref(tmp_path: Path) -> SegmentRef:
    """A segment of two items in tmp_path."""
    items = [(AssetId("a"), "one", reference(1)), (AssetId("b"), "two", reference(2, looks=3))]
    return write_segment(tmp_path, items, number=7)


def _resigned(folder: Path, files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> SegmentRef:
    """A segment made by an enemy: other content, all checksums right."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name, data in files.items():
        (folder / name).write_bytes(data)
        manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return SegmentRef(folder.name, hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest())


def _npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def _nothing(_: dict[str, Any]) -> None:
    pass


def test_what_is_written_is_read(tmp_path: Path, ref: SegmentRef) -> None:
    """Codes, places and items come back as they were."""
    segment = read_segment(tmp_path, ref)
    looks = [*reference(1).prints, *reference(2, looks=3).prints]
    assert [(item.id, item.label) for item in segment.items] == [("a", "one"), ("b", "two")]
    assert segment.codes.tobytes() == b"".join(look.code for look in looks)
    assert segment.places["item"].tolist() == [0] * 10 + [1] * 3
    assert segment.places["to_us"].tolist() == [look.place.to_us for look in looks]
    assert ref.id.startswith("00000007-")


@pytest.mark.parametrize("name", ["../../etc", "", "00000007-zz", "00000007-0123456789ab/.."])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    """A segment's name cannot leave the library's folder."""
    with pytest.raises(LibraryDamaged, match="not a segment's name"):
        read_segment(tmp_path, SegmentRef(name, "0" * 64))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(12, PLACE),
        np.zeros((13, 1), PLACE),
        np.zeros(13, np.int64),
        np.array([(9, 0, 0, 0, 50)] * 13, PLACE),
        np.array([(0, 5, 4, 0, 50)] * 13, PLACE),
        np.array([(0, 0, 0, 257, 50)] * 13, PLACE),
    ],
)
def test_hostile_places_are_refused(tmp_path: Path, ref: SegmentRef, array: np.ndarray) -> None:
    """Places of another shape or type, of items not there, that end before they begin, or 257 bits off, are damage."""
    bad = _resigned(tmp_path / ref.id, {PLACES: _npy(array)}, _nothing)
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


_DTYPE = "[('item','<u4'),('from_us','<i8'),('to_us','<i8'),('nearest_elsewhere_bits','<u2'),('quality','u1')]"


@pytest.mark.parametrize(
    "header",
    [
        "(" * 5000,
        "[" * 9000,
        "1j+" * 3000 + "1",
        "'",
        f"{{'descr':{_DTYPE},'fortran_order':False,'shape':(True,)}}\n",
        f"{{'descr':{_DTYPE},'fortran_order':False,'shape':()}}\n",
        f"{{'descr':{_DTYPE.replace(chr(39) + 'item' + chr(39), '5')},'fortran_order':False,'shape':(2,)}}\n",
    ],
)
def test_headers_that_no_array_has_are_refused(tmp_path: Path, ref: SegmentRef, header: str) -> None:
    """NumPy reads them as Python, and raises whatever that does."""
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(200)
    forged = _resigned(tmp_path / ref.id, {PLACES: data}, _nothing)
    with pytest.raises(LibraryDamaged, match=PLACES):
        read_segment(tmp_path, forged)


def test_an_archive_is_no_array(tmp_path: Path, ref: SegmentRef) -> None:
    """NumPy would open it as one."""
    forged = _resigned(tmp_path / ref.id, {PLACES: b"PK\x03\x04 and no more"}, _nothing)
    with pytest.raises(LibraryDamaged, match=PLACES):
        read_segment(tmp_path, forged)


def test_pickles_are_refused(tmp_path: Path, ref: SegmentRef) -> None:
    """An array of Python objects is never unpickled."""
    array = np.array([{"a": 1}] * 13, dtype=object)
    bad = _resigned(tmp_path / ref.id, {PLACES: _npy(array, allow_pickle=True)}, _nothing)
    with pytest.raises(LibraryDamaged, match="not the rows that it should hold"):
        read_segment(tmp_path, bad)


@pytest.mark.parametrize("at", range(0, 33, 2))
def test_a_hostile_index_is_refused(tmp_path: Path, ref: SegmentRef, at: int) -> None:
    """An index whose header is not that of a flat index of these looks is damage, whatever its checksum says."""
    data = bytearray((tmp_path / ref.id / INDEX).read_bytes())
    data[at] ^= 0x40
    bad = _resigned(tmp_path / ref.id, {INDEX: bytes(data)}, _nothing)
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(looks=1 << 40),
        lambda manifest: manifest.update(looks=0),
        lambda manifest: manifest.update(items=[]),
        lambda manifest: manifest.update(more=1),
        lambda manifest: manifest["files"].pop(INDEX),
        lambda manifest: manifest["files"][INDEX].update(bytes=1 << 50),
        lambda manifest: manifest["items"][0].update(id="../a"),
        lambda manifest: manifest["items"][0].update(label="\x1b[2J"),
        lambda manifest: manifest["items"][0].update(label="\x9b2J"),
        lambda manifest: manifest["items"][0].update(label="\u202egnp"),
        lambda manifest: manifest["canary"].update(row=5),
        lambda manifest: manifest["canary"].update(query="00" * 32),
    ],
)
def test_a_hostile_manifest_is_refused(
    tmp_path: Path, ref: SegmentRef, change: Callable[[dict[str, Any]], None]
) -> None:
    """Impossible counts, sizes, names and canaries are damage even when every checksum is right."""
    bad = _resigned(tmp_path / ref.id, {}, change)
    with pytest.raises(LibraryDamaged):
        read_segment(tmp_path, bad)


def test_a_newer_manifest_is_called_newer(tmp_path: Path, ref: SegmentRef) -> None:
    """A segment of a later format is not called damaged."""
    bad = _resigned(tmp_path / ref.id, {}, lambda manifest: manifest.update(format=FORMAT + 1, new=True))
    with pytest.raises(LibraryFormatError):
        read_segment(tmp_path, bad)
