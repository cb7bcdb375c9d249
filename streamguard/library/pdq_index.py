"""The codes within a few bits of a query: every code is looked at while they are few; many are found by tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamguard.library.chunk_tables import ChunkTables, Layout
from streamguard.library.faiss_flat import Counts, FlatIndex, Hits, as_keys, hits_of, nearest_keys
from streamguard.library.turns import GiveWay, nobody_waits
from streamguard.types import Codes

TABLES_FROM = 100_000
"""Below, looking at every code takes at most 0.06 ms, and no tables."""

LAYOUTS = ((TABLES_FROM, Layout(16, 14)), (200_000, Layout(16, 16)), (800_000, Layout(13, 19)))
"""From so many codes on. The first two find everything. The last looks at an eighth as many codes, and finds all up to
25 bits away, and 99.9 % of what is 31 bits away; fewer and longer chunks would be quicker still, and miss one in 100.
"""

MOST_BITS = 31
"""Tables are made for this radius, beyond which pictures are not called the same; wider ones look at every code."""

DEAR_SHARE = 1 / 24
"""A code looked up takes as long as 24 looked at one after another. A query with more candidates than that share of all
codes, as in a library of a million nearly equal ones, is better off without tables, and never takes much longer than it
would without.
"""

_MOST_TOGETHER = 1 << 14
_WORD = np.dtype(np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class PdqIndex:
    """Safe for any number of threads; never changes. `over` makes it."""

    _flat: FlatIndex
    _tables: ChunkTables | None
    _dear_share: float

    @classmethod
    def over(
        cls,
        codes: Codes,
        *,
        layouts: Sequence[tuple[int, Layout]] = LAYOUTS,
        dear_share: float = DEAR_SHARE,
        give_way: GiveWay = nobody_waits,
    ) -> "PdqIndex":
        """Keeps the codes, and no copy of them."""
        layout = next((layout for least, layout in reversed(layouts) if len(codes) >= least), None)
        flat = FlatIndex(codes)
        tables = ChunkTables.over(flat.codes(), layout=layout, give_way=give_way) if layout else None
        return cls(flat, tables, dear_share)

    @property
    def rows(self) -> int:
        return self._flat.rows

    @property
    def nbytes(self) -> int:
        return self._flat.codes().nbytes + (self._tables.nbytes if self._tables else 0)

    def codes(self) -> Codes:
        """Every code, by row."""
        return self._flat.codes()

    def within(self, queries: Codes, *, radius_bits: int, counts: Counts | None = None) -> Hits:
        """The rows at most `radius_bits` away from each query (see LAYOUTS), of those that count; of over MOST_HITS the
        nearest.
        """
        if self._tables is None or radius_bits > MOST_BITS:
            return self._flat.within(queries, radius_bits=radius_bits, counts=counts)
        first, many = self._tables.spans(queries)
        totals = many.sum(axis=1)
        dear = totals > self.rows * self._dear_share
        keys = [np.empty(0, np.int64)] * len(queries)
        for some in _blocks(np.flatnonzero(~dear), totals):
            rows = self._tables.candidates(first[some].ravel(), many[some].ravel())
            words = self._flat.codes().view(_WORD).take(rows, axis=0)
            words ^= np.repeat(np.ascontiguousarray(queries[some]).view(_WORD), totals[some], axis=0)
            near, bits = _inside(words, rows, radius_bits=radius_bits, counts=counts)
            asked = some[np.searchsorted(np.cumsum(totals[some]), near, side="right")]
            for query in np.unique(asked):
                own = asked == query
                keys[query] = nearest_keys(np.unique(as_keys(rows[near[own]], bits[own])))
        if dear.any():
            hits = self._flat.within(queries[dear], radius_bits=radius_bits, counts=counts)
            found = np.split(as_keys(hits.rows, hits.distances_bits), hits.starts[1:-1])
            for query, own in zip(np.flatnonzero(dear).tolist(), found, strict=True):
                keys[query] = own
        return hits_of(keys)


def _blocks(queries: NDArray[np.intp], totals: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Queries whose candidates are looked at together, as what is done for each call costs as much as hundreds of these
    do: up to _MOST_TOGETHER of them.
    """
    ends = np.cumsum(totals[queries])
    return [some for some in np.split(queries, np.flatnonzero(np.diff(ends // _MOST_TOGETHER)) + 1) if len(some)]


def _inside(
    differences: NDArray[np.uint64], rows: NDArray[np.uint32], *, radius_bits: int, counts: Counts | None
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which candidates are within the radius and count, and how many bits away."""
    # Half of the bits rule out nearly all that are far.
    half_bits = np.bitwise_count(differences[:, 0]) + np.bitwise_count(differences[:, 1])
    near = np.flatnonzero(half_bits <= radius_bits)
    if not len(near):  # as nearly always, and what follows takes as long again
        return near, np.empty(0, np.int64)
    bits = np.bitwise_count(differences[near]).sum(axis=1, dtype=np.int64)
    inside = bits <= radius_bits
    if counts is not None:
        inside[inside] = counts(rows[near[inside]].astype(np.int64))
    return near[inside], bits[inside]
