"""What a shared list holds: hashes of pictures (PDQ) and of files (MD5, SHA-256), and what others say of each."""

from dataclasses import dataclass
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from streamguard.types import PDQ_BYTES, Codes


class HashKind(IntEnum):
    """What a hash is of. The numbers are the book's, and stay."""

    PDQ = 0
    MD5 = 1
    SHA256 = 2

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def bytes(self) -> int:
        """How long such a hash is."""
        return 16 if self is HashKind.MD5 else 32


class Opinion(Enum):
    """What somebody says of a hash: it is what its list says, it is not, it was met."""

    AGREE = "agree"
    DISAGREE = "disagree"
    SEEN = "seen"


UNKNOWN_QUALITY = 255
"""Of a PDQ hash whose list does not say how much its picture carries."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a list says of a hash: its tags, and how many of its members agree, disagree, or have seen it."""

    tags: tuple[str, ...] = ()
    agree: int = 0
    disagree: int = 0
    seen: int = 0


NO_REMARKS = Remarks()


@dataclass(frozen=True, slots=True)
class ListedHash:
    """One row of a list. `quality` is 0 to 100, or UNKNOWN_QUALITY; `deleted`: the list takes it back."""

    kind: HashKind
    code: bytes
    quality: int = UNKNOWN_QUALITY
    remarks: Remarks = NO_REMARKS
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is none, where it stands (from 1), and why; the others are read all the same."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """One hash of a video, at its time."""

    at_us: int
    quality: int
    code: bytes


def as_codes(codes: list[bytes] | bytes | bytearray) -> Codes:
    """PDQ hashes as rows of 32 bytes."""
    data = codes if isinstance(codes, bytes | bytearray) else b"".join(codes)
    return np.frombuffer(data, np.uint8).reshape(-1, PDQ_BYTES)


def in_order(codes: Codes) -> NDArray[np.int64]:
    """The order of the hashes by their bytes, as SQLite sorts them too."""
    keys = np.ascontiguousarray(codes).view(">u8").reshape(len(codes), codes.shape[1] // 8)
    return np.lexsort(tuple(keys[:, column] for column in reversed(range(keys.shape[1]))))
