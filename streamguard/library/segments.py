"""Immutable segments: `segments/<id>/` with codes and their places, of PDQ and of local features, thumbnails for
people, and `manifest.json`, which has the SHA-256 of each file.

A segment is written once and never edited. Every byte is checked before NumPy or FAISS look at it, because FAISS
loads most single-bit flips without a word.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamguard.core.thumbnails import MOST_BYTES, is_thumbnail
from streamguard.errors import LibraryDamaged, LibraryError, UsageError
from streamguard.library import faiss_flat, local_features, npy, thumbnails
from streamguard.library.durable import (
    FORMAT,
    NEW_PREFIX,
    Opener,
    check_format,
    open_unfollowed,
    put_in_place,
    read_bounded,
    read_exactly,
    write_directory,
)
from streamguard.library.local_features import FEATURE, FRAME, LocalFeatures
from streamguard.library.thumbnails import PICTURES, SPAN, SPANS, Album
from streamguard.types import (
    CODE_BYTES,
    PDQ_BITS,
    PDQ_BYTES,
    STEERING,
    AssetId,
    Codes,
    MediaKind,
    Reference,
    ReferenceFrame,
    ReferencePrint,
)

MANIFEST: Final = "manifest.json"
INDEX: Final = "pdq.faiss"
PLACES: Final = "places.npy"
FEATURE_INDEX: Final = "features.faiss"
FEATURES: Final = "features.npy"
FRAMES: Final = "frames.npy"
FileName = Literal[
    "pdq.faiss", "places.npy", "features.faiss", "features.npy", "frames.npy", "thumbnails.npy", "thumbnails.bin"
]
FILES = (MANIFEST, *get_args(FileName))
"""All that a segment may have."""

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
SEGMENT_PATTERN = r"^[0-9]{8,}-[0-9a-f]{12}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
LABEL_PATTERN = rf"^[^{STEERING}]{{0,100}}$"

PLACE = np.dtype(
    [("item", "<u4"), ("from_us", "<i8"), ("to_us", "<i8"), ("nearest_elsewhere_bits", "<u2"), ("quality", "u1")]
)
"""One row a look, in the order of the index; `item` counts the manifest's items."""

_MOST_MANIFEST_BYTES = 16 << 20
_MOST_LOOKS = 50_000_000
_MOST_FEATURES = 500_000_000
_MOST_US = 1 << 62
_MOST_FRAME_PX = 2048
_CANARY_FLIPPED_BITS = 8
_BEST_QUALITY = 100

Places = NDArray[np.void]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileSum(_Part):
    """What a file of the segment must be."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


class SegmentItem(_Part):
    """An item that has looks in the segment."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    label: Annotated[str, Field(pattern=LABEL_PATTERN)]
    kind: Literal["video", "image"]


class Canary(_Part):
    """A query whose answer is known: asking it shows that the index answers at all, and rightly."""

    query: Annotated[str, Field(pattern=SHA256_PATTERN)]
    row: Annotated[int, Field(ge=0)]
    distance_bits: Annotated[int, Field(ge=0, le=PDQ_BITS)]


class Manifest(_Part):
    """`manifest.json`."""

    format: Annotated[int, Field(ge=1, le=FORMAT)]
    looks: Annotated[int, Field(ge=1, le=_MOST_LOOKS)]
    features: Annotated[int, Field(ge=0, le=_MOST_FEATURES)]
    frames: Annotated[int, Field(ge=0, le=_MOST_LOOKS)]
    items: Annotated[tuple[SegmentItem, ...], Field(min_length=1)]
    files: dict[FileName, FileSum]
    canary: Canary
    feature_canary: Canary | None = None
    """None: no features; and in segments from before it was asked for."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that passed every check."""

    items: tuple[SegmentItem, ...]
    codes: Codes
    places: Places
    local: LocalFeatures
    album: Album


@dataclass(frozen=True, slots=True)
class Contents:
    """What a segment is made of; `places["item"]`, the frames of `local` and `spans` count `items`."""

    items: tuple[SegmentItem, ...]
    codes: Codes
    places: Places
    local: LocalFeatures
    spans: NDArray[np.void]
    pictures: bytes


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """Names a segment, and ties down its content."""

    id: str
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Staged:
    """A segment that is written whole and synced in a `folder` that nobody reads."""

    folder: Path
    manifest_sha256: str

    def put_in_place(self, *, number: int) -> SegmentRef:
        """Under the writers' lock, and before the catalogue knows it. No `number` is used twice in a library. Raises
        OSError.
        """
        ref = SegmentRef(f"{number:08d}-{self.manifest_sha256[:12]}", self.manifest_sha256)
        put_in_place(self.folder, self.folder.with_name(ref.id))
        return ref


def check_new(id_: str, label: str, reference: Reference) -> None:
    """Raises UsageError for an id, a label or a reference that cannot be written."""
    if re.fullmatch(ID_PATTERN, id_) is None:
        hint = "letters, digits, dot, dash and underscore, at most 128, the first a letter or digit"
        raise UsageError("add", repr(id_), "not a possible id", hint=hint)
    check_label(id_, label)
    if not reference.prints:
        blank = (
            f"all {reference.frames_seen} frames are black, flat or fading" if reference.frames_seen else "no frames"
        )
        raise UsageError("add", id_, f"nothing in it can be recognised: {blank}", hint="is it the right file?")
    sound = all(map(_is_sound, reference.prints)) and all(map(_is_sound_frame, reference.frames))
    possible = 0 <= reference.duration_us < _MOST_US and 0 <= reference.frames_seen < _MOST_US
    if len(reference.prints) > _MOST_LOOKS or not (sound and possible and 0 <= reference.blank_share <= 1):
        raise UsageError("add", id_, "its reference has impossible values")


def check_label(id_: str, label: str) -> None:
    """Raises UsageError for a label that cannot be written."""
    if re.fullmatch(LABEL_PATTERN, label) is None or re.search("[\ud800-\udfff]", label):  # bytes that are no UTF-8
        raise UsageError("label", id_, f"not a possible label: {label!r}", hint="at most 100 printable characters")


def contents_of(references: Sequence[tuple[AssetId, str, Reference]]) -> Contents:
    """Of (id, label, reference) of one or more items."""
    codes, places = _arrays([reference for _, _, reference in references])
    local = local_features.from_references([reference.frames for _, _, reference in references])
    spans, pictures = thumbnails.from_references([reference.frames for _, _, reference in references])
    items = tuple(SegmentItem(id=id_, label=label, kind=ref.kind.value) for id_, label, ref in references)
    return Contents(items, codes, places, local, spans, pictures)


def stage(directory: Path, contents: Contents) -> Staged:
    """Write it as a new segment beside those in `directory`, durably. Raises OSError, LibraryError (too many items),
    and then leaves nothing.
    """
    codes, local = contents.codes, contents.local
    files = {
        INDEX: faiss_flat.to_bytes(codes),
        PLACES: npy.to_bytes(contents.places),
        FEATURE_INDEX: faiss_flat.to_bytes(local.codes),
        FEATURES: npy.to_bytes(local.rows),
        FRAMES: npy.to_bytes(local.frames),
        SPANS: npy.to_bytes(contents.spans),
        PICTURES: contents.pictures,
    }
    manifest = Manifest.model_validate(
        {
            "format": FORMAT,
            "looks": len(codes),
            "features": len(local.rows),
            "frames": len(local.frames),
            "items": contents.items,
            "files": {
                name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
            },
            "canary": _canary(codes),
            "feature_canary": _canary(local.codes) if len(local.codes) else None,
        }
    )
    document = manifest.model_dump_json(indent=1).encode()
    if len(document) > _MOST_MANIFEST_BYTES:
        problem = f"{len(contents.items)} items are more than one segment names"
        raise LibraryError("write segment", directory, problem, hint="add them in several batches")
    staged = Staged(directory / f"{NEW_PREFIX}{secrets.token_hex(8)}", _sha256(document))
    write_directory(staged.folder, {**files, MANIFEST: document})
    return staged


def read_segment(directory: Path, ref: SegmentRef, *, opener: Opener = open_unfollowed) -> Segment:
    """Read and check all of a segment. Raises LibraryDamaged, LibraryFormatError, LibraryError; FileNotFoundError or
    NotADirectoryError when a file of it is not there.
    """
    folder = _Folder(folder_of(directory, ref), opener)
    document = read_bounded(folder / MANIFEST, most_bytes=_MOST_MANIFEST_BYTES, opener=opener)
    if _sha256(document) != ref.manifest_sha256:
        raise LibraryDamaged("check segment", folder / MANIFEST, "its SHA-256 is wrong")
    check_format(document, folder / MANIFEST)
    try:
        manifest = Manifest.model_validate_json(document)
    except ValidationError as error:
        raise LibraryDamaged("check segment", folder / MANIFEST, f"{error.error_count()} values are wrong") from error
    index = faiss_flat.from_bytes(_checked(folder, INDEX, manifest), rows=manifest.looks, path=folder / INDEX)
    places = _read_places(folder, manifest)
    local = _read_local(folder, manifest)
    album = _read_album(folder, manifest)
    _ask_canary(index, manifest.canary, folder / INDEX)
    return Segment(manifest.items, index.codes(), places, local, album)


def folder_of(directory: Path, ref: SegmentRef) -> Path:
    """Where its files are. Raises LibraryDamaged for a name that would lead elsewhere."""
    if re.fullmatch(SEGMENT_PATTERN, ref.id) is None:
        raise LibraryDamaged("read segment", repr(ref.id), "not a segment's name")
    return directory / ref.id


@dataclass(frozen=True, slots=True)
class _Folder:
    """A segment's folder, and how its files are opened."""

    path: Path
    opener: Opener

    def __truediv__(self, name: str) -> Path:
        return self.path / name


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_sound(look: ReferencePrint) -> bool:
    sound_place = 0 <= look.place.from_us <= look.place.to_us < _MOST_US
    return (
        sound_place
        and len(look.code) == PDQ_BYTES
        and 0 <= look.nearest_elsewhere_bits <= PDQ_BITS
        and 0 <= look.quality <= _BEST_QUALITY
    )


def _is_sound_frame(frame: ReferenceFrame) -> bool:
    found = frame.features
    sides_px = np.array([found.width_px, found.height_px])
    return bool(
        0 <= frame.place.from_us <= frame.place.to_us < _MOST_US
        and len(found.places) == len(found.mirrored) == len(found.codes) == len(frame.seen_elsewhere)
        and (not frame.thumbnail or is_thumbnail(frame.thumbnail))
        and np.all((sides_px > 0) & (sides_px < _MOST_FRAME_PX))
        and np.all((found.places >= 0) & (found.places < sides_px))
    )


def _arrays(references: Sequence[Reference]) -> tuple[Codes, Places]:
    looks = [(number, look) for number, reference in enumerate(references) for look in reference.prints]
    codes = np.frombuffer(b"".join(look.code for _, look in looks), dtype=np.uint8).reshape(-1, PDQ_BYTES)
    rows = [
        (number, look.place.from_us, look.place.to_us, look.nearest_elsewhere_bits, look.quality)
        for number, look in looks
    ]
    return codes, np.array(rows, dtype=PLACE)


def _canary(codes: Codes) -> dict[str, str | int]:
    row = len(codes) // 2
    query = codes[row].copy()
    query[0] ^= (1 << _CANARY_FLIPPED_BITS) - 1
    return {"query": query.tobytes().hex(), "row": row, "distance_bits": _CANARY_FLIPPED_BITS}


def _checked(folder: _Folder, name: FileName, manifest: Manifest) -> memoryview:
    known = manifest.files.get(name)
    # Sizes follow from the counts: a hostile manifest cannot make us read more than these are worth.
    rows, bytes_a_row = {
        INDEX: (manifest.looks, PDQ_BYTES),
        PLACES: (manifest.looks, PLACE.itemsize),
        FEATURE_INDEX: (manifest.features, CODE_BYTES),
        FEATURES: (manifest.features, FEATURE.itemsize),
        FRAMES: (manifest.frames, FRAME.itemsize),
        SPANS: (manifest.frames, SPAN.itemsize),
    }[name]
    if known is None or known.bytes > npy.MOST_HEADER_BYTES + rows * bytes_a_row:
        raise _impossible_size(folder, name)
    codes_at = faiss_flat.HEADER_BYTES if name in (INDEX, FEATURE_INDEX) else 0
    data = read_exactly(folder / name, size_bytes=known.bytes, aligned_at=codes_at, opener=folder.opener)
    if _sha256(data) != known.sha256:
        raise LibraryDamaged("check segment", folder / name, "its SHA-256 is wrong")
    return data


def _impossible_size(folder: _Folder, name: str) -> LibraryDamaged:
    return LibraryDamaged("check segment", folder / MANIFEST, f"no possible size of {name}")


def _read_places(folder: _Folder, manifest: Manifest) -> Places:
    places = _read_array(folder, PLACES, manifest, dtype=PLACE, rows=manifest.looks)
    sound = (places["item"] < len(manifest.items)) & (places["from_us"] >= 0) & (places["from_us"] <= places["to_us"])
    if not bool(np.all(sound & (places["nearest_elsewhere_bits"] <= PDQ_BITS))):
        raise LibraryDamaged("read places", folder / PLACES, "impossible values")
    looks = np.bincount(places["item"], minlength=len(manifest.items))
    if not looks.all():
        nothing = manifest.items[int(looks.argmin())].id
        raise LibraryDamaged("read places", folder / PLACES, f"nothing in it could find {nothing}")
    return places


def _read_local(folder: _Folder, manifest: Manifest) -> LocalFeatures:
    data = _checked(folder, FEATURE_INDEX, manifest)
    index = faiss_flat.from_bytes(data, rows=manifest.features, path=folder / FEATURE_INDEX)
    rows = _read_array(folder, FEATURES, manifest, dtype=FEATURE, rows=manifest.features)
    frames = _read_array(folder, FRAMES, manifest, dtype=FRAME, rows=manifest.frames)
    local = LocalFeatures(index.codes(), rows, frames)
    if not local.is_sound(items=len(manifest.items)):
        raise LibraryDamaged("read features", folder / FEATURES, "impossible values")
    if manifest.feature_canary is not None:
        _ask_canary(index, manifest.feature_canary, folder / FEATURE_INDEX)
    return local


def _read_album(folder: _Folder, manifest: Manifest) -> Album:
    """The pictures are checked, and stay where they are. A segment may have none: it is searched all the same."""
    items = {AssetId(item.id): number for number, item in enumerate(manifest.items)}
    known = manifest.files.get(PICTURES)
    if known is None:
        return Album(folder / PICTURES, items, np.empty(0, SPAN))
    if known.bytes > manifest.frames * MOST_BYTES:
        raise _impossible_size(folder, PICTURES)
    path = folder / PICTURES
    thumbnails.check_pictures(path, size_bytes=known.bytes, sha256=known.sha256, opener=folder.opener)
    spans = _read_array(folder, SPANS, manifest, dtype=SPAN, rows=None)
    if not thumbnails.are_sound(spans, items=len(items), pictures_bytes=known.bytes):
        raise LibraryDamaged("read thumbnails", folder / SPANS, "impossible values")
    return Album(folder / PICTURES, items, spans)


def _read_array(
    folder: _Folder, name: FileName, manifest: Manifest, *, dtype: np.dtype[np.void], rows: int | None
) -> NDArray[np.void]:
    """`rows`: how many there must be; None: as many as there are."""
    return npy.from_bytes(_checked(folder, name, manifest), dtype=dtype, rows=rows, path=folder / name)


def _ask_canary(index: faiss_flat.FlatIndex, canary: Canary, path: Path) -> None:
    query = np.frombuffer(bytes.fromhex(canary.query), dtype=np.uint8).reshape(1, PDQ_BYTES)
    hits = index.within(query, radius_bits=canary.distance_bits)
    found = bool(np.any((hits.rows == canary.row) & (hits.distances_bits == canary.distance_bits)))
    if not found and len(hits.rows) >= faiss_flat.MOST_HITS and canary.row < index.rows:
        # So many codes are as near that ours was not among those that were kept: then it must be in its place.
        found = int(np.bitwise_count(index.codes()[canary.row] ^ query[0]).sum()) == canary.distance_bits
    if not found:
        raise LibraryDamaged("check segment", path, "the canary query did not find its code")


def kind_of(item: SegmentItem) -> MediaKind:
    return MediaKind(item.kind)
