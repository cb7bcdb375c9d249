"""FAISS, and nothing else: exact search in 256-bit codes that have been checked before, and the file they stand in."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged
from streamguard.types import PDQ_BITS, PDQ_BYTES, Codes

MOST_HITS = 16_384
"""Of each query so many hits are kept, the nearest: a library of a million equal codes is still answered in time."""

_BLOCK_ROWS = 1 << 18
"""FAISS collects every hit before we see one, so it is asked about so many codes at a time."""

_FAISS: Any = faiss
"""Its stubs leave out what searches codes in our own memory."""

HEADER_BYTES = 33
"""Of the file; then come the codes."""

_TRAINED_AND_METRIC = b"\1" + struct.pack("<i", faiss.METRIC_L2)
_ROW_BITS = 40


Counts = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Which of some rows count: those of what is switched off do not, and crowd out nothing."""


@dataclass(frozen=True, slots=True)
class Hits:
    """For each query the rows within the radius: those of query q lie at `starts[q]:starts[q + 1]`, nearest first."""

    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances_bits: NDArray[np.int64]


def as_keys(rows: NDArray[Any], distances_bits: NDArray[Any]) -> NDArray[np.int64]:
    """Hits of one query as numbers whose order is by distance, then by row."""
    return (distances_bits.astype(np.int64) << _ROW_BITS) | rows.astype(np.int64)


def nearest_keys(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest, at most MOST_HITS of them, in any order."""
    return keys if len(keys) <= MOST_HITS else np.partition(keys, MOST_HITS)[:MOST_HITS]


def hits_of(keys: list[NDArray[np.int64]]) -> Hits:
    """From the keys of each query."""
    starts = np.cumsum([0, *map(len, keys)], dtype=np.int64)
    joined = np.concatenate([np.empty(0, np.int64), *(np.sort(own) for own in keys if len(own))])
    return Hits(starts, joined & ((1 << _ROW_BITS) - 1), joined >> _ROW_BITS)


class FlatIndex:
    """Safe for any number of threads; never changes. Looks at every code, and makes no copy of them."""

    def __init__(self, codes: Codes) -> None:
        self._codes = np.ascontiguousarray(codes)

    @property
    def rows(self) -> int:
        return len(self._codes)

    def codes(self) -> Codes:
        """Every code, by row."""
        return self._codes

    def within(self, queries: Codes, *, radius_bits: int, counts: Counts | None = None) -> Hits:
        """The rows at most `radius_bits` away from each query, of those that count; of over MOST_HITS the nearest."""
        keys = [np.empty(0, np.int64)] * len(queries)
        radii_bits = [radius_bits] * len(queries)
        for start in range(0, self.rows, _BLOCK_ROWS):
            if max(radii_bits, default=-1) < 0:
                break
            block = self._codes[start : start + _BLOCK_ROWS]
            starts, rows, distances_bits = _range_search(queries, block, radius_bits=max(radii_bits))
            for query in np.flatnonzero(np.diff(starts)).tolist():
                own = slice(starts[query], starts[query + 1])
                near = distances_bits[own] <= radii_bits[query]
                found, bits = rows[own][near] + start, distances_bits[own][near]
                if counts is not None:
                    on = counts(found)
                    found, bits = found[on], bits[on]
                kept = keys[query] = nearest_keys(np.concatenate([keys[query], as_keys(found, bits)]))
                if len(kept) == MOST_HITS:
                    # Rows come in order: one that is as far as the last kept, and comes later, is not kept.
                    radii_bits[query] = int(kept.max() >> _ROW_BITS) - 1
        return hits_of(keys)


def _range_search(
    queries: Codes, codes: Codes, *, radius_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(starts, rows, distances in bits)."""
    queries = np.ascontiguousarray(queries)
    found = _FAISS.RangeSearchResult(len(queries))
    # FAISS's binary range search keeps what is strictly nearer than the radius that it is given.
    _FAISS.hamming_range_search(
        *(faiss.swig_ptr(queries), faiss.swig_ptr(codes), len(queries), len(codes), radius_bits + 1, PDQ_BYTES, found)
    )
    starts = faiss.rev_swig_ptr(found.lims, len(queries) + 1).astype(np.int64)
    count = int(starts[-1])
    if not count:
        return starts, np.empty(0, np.int64), np.empty(0, np.int64)
    rows = faiss.rev_swig_ptr(found.labels, count).astype(np.int64)
    return starts, rows, faiss.rev_swig_ptr(found.distances, count).astype(np.int64)


def to_bytes(codes: Codes) -> bytes:
    """The index as FAISS writes it to a file."""
    index = faiss.IndexBinaryFlat(PDQ_BITS)
    if len(codes):
        index.add(np.ascontiguousarray(codes))
    data: NDArray[np.uint8] = faiss.serialize_index_binary(index)
    return data.tobytes()


def from_bytes(data: bytes | memoryview, *, rows: int, path: object) -> FlatIndex:
    """Raises LibraryDamaged. FAISS's reader was not made for hostile files, so nothing but a flat index's header with
    the counts that we expect is taken, and exactly the codes behind it, which stay where they are in `data`.
    """
    if data[:HEADER_BYTES] != _header(rows) or len(data) != HEADER_BYTES + rows * PDQ_BYTES:
        raise LibraryDamaged("read index", path, f"not a flat index of {rows} codes")
    return FlatIndex(np.frombuffer(data, dtype=np.uint8, offset=HEADER_BYTES).reshape(rows, PDQ_BYTES))


def _header(rows: int) -> bytes:
    sizes = struct.pack("<iiq", PDQ_BITS, PDQ_BYTES, rows)
    return b"IBxF" + sizes + _TRAINED_AND_METRIC + struct.pack("<q", rows * PDQ_BYTES)
