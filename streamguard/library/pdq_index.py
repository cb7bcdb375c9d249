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
        dear = many.sum(axis=1) > self.rows * self._dear_share
        words = self._flat.codes().view(_WORD)
        keys: list[NDArray[np.int64]] = []
        for query, asked in enumerate(np.ascontiguousarray(queries).view(_WORD)):
            rows = self._tables.candidates(first[query], many[query]) if not dear[query] else np.empty(0, np.uint32)
            keys.append(_keys_within(words, rows, asked, radius_bits=radius_bits, counts=counts))
        if dear.any():
            hits = self._flat.within(queries[dear], radius_bits=radius_bits, counts=counts)
            found = np.split(as_keys(hits.rows, hits.distances_bits), hits.starts[1:-1])
            for query, own in zip(np.flatnonzero(dear).tolist(), found, strict=True):
                keys[query] = own
        return hits_of(keys)


def _keys_within(
    words: NDArray[np.uint64],
    rows: NDArray[np.uint32],
    asked: NDArray[np.uint64],
    *,
    radius_bits: int,
    counts: Counts | None,
) -> NDArray[np.int64]:
    """Of the candidates those within the radius that count, each once."""
    codes = words.take(rows, axis=0)
    codes ^= asked
    # Half of the bits rule out nearly all that are far.
    half_bits = np.bitwise_count(codes[:, 0]) + np.bitwise_count(codes[:, 1])
    near = np.flatnonzero(half_bits <= radius_bits)
    if not len(near):  # as nearly always, and what follows takes as long again
        return np.empty(0, np.int64)
    bits = np.bitwise_count(codes[near]).sum(axis=1, dtype=np.int64)
    inside = bits <= radius_bits
    if counts is not None:
        inside[inside] = counts(rows[near[inside]].astype(np.int64))
    return nearest_keys(np.unique(as_keys(rows[near[inside]], bits[inside])))
