"""The pictures of a segment's frames, for people: one file of thumbnails, and where in it each stands.

The file stays on disk: it is checked in pieces when the segment is read, and one picture is read when it is asked for.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamguard.core.thumbnails import MOST_BYTES, is_thumbnail
from streamguard.errors import LibraryDamaged
from streamguard.library.durable import Opener, open_unfollowed
from streamguard.types import AssetId, Place, ReferenceFrame

PICTURES: Final = "thumbnails.bin"
SPANS: Final = "thumbnails.npy"

SPAN = np.dtype([("item", "<u4"), ("from_us", "<i8"), ("to_us", "<i8"), ("start", "<u8"), ("bytes", "<u2")])
"""One row a frame that has a picture; `item` counts the segment's items."""

_CHUNK_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def from_references(references: Sequence[Sequence[ReferenceFrame]]) -> tuple[NDArray[np.void], bytes]:
    """(spans, pictures) of each item's frames. A picture that several frames share stands there once."""
    rows: list[tuple[int, int, int, int, int]] = []
    starts: dict[bytes, int] = {}
    size = 0
    for number, frames in enumerate(references):
        for frame in frames:
            picture = frame.thumbnail
            if not picture:
                continue
            if picture not in starts:
                starts[picture] = size
                size += len(picture)
            rows.append((number, frame.place.from_us, frame.place.to_us, starts[picture], len(picture)))
    return np.array(rows, dtype=SPAN), b"".join(starts)


def are_sound(spans: NDArray[np.void], *, items: int, pictures_bytes: int) -> bool:
    """Whether every value is possible."""
    ends = spans["start"] + spans["bytes"]
    return bool(
        np.all(spans["item"] < items)
        and np.all((spans["from_us"] >= 0) & (spans["from_us"] <= spans["to_us"]))
        and np.all((spans["bytes"] <= MOST_BYTES) & (spans["start"] <= pictures_bytes) & (ends <= pictures_bytes))
    )


def check_pictures(path: Path, *, size_bytes: int, sha256: str, opener: Opener = open_unfollowed) -> None:
    """Every byte, and never more than a piece in memory.

    Raises FileNotFoundError or NotADirectoryError when it is not there, LibraryDamaged, LibraryError (no permission).
    """
    digest, seen = hashlib.sha256(), 0
    descriptor = opener(path)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            while seen <= size_bytes and (chunk := file.read(_CHUNK_BYTES)):
                digest.update(chunk)
                seen += len(chunk)
    except OSError as error:
        raise LibraryDamaged("read library file", path, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    if seen != size_bytes:
        raise LibraryDamaged("check segment", path, f"not the {size_bytes} bytes that it was")
    if digest.hexdigest() != sha256:
        raise LibraryDamaged("check segment", path, "its SHA-256 is wrong")


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """One segment's pictures. `items`: the number of each of its items."""

    path: Path
    items: Mapping[AssetId, int]
    spans: NDArray[np.void]

    def picture(self, asset: AssetId, place: Place) -> bytes:
        """The frame of that place, else the nearest to its middle; empty where there is none, or none that can be read:
        a picture is never worth an error.
        """
        number = self.items.get(asset)
        own = self.spans[self.spans["item"] == number] if number is not None else self.spans[:0]
        if not len(own):
            return b""
        exact = (own["from_us"] == place.from_us) & (own["to_us"] == place.to_us)
        off_us = np.maximum(own["from_us"] - place.middle_us, place.middle_us - own["to_us"]).clip(min=0)
        span = own[int(np.argmin(np.where(exact, -1, off_us)))]
        try:
            descriptor = os.open(self.path, _FLAGS)
            try:
                data = os.pread(descriptor, int(span["bytes"]), int(span["start"]))
            finally:
                os.close(descriptor)
        except OSError:
            return b""
        return data if is_thumbnail(data) else b""
