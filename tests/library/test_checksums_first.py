"""No parser, FAISS's and NumPy's least of all, ever sees a byte of a segment for which no checksum has vouched.

Shown by damage at many places of every file, on every way by which a segment is opened, with ears at each parser.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from streamguard.core.thumbnails import thumbnail
from streamguard.errors import LibraryDamaged
from streamguard.library import durable, faiss_flat, npy, segments
from streamguard.library.ed25519 import Signer
from streamguard.library.live_check import check_live
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.segments import FILES, SegmentRef, read_segment
from streamguard.library.signed import sign_library
from streamguard.library.store import Library
from streamguard.types import FULL_RANGE, Reference
from streamguard.worker.library_child import Asked, opens
from tests.library.made import new_item, with_frames


def _with_pictures(seed: int) -> Reference:
    made = with_frames(seed)
    picture = thumbnail(np.full((90, 160), 40 * seed, np.uint8), levels=FULL_RANGE)
    return replace(made, frames=tuple(replace(frame, thumbnail=picture) for frame in made.frames))


@dataclass(frozen=True, slots=True)
class Known:
    """A library whose one segment has every file that there is."""

    path: Path
    ref: SegmentRef

    @property
    def folder(self) -> Path:
        return self.path / SEGMENTS / self.ref.id


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    path = tmp_path_factory.mktemp("checksums") / "lib"
    with Library.open(path, create=True) as library:
        library.add_all([(new_item("a"), _with_pictures(1)), (new_item("b"), _with_pictures(2))])
    (segment,) = read_live_set(path).segments
    made = Known(path, SegmentRef(segment.id, segment.manifest_sha256))
    assert {file.name for file in made.folder.iterdir()} == set(FILES)
    return made


@pytest.fixture(autouse=True)
def parsed(known: Known, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SHA-256 of all that any parser of a segment's bytes was given: only what was written may be among them."""
    vouched = {hashlib.sha256(file.read_bytes()).hexdigest() for file in known.folder.iterdir()}
    heard: list[str] = []

    def ears(parser: Callable[..., Any]) -> Callable[..., Any]:
        def hears(data: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - what the parser takes
            digest = hashlib.sha256(data).hexdigest()
            heard.append(digest)
            assert digest in vouched, f"{parser} was given what no checksum vouches for"
            return parser(data, *rest, **options)

        return hears

    monkeypatch.setattr(faiss_flat, "from_bytes", ears(faiss_flat.from_bytes))
    monkeypatch.setattr(npy, "from_bytes", ears(npy.from_bytes))
    monkeypatch.setattr(segments, "check_format", ears(durable.check_format))
    monkeypatch.setattr(segments.Manifest, "model_validate_json", ears(segments.Manifest.model_validate_json))
    return heard


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    bad = bytearray(data)
    bad[at] ^= 1 << bit
    return bytes(bad)


def _damages(data: bytes, *, most: int) -> Iterator[bytes]:
    """Flipped bits and cuts: at both ends, and anywhere by seed; a byte more, and other bytes of the same length."""
    rng, last = Random(6), len(data) - 1  # noqa: S311 - repeatable, not secret
    places = [0, last, *(rng.randrange(len(data)) for _ in range(most))]
    yield from (_flipped(data, at, rng.randrange(8)) for at in places)
    yield from (
        data[:length] for length in {0, 1, len(data) // 2, last, *(rng.randrange(len(data)) for _ in range(most))}
    )
    yield data + b"\0"
    yield bytes(len(data))


@pytest.mark.promise(5, "damage of any kind, before anything is parsed", times=15)
@pytest.mark.parametrize("name", FILES)
def test_every_damage_is_seen_before_it_is_parsed(known: Known, name: str, parsed: list[str]) -> None:
    """In every file of a segment, and whatever the damage; whole again, all of it is read."""
    file = known.folder / name
    good = file.read_bytes()
    try:
        for bad in _damages(good, most=15):
            file.write_bytes(bad)
            with pytest.raises(LibraryDamaged, match=r"SHA-256|cut short|larger than|not the \d+ bytes"):
                read_segment(known.path / SEGMENTS, known.ref)
    finally:
        file.write_bytes(good)
    parsed.clear()
    read_segment(known.path / SEGMENTS, known.ref)
    assert len(set(parsed)) == len(FILES) - 1, "all are parsed but the pictures, which are only compared"


def _loads(known: Known) -> None:
    load_snapshot(known.path)


def _checks(known: Known) -> None:
    check_live(known.path)


def _signs(known: Known) -> None:
    sign_library(known.path, Signer.new())


def _verifies(known: Known) -> None:
    with Library.open(known.path, read_only=True) as library:
        if problems := library.verify():
            raise LibraryDamaged("verify", problems[0].where, problems[0].what)


def _tries(known: Known) -> None:
    """As the child does that opens a segment first."""
    held = {file.name: os.open(file, os.O_RDONLY) for file in known.folder.iterdir()}
    try:
        opens(Asked(str(known.path / SEGMENTS), known.ref, tuple(held)), held)
    finally:
        for descriptor in held.values():
            os.close(descriptor)


@pytest.mark.parametrize("way", [_loads, _checks, _signs, _verifies, _tries])
def test_there_is_no_other_way(known: Known, way: Callable[[Known], None], parsed: list[str]) -> None:
    """Whoever opens a segment compares first: the worker, `add`, `sign`, `verify`, and the child that tries it."""
    for name in FILES:
        file = known.folder / name
        good = file.read_bytes()
        try:
            for bad in _damages(good, most=1):
                file.write_bytes(bad)
                with pytest.raises(LibraryDamaged):
                    way(known)
        finally:
            file.write_bytes(good)
    parsed.clear()
    if way is not _signs:
        way(known)
        assert parsed
