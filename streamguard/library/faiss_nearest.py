"""FAISS, and nothing else: the nearest of many 256-bit codes, exactly while they are few, nearly when they are many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.library.turns import GiveWay, nobody_waits
from streamguard.types import CODE_BYTES, Codes

EXACT_BELOW = 5_000
"""Up to here all codes are looked at: that takes as long as lists do with a hundred times as many."""

_BITS = 256
_ROW_BYTES = 8
"""A code in a list has its row's number beside it."""

_FILED_AT_ONCE = 1 << 11
"""A few milliseconds."""

KEPT_TIMES = 3
"""Middles are kept until a library has so many times as many codes as when they were chosen, or as few."""

NEARER_BITS = 10.0
"""New middles take the place of kept ones where codes would stand so much nearer to them: what has come differs from
what they were chosen of. At less they find no more; at 15 to 21 bits 0.69 to 0.72 of the nearest were found of what had
come, and 0.80 to 0.85 around new ones (made codes).
"""

_SAMPLED = 256
"""So many codes tell it to one bit."""

Lists = NDArray[np.uint16]
NOT_FILED = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True)
class Probing:
    """How many of the nearest lists are looked at, of so many times the root of the number of codes. They are found the
    same way: their middles stand in groups, the root of their number, of which so many are looked at. What that costs
    and finds: benchmarks/recognition.py.
    """

    lists: int
    groups: int
    lists_by_root: float


PROBING = {
    0: Probing(6, 5, 0.7),
    100_000: Probing(5, 8, 1.7),
    500_000: Probing(2, 8, 2.9),
    10_000_000: Probing(1, 8, 4.2),
}
"""From so many codes on: the more there are, the longer is each list. Few codes come into few lists, as most of a small
library is filed anew with each addition. Of the nearest 94 % are found, of twenty million 86 %.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Middles:
    """Codes around which lists stand. They stay while a library grows, so that a code is filed once; see `suit` and
    `are_outgrown`.
    """

    probing: Probing
    made_of: int
    """So many codes there were."""
    indexes: tuple[Any, ...]
    """The last finds them; FAISS keeps no reference to those beneath."""

    @classmethod
    def among(cls, codes: Codes, *, probing: Probing, give_way: GiveWay = nobody_waits) -> "Middles":
        """Codes of the library itself, at even steps: training finds lists that are little better (recall 0.96 instead
        of 0.95), and takes seconds at each change.
        """
        middles = _even(codes, min(int(probing.lists_by_root * len(codes) ** 0.5), NOT_FILED))
        groups = _even(middles, int(len(middles) ** 0.5))
        flat = faiss.IndexBinaryFlat(_BITS)
        flat.add(groups)
        found = _lists_around(flat, len(groups), probes=probing.groups)
        _fill(found, middles, _nearest_of(flat, middles, give_way), give_way=give_way)
        return cls(probing, len(codes), (flat, found))

    @property
    def count(self) -> int:
        return int(self.indexes[-1].ntotal)

    @property
    def nbytes(self) -> int:
        """What FAISS keeps: each middle in a list with its row, and the groups' own."""
        return int(self.indexes[0].ntotal) * CODE_BYTES + self.count * (CODE_BYTES + _ROW_BYTES)

    def suit(self, count: int, probing: Probing) -> bool:
        """Whether so many codes may stand around them: they are found the same way, and lists are at most the root of
        KEPT_TIMES longer, or shorter, than new ones would be.
        """
        # Of how many codes `self` would have been made with as many lists as new ones would have.
        alike = count * (probing.lists_by_root / self.probing.lists_by_root) ** 2
        is_near = self.made_of <= alike * KEPT_TIMES and alike <= self.made_of * KEPT_TIMES
        return is_near and probing.groups == self.probing.groups

    def mean_bits(self, codes: Codes) -> float:
        """How far codes stand from the nearest middle; of a sample, at even steps between those of `among`."""
        steps = (np.arange(_SAMPLED) + 0.5) * len(codes) / _SAMPLED
        bits = self.indexes[-1].search(np.ascontiguousarray(codes[steps.astype(np.int64)]), 1)[0]
        return float(bits.mean())

    def lists_of(self, codes: Codes, *, give_way: GiveWay = nobody_waits) -> Lists:
        """In which list each belongs."""
        return _nearest_of(self.indexes[-1], codes, give_way)


@dataclass(frozen=True, slots=True, eq=False)
class Filed:
    """Around which middles codes stand, and in which list each: NOT_FILED where nobody has looked yet."""

    middles: Middles
    lists: Lists


def are_outgrown(kept: Middles, fresh: Middles, codes: Codes) -> bool:
    """Whether codes stand so much nearer to `fresh` ones, made of them, that all are better filed anew."""
    return kept.mean_bits(codes) - fresh.mean_bits(codes) > NEARER_BITS


def filed_together(parts: Sequence[tuple[Filed | None, int]]) -> Filed | None:
    """(what is filed of it, how many codes), one after another, around the middles of the most codes. What stands
    around others is to be filed anew.
    """
    known = [filed for filed, _ in parts if filed is not None]
    if not known:
        return None
    middles = max(known, key=lambda filed: len(filed.lists)).middles
    lists = [
        filed.lists if filed is not None and filed.middles is middles else np.full(count, NOT_FILED, np.uint16)
        for filed, count in parts
    ]
    return Filed(middles, np.concatenate(lists))


class NearestCodes:
    """Safe for any number of threads; never changes."""

    def __init__(
        self,
        codes: Codes,
        *,
        filed: Filed | None = None,
        probing: Probing | None = None,
        give_way: GiveWay = nobody_waits,
    ) -> None:
        """`filed`: what is known of where they belong, and counts where its middles suit. `probing` None: as their
        number asks for.
        """
        count = len(codes)
        how = probing or PROBING[max(least for least in PROBING if least <= count)]
        codes = np.ascontiguousarray(codes)
        self.filed: Filed | None = None
        """Where each stands, for what is made of it next; None: they are few, and stand in no lists."""
        if count <= EXACT_BELOW:
            self._index: Any = faiss.IndexBinaryFlat(_BITS)
            if count:
                self._index.add(codes)
            return
        middles = Middles.among(codes, probing=how, give_way=give_way)
        if filed is None or not filed.middles.suit(count, how) or are_outgrown(filed.middles, middles, codes):
            filed = Filed(middles, np.full(count, NOT_FILED, np.uint16))
        self.filed = _all_filed(filed, codes, give_way)
        middles = self.filed.middles
        self._index = _lists_around(middles.indexes[-1], middles.count, probes=how.lists)
        _fill(self._index, codes, self.filed.lists, give_way=give_way)

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        """What FAISS keeps: each code, in a list with its row; and the lists' middles in the same way."""
        if self.filed is None:
            return self.rows * CODE_BYTES
        return self.rows * (CODE_BYTES + _ROW_BYTES) + self.filed.lists.nbytes + self.filed.middles.nbytes

    def nearest(self, queries: Codes, *, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, distances in bits) of the `most` nearest codes, a line for each query; row -1: there is none."""
        distances, rows = self._index.search(np.ascontiguousarray(queries), most)
        return rows.astype(np.int64), distances.astype(np.int64)


def _all_filed(filed: Filed, codes: Codes, give_way: GiveWay) -> Filed:
    """With those that were not."""
    missing = np.flatnonzero(filed.lists == NOT_FILED)
    if not len(missing):
        return filed
    lists = filed.lists.copy()
    lists[missing] = filed.middles.lists_of(codes[missing], give_way=give_way)
    return Filed(filed.middles, lists)


def _lists_around(middles: Any, count: int, *, probes: int) -> Any:  # noqa: ANN401 - FAISS' stubs have no usable type
    """An empty index of lists around those that `middles` finds."""
    lists = faiss.IndexBinaryIVF(middles, _BITS, count)
    lists.is_trained = True
    lists.nprobe = probes
    return lists


def _nearest_of(middles: Any, codes: Codes, give_way: GiveWay) -> Lists:  # noqa: ANN401
    lists = np.empty(len(codes), np.uint16)
    for first in range(0, len(codes), _FILED_AT_ONCE):
        give_way()
        some = slice(first, first + _FILED_AT_ONCE)
        lists[some] = middles.search(codes[some], 1)[1][:, 0]
    return lists


def _fill(index: Any, codes: Codes, lists: Lists, *, give_way: GiveWay) -> None:  # noqa: ANN401
    """As FAISS would by itself, but a whole list at once: one that grows code by code keeps room for as many again, a
    third of all memory in the end.
    """
    order = np.argsort(lists, kind="stable")
    starts = np.searchsorted(lists, np.arange(index.nlist + 1), sorter=order)
    for number in np.flatnonzero(np.diff(starts)).tolist():
        give_way()
        rows = order[starts[number] : starts[number + 1]]
        own = codes[rows]
        index.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(own))
    index.ntotal = len(codes)


def _even(codes: Codes, count: int) -> Codes:
    """So many of them, at even steps."""
    return np.ascontiguousarray(codes[np.linspace(0, len(codes) - 1, count).astype(np.int64)])
