"""Where in a large library codes near a query may stand: multi-index hashing.

A code's bits are cut into chunks, and for each chunk there is a table of the codes by the value of that chunk. Two
codes that are few bits apart have a chunk in which they are at most one bit apart, so that looking there, for each
chunk at its own value and at those one bit off, finds the other among a few thousand codes instead of ten million.
(Norouzi, Punjani, Fleet: Fast exact search in Hamming space with multi-index hashing, 2014.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamguard.library.in_threads import in_threads, threads
from streamguard.library.turns import GiveWay, nobody_waits, stretches
from streamguard.types import PDQ_BITS, PDQ_BYTES, Codes

_WORD_BYTES = 4
_MOST_BUILDERS = 2
"""Each takes 8 bytes a code while it builds tables, and all together 4."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`chunks` at even steps, of each of which `bits` are used. What is fewer than twice as many bits away as there are
    chunks is always found: some chunk has at most one of them. Of what is farther, most.
    """

    chunks: int
    bits: int

    @property
    def starts(self) -> list[int]:
        return [chunk * PDQ_BITS // self.chunks for chunk in range(self.chunks)]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkTables:
    """Safe for any number of threads; never changes. `over` makes it."""

    layout: Layout
    _rows: NDArray[np.uint32]
    """For each chunk all rows, in the order of their values there; one chunk's after another."""
    _starts: NDArray[np.uint32]
    """For each chunk and value where its rows begin among those of the chunk, and where those of the last end."""

    @classmethod
    def over(cls, codes: Codes, *, layout: Layout, give_way: GiveWay = nobody_waits) -> "ChunkTables":
        """2.1 s of computing for ten million codes."""
        rows = np.empty((layout.chunks, len(codes)), np.uint32)
        starts = np.empty((layout.chunks, (1 << layout.bits) + 1), np.uint32)
        numbers = np.arange(len(codes), dtype=np.uint32)
        builders = threads(_MOST_BUILDERS)

        def cut(number: int) -> None:
            own = slice(number * len(codes) // builders, (number + 1) * len(codes) // builders)
            _cut(rows[:, own], codes=codes[own], layout=layout, give_way=give_way)

        def build(number: int) -> None:
            _fill(rows[number::builders], starts[number::builders], numbers=numbers, give_way=give_way)

        in_threads(cut, range(builders), rows=len(codes))
        in_threads(build, range(builders), rows=len(codes))
        return cls(layout, rows.reshape(-1), starts.reshape(-1))

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._starts.nbytes

    def spans(self, queries: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(first, how many) of the stretches of candidates, a line for each query."""
        layout = self.layout
        values = _values_in_all(queries, layout)
        flips = np.array([0, *(1 << bit for bit in range(layout.bits))], np.uint32)
        chunks = np.arange(layout.chunks)[:, None]
        at = (values[:, :, None] ^ flips) + chunks * ((1 << layout.bits) + 1)
        first = self._starts.take(at).astype(np.int64)
        many = self._starts.take(at + 1) - first
        first += chunks * (len(self._rows) // layout.chunks)
        return first.reshape(len(queries), -1), many.reshape(len(queries), -1)

    def candidates(self, first: NDArray[np.int64], many: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The rows in some stretches; a row that is near in several chunks comes several times."""
        before = np.cumsum(many) - many
        found: NDArray[np.uint32] = self._rows.take(np.repeat(first - before, many) + np.arange(many.sum()))
        return found


def _cut(values: NDArray[np.uint32], *, codes: Codes, layout: Layout, give_way: GiveWay) -> None:
    """The values of each chunk, a line a chunk. All chunks of some codes while these are near: the codes are read once
    instead of once for each chunk.
    """
    for some in stretches(len(codes)):
        give_way()
        for start, own in zip(layout.starts, values, strict=True):
            _values(codes[some], start=start, bits=layout.bits, out=own[some])


def _fill(
    lines: NDArray[np.uint32], starts: NDArray[np.uint32], *, numbers: NDArray[np.uint32], give_way: GiveWay
) -> None:
    """The tables of some chunks, in place of their values. Memory that is new takes longer to get than to sort, so it
    is used again.
    """
    keys = np.empty(len(numbers), "<u8")
    rows_of, values = keys.view("<u4")[::2], keys.view("<u4")[1::2]
    firsts = np.arange(starts.shape[1], dtype=np.uint64) << np.uint64(32)
    for line, own_starts in zip(lines, starts, strict=True):
        # One number of value and row sorts several times as fast as rows by value do.
        for some in stretches(len(keys)):
            give_way()
            values[some], rows_of[some] = line[some], numbers[some]
        keys.sort()
        begun = 0
        for some in stretches(len(keys)):
            give_way()
            new = slice(begun, begun := int(values[some][-1]) + 1)
            own_starts[new] = np.searchsorted(keys[some], firsts[new]) + some.start
            line[some] = rows_of[some]
        own_starts[begun:] = len(keys)


def _values(codes: Codes, *, start: int, bits: int, out: NDArray[np.uint32]) -> None:
    """`bits` bits of each code from bit `start` on, the lowest bit of the first byte being bit 0."""
    first = _first_byte(start)
    words = codes[:, first : first + _WORD_BYTES].view("<u4")[:, 0]
    np.right_shift(words, np.uint32(start - first * 8), out=out)
    out &= np.uint32((1 << bits) - 1)


def _values_in_all(codes: Codes, layout: Layout) -> NDArray[np.uint32]:
    """The same for each chunk at once, a line for each code: for few codes, of which each call costs more than they."""
    firsts = np.array([_first_byte(start) for start in layout.starts])
    words = np.ascontiguousarray(codes[:, firsts[:, None] + np.arange(_WORD_BYTES)]).view("<u4")[:, :, 0]
    shifted = words >> (np.array(layout.starts) - firsts * 8).astype(np.uint32)
    return np.asarray(shifted & np.uint32((1 << layout.bits) - 1), np.uint32)


def _first_byte(start: int) -> int:
    """Where the word begins in which a chunk stands that begins at that bit."""
    return min(start // 8, PDQ_BYTES - _WORD_BYTES)
