"""FAISS, and nothing else: an exact index of 256-bit codes, read from bytes that have been checked before."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged
from streamguard.types import PDQ_BITS, PDQ_BYTES, Codes

_HEADER_BYTES = 33  # magic 4, bits 4, code size 4, rows 8, trained 1, metric 4, length of what follows 8
_MAGIC = b"IBxF"


@dataclass(frozen=True, slots=True)
class Hits:
    """For each query the rows within the radius: those of query q lie at `starts[q]:starts[q + 1]`, in no order."""

    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances_bits: NDArray[np.int64]


class FlatIndex:
    """Safe for any number of threads; never changes."""

    def __init__(self, codes: Codes) -> None:
        self._index: Any = faiss.IndexBinaryFlat(PDQ_BITS)
        if len(codes):
            self._index.add(np.ascontiguousarray(codes))

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    def codes(self) -> Codes:
        """A copy of every code, by row."""
        flat: Codes = faiss.vector_to_array(self._index.xb)
        return flat.reshape(-1, PDQ_BYTES)

    def within(self, queries: Codes, *, radius_bits: int) -> Hits:
        """Every row at most `radius_bits` away from each query, in one pass for all queries."""
        # FAISS's binary range search keeps what is strictly nearer than the radius that it is given.
        starts, distances, rows = self._index.range_search(np.ascontiguousarray(queries), radius_bits + 1)
        return Hits(starts.astype(np.int64), rows.astype(np.int64), distances.astype(np.int64))


def to_bytes(codes: Codes) -> bytes:
    """The index as FAISS writes it to a file."""
    index = faiss.IndexBinaryFlat(PDQ_BITS)
    if len(codes):
        index.add(np.ascontiguousarray(codes))
    data: NDArray[np.uint8] = faiss.serialize_index_binary(index)
    return data.tobytes()


def from_bytes(data: bytes, *, rows: int, path: object) -> FlatIndex:
    """Raises LibraryDamaged. FAISS's reader was not made for hostile files, so it is given only what has the type and
    the counts of the flat index that we expect, and exactly its length.
    """
    shape = np.array([PDQ_BITS, PDQ_BYTES], dtype="<i4").tobytes() + np.array([rows], dtype="<i8").tobytes()
    length = np.array([rows * PDQ_BYTES], dtype="<u8").tobytes()
    header = data[:_HEADER_BYTES]
    expected = header[: len(_MAGIC) + len(shape)] == _MAGIC + shape and header[-len(length) :] == length
    if not expected or len(data) != _HEADER_BYTES + rows * PDQ_BYTES:
        raise LibraryDamaged("read index", path, f"not a flat index of {rows} codes")
    try:
        read = faiss.deserialize_index_binary(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError as error:
        raise LibraryDamaged("read index", path, "FAISS cannot read it") from error
    index = FlatIndex(np.empty((0, PDQ_BYTES), dtype=np.uint8))
    index._index = read  # noqa: SLF001  (this module's own class)
    return index
