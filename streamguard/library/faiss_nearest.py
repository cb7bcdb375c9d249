"""FAISS, and nothing else: the nearest of many 256-bit codes, exactly while they are few, nearly when they are many."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.types import CODE_BYTES, Codes

EXACT_BELOW = 10_000
"""Up to here all codes are looked at."""

_BITS = 256
_ROW_BYTES = 8
"""A code in a list has its row's number beside it."""

_ASSIGNED_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Probing:
    """How many of the nearest lists are looked at, of so many times the root of the number of codes. They are found the
    same way: their middles stand in groups, the root of their number, of which so many are looked at. What that costs
    and finds: benchmarks/recognition.py.
    """

    lists: int
    groups: int
    lists_by_root: float


PROBING = {0: Probing(6, 5, 0.7), 500_000: Probing(2, 8, 2.9), 10_000_000: Probing(1, 8, 2.9)}
"""From so many codes on: the more there are, the longer is each list. Few codes are indexed again with each addition to
a library, and into few lists that takes a third of the time. Of the nearest 94 % are found, of twenty million 88 %.
"""


class NearestCodes:
    """Safe for any number of threads; never changes."""

    def __init__(self, codes: Codes, *, probing: Probing | None = None) -> None:
        """`probing` None: as their number asks for."""
        count = len(codes)
        how = probing or PROBING[max(least for least in PROBING if least <= count)]
        codes = np.ascontiguousarray(codes)
        # Lists around codes of the library itself, at even steps: training finds lists that are little better (recall
        # 0.96 instead of 0.95), and takes seconds at each change.
        self._indexes: list[Any] = [faiss.IndexBinaryFlat(_BITS)]  # FAISS keeps no reference to those beneath
        if count > EXACT_BELOW:
            middles = _even(codes, int(how.lists_by_root * count**0.5))
            groups = _even(middles, int(len(middles) ** 0.5))
            self._into_lists(groups, probes=how.groups)
            self._into_lists(middles, probes=how.lists)
        if count:
            self._fill(codes)

    @property
    def _index(self) -> Any:  # noqa: ANN401 - FAISS' stubs have no usable type for it
        return self._indexes[-1]

    def _into_lists(self, middles: Codes, *, probes: int) -> None:
        """From now on what is added stands in lists around these, which the index so far finds."""
        self._fill(middles)
        lists = faiss.IndexBinaryIVF(self._index, _BITS, len(middles))
        lists.is_trained = True
        lists.nprobe = probes
        self._indexes.append(lists)

    def _fill(self, codes: Codes) -> None:
        """As FAISS would by itself, but a whole list at once: one that grows code by code keeps room for as many again,
        a third of all memory in the end.
        """
        index = self._index
        if len(self._indexes) == 1:
            index.add(codes)
            return
        to = np.empty(len(codes), np.int64)
        for first in range(0, len(codes), _ASSIGNED_AT_ONCE):
            some = slice(first, first + _ASSIGNED_AT_ONCE)
            to[some] = self._indexes[-2].search(codes[some], 1)[1][:, 0]
        order = np.argsort(to, kind="stable")
        starts = np.searchsorted(to[order], np.arange(index.nlist + 1))
        for number in np.flatnonzero(np.diff(starts)).tolist():
            rows = order[starts[number] : starts[number + 1]]
            own = codes[rows]
            index.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(own))
        index.ntotal = len(codes)

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        """What FAISS keeps: each code, in a list with its row; and the lists' middles in the same way."""
        first, *lists = (int(index.ntotal) for index in self._indexes)
        return first * CODE_BYTES + sum(lists) * (CODE_BYTES + _ROW_BYTES)

    def nearest(self, queries: Codes, *, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, distances in bits) of the `most` nearest codes, a line for each query; row -1: there is none."""
        distances, rows = self._index.search(np.ascontiguousarray(queries), most)
        return rows.astype(np.int64), distances.astype(np.int64)


def _even(codes: Codes, count: int) -> Codes:
    """So many of them, at even steps."""
    return np.ascontiguousarray(codes[np.linspace(0, len(codes) - 1, count).astype(np.int64)])
