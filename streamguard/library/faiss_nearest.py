"""FAISS, and nothing else: the nearest of many 256-bit codes, exactly while they are few, nearly when they are many."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.types import Codes

EXACT_BELOW = 10_000
"""Up to here all codes are looked at."""

MANY = 500_000
"""From here on lists are so long that a quarter as many are looked at; of the nearest, 95 % are in them."""

_PROBES = 8
_PROBES_OF_MANY = 2
_BITS = 256
_LISTS_BY_ROOT = 2.9
"""So many times the root of their number: then finding the lists costs about what looking through them does."""


class NearestCodes:
    """Safe for any number of threads; never changes."""

    def __init__(self, codes: Codes) -> None:
        count = len(codes)
        self._index: Any = faiss.IndexBinaryFlat(_BITS)
        if count > EXACT_BELOW:
            # Lists around codes of the library itself, at even steps: training finds lists that are little better
            # (recall 0.96 instead of 0.95), and takes seconds at each change.
            lists = int(_LISTS_BY_ROOT * count**0.5)
            self._index.add(np.ascontiguousarray(codes[np.linspace(0, count - 1, lists).astype(np.int64)]))
            self._middles = self._index  # FAISS keeps no reference
            self._index = faiss.IndexBinaryIVF(self._middles, _BITS, lists)
            self._index.is_trained = True
            self._index.nprobe = _PROBES if count < MANY else _PROBES_OF_MANY
        if count:
            self._index.add(np.ascontiguousarray(codes))

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    def nearest(self, queries: Codes, *, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, distances in bits) of the `most` nearest codes, a line for each query; row -1: there is none."""
        distances, rows = self._index.search(np.ascontiguousarray(queries), most)
        return rows.astype(np.int64), distances.astype(np.int64)
