"""References, items and fingerprints for the library's tests, from a seed: no clip is needed."""

import hashlib
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from streamguard.core.evidence import PdqWeights
from streamguard.library.catalogue import CATALOGUE, NewItem
from streamguard.library.live_set import SEGMENTS, LiveSegment, LiveSet, publish
from streamguard.library.segments import SegmentRef, contents_of, stage
from streamguard.library.store import Library
from streamguard.types import (
    DIHEDRAL_VIEWS,
    WHOLE_PICTURE,
    AssetId,
    Fingerprint,
    MediaKind,
    Place,
    Reference,
    ReferencePrint,
    Region,
    View,
)
from tests.made_features import made_frame

STEP_US = 250_000
RADIUS_BITS = PdqWeights().radius_bits


def reference(seed: int, *, looks: int = 10, kind: MediaKind = MediaKind.VIDEO) -> Reference:
    """Looks that have nothing in common with each other."""
    rng = random.Random(seed)  # noqa: S311  (repeatable, not secret)
    prints = tuple(
        ReferencePrint(Place(number * STEP_US, (number + 1) * STEP_US - 1), rng.randbytes(32), 90, 100 + number % 10)
        for number in range(looks)
    )
    return Reference(kind, looks * STEP_US, looks, 0.0, prints)


def alike(code: bytes, *, looks: int) -> Reference:
    """Footage of which every look, at its own place, has the same code."""
    prints = tuple(ReferencePrint(Place(n * 1000, n * 1000), code, 90, 0) for n in range(looks))
    return Reference(MediaKind.VIDEO, looks * 1000, looks, 0.0, prints)


def with_frames(seed: int, *, frames: int = 3, looks: int = 10) -> Reference:
    """The same with local features: so many frames that have nothing in common, 40 features each."""
    made = tuple(made_frame(100 * seed + number, at_us=number * STEP_US, seen_elsewhere=3) for number in range(frames))
    return replace(reference(seed, looks=looks), frames=made)


def new_item(id_: str, *, label: str = "test", content: str | None = None) -> NewItem:
    """An item whose content is its id, unless said otherwise."""
    sha256 = hashlib.sha256((content or id_).encode()).hexdigest()
    return NewItem(AssetId(id_), label, f"/films/{id_}.mp4", 1000, sha256)


def write_segment(directory: Path, references: Sequence[tuple[AssetId, str, Reference]], *, number: int) -> SegmentRef:
    """A segment of these, where nobody else writes."""
    return stage(directory, contents_of(references)).put_in_place(number=number)


def library_of(path: Path, ids: str) -> tuple[Reference, ...]:
    """A library with an item for each letter; their references."""
    references = tuple(reference(ord(id_)) for id_ in ids)
    with Library.open(path, create=True) as library:
        for id_, made in zip(ids, references, strict=True):
            library.add(new_item(id_), made)
    return references


def multi_item(path: Path, *, off: tuple[str, ...]) -> tuple[tuple[Reference, ...], LiveSegment]:
    """A library of one segment with the items a, b and c, as merging makes them; what was published."""
    (path / SEGMENTS).mkdir(parents=True)
    references = tuple(reference(seed) for seed in (1, 2, 3))
    items = [(AssetId(id_), "x", ref) for id_, ref in zip("abc", references, strict=True)]
    ref = write_segment(path / SEGMENTS, items, number=1)
    live = LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256, off=off)
    publish(path, LiveSet(generation=1, changed_unix_s=1.0, segments=(live,)))
    return references, live


def without_history(path: Path) -> None:
    """The library as a StreamGuard left it that kept none."""
    connection = sqlite3.connect(path / CATALOGUE)
    with connection:
        for table in ("changes", "effects", "written_labels", "sizes"):
            connection.execute(f"DROP TABLE {table}")
        for index in ("items_by_segment", "items_off"):
            connection.execute(f"DROP INDEX {index}")
    connection.close()


def seen(code: bytes, *, view: View = View.UPRIGHT, quality: int = 90, region: Region = WHOLE_PICTURE) -> Fingerprint:
    """A stream's look that has `code` in one view, and noise in the others."""
    rng = random.Random(code)  # noqa: S311  (repeatable, not secret)
    codes = [rng.randbytes(32) for _ in DIHEDRAL_VIEWS]
    if view in DIHEDRAL_VIEWS:
        codes[view] = code
    else:
        codes[view - len(DIHEDRAL_VIEWS)] = bytes(byte ^ 0xFF for byte in code)
    return Fingerprint(region, quality, tuple(codes))


def flipped(code: bytes, bits: int) -> bytes:
    """The code with that many of its bits changed."""
    return (int.from_bytes(code, "big") ^ ((1 << bits) - 1)).to_bytes(32, "big")
